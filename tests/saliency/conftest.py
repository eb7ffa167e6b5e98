from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def network() -> nn.Module:
    """Two convolutions with rectifiers between them, and three logits."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 3),
    ).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 4, 12, 12, generator=torch.Generator().manual_seed(1))
