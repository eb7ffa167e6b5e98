"""Preferred images as training goes on: what each kernel wants by now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from typing_extensions import Unpack, override

from neurovis.callbacks.base import Monitor, MonitorOptions
from neurovis.figures import labelled_grid, render
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.layers import resolve_layer
from neurovis.maximization import AscentOptions, AscentSettings
from neurovis.maximization.continued import Climbed, ContinuedAscent, usable_kernels
from neurovis.maximization.layer_response import LayerResponse
from neurovis.summaries import Observation

_STEPS = 16


class ActivationMaximizationMonitorOptions(AscentOptions, MonitorOptions, total=False):
    """Keyword arguments of :class:`ActivationMaximizationMonitor`."""


class ActivationMaximizationMonitor(Monitor):
    """Logs the preferred images of some kernels, a few ascent steps further each time.

    The images go on from the last ones while the network changes, so that they follow what their
    kernels come to want; a new ``fit`` starts them anew. Where one has turned black or white it is
    slow to follow, since pixels there hardly move. At its defaults a look at ResNet-18 costs
    about as much as three training steps of 32 images.

    Under the tag ``activation_maximization/<layer>`` it logs a picture of all images, with each
    kernel's activation and that of its noise image, and under ``activation_maximization/<layer>/…``
    the scalars

    - ``activation`` and ``noise_activation``: means over the kernels, of the readout that is
      climbed. Means, not medians: the gap between the two curves is then what the kernels gained
      on average, and one that falls silent is seen in it. Kernels with large activations weigh
      more; each one's own numbers are in the picture. Kernels whose activation is not finite are
      left out; NaN if there is no other.
    - ``dead``: the fraction of them that stayed silent, or unmoved from what noise gives.

    An image that runs into NaN or infinity starts again, and its label says so.

    Args:
        layer: Dotted name, as in ``pl_module.named_modules()``.
        kernels: ``"all"``, numbers, or text such as ``"0-15,20"``; the first 8 by default.
        **options: ``steps`` (16 each time), ``lr``, ``objective`` and all else of
            :class:`~neurovis.maximization.AscentSettings`; ``every_n_epochs``,
            ``every_n_train_steps``, ``input_spec``, ``on_error`` and all else of
            :class:`~neurovis.callbacks.base.Monitor`. Without an ``input_spec`` images have the
            size of the probe images, and values between their lowest and highest; with one,
            probe images are not needed.

    Raises:
        ValueError: If an argument is out of its range.
        TypeError: If an argument is of the wrong type, or there is no such option.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> spec = InputSpec.rgb(224)
        >>> monitor = ActivationMaximizationMonitor("layer4", kernels="0-15", input_spec=spec)
        >>> trainer = Trainer(callbacks=[monitor], accelerator="cpu", logger=False)
    """

    def __init__(
        self,
        layer: str,
        kernels: KernelSelection | None = None,
        **options: Unpack[ActivationMaximizationMonitorOptions],
    ) -> None:
        if not isinstance(layer, str):
            raise TypeError(f"layer is a dotted name such as 'features.0'; got {layer!r}")
        of_ascent: dict[str, Any] = {}
        of_monitor: dict[str, Any] = {}
        for name, value in options.items():
            (of_ascent if name in AscentOptions.__annotations__ else of_monitor)[name] = value
        spec = of_monitor.get("input_spec")
        if spec is not None and not isinstance(spec, InputSpec):
            raise TypeError(f"input_spec must be an InputSpec; got {type(spec).__name__}")
        if spec is not None and of_monitor.get("probe_images") is None:
            # No image is looked at, and so no batch has to have one.
            of_monitor["probe_images"] = torch.full((1, *spec.shape), 0.5)
        super().__init__(layer, **of_monitor)
        self.layer = layer
        if kernels is not None and not isinstance(kernels, (str, int)):
            kernels = list(kernels)  # An iterator could not be passed on to other processes.
        self.kernels = kernels
        self.settings = AscentSettings(**{"steps": _STEPS, **of_ascent})
        self._kernel_axis: int | None = None
        self._ascent: ContinuedAscent | None = None

    @override
    def layer_names(self, pl_module: nn.Module) -> list[str]:
        resolve_layer(pl_module, self.layer)
        return [self.layer]

    @override
    def shown(self) -> object:
        return self.kernels, repr(self.settings)

    @override
    def tags(self, pl_module: nn.Module) -> set[str]:
        return {f"activation_maximization/{layer}" for layer in self.layer_names(pl_module)}

    @override
    def begin(self, pl_module: LightningModule, images: Tensor, step: int) -> None:
        self._ascent = self._started(pl_module, images)

    @override
    def observe(self, pl_module: LightningModule, images: Tensor, step: int) -> Observation:
        # There is no ascent yet if the memory was too small to begin with one.
        self._ascent = ascent = self._ascent or self._started(pl_module, images)
        response = LayerResponse(pl_module, self.layer, ascent.spec, self._kernel_axis)
        climbed = ascent.climb(response, images.device)
        tag = f"activation_maximization/{self.layer}"
        title = f"preferred images of {self.layer}, step {step}, {ascent.steps} ascent steps"
        grid = labelled_grid(climbed.images, _labels(ascent.kernels, climbed), ascent.spec, title)
        scalars = {f"{tag}/{name}": value for name, value in _means(climbed).items()}
        return Observation(pictures={tag: render(grid)}, scalars=scalars)

    def _started(self, pl_module: LightningModule, images: Tensor) -> ContinuedAscent:
        """Ascents at their start, on a network and kernels that were found usable."""
        spec = self.input_spec or self.probe.spec_like(images)
        response = LayerResponse(pl_module, self.layer, spec)
        kernels = usable_kernels(response, self.kernels, self.settings.readout)
        self._kernel_axis = response.kernel_axis
        return ContinuedAscent(kernels, spec, self.settings)


def _labels(kernels: Sequence[int], climbed: Climbed) -> list[str]:
    return [f"kernel {kernel}: {_outcome(climbed, slot)}" for slot, kernel in enumerate(kernels)]


def _outcome(climbed: Climbed, slot: int) -> str:
    """What to say of one image."""
    if climbed.restarted[slot]:
        return "not finite, started again"
    if not climbed.valid[slot]:
        return "not finite"
    if climbed.dead[slot]:
        return "dead"
    return f"{climbed.activations[slot]:.3g} (noise {climbed.noise_activations[slot]:.3g})"


def _means(climbed: Climbed) -> dict[str, float]:
    """The scalars by the ends of their tags."""
    return {
        "activation": climbed.activations[climbed.valid].mean().item(),
        "noise_activation": climbed.noise_activations[climbed.valid].mean().item(),
        "dead": climbed.dead[climbed.valid].float().mean().item(),
    }
