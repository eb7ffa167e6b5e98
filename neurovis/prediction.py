"""Check that a Trainer's ``predict`` shows a network all inputs, each once."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import lightning.pytorch as pl


def check_prediction(
    trainer: pl.Trainer, what: str, shown: str, number: int | None, precisions: Collection[str]
) -> None:
    """Refuse a Trainer before it shows anything.

    To be called in ``setup`` rather than where images are loaded: what is raised there leaves
    Lightning's changes to ``DataLoader`` behind, in all that follows.

    Args:
        trainer: As it was made.
        what: The result, such as ``a ranking``, for the message.
        shown: What is shown, such as ``images``, for the message.
        number: How many of these there are; None where that is not known.
        precisions: Those in which numbers are right; the first is recommended.

    Raises:
        ValueError: If it would show some of them only, show them in another precision, share out
            too few, or lose what was found.
    """
    limit = trainer.limit_predict_batches
    if getattr(trainer, "fast_dev_run", False) or limit != 1.0 or isinstance(limit, int):
        raise ValueError(
            f"{what} needs all {shown}: leave out fast_dev_run and limit_predict_batches; "
            f"fewer {shown} are faster"
        )
    if trainer.precision not in precisions:
        best = next(iter(precisions))
        raise ValueError(f"{what} needs float32; got precision {trainer.precision}: give {best}")
    if number is not None and number < trainer.world_size:
        raise ValueError(
            f"{number} {shown} cannot be shared out among {trainer.world_size} devices"
        )
    launcher = type(trainer.strategy.launcher).__name__
    if "MultiProcessing" in launcher or "XLA" in launcher:
        raise ValueError(
            "what spawned or forked processes find is lost when they end; give the Trainer "
            'strategy="ddp"'
        )
