"""What the tests of ascents share: a small input, and a quiet Trainer."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.inputs import InputSpec
from neurovis.modality import Modality

GRAY = InputSpec((Modality("gray", 1),), size=(16, 16))

#: Options of an ascent that shows images as they are.
STILL = {"jitter": 0, "scale": (1, 1), "rotate": 0}


class Climber:
    """Runs an ascent quietly under a Trainer that writes into the test's own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, module: pl.LightningModule, **options: object) -> pl.Trainer:
        defaults = {
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "max_epochs": -1,
            "default_root_dir": self.folder,
        }
        trainer = pl.Trainer(**{**defaults, **options})  # type: ignore[arg-type]
        trainer.fit(module)
        return trainer


def make_small_network() -> nn.Module:
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


class Silent(nn.Module):
    """Kernel 0 sleeps on noise and wakes for bright images; kernel 1 is dead; 2 is lively."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(1, 3, 3, bias=True)
        with torch.no_grad():
            self.mix.weight.fill_(1.0)
            self.mix.bias.copy_(torch.tensor([-6.5, -20.0, 0.0]))

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.mix(images))
