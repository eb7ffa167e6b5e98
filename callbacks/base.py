"""Base class of all monitors: schedule, probe images, and where pictures are logged.

A monitor runs its own forward of the raw LightningModule on a few fixed images, inside
:func:`~neurovis.recording.undisturbed`, so that training ends with bitwise the same weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypedDict

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from typing_extensions import Never, override

from neurovis.callbacks.options import refusal
from neurovis.callbacks.probe import ImageFinder, Probe
from neurovis.callbacks.schedule import Schedule, steps_done
from neurovis.callbacks.training_run import (
    FilesFolder,
    builds_layers_itself,
    files_folder,
    input_channels,
    is_lazy,
    is_of_the_user,
    obstacle,
    parameter_dtypes,
    watched,
)
from neurovis.collectives import CollectiveError
from neurovis.first_forward import IncompatibleInputError, reason
from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError, LayerSelection, select_layers
from neurovis.summaries import Observation, log_observation

#: What a forward raises that does not take images alone.
_OF_A_FORWARD = (TypeError, LookupError, AttributeError, AssertionError, RuntimeError)
#: What says itself what is wrong.
_OURS = (ValueError, CollectiveError)


class MonitorOptions(TypedDict, total=False):
    """Arguments that every monitor passes on to :class:`Monitor`."""

    every_n_epochs: int | None
    every_n_train_steps: int | None
    probe_images: Tensor | None
    input_spec: InputSpec | None
    input_key: str | int | None
    get_images: Callable[[Any], Tensor] | None
    max_images: int
    name: str | None
    on_error: Literal["warn", "raise"]


class Monitor(Callback, ABC):
    """Base of the monitors: a subclass says what to look at in :meth:`observe`, and no more.

    It runs during ``fit`` on its schedule, and in ``validate``, ``test`` and ``predict`` once at
    the end; not while sanity checking. What it saw goes to every logger that takes it; pictures
    that no logger takes go to PNG files in the run's folder, and without any logger scalars to
    ``scalars.csv`` in the next ``lightning_logs/version_N``; the log says where. Steps are those of
    Lightning's own scalars: the 0-based index of the last training step (in manual optimization:
    batch); after ``fit``, the number of steps. Only the first process observes and logs.

    A training run that works without a monitor works with it, to its end. An argument that is wrong
    in itself (an unknown layer, a kernel out of range) raises before the first training step.
    Anything else that cannot be watched gives one warning, and training continues.

    Args:
        layers: Dotted names as in ``pl_module.named_modules()``, types of modules or their names
            (``"Conv2d"``), ``"all-conv"``, or several of these; None for the network's output.
        every_n_epochs: Run at the end of every n-th training epoch, after its validation; the
            default, with 1.
        every_n_train_steps: Run after every n-th optimizer step instead.
        probe_images: The images to look at, ``(B, C, H, W)``: in [0, 1] if there is an
            ``input_spec``, else in the network's own space. By default the first images of the
            first validation batch before training; without one, of the first training batch.
        input_spec: What the network is shown, so that images can be drawn as such.
        input_key: Where the images are in a batch: ``batch[input_key]``, or ``batch.input_key`` of
            a dataclass. By default they are the batch itself, or the first floating-point
            ``(B, C, H, W)`` tensor in it, one named like images before others; the log says which.
        get_images: Finds the images in a batch instead, ``get_images(batch) -> (B, C, H, W)``.
        max_images: How many images of a batch to look at.
        name: Tells a monitor from another of its kind that watches the same layer: its tags begin
            with ``feature_maps_<name>``, say, in place of ``feature_maps``.
        on_error: ``"raise"`` if what cannot be watched should end the run.
        **unknown: None; what else is given is refused.

    Raises:
        ValueError: If an argument is out of its range, or arguments exclude each other.
        TypeError: If an argument is of the wrong type, or there is no such option.
    """

    def __init__(
        self,
        layers: LayerSelection | None,
        *,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        probe_images: Tensor | None = None,
        input_spec: InputSpec | None = None,
        input_key: str | int | None = None,
        get_images: Callable[[Any], Tensor] | None = None,
        max_images: int = 4,
        name: str | None = None,
        on_error: Literal["warn", "raise"] = "warn",
        **unknown: Never,
    ) -> None:
        if unknown:
            raise TypeError(refusal(type(self), unknown))
        self.layers = _checked_layers(layers)
        self.schedule = Schedule(every_n_epochs, every_n_train_steps)
        if on_error not in ("warn", "raise"):
            raise ValueError(f'on_error must be "warn" or "raise"; got {on_error!r}')
        self.on_error = on_error
        self.input_spec = input_spec
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"name must be a text without slashes; got {name!r}")
        self.name = name
        finder = ImageFinder(input_key, get_images)
        self.probe = Probe(type(self).__name__, probe_images, input_spec, finder, max_images)
        self._is_off = False
        self._has_begun = False
        self._is_ready = False
        self._has_warned = False
        self._steps_seen = 0
        self._folder: FilesFolder | None = None
        self._explained_before: set[tuple[str, ...]] = set()

    @abstractmethod
    def observe(self, pl_module: LightningModule, images: Tensor, step: int) -> Observation:
        """Look at the network, and return pictures, scalars and histograms by tag.

        Descriptions and charts may come with them each time; they are written with the first.
        Called inside :func:`~neurovis.recording.undisturbed`.

        Args:
            pl_module: In evaluation mode, its parameters frozen.
            images: The probe images ``(B, C, H, W)``, in the network's space and on its device.
            step: As it will be logged.

        Returns:
            What was seen, by tag.
        """

    def begin(self, pl_module: LightningModule, images: Tensor, step: int) -> None:
        """Take a first look, and raise for whatever :meth:`observe` could not work with.

        Called before the first training step, on every process, in the same circumstances and with
        the same arguments as :meth:`observe`; again before a later look if it raised. Networks
        with lazy layers are looked at once their training has initialized them.

        Args:
            pl_module: In evaluation mode, its parameters frozen.
            images: The probe images ``(B, C, H, W)``, in the network's space and on its device.
            step: The number of steps already done.

        Raises:
            ArgumentError: If an argument is wrong in itself, which ends the run. Anything else
                that is raised gives one warning, and training continues.
        """

    def shown(self) -> object:
        """Return the settings that tell this monitor's results from others under the same tags."""
        return None

    def tags(self, pl_module: nn.Module) -> set[str]:
        """The beginnings of the tags that results are logged under, without a ``name``."""
        return {f"{type(self).__name__}/{layer}" for layer in self.layer_names(pl_module)}

    def layer_names(self, pl_module: nn.Module) -> list[str]:
        """The dotted names of the layers, none for the network's output."""
        return select_layers(pl_module, self.layers) if self.layers else []

    @property
    @override
    def state_key(self) -> str:
        return self._generate_state_key(
            layers=[str(layer) for layer in self.layers],
            every_n_epochs=self.schedule.every_n_epochs,
            every_n_train_steps=self.schedule.every_n_train_steps,
        )

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._has_begun = self._has_warned = False
            self.probe.release()
        unwatchable = obstacle(trainer, pl_module)
        self._is_off = unwatchable is not None
        if unwatchable is not None:
            with self._guarded():
                raise ValueError(unwatchable)
            return
        if not builds_layers_itself(pl_module):
            self._check_layers(trainer, pl_module)
        # Loggers and their files may be others than before.
        self._explained_before = set()
        folder = files_folder(trainer)
        self._folder = None if getattr(trainer, "fast_dev_run", False) else folder

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._is_off:
            self._check_layers(trainer, pl_module)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps_seen = steps_done(trainer, pl_module)

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._is_off or self._has_begun:
            return
        self._take(pl_module, batch, "training")
        self._begin(pl_module, steps_done(trainer, pl_module))

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
            self.probe.take(batch, "validation", input_channels(pl_module))
            self.probe.is_fixed = True
        self._begin_after_training(trainer, pl_module)

    @override
    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._look_for_images(trainer, pl_module, batch, "test")

    @override
    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._look_for_images(trainer, pl_module, batch, "prediction")

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
            self._run_after_training(trainer, pl_module)

    @override
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._run_after_training(trainer, pl_module)

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._run_after_training(trainer, pl_module)

    def _look_for_images(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, stage: str
    ) -> None:
        if not self._is_off:
            self._take(pl_module, batch, stage)
            self._begin_after_training(trainer, pl_module)

    def _take(self, pl_module: LightningModule, batch: Any, stage: str) -> None:
        if self.probe.is_empty:
            with self._guarded():
                self.probe.take(batch, stage, input_channels(pl_module))

    def _begin_after_training(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find what is misconfigured at the first batch, not after the last."""
        if trainer.state.fn != "fit" and not self._has_begun and not self.probe.is_empty:
            self._begin(pl_module, steps_done(trainer, pl_module))

    def _run_after_training(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._run(trainer, pl_module, steps_done(trainer, pl_module))

    def _begin(self, pl_module: LightningModule, step: int) -> None:
        self._has_begun, self._is_ready = True, False
        # Without images here, a later validation may bring some.
        self.probe.is_fixed = not self.probe.is_empty
        if self.probe.is_fixed and not is_lazy(pl_module):
            with self._guarded(ArgumentError), watched(pl_module):
                self._get_ready(pl_module, step)

    def _get_ready(self, pl_module: LightningModule, step: int) -> None:
        if is_lazy(pl_module):
            raise ValueError(
                f"{type(pl_module).__name__} has lazy layers that training has not initialized, "
                "which watching must not do; call it once before training"
            )
        images = self.probe.images_for(pl_module)
        with self._explained(pl_module, images):
            self.begin(pl_module, images, step)
        self._is_ready = True

    @contextmanager
    def _explained(self, pl_module: LightningModule, images: Tensor) -> Iterator[None]:
        """Say who called what, if a forward cannot be called with images alone."""
        try:
            yield
        except Exception as error:
            raised, dtypes = error.__cause__ or error, parameter_dtypes(pl_module)
            if isinstance(raised, RuntimeError) and "type" in str(raised) and len(dtypes) > 1:
                raise ValueError(
                    f"{type(pl_module).__name__} has parameters of {' and '.join(dtypes)}, which "
                    "do not go together without autocast, and monitors compute without "
                    f"({reason(raised)}); keep all its parameters in one of these, which autocast "
                    "allows, or convert between them in the forward"
                ) from error
            # What is said already is of the images, where torch failed; else it is of the call.
            is_said = isinstance(error.__cause__, (RuntimeError, IndexError))
            failed = (
                error.__cause__
                if isinstance(error, IncompatibleInputError) and not is_said
                else error
            )
            if isinstance(failed, (CollectiveError, torch.OutOfMemoryError)) or not isinstance(
                failed, _OF_A_FORWARD
            ):
                raise
            said = (str(failed).splitlines() or [""])[0]
            raise ValueError(
                f"it calls {type(pl_module).__name__}.forward(images) with one tensor "
                f"{tuple(images.shape)} {images.dtype}, {self.probe.origin}, which failed: "
                f"{type(failed).__name__}: {said}. Give a forward that takes images alone and "
                f"returns tensors, or {self.probe.remedy}"
            ) from error

    def _check_layers(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Refuse layers that are not there, and tags that another monitor uses."""
        self.layer_names(pl_module)
        self._check_tags(trainer, pl_module)

    def _check_tags(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Refuse two monitors that log different things under the same tags."""
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if type(other) is not type(self) or other is self or other.name != self.name:
                continue
            common = self.tags(pl_module) & other.tags(pl_module)
            if common and other.shown() != self.shown():
                raise ArgumentError(
                    f"two {type(self).__name__}s would log different things under "
                    f'"{min(common)}"; give one of them a name=, or let one do both'
                )

    def _run(self, trainer: Trainer, pl_module: LightningModule, step: int) -> None:
        """Observe and log, on the first process."""
        if self._is_off:
            return
        self.probe.is_fixed = not self.probe.is_empty
        if not trainer.is_global_zero:
            return
        with self._guarded(), watched(pl_module):
            if not self._is_ready:
                self._get_ready(pl_module, step)
            seen = self.observe(pl_module, self.probe.images_for(pl_module), step)
            seen = seen.named(self.name)
            fresh = seen.without_words_on(self._explained_before)
            log_observation(trainer.loggers, fresh, step, self._folder)
            self._explained_before |= seen.words_on

    @contextmanager
    def _guarded(self, *raised: type[Exception]) -> Iterator[None]:
        """Turn what is raised into one warning, unless it is to be raised.

        A forward may end the program (``SystemExit``); only the user's own interrupt does so here.
        """
        try:
            yield
        except BaseException as error:
            if self.on_error == "raise" or isinstance(error, raised) or is_of_the_user(error):
                raise
            if not self._has_warned:
                self._has_warned = True
                rank_zero_warn(
                    f"{type(self).__name__} cannot watch, and training goes on without its "
                    f"pictures: {_said(error)}. Further failures are not reported; "
                    'on_error="raise" ends the run instead'
                )


def _said(error: BaseException) -> str:
    """Return an exception's message, with its name where the message is not ours."""
    if isinstance(error, SystemExit):
        return reason(error)
    text = str(error).rstrip(".")
    return text if isinstance(error, _OURS) else f"{type(error).__name__}: {text}"


def _checked_layers(layers: LayerSelection | None) -> tuple[str | type[nn.Module], ...]:
    if layers is None:
        return ()
    parts = (layers,) if isinstance(layers, (str, type)) else tuple(layers)
    if not parts:
        raise ValueError("layers needs at least one layer name; got none")
    for part in parts:
        if not isinstance(part, str) and not (
            isinstance(part, type) and issubclass(part, nn.Module)
        ):
            raise TypeError(
                f"layers are dotted names such as 'features.0', or types of modules; got {part!r}"
            )
    return parts
