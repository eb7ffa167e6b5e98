"""Log what a monitor observed to all loggers of a Lightning run.

Loggers are told apart by their methods, not by their class: those of ``lightning`` and of
``pytorch_lightning`` are different classes, and there are others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurovis.figures import save_png
from neurovis.files import safe_name
from neurovis.observation import Histogram, Observation, PixelArray
from neurovis.tables import append_to_table
from neurovis.tensorboard_layout import Kind, arrange, describe, tensorboard_method

__all__ = [
    "Histogram",
    "Observation",
    "PixelArray",
    "log_histogram",
    "log_observation",
    "log_picture",
    "log_scalars",
    "picture_path",
]


def log_observation(
    loggers: Iterable[object],
    observation: Observation,
    step: int,
    folder: str | os.PathLike[str] | None,
) -> None:
    """Log pictures, scalars and histograms, with descriptions, to every logger that takes them.

    If a logger fails, the others still receive everything; its exception is raised at the end.

    Pictures and scalars that no logger takes are written to files, see :func:`log_picture` and
    :func:`log_scalars`. Histograms go to TensorBoard and W&B only.

    Args:
        loggers: As in ``trainer.loggers``.
        observation: What to log.
        step: As Lightning's own scalars.
        folder: For files; None if there are to be none.

    Raises:
        ValueError: If a tag is used for two kinds of data, of which TensorBoard would show one.
        OSError: If a file cannot be written. What a logger raises is passed on in the end.
    """
    kinds: dict[Kind, Collection[str]] = {
        "images": observation.pictures,
        "scalars": observation.scalars,
        "histograms": observation.histograms,
    }
    tags = [tag for kind in kinds.values() for tag in kind]
    if len(set(tags)) < len(tags):
        raise ValueError(f"each tag can be used for one kind of data; got {sorted(tags)}")
    loggers, failures = list(loggers), _Failures()
    words = observation.descriptions
    for kind, of_kind in kinds.items():
        with failures.postponed():
            describe(loggers, kind, {tag: words[tag] for tag in of_kind if tag in words}, step)
    for tag, picture in observation.pictures.items():
        with failures.postponed():
            log_picture(loggers, tag, picture, step, folder)
    with failures.postponed():
        log_scalars(loggers, observation.scalars, step, folder)
    for tag, histogram in observation.histograms.items():
        with failures.postponed():
            log_histogram(loggers, tag, histogram, step)
    with failures.postponed():
        arrange(loggers, observation.charts)
    failures.raise_first()


def log_scalars(
    loggers: Iterable[object],
    scalars: Mapping[str, float],
    step: int,
    folder: str | os.PathLike[str] | None,
) -> None:
    """Log numbers by ``logger.log_metrics``; without a logger, append them to ``scalars.csv``.

    Args:
        loggers: As in ``trainer.loggers``.
        scalars: By tag.
        step: As Lightning's own scalars.
        folder: For the file, of ``step, tag, value``; None if there is to be none.

    Raises:
        OSError: If the file cannot be written. What a logger raises is passed on.
    """
    if not scalars:
        return
    logged, failures = False, _Failures()
    for logger in loggers:
        log_metrics = getattr(logger, "log_metrics", None)
        if callable(log_metrics):
            logged = True
            with failures.postponed():
                log_metrics(dict(scalars), step=step)
    if not logged and folder is not None:
        rows = [{"step": step, "tag": tag, "value": value} for tag, value in scalars.items()]
        append_to_table(Path(folder) / "scalars.csv", ("step", "tag", "value"), rows)
    failures.raise_first()


def log_histogram(loggers: Iterable[object], tag: str, histogram: Histogram, step: int) -> None:
    """Log a histogram to every logger that takes counts in bins.

    These are TensorBoard-like loggers (``logger.experiment.add_histogram_raw``) and W&B's, whose
    type of histogram is logged like a number.

    Args:
        loggers: As in ``trainer.loggers``.
        tag: Such as ``"feature_maps/conv1"``.
        histogram: The counts.
        step: As Lightning's own scalars.
    """
    failures = _Failures()
    for logger in loggers:
        add_histogram_raw = tensorboard_method(logger, "add_histogram_raw")
        with failures.postponed():
            if add_histogram_raw is not None:
                add_histogram_raw(
                    tag,
                    min=histogram.edges[0],
                    max=histogram.edges[-1],
                    num=sum(histogram.counts),
                    sum=histogram.total,
                    sum_squares=histogram.total_squared,
                    bucket_limits=histogram.edges[1:],
                    bucket_counts=histogram.counts,
                    global_step=step,
                )
            elif _is_wandb(logger):
                _log_to_wandb(logger, tag, histogram, step)
    failures.raise_first()


def log_picture(
    loggers: Iterable[object],
    tag: str,
    picture: PixelArray,
    step: int,
    folder: str | os.PathLike[str] | None,
) -> None:
    """Log a picture to every logger that takes images, or else write a PNG file.

    TensorBoard, W&B, MLflow and Comet take images; with MLflow they are artifacts of the run, at
    ``picture_path(tag, step)``. If there is no such logger, the picture goes to
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
    logged, failures = False, _Failures()
    for logger in loggers:
        log = _picture_method(logger)
        if log is not None:
            logged = True
            with failures.postponed():
                log(tag, picture, step)
    if not logged and folder is not None:
        save_png(Path(folder) / picture_path(tag, step), picture)
    failures.raise_first()


