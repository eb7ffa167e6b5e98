"""Base class of all monitors: their options, and how what they observe is logged.

A monitor runs its own forward of the raw LightningModule on a few fixed images, inside
:func:`~neurovis.recording.undisturbed`, so that training ends with bitwise the same weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, TypedDict

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import Never, override

from neurovis.callbacks.failures import Failures, explained
from neurovis.callbacks.hooks import MonitorHooks
from neurovis.callbacks.image_finder import ImageFinder
from neurovis.callbacks.option_checks import checked_layers, refusal
from neurovis.callbacks.probe import Probe
from neurovis.callbacks.schedule import Schedule
from neurovis.callbacks.training_run import (
    FilesFolder,
    builds_layers_itself,
    files_folder,
    is_lazy,
    name_of_part,
    obstacle,
    watched,
    watched_part,
)
from neurovis.calling import one_input
from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import usable_layers
from neurovis.layer_reader import LayerReader
from neurovis.layers import ArgumentError, LayerSelection, select_layers
from neurovis.observation import Observation
from neurovis.outputs import OUTPUT, first_tensor
from neurovis.receptive_fields import Layout
from neurovis.recording import undisturbed
from neurovis.summaries import log_observation


class MonitorOptions(TypedDict, total=False):
    """Arguments that every monitor passes on to :class:`Monitor`."""

    every_n_epochs: int | None
    every_n_train_steps: int | None
    probe_images: Tensor | None
    input_spec: InputSpec | None
    network: str | Callable[[Any], nn.Module] | None
    input_key: str | int | None
    get_images: Callable[[Any], Tensor] | None
    max_images: int
    name: str | None
    on_error: Literal["warn", "raise"]


class Monitor(MonitorHooks, ABC):
    """Base of the monitors: a subclass defines :meth:`observe`.

    One with options has an ``__init__`` too, and a :attr:`state_key` and :attr:`tag_settings` if
    two monitors of one run may differ in these alone.

    It runs during ``fit`` on its schedule, and in ``validate``, ``test`` and ``predict`` once at
    the end; not while sanity checking. Observations go to every logger that takes them; pictures
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
        network: The part of the LightningModule that is watched: its dotted name
            (``"discriminator"``), or a function of the module (``lambda module: module.ema``, which
            needs a ``name``). Layers are named within it, and the monitor's tags after it. By
            default the module itself, whose ``forward`` then takes images.
        input_key: Where the images are in a batch: ``batch[input_key]``, or ``batch.input_key`` of
            a dataclass. By default they are the batch itself, or the first floating-point
            ``(B, C, H, W)`` tensor in it, one named like images before others; the log says which.
        get_images: Finds the images in a batch instead, ``get_images(batch) -> (B, C, H, W)``.
        max_images: How many images of a batch to look at.
        name: Tells a monitor from another of its kind that watches the same layer: its tags begin
            with ``feature_maps_<name>``, say, in place of ``feature_maps``.
        on_error: ``"raise"`` if what cannot be watched should end the run.
        **unknown: None; all other options are rejected.

    Attributes:
        needs_images: False if probe images give no more than their size and range of values, so
            that none are needed with an ``input_spec``.
        other_tokens: Tokens without a place in the image, such as a class token, ``(B, K, n)``, of
            the last :meth:`activations`, by the names of layers that have some; on the CPU.
        is_first_look: True while the network is observed before anything is logged.
        output_label: How tags call the network's output, where there are no layers.
        tag_settings: Settings that tell a monitor's results from those of others of its class, by
            the beginning of their tags, which layers' names follow. Two monitors whose settings
            differ cannot log under the same tag.

    Raises:
        ValueError: If an argument is out of its range, or arguments exclude each other.
        TypeError: If an argument is of the wrong type, or there is no such option.
    """

    needs_images = True

    def __init__(
        self,
        layers: LayerSelection | None,
        *,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        probe_images: Tensor | None = None,
        input_spec: InputSpec | None = None,
        network: str | Callable[[Any], nn.Module] | None = None,
        input_key: str | int | None = None,
        get_images: Callable[[Any], Tensor] | None = None,
        max_images: int = 4,
        name: str | None = None,
        on_error: Literal["warn", "raise"] = "warn",
        **unknown: Never,
    ) -> None:
        if unknown:
            raise TypeError(refusal(type(self), unknown))
        self.layers = checked_layers(layers)
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"name must be a text without slashes; got {name!r}")
        if input_spec is not None and not isinstance(input_spec, InputSpec):
            raise TypeError(f"input_spec must be an InputSpec; got {type(input_spec).__name__}")
        if input_spec is not None and probe_images is None and not self.needs_images:
            probe_images = torch.full((1, *input_spec.shape), 0.5)
        schedule, own_name = Schedule(every_n_epochs, every_n_train_steps), type(self).__name__
        failures, finder = Failures(own_name, on_error), ImageFinder(input_key, get_images)
        probe = Probe(own_name, probe_images, input_spec, finder, max_images)
        super().__init__(schedule, probe, failures, network)
        self.input_spec = input_spec
        self.name = name if name is not None else name_of_part(network)
        if network is not None and self.name is None:
            raise ValueError(
                "network is a function without a name of its own; give the monitor a name=, with "
                "which its tags begin, so that they say what is shown"
            )
        self.is_first_look = False
        self.other_tokens: dict[str, Tensor] = {}
        self.output_label = OUTPUT
        self.tag_settings: dict[str, object] = {own_name: None}
        self._is_ready = False
        self._folder: FilesFolder | None = None
        self._layouts: dict[str, Layout] = {}
        self._calls: Mapping[str, int] | None = None
        self._explained_keys: set[tuple[str, ...]] = set()

    @abstractmethod
    def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
        """Return what the network does now: pictures, scalars and histograms by tag.

        Called inside :func:`~neurovis.recording.undisturbed`, once before the first training step
        and then on the schedule. The first time :attr:`is_first_look` is true and the result is
        not logged: what is wrong shows early, values to compare with later can be kept, and
        nothing needs to be drawn. Descriptions and charts are written the first time that they are
        logged.

        Args:
            network: The LightningModule, or the part of it that is watched, as a function of one
                tensor of images; in evaluation mode, its parameters frozen.
            images: The probe images ``(B, C, H, W)``, in the network's space and on its device.
            step: As it is logged; the number of steps already done at the first look.
        """

    def observe_first(self, network: nn.Module, images: Tensor, step: int) -> None:
        """Observe before anything is logged, which finds what is wrong and what to compare with.

        Called before the first training step of a ``fit``, on every process; again before a later
        look if :meth:`observe` raised. Networks with lazy layers are observed once their training
        has initialized them.

        Args:
            network: In evaluation mode, its parameters frozen.
            images: The probe images ``(B, C, H, W)``, in the network's space and on its device.
            step: The number of steps already done.

        Raises:
            ArgumentError: If an argument is wrong in itself, which ends the run. Anything else
                that is raised gives one warning, and training continues.
        """
        self.is_first_look = True
        try:
            self.observe(network, images, step)
        finally:
            self.is_first_look = False

    def activations(self, network: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """The activations ``(B, K, *positions)`` of the layers by name, kernels second.

        For :meth:`observe`. The forward runs no further than the last of the layers; without
        layers, the first tensor of the network's output is called ``"output"``.

        Args:
            network: As :meth:`observe` gets it.
            images: ``(B, C, H, W)``, in the network's space and on its device.

        Raises:
            ValueError: If a layer cannot be read; see :class:`~neurovis.layer_reader.LayerReader`.
        """
        if not self.layers:
            return {OUTPUT: first_tensor(OUTPUT, network(images))}
        if self.is_first_look or not self._layouts:
            self._layouts = usable_layers(network, self.layers, images[:1])
            self._calls = None
        # A reader of its own each time, since it would keep the network.
        reader = LayerReader(network, self._layouts, calls=self._calls)
        activations = reader(images)
        self._calls = reader.calls
        self.other_tokens = {name: one.cpu() for name, one in reader.other_tokens.items()}
        return activations

    def layer_names(self, pl_module: LightningModule) -> list[str]:
        """The dotted names of the layers, none for the network's output."""
        part = watched_part(pl_module, self.network)
        return select_layers(part, self.layers) if self.layers else []

    def settings_by_tag(self, pl_module: LightningModule) -> dict[str, object]:
        """Settings that results are logged with, by tag and without a ``name``."""
        layers = self.layer_names(pl_module) or [self.output_label]
        return {
            f"{prefix}/{layer}": settings
            for prefix, settings in self.tag_settings.items()
            for layer in layers
        }

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
            self._has_begun = False
            self._failures.reset()
            self.probe.release()
        unwatchable = obstacle(trainer, pl_module, is_of_part=self.network is not None)
        self._is_off = unwatchable is not None
        if unwatchable is not None:
            with self._failures.guarded():
                raise ValueError(unwatchable)
            return
        if not builds_layers_itself(pl_module):
            self._check_layers(trainer, pl_module)
        # Loggers and their files may be others than before.
        self._explained_keys = set()
        folder = files_folder(trainer)
        self._folder = None if getattr(trainer, "fast_dev_run", False) else folder

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._is_off:
            self._check_layers(trainer, pl_module)

    @override
    def _look_first(self, pl_module: LightningModule, step: int) -> None:
        self._has_begun, self._is_ready = True, False
        # Without images here, a later validation may bring some.
        self.probe.is_fixed = not self.probe.is_empty
        if self.probe.is_fixed and not is_lazy(pl_module):
            with self._failures.guarded(ArgumentError), watched(pl_module):
                self._get_ready(pl_module, step)

    @override
    def _look(self, trainer: Trainer, pl_module: LightningModule, step: int) -> None:
        if self._is_off:
            return
        self.probe.is_fixed = not self.probe.is_empty
        if not trainer.is_global_zero:
            return
        with self._failures.guarded(), watched(pl_module):
            if not self._is_ready:
                self._get_ready(pl_module, step)
            with self._watched(pl_module) as (network, images):
                observation = self.observe(network, images, step)
            observation = observation.named(self.name)
            fresh = observation.without_explanations_of(self._explained_keys)
            log_observation(trainer.loggers, fresh, step, self._folder)
            self._explained_keys |= observation.explained_keys

    def _get_ready(self, pl_module: LightningModule, step: int) -> None:
        if is_lazy(pl_module):
            raise ValueError(
                f"{type(pl_module).__name__} has lazy layers that training has not initialized, "
                "which watching must not do; call it once before training"
            )
        with (
            self._watched(pl_module) as (network, images),
            explained(network, images, self.probe),
        ):
            self.observe_first(network, images, step)
        self._is_ready = True

    @contextmanager
    def _watched(self, pl_module: LightningModule) -> Iterator[tuple[nn.Module, Tensor]]:
        """The network that is watched, undisturbed, and the images that it is shown."""
        part = watched_part(pl_module, self.network)
        is_apart = all(part is not module for module in pl_module.modules())
        network = one_input(part, self.input_spec)
        with undisturbed(part) if is_apart else nullcontext():
            # An averaged copy may be kept on another device than what is trained.
            device = next((one.device for one in part.parameters()), pl_module.device)
            yield network, self.probe.images_for(network, device)

    def _check_layers(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse layers that do not exist, and other things under another monitor's tags."""
        settings = self.settings_by_tag(pl_module)
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if type(other) is not type(self) or other is self or other.name != self.name:
                continue
            others = other.settings_by_tag(pl_module)
            differing = [tag for tag in settings.keys() & others if settings[tag] != others[tag]]
            if differing:
                raise ArgumentError(
                    f"two {type(self).__name__}s would log different things under "
                    f'"{min(differing)}"; give one of them a name=, or let one do both'
                )
