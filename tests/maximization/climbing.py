"""What the tests of ascents share: a small input, and a quiet Trainer."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.inputs import InputSpec, Modality

GREY = InputSpec((Modality("grey", 1),), size=(16, 16))

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
