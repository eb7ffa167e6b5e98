"""Choose the folder for the files of a Lightning run, so that no two runs share one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import lightning.pytorch as pl

#: Where Lightning's default logger puts the folders of runs, in the ``default_root_dir``.
RUNS = "lightning_logs"


def run_folder(trainer: pl.Trainer) -> Path:
    """Return the folder for the files of a run; all processes must ask for it at once.

    TensorBoardLogger and CSVLogger have a ``log_dir``. With another logger it is the folder in
    which Lightning keeps the run's checkpoints, ``NAME/VERSION`` in the logger's ``save_dir``, or
    in the Trainer's ``default_root_dir``. Without a logger it is the ``default_root_dir``.

    Args:
        trainer: With its loggers set up.
    """
    own = _folder_of(trainer) if trainer.is_global_zero else None
    # Only the first process has the run's identifier.
    return Path(str(trainer.strategy.broadcast(own)))


def new_run_folder(trainer: pl.Trainer) -> Path:
    """Return the folder for the files of a run that is never resumed, which no other run has.

    Where no logger has a folder of the run, the next ``lightning_logs/version_N`` is made. To be
    called once in a run, by all processes at once.

    Args:
        trainer: With its loggers set up.

    Raises:
        OSError: If the folder cannot be written.
    """
    own = None
    if trainer.is_global_zero:
        own = _folder_of(trainer)
        if is_shared(trainer):
            own = str(claim_version(Path(own, RUNS)))
    return Path(str(trainer.strategy.broadcast(own)))


def is_shared(trainer: pl.Trainer) -> bool:
    """Return True if other runs have the same :func:`run_folder`: no logger has one."""
    # The logger of fast_dev_run does nothing.
    return not trainer.loggers or bool(getattr(trainer, "fast_dev_run", False))


def next_version(folder: Path) -> Path:
    """Return the first ``version_N`` in a folder that does not exist yet."""
    number = 0
    while (folder / f"version_{number}").exists():
        number += 1
    return folder / f"version_{number}"


def claim_version(folder: Path) -> Path:
    """Make the first ``version_N`` that does not exist yet, which no other run makes then.

    Raises:
        OSError: If the folder cannot be written.
    """
    while True:
        path = next_version(folder)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue  # Another run was faster.
        return path


def _folder_of(trainer: pl.Trainer) -> str:
    if not trainer.loggers:
        return str(trainer.default_root_dir)
    logger = trainer.loggers[0]
    own = getattr(logger, "log_dir", None)
    if isinstance(own, str):
        return own
    _ = getattr(logger, "experiment", None)  # W&B names a run when it begins.
    root = getattr(logger, "save_dir", None) or trainer.default_root_dir
    return str(Path(root, *_parts(logger)))


def _parts(logger: object) -> Iterator[str]:
    """The name and version of a run, as Lightning writes them for checkpoints."""
    name, version = getattr(logger, "name", None), getattr(logger, "version", None)
    if name is not None:
        yield str(name)
    if version is not None:
        yield version if isinstance(version, str) else f"version_{version}"
