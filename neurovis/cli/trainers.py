"""Lightning Trainers from options, refused in words that name the options."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import lightning.pytorch as pl
from jsonargparse import Namespace
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from typing_extensions import override

from neurovis.files import check_writable

#: What a Trainer may refuse to be made with, each with values that are no choice of anybody's.
_CHOICES: Mapping[str, tuple[object, ...]] = {
    "accelerator": ("auto",),
    "devices": ("auto", 1),
    "num_nodes": (1,),
    "strategy": ("auto",),
    "precision": (None,),
    "logger": (None, True, False),
}
#: No argument whose default is not Lightning's.
LIGHTNING: Mapping[str, Any] = MappingProxyType({})
#: The same but for one device, which Lightning would take all of.
ONE_DEVICE: Mapping[str, Any] = MappingProxyType({"devices": 1})
_FLOAT32 = (None, 32, "32", "32-true")


def as_list(callbacks: Any) -> list[Any]:
    """Return the Trainer's callbacks, of which there may be one or none."""
    return list(callbacks) if isinstance(callbacks, list) else [callbacks] if callbacks else []


def with_late_folders(logger: object) -> object:
    """Return the option of loggers with those of Lightning's that make their folders later.

    Args:
        logger: As it was parsed: for a class its path and its arguments.
    """
    if isinstance(logger, list):
        return [with_late_folders(one) for one in logger]
    path = logger.get("class_path") if isinstance(logger, Namespace) else None
    module, _, name = str(path).rpartition(".")
    if not isinstance(logger, Namespace) or not module.startswith("lightning.pytorch.loggers"):
        return logger
    late = {"TensorBoardLogger": "RunLogger", "CSVLogger": "RunTable"}
    named = logger.clone()
    if name in late:
        named.class_path = f"{__name__}.{late[name]}"
    return named


def build_trainer(arguments: Mapping[str, Any], prefix: str = "--trainer.") -> pl.Trainer:
    """A Trainer whose folder for results can be written to.

    Its own logger makes a folder when something is logged, as those that options name do, so that
    nothing is left of a command that is refused.

    Args:
        arguments: Arguments of ``Trainer``.
        prefix: What the options are called by before these names.

    Raises:
        ValueError: If there is no such Trainer; the message says what was asked for.
        OSError: If the folder cannot be written to.
    """
    # Before Lightning makes a folder in it.
    check_writable(arguments.get("default_root_dir") or Path.cwd())
    try:
        trainer = pl.Trainer(**arguments)
    except (MisconfigurationException, ValueError, TypeError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        blamed = _mentioned(arguments, reason) or _chosen(arguments)
        asked = ", ".join(f"{prefix}{name} {arguments[name]}" for name in blamed)
        raise ValueError(
            f"there can be no Trainer with {asked or 'these options'}: {reason}"
        ) from error
    own = trainer.logger
    if arguments.get("logger") in (None, True) and isinstance(own, TensorBoardLogger):
        trainer.logger = RunLogger(own.save_dir, own.name, own.version)
    if trainer.is_global_zero:
        check_writable(trainer.log_dir or trainer.default_root_dir)
    return trainer


def _mentioned(arguments: Mapping[str, Any], reason: str) -> list[str]:
    """The options that are not as they would be by themselves, and that the reason speaks of."""
    return [
        name
        for name, parameter in inspect.signature(pl.Trainer).parameters.items()
        if isinstance(value := arguments.get(name), (str, int, float))
        and value != parameter.default
        and (
            re.search(rf"\b{name}\b", reason) or (isinstance(value, str) and repr(value) in reason)
        )
    ]


def _chosen(arguments: Mapping[str, Any]) -> list[str]:
    """Return the options that were set and may conflict, or need what is not available."""
    return [name for name, plain in _CHOICES.items() if arguments.get(name, plain[0]) not in plain]


def check_float32(arguments: Mapping[str, Any], what: str) -> None:
    """Refuse another precision before Lightning says that it takes a third one instead.

    Raises:
        ValueError: If the Trainer is to compute in anything but float32.
    """
    precision = arguments.get("precision")
    if precision not in _FLOAT32:
        raise ValueError(f"{what} float32; got --trainer.precision {precision}: leave it out")


def check_one_device(trainer: pl.Trainer, what: str) -> None:
    """Refuse several devices.

    Raises:
        ValueError: If the Trainer has several.
    """
    devices = trainer.num_devices * trainer.num_nodes
    if devices > 1:
        raise ValueError(f"{what} one device; got {devices}: --trainer.devices 1")


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
