"""A convolution whose tuning has a closed form: its kernels are sampled Gabors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurovis.tuning.stimuli import gabor


class GaborNetwork(nn.Module):
    """A layer ``conv`` of Gabors and, if asked for, a ``relu`` behind it.

    ``orientations`` (K,) in degrees and ``spatial_frequencies`` (K,) in cycles per pixel say what
    its kernels are tuned to.
    """

    def __init__(
        self,
        kernels: Tensor,
        orientations: Tensor,
        spatial_frequencies: Tensor,
        gains: Sequence[float],
        bias: float | None,
        stride: int,
        padding: int,
        relu: bool,
    ) -> None:
        super().__init__()
        count, size, _ = kernels.shape
        self.orientations, self.spatial_frequencies = orientations, spatial_frequencies
        self.conv = nn.Conv2d(
            len(gains), count, size, stride=stride, padding=padding, bias=bias is not None
        )
        with torch.no_grad():
            self.conv.weight.copy_(kernels[:, None] * torch.tensor(gains)[:, None, None])
            if self.conv.bias is not None and bias is not None:
                self.conv.bias.fill_(bias)
        self.relu = nn.ReLU() if relu else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x if self.relu is None else self.relu(x)


def gabor_network(
    orientations: Sequence[float] = (0.0, 22.5, 45.0, 90.0, 135.0),
    wavelength: float | Sequence[float] = 6.0,
    sigma: float | Sequence[float] = 3.0,
    phase: float | Sequence[float] = 0.0,
    gains: Sequence[float] = (1.0, 1.0, 1.0),
    size: int | None = None,
    bias: float | None = None,
    stride: int = 1,
    padding: int = 0,
    relu: bool = False,
) -> GaborNetwork:
    """A bank of Gabor kernels, in evaluation mode.

    Args:
        orientations: Of the bars, in degrees, one for each kernel.
        wavelength: Pixels per cycle: one for all kernels, or one for each; so are ``sigma`` (in
            pixels) and ``phase`` (in degrees, 0 is even).
        gains: One for each input channel: ``(1, 1, 1)`` for RGB, ``(1,)`` for gray,
            ``(0, 0, 0, 1)`` for the depth of RGB-D.
        size: Of the kernels; by default as large as 3.3 sigma to either side takes.
        bias: Of all kernels; None for a layer without.
        stride: Of the convolution.
        padding: Of the convolution.
        relu: Whether a ReLU follows.
    """
    count = len(orientations)
    wavelengths, sigmas, phases = (
        [value] * count if isinstance(value, (int, float)) else list(value)
        for value in (wavelength, sigma, phase)
    )
    if size is None:
        size = 2 * math.ceil(3.3 * max(sigmas)) + 1
    kernels = [
        gabor(size, *parameters)
        for parameters in zip(wavelengths, sigmas, orientations, phases, strict=True)
    ]
    return GaborNetwork(
        torch.stack(kernels),
        torch.tensor([float(orientation) for orientation in orientations]),
        1 / torch.tensor([float(wavelength) for wavelength in wavelengths]),
        gains,
        bias,
        stride,
        padding,
        relu,
    ).eval()
