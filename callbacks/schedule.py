"""Schedule of a monitor, and the step that its pictures are logged at."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer


class Schedule:
    """Every n epochs, or every n optimizer steps.

    Args:
        every_n_epochs: Epochs between runs; 1 if neither is given.
        every_n_train_steps: Optimizer steps between runs.

    Raises:
        ValueError: If both are given, or one is not positive.
        TypeError: If one is not an integer.

    Example:
        >>> schedule = Schedule(every_n_train_steps=50)
        >>> schedule.is_due(steps=100), schedule.is_due(steps=120), schedule.is_due(epochs=1)
        (True, False, False)
    """

    def __init__(
        self, every_n_epochs: int | None = None, every_n_train_steps: int | None = None
    ) -> None:
        if every_n_epochs is not None and every_n_train_steps is not None:
            raise ValueError(
                "every_n_epochs and every_n_train_steps exclude each other; "
                f"got {every_n_epochs} and {every_n_train_steps}"
            )
        if every_n_epochs is None and every_n_train_steps is None:
            every_n_epochs = 1
        self.every_n_epochs = _positive("every_n_epochs", every_n_epochs)
        self.every_n_train_steps = _positive("every_n_train_steps", every_n_train_steps)

    def is_due(self, *, epochs: int = 0, steps: int = 0) -> bool:
        """True if a run is due after this many whole epochs, or after this many optimizer steps."""
        return _divides(self.every_n_epochs, epochs) or _divides(self.every_n_train_steps, steps)


def steps_done(trainer: Trainer, pl_module: LightningModule) -> int:
    """Return the number of training steps in Lightning's own scalars, from public attributes.

    During ``fit`` they are logged at the index of the last one, this number less 1. In automatic
    optimization it is ``global_step``; in manual optimization, where that counts the steps of
    every optimizer, it is the number of batches.
    """
    if pl_module.automatic_optimization:
        return trainer.global_step
    return trainer.fit_loop.total_batch_idx + 1


def _divides(every: int | None, done: int) -> bool:
    return every is not None and done > 0 and done % every == 0


def _positive(argument: str, value: int | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be an integer; got {value!r}")
    if value < 1:
        raise ValueError(f"{argument} must be at least 1; got {value}")
    return value
