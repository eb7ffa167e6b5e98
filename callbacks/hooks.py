"""Hooks of the Trainer that take a monitor's probe images and say when it looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from typing_extensions import override

from neurovis.callbacks.failures import Failures
from neurovis.callbacks.probe import Probe
from neurovis.callbacks.schedule import Schedule, steps_done
from neurovis.callbacks.training_run import input_channels, watched_part


class MonitorHooks(Callback, ABC):
    """Base of :class:`~neurovis.callbacks.base.Monitor` that decides when it looks, and at what.

    A first look is due before the first training step, or at the first batch of ``validate``,
    ``test`` and ``predict``. Further looks follow the schedule during ``fit``, and the end of the
    other stages.

    Args:
        schedule: Epochs or steps that are due.
        probe: Images to look at; taken from the first batch that has some where none were given.
        failures: What is done about exceptions.
        network: The part that is watched: its name, or a function of the module.
    """

    def __init__(
        self,
        schedule: Schedule,
        probe: Probe,
        failures: Failures,
        network: str | Callable[[Any], nn.Module] | None,
    ) -> None:
        self.network = network
        self.schedule = schedule
        self.probe = probe
        self._failures = failures
        self._is_off = False
        self._has_begun = False
        self._steps_seen = 0

    @abstractmethod
    def _look_first(self, pl_module: LightningModule, step: int) -> None:
        """Look before anything is logged, on every process."""

    @abstractmethod
    def _look(self, trainer: Trainer, pl_module: LightningModule, step: int) -> None:
        """Look at the network and log what is observed, on the first process."""

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps_seen = steps_done(trainer, pl_module)

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *_: Any, **__: Any
    ) -> None:
        if self._is_off or self._has_begun:
            return
        self._take_images(pl_module, batch, "training")
        self._look_first(pl_module, steps_done(trainer, pl_module))

    @override
    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._is_off or batch_idx > 0 or self.probe.is_fixed:
            return
        # Another dataloader, or training, may have images where this one has none.
        with suppress(ValueError):
            self.probe.take(batch, "validation", self._channels(pl_module))
            self.probe.is_fixed = True
        self._look_first_after_training(trainer, pl_module)

    @override
    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *_: Any, **__: Any
    ) -> None:
        self._look_at_batch(trainer, pl_module, batch, "test")

    @override
    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *_: Any, **__: Any
    ) -> None:
        self._look_at_batch(trainer, pl_module, batch, "prediction")

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        steps = steps_done(trainer, pl_module)
        if steps > self._steps_seen and self.schedule.is_due(steps=steps):
            self._look(trainer, pl_module, steps - 1)
        self._steps_seen = steps

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.schedule.is_due(epochs=trainer.current_epoch + 1):
            self._look(trainer, pl_module, max(0, steps_done(trainer, pl_module) - 1))

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._look_after_training(trainer, pl_module)

    @override
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look_after_training(trainer, pl_module)

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look_after_training(trainer, pl_module)

    def _look_at_batch(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, stage: str
    ) -> None:
        if not self._is_off:
            self._take_images(pl_module, batch, stage)
            self._look_first_after_training(trainer, pl_module)

    def _take_images(self, pl_module: LightningModule, batch: Any, stage: str) -> None:
        if self.probe.is_empty:
            with self._failures.guarded():
                self.probe.take(batch, stage, self._channels(pl_module))

    def _channels(self, pl_module: LightningModule) -> int | None:
        return input_channels(watched_part(pl_module, self.network))

    def _look_first_after_training(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find what is misconfigured at the first batch, not after the last."""
        if trainer.state.fn != "fit" and not self._has_begun and not self.probe.is_empty:
            self._look_first(pl_module, steps_done(trainer, pl_module))

    def _look_after_training(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer, pl_module, steps_done(trainer, pl_module))
