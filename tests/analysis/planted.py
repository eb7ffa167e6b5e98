"""Gratings of some orientations, and kernels that detect them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurovis import InputSpec
from neurovis.modality import Modality

SPEC = InputSpec(Modality("gray", 1), 16)
ORIENTATIONS = 6


def gratings(number: int, orientation: int, seed: int) -> Tensor:
    """Noise with a grating of one of the orientations, of any phase and contrast."""
    generator = torch.Generator().manual_seed(seed)
    angle = torch.tensor(orientation * torch.pi / ORIENTATIONS)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    along = rows * angle.sin() + columns * angle.cos()
    phases = torch.rand(number, 1, 1, generator=generator) * 2 * torch.pi
    contrasts = torch.rand(number, 1, 1, generator=generator) * 0.25 + 0.1
    waves = contrasts * (along * 2 * torch.pi / 5 + phases).sin()
    noise = torch.randn(number, 16, 16, generator=generator) * 0.05
    return (0.5 + waves + noise).clamp(0, 1)[:, None]


class Detectors(nn.Module):
    """Energies of gratings of some orientations, a kernel for each, and one that is silent."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Conv2d(1, 2 * ORIENTATIONS, 7, bias=False)
        self.energy = nn.Conv2d(2 * ORIENTATIONS, ORIENTATIONS + 1, 1, bias=False)
        rows, columns = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij")
        weights, sums = (
            torch.zeros(2 * ORIENTATIONS, 1, 7, 7),
            torch.zeros(ORIENTATIONS + 1, 12, 1, 1),
        )
        for place in range(ORIENTATIONS):
            angle = torch.tensor(place * torch.pi / ORIENTATIONS)
            along = (rows * angle.sin() + columns * angle.cos()) * 2 * torch.pi / 5
            for phase, wave in enumerate((along.sin(), along.cos())):
                weights[2 * place + phase, 0] = wave - wave.mean()
                sums[place, 2 * place + phase] = 1
        self.below.weight.data, self.energy.weight.data = weights, sums

    def forward(self, images: Tensor) -> Tensor:
        energies: Tensor = self.energy(self.below(images).square())
        return energies
