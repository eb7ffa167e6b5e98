"""Lightning's loggers of files, with a folder that appears with the first thing that is logged."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from typing_extensions import override

#: What Lightning calls before anything is logged.
_WHEN_LOGGED = ("flush", "save", "close")


class LateExperiment:
    """Stand-in for a logger's experiment, which makes its folder when something is logged.

    Args:
        make: Returns the experiment.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    @property
    def made(self) -> Any:
        """The experiment itself."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getattr__(self, name: str) -> Any:
        if self._made is None and name in _WHEN_LOGGED:
            return lambda: None
        return getattr(self.made, name)


def _late(logger: TensorBoardLogger | CSVLogger, make: Callable[[], Any]) -> Any:
    """Return a logger's experiment, or its stand-in as long as it is not made."""
    return LateExperiment(make) if logger._experiment is None else make()


class RunLogger(TensorBoardLogger):
    """TensorBoardLogger of a command, which may still be refused when Lightning sets loggers up."""

    @property
    @override
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer, whose folder and file appear when something is logged."""
        parent: Any = super()
        return _late(self, lambda: parent.experiment)


class RunTable(CSVLogger):
    """CSVLogger of a command, which may still be refused when Lightning sets loggers up."""

    @property
    @override
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer, whose folder appears when something is logged."""
        parent: Any = super()
        return _late(self, lambda: self._open(parent))

    def _open(self, parent: Any) -> Any:
        with warnings.catch_warnings():
            if not Path(self.log_dir, "metrics.csv").exists():
                # The folder may hold results of the run by now, which are not deleted.
                warnings.filterwarnings("ignore", message="Experiment logs directory")
            return parent.experiment


class FolderClaim(pl.Callback):
    """Makes the run's folder after a first batch, so that no run beside it takes the same one."""

    @override
    def on_predict_batch_end(self, trainer: pl.Trainer, *_: object, **__: object) -> None:
        if trainer.is_global_zero and isinstance(trainer.logger, (RunLogger, RunTable)):
            Path(trainer.logger.log_dir).mkdir(parents=True, exist_ok=True)
