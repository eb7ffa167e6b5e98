"""What the tests of ascents share: a small input, and a quiet Trainer."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl

from neurovis.inputs import InputSpec, Modality

GREY = InputSpec((Modality("grey", 1),), size=(16, 16))


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
