"""What every monitor has in common: when it runs, on which images, and where its pictures go.

A monitor runs its own forward of the raw LightningModule on a few fixed images, inside
:func:`~neurovis.recording.undisturbed`, so that training ends with bitwise the same weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from typing_extensions import override

from neurovis.callbacks.probe import Probe
from neurovis.callbacks.schedule import Schedule, steps_done
from neurovis.inputs import InputSpec
from neurovis.layers import resolve_layer
from neurovis.recording import undisturbed
from neurovis.summaries import log_picture

Picture = npt.NDArray[np.uint8]
Pictures = Mapping[str, Picture]

_SHARDED = (FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy)


class MonitorOptions(TypedDict, total=False):
    """Arguments that every monitor passes on to :class:`Monitor`."""

    every_n_epochs: int | None
    every_n_train_steps: int | None
    probe_images: Tensor | None
    input_spec: InputSpec | None
    input_key: str | int | None
    max_images: int
    on_error: Literal["warn", "raise"]


class Monitor(Callback, ABC):
    """Base of the monitors: a subclass says what to look at in :meth:`observe`, and no more.

    It runs during ``fit`` on its schedule, and in ``validate``, ``test`` and ``predict`` once at
    the end; not while sanity checking. Pictures go to every logger that takes images, or else to
    PNG files in ``trainer.log_dir``. Their step is that of Lightning's own scalars: the 0-based
    index of the last training step (in manual optimization: batch); after ``fit``, the number of
    steps. Only the first process observes and logs.

    What is misconfigured raises before the first training step. What fails later is a warning,
    once, and training goes on.

    Args:
        layers: Dotted name or names, as in ``pl_module.named_modules()``.
        every_n_epochs: Run at the end of every n-th training epoch, after its validation; the
            default, with 1.
        every_n_train_steps: Run after every n-th optimizer step instead.
        probe_images: The images to look at, ``(B, C, H, W)``: in [0, 1] if there is an
            ``input_spec``, else in the network's own space. By default the first images of the
            first validation batch; without one in time, of the first training batch.
        input_spec: What the network is shown, so that images can be drawn as such.
        input_key: Where the images are in a batch: ``batch[input_key]``. By default they are the
            batch itself, or the first floating-point ``(B, C, H, W)`` tensor in it; the log says
            which.
        max_images: How many images of a batch to look at.
        on_error: ``"raise"`` if a monitor that fails should end the training run.

    Raises:
        ValueError: If an argument is out of its range, or both schedules are given.
        TypeError: If an argument is of the wrong type.
    """

    def __init__(
        self,
        layers: Sequence[str] | str,
        *,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        probe_images: Tensor | None = None,
        input_spec: InputSpec | None = None,
        input_key: str | int | None = None,
        max_images: int = 4,
        on_error: Literal["warn", "raise"] = "warn",
    ) -> None:
        self.layers = _checked_layers(layers)
        self.schedule = Schedule(every_n_epochs, every_n_train_steps)
        if on_error not in ("warn", "raise"):
            raise ValueError(f'on_error must be "warn" or "raise"; got {on_error!r}')
        self.on_error = on_error
        self.input_spec = input_spec
        self.probe = Probe(type(self).__name__, probe_images, input_spec, input_key, max_images)
        self._is_checked = False
        self._has_warned = False
        self._steps_seen = 0
        self._folder: str | None = None

    @abstractmethod
    def observe(self, pl_module: LightningModule, images: Tensor, step: int) -> Pictures:
        """Look at the network, and return pictures ``(H, W, 3)`` uint8 by tag.

        Called inside :func:`~neurovis.recording.undisturbed`.

        Args:
            pl_module: In evaluation mode, its parameters frozen.
            images: The probe images ``(B, C, H, W)``, in the network's space and on its device.
            step: As it will be logged.
        """

    def check(self, pl_module: LightningModule, images: Tensor) -> None:
        """Raise ValueError or TypeError for what is misconfigured; called before the first step.

        In the same circumstances and with the same arguments as :meth:`observe`.
        """

    @property
    @override
    def state_key(self) -> str:
        return self._generate_state_key(
            layers=self.layers,
            every_n_epochs=self.schedule.every_n_epochs,
            every_n_train_steps=self.schedule.every_n_train_steps,
        )

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        name = type(self).__name__
        if isinstance(trainer.strategy, _SHARDED):
            raise ValueError(
                f"{name} runs on one process, which {type(trainer.strategy).__name__} does not "
                "allow: it shards the parameters; use DDP or one device"
            )
        if type(pl_module).forward is LightningModule.forward and "forward" not in vars(pl_module):
            raise ValueError(
                f"{name} calls the LightningModule with images, but {type(pl_module).__name__} "
                "defines no forward(images); add one"
            )
        if not is_overridden("configure_model", pl_module):
            self._check_layers(pl_module)
        # A broadcast: every process has to ask for it.
        folder = trainer.log_dir
        if not getattr(trainer, "fast_dev_run", False):
            self._folder = folder if isinstance(folder, str) else trainer.default_root_dir

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check_layers(pl_module)
        self._is_checked = False

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps_seen = steps_done(trainer, pl_module)

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._is_checked:
            return
        if self.probe.is_empty:
            self.probe.take(batch, "training")
        self._is_checked = True
        with self._guarded(torch.OutOfMemoryError), undisturbed(pl_module):
            self.check(pl_module, self.probe.images_for(pl_module))

    @override
    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.probe.is_fixed or batch_idx > 0 or dataloader_idx > 0:
            return
        # Once training is under way, a batch without images is no reason to end it.
        with self._guarded(Exception if self._is_checked else ()):
            self.probe.take(batch, "validation")
            self.probe.is_fixed = not trainer.sanity_checking

    @override
    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.probe.is_empty:
            self.probe.take(batch, "test")

    @override
    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.probe.is_empty:
            self.probe.take(batch, "prediction")

    @override
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        steps = steps_done(trainer, pl_module)
        if steps > self._steps_seen and self.schedule.is_due(steps=steps):
            self._run(trainer, pl_module, steps - 1)
        self._steps_seen = steps

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.schedule.is_due(epochs=trainer.current_epoch + 1):
            self._run(trainer, pl_module, max(0, steps_done(trainer, pl_module) - 1))

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._run(trainer, pl_module, steps_done(trainer, pl_module))

    @override
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._run(trainer, pl_module, steps_done(trainer, pl_module))

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._run(trainer, pl_module, steps_done(trainer, pl_module))

    def _run(self, trainer: Trainer, pl_module: LightningModule, step: int) -> None:
        """Observe and log, on the first process."""
        self.probe.is_fixed = True
        if not trainer.is_global_zero:
            return
        with self._guarded(Exception), undisturbed(pl_module):
            pictures = self.observe(pl_module, self.probe.images_for(pl_module), step)
            for tag, picture in pictures.items():
                log_picture(trainer.loggers, tag, picture, step, self._folder)

    @contextmanager
    def _guarded(self, caught: type[Exception] | tuple[()]) -> Iterator[None]:
        """Turn exceptions into one warning, unless they are to be raised."""
        try:
            yield
        except caught as error:
            if self.on_error == "raise":
                raise
            if not self._has_warned:
                self._has_warned = True
                rank_zero_warn(
                    f"{type(self).__name__} failed and training goes on without its pictures; "
                    'further failures are not reported (on_error="raise" ends the run instead). '
                    f"{type(error).__name__}: {error}"
                )

    def _check_layers(self, pl_module: LightningModule) -> None:
        for layer in self.layers:
            resolve_layer(pl_module, layer)


def _checked_layers(layers: Sequence[str] | str) -> tuple[str, ...]:
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    if not names:
        raise ValueError("layers needs at least one layer name; got none")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"layers are dotted names, such as 'features.0'; got {name!r}")
    return names
