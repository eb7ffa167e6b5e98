"""Lightning Trainers from options, refused in words that name the options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException

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
_FLOAT32 = (None, 32, "32", "32-true")


def build_trainer(arguments: Mapping[str, Any], prefix: str = "--trainer.") -> pl.Trainer:
    """A Trainer whose folder for results can be written to.

    Args:
        arguments: Of ``Trainer``.
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
        asked = [
            f"{prefix}{name} {arguments[name]}"
            for name, plain in _CHOICES.items()
            if arguments.get(name, plain[0]) not in plain
        ]
        reason = " ".join(str(error).split())
        raise ValueError(
            f"there can be no Trainer with {', '.join(asked) or 'these options'}: {reason}"
        ) from error
    if trainer.is_global_zero:
        check_writable(trainer.log_dir or trainer.default_root_dir)
    return trainer


def check_float32(arguments: Mapping[str, Any], what: str) -> None:
    """Refuse another precision before Lightning says that it takes a third one instead.

    Raises:
        ValueError: If the Trainer is to compute in anything but float32.
    """
    precision = arguments.get("precision")
    if precision not in _FLOAT32:
        raise ValueError(f"{what} float32; got --trainer.precision {precision}: leave it out")
