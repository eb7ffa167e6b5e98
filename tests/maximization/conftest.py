from __future__ import annotations

from pathlib import Path

import pytest
import torch
from climbing import Climber
from torch import nn


@pytest.fixture
def climb(tmp_path: Path) -> Climber:
    return Climber(tmp_path)


@pytest.fixture
def small_network() -> nn.Module:
    """Two convolutions with batch norms that have seen data, and logits."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    with torch.no_grad():
        for _ in range(5):
            network(torch.rand(16, 1, 16, 16))
    return network
