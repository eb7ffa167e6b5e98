"""Send what a monitor made to whatever loggers a Lightning run has.

Loggers are told apart by what they can do, not by their class: those of ``lightning`` and of
``pytorch_lightning`` are different classes, and there are others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurovis.figures import save_png


def log_picture(
    loggers: Iterable[object],
    tag: str,
    picture: npt.NDArray[np.uint8],
    step: int,
    folder: str | Path | None,
) -> None:
    """Log a picture to every logger that takes images, or else write a PNG file.

    TensorBoard-like loggers (``logger.experiment.add_image``) and W&B-like ones
    (``logger.log_image(key, images, step)``) take images. If there is none, the picture goes to
    ``folder / picture_path(tag, step)``.

    Args:
        loggers: As in ``trainer.loggers``.
        tag: Such as ``"feature_maps/conv1"``.
        picture: ``(H, W, 3)`` uint8.
        step: As Lightning's own scalars.
        folder: For the PNG file; None if there is to be none.

    Raises:
        OSError: If the file cannot be written. What a logger raises is passed on.
    """
    logged = False
    for logger in loggers:
        add_image = getattr(getattr(logger, "experiment", None), "add_image", None)
        log_image = getattr(logger, "log_image", None)
        if callable(add_image):
            add_image(tag, picture, step, dataformats="HWC")
            logged = True
        elif callable(log_image):
            log_image(key=tag, images=[picture], step=step)
            logged = True
    if not logged and folder is not None:
        save_png(Path(folder) / picture_path(tag, step), picture)


def picture_path(tag: str, step: int) -> Path:
    """Where a picture goes if there is no logger for it: a relative path without surprises.

    Each part of the tag becomes a folder. Characters that are special to some file system become
    ``_``; as two tags must not share a folder, a changed part also ends in a digest of itself.

    Example:
        >>> picture_path("feature_maps/layer1.0.conv1", 120).as_posix()
        'feature_maps/layer1.0.conv1/step_00000120.png'
    """
    parts = [_safe(part) for part in tag.split("/")]
    return Path(*parts, f"step_{step:08d}.png")


def _safe(part: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_.=+-]", "_", part)[:100].strip(".")
    if part and safe == part:
        return part
    return f"{safe}-{hashlib.sha256(part.encode()).hexdigest()[:8]}"
