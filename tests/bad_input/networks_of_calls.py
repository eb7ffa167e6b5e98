"""A tiny network and what it is shown, for functions that need one to refuse."""

from __future__ import annotations

import torch
from torch import nn

from neurovis import InputSpec, Modality

GRAY = InputSpec((Modality("gray", 1),), 16)
IMAGES = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU())
        return nn.Sequential(*layers).eval()


NET = _network()
