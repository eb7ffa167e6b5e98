"""TensorBoard's logger, with a folder that appears with the first thing that is logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import override


class RunLogger(TensorBoardLogger):
    """TensorBoardLogger of a command, which may still be refused when Lightning sets loggers up."""

    _late: LateWriter | None = None

    @property
    @override
    @rank_zero_experiment
    def experiment(self) -> LateWriter:
        """The writer, whose folder and file appear when something is written."""
        if self._late is None:
            self._late = LateWriter(log_dir=self.log_dir)
        return self._late

    @override
    def finalize(self, status: str) -> None:
        """Close the file, if there is one."""
        super().finalize(status)
        if self._late is not None:
            self._late.close()

    @override
    def __getstate__(self) -> dict[str, Any]:
        # Writers stay in their process.
        return {**super().__getstate__(), "_late": None}


class LateWriter(SummaryWriter):
    """SummaryWriter that makes its folder and file when something is written."""

    _may_open = False

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir=log_dir)
        self._may_open = True

    @override
    def _get_file_writer(self) -> Any:
        # Everything that is written passes here, and so does the constructor.
        parent: Any = super()  # torch leaves it untyped.
        return parent._get_file_writer() if self._may_open else None


class FolderClaim(pl.Callback):
    """Makes the run's folder after a first batch, so that no run beside it takes the same one."""

    @override
    def on_predict_batch_end(self, trainer: pl.Trainer, *_: object, **__: object) -> None:
        if trainer.is_global_zero and isinstance(trainer.logger, RunLogger):
            Path(trainer.logger.log_dir).mkdir(parents=True, exist_ok=True)