def _picture_method(logger: object) -> Callable[[str, PixelArray, int], object] | None:
    """Return what logs a picture by tag and step; None if the logger takes no pictures."""
    add_image = tensorboard_method(logger, "add_image")
    own_log_image = getattr(logger, "log_image", None)
    log_image, run_id = tensorboard_method(logger, "log_image"), getattr(logger, "run_id", None)
    if add_image is not None:
        return lambda tag, picture, step: add_image(tag, picture, step, dataformats="HWC")
    if callable(own_log_image):  # W&B.
        return lambda tag, picture, step: own_log_image(key=tag, images=[picture], step=step)
    if log_image is not None and isinstance(run_id, str):  # MLflow.
        return lambda tag, picture, step: log_image(
            run_id, picture, artifact_file=picture_path(tag, step).as_posix()
        )
    if (
        log_image is not None and tensorboard_method(logger, "log_histogram_3d") is not None
    ):  # Comet.
        return lambda tag, picture, step: log_image(picture, name=tag, step=step)
    return None


def _is_wandb(logger: object) -> bool:
    """Return whether a logger's ``experiment`` is a run of W&B."""
    package = type(getattr(logger, "experiment", None)).__module__.partition(".")[0]
    return package == "wandb" and callable(getattr(logger, "log_metrics", None))


def _log_to_wandb(logger: Any, tag: str, histogram: Histogram, step: int) -> None:
    import wandb

    logged = wandb.Histogram(np_histogram=(histogram.counts, histogram.edges))
    logger.log_metrics({tag: logged}, step=step)


class _Failures:
    """Exceptions of some loggers, kept until the others have had their turn."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Keep what is raised inside."""
        try:
            yield
        except Exception as error:
            self._errors.append(error)

    def raise_first(self) -> None:
        """Raise what was kept first, if anything was."""
        if self._errors:
            raise self._errors[0]


def picture_path(tag: str, step: int) -> Path:
    """Return the path of a picture that no logger takes: relative, and safe on any file system.

    Each part of the tag becomes a folder. Characters that are special to some file system become
    ``_``; as two tags must not share a folder, a changed part also ends in a digest of itself.

    Example:
        >>> picture_path("feature_maps/layer1.0.conv1", 120).as_posix()
        'feature_maps/layer1.0.conv1/step_00000120.png'
    """
    parts = [safe_name(part) for part in tag.split("/")]
    return Path(*parts, f"step_{step:08d}.png")
