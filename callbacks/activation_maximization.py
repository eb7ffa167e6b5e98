"""Preferred images of kernels during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack, override

from neurovis.analysis import Predictability, predictability
from neurovis.analysis.descriptions import ImageDescriber
from neurovis.analysis.picture_prediction import LEAST_PICTURES
from neurovis.callbacks.base import Monitor, MonitorOptions
from neurovis.class_names import class_label, class_names, has_class_names
from neurovis.figures import first_and_now_images, labeled_grid, render
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, reusable
from neurovis.maximization import AscentOptions, AscentSettings
from neurovis.maximization.continuation import (
    AscentSnapshot,
    AscentState,
    continue_ascents,
    image_readouts,
    usable_kernels,
)
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.observation import Observation
from neurovis.receptive_fields import Layout
from neurovis.top_images.images import ImageSource, number_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Activations of then and now are compared, a few steps at a time.
_DEFAULTS: AscentOptions = {"style": "maximal", "steps": 16}

_CATEGORY = "activation_maximization"
#: Descriptions in TensorBoard of what is logged for a layer, by the ends of the tags.
_IMAGE_DESCRIPTIONS = {
    "": "**Current preferred image of each kernel**, optimized a few steps further each time "
    "while the network learns. The label gives the activation that the image reaches "
    "and, in brackets, that of a noise image, in the layer's own unit; trust an image only "
    "if the first is well above the second.",
    "/first_and_now": "**Each kernel's preferred image of the first look (above) and of now "
    "(below).** The labels give the activation of the first one then and now, and that of today's "
    "image, in the layer's own unit: where the first image's activation has fallen and today's "
    "has not, the kernel's preference has changed.",
    "/activation": "**Activation of the preferred images**, the mean over kernels, in the layer's "
    "own unit. Compare it with `noise_activation`: the gap between the two curves is the gain from "
    "optimizing the images.",
    "/noise_activation": "**Activation of noise images** of the same contrast, the mean over the "
    "same kernels, in the layer's own unit, on the network as it is at each step.",
    "/predictability": "**Part of pairs of pictures that the preferred images tell apart**, those "
    "that drive a kernel much from those that drive it little, the mean over kernels: 1 is all, "
    "0.5 chance. Compare it with `predictability_null`, the same by the images of other kernels.",
    "/predictability_null": "**Part of pairs of pictures that the images of other kernels tell "
    "apart**, the mean over kernels: chance, for `predictability`.",
    "/dead": "**Fraction of the shown kernels that stayed silent**, at zero or unmoved from what "
    "noise gives them: from 0 (none) to 1 (all).",
}


class ActivationMaximizationMonitorOptions(AscentOptions, MonitorOptions, total=False):
    """Keyword arguments of :class:`ActivationMaximizationMonitor`."""


class ActivationMaximizationMonitor(Monitor):
    """Logs the preferred images of some kernels, a few ascent steps further each time.

    Each ascent resumes from the last images while the network changes, so that the images follow
    what their kernels prefer; a new ``fit`` restarts them. An image that has turned black or white
    is slow to follow, since its pixels hardly move. At its defaults a look at ResNet-18 costs about
    as much as three training steps of 32 images.

    Under the tag ``activation_maximization/<layer>`` it logs a picture of all images, with each
    kernel's activation and that of its noise image, and under tags that begin with it

    - ``/first_and_now``: from the second time on, a picture of the images of this fit's first time
      above those now, with the activations of the first ones then and now;
    - ``/activation`` and ``/noise_activation``: means over the kernels, of the readout that is
      maximized. Means, not medians: the gap between the two curves is then the kernels' average
      gain, and a kernel that falls silent lowers it. Kernels with large activations weigh more; the
      picture has the numbers of each kernel. Kernels whose activation is not finite are left out;
      NaN if there is no other.
    - ``/dead``: the fraction of them that stayed silent, or unmoved from what noise gives;
    - ``/predictability`` and ``/predictability_null``, if there are ``pictures``: whether images
      tell which of the pictures drive their kernels, and those that drive the other kernels (NaN
      without others), as :func:`~neurovis.analysis.predictability` measures it; means over kernels
      that do not respond alike to all pictures.

    An image that runs into NaN or infinity starts again, and its label says so.

    Args:
        layer: Dotted name, as in ``network.named_modules()``.
        kernels: ``"all"``, numbers, or text such as ``"0-15,20"``; the first 8 by default.
        first_and_now: Whether to compare with the images of the first look.
        pictures: A folder, a tensor ``(N, C, H, W)`` in [0, 1], or a data set of at least 10
            pictures, to measure predictability with; they need an ``input_spec``, and each time one
            forward of all of them. Files are read each time.
        **options: ``steps`` (16 each time), ``style`` (``maximal``), ``lr``, ``objective`` and
            all else of :class:`~neurovis.maximization.AscentSettings`; ``every_n_epochs``,
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

    needs_images = False

    def __init__(
        self,
        layer: str,
        kernels: KernelSelection | None = None,
        *,
        first_and_now: bool = True,
        pictures: ImageSource | None = None,
        **options: Unpack[ActivationMaximizationMonitorOptions],
    ) -> None:
        if not isinstance(layer, str):
            raise TypeError(f"layer is a dotted name such as 'features.0'; got {layer!r}")
        given: dict[str, Any] = dict(options)
        names = AscentOptions.__annotations__
        of_ascent = {name: given.pop(name) for name in names if name in given}
        super().__init__(layer, **given)
        self.layer = layer
        self.kernels = None if kernels is None else reusable(kernels)
        self.settings = AscentSettings(**{**_DEFAULTS, **of_ascent})
        self.first_and_now = first_and_now
        if pictures is not None:
            _check_pictures(pictures, self.input_spec)
        self.pictures = pictures
        settings = self.kernels, repr(self.settings), repr(pictures)
        self.tag_settings = {"activation_maximization": settings}
        # Known from the first look on.
        self._kernels: list[int] = []
        self._names: list[str] = []
        self._spec: InputSpec | None = None
        self._layout: Layout | None = None
        self._state = AscentState()
        self._first: _FirstLook | None = None

    @override
    def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
        if self._spec is None or self.is_first_look:
            # Ascents start here, and their first steps are made when there is something to log.
            self._prepare(network, images)
            return Observation()
        spec = self._spec
        response = LayerResponse(network, self.layer, spec, self._layout)
        self._state, snapshot = continue_ascents(
            self._state, self._kernels, response, self.settings, images.device
        )
        steps = self._state.steps
        tag = f"activation_maximization/{self.layer}"
        title = f"preferred images of {self.layer}, step {step}, {steps} ascent steps"
        grid = labeled_grid(snapshot.images, _labels(self._names, snapshot), spec, title)
        scalars = {f"{tag}/{name}": value for name, value in _means(snapshot).items()}
        observation = Observation(pictures={tag: render(grid)}, scalars=scalars)
        if self.pictures is not None:
            found = self._predictability(network, snapshot, self.pictures)
            observation.scalars[f"{tag}/predictability"] = found.scores.nanmean().item()
            observation.scalars[f"{tag}/predictability_null"] = found.null.nanmean().item()
        if self.first_and_now and self._first is not None:
            figure = self._compared(self._first, snapshot, response, images.device, step)
            observation.pictures[f"{tag}/first_and_now"] = render(figure)
        elif self.first_and_now:
            self._first = _FirstLook(step, steps, snapshot.images, snapshot.activations)
        observation.describe(tag, _IMAGE_DESCRIPTIONS)
        compared = (f"{tag}/activation", f"{tag}/noise_activation")
        observation.add_to_chart(_CATEGORY, f"{self.layer}: activation against noise", *compared)
        predicted = (f"{tag}/predictability", f"{tag}/predictability_null")
        observation.add_to_chart(
            _CATEGORY, f"{self.layer}: predictability against chance", *predicted
        )
        observation.add_to_chart(
            _CATEGORY, "silent kernels of each layer (fraction)", f"{_CATEGORY}/*/dead"
        )
        return observation

    def _prepare(self, network: nn.Module, images: Tensor) -> None:
        """Find kernels whose responses can be maximized, to start their ascents."""
        spec = self.input_spec or self.probe.spec_like(images)
        response = LayerResponse(network, self.layer, spec)
        if self.pictures is not None:
            ImageDescriber(network, self.layer, spec)  # Raises if it cannot.
        self._kernels = usable_kernels(response, self.kernels, self.settings)
        names: list[str] = []
        if has_class_names(network):
            with torch.no_grad():
                count = response.checked(noise_images(spec, count=1)).shape[1]
            names = class_names(network, self.layer, count)
        self._names = [class_label(names, kernel) for kernel in self._kernels]
        self._spec, self._layout = spec, response.layout
        self._state, self._first = AscentState(), None

    def _predictability(
        self, network: nn.Module, snapshot: AscentSnapshot, pictures: ImageSource
    ) -> Predictability:
        """Measure whether the images tell which pictures drive their kernels now."""
        images = dict(zip(self._kernels, snapshot.images.split(1), strict=True))
        return predictability(network, self.layer, images, pictures, input_spec=self._spec)

    def _compared(
        self,
        first: _FirstLook,
        now: AscentSnapshot,
        response: LayerResponse,
        device: torch.device,
        step: int,
    ) -> Figure:
        """Draw the first images over those of now, with what the first ones do now."""
        objective = self.settings.resolved_objective.prepared(response)
        size = self.settings.images_at_once
        shown = first.images.to(device)
        still = image_readouts(shown, self._kernels, response, objective, size)
        labels = [
            f"{name}: first image {then:.3g} then, {again:.3g} now; latest {latest:.3g}"
            for name, then, again, latest in zip(
                self._names,
                first.activations.tolist(),
                still.tolist(),
                now.activations.tolist(),
                strict=True,
            )
        ]
        return first_and_now_images(
            first.images,
            now.images,
            labels,
            (f"first, step {first.step}", f"now, step {step}"),
            response.spec,
            f"preferred images of {self.layer} at first and now",
            [
                "activation of the first image when it was made and on the network of now; of the "
                f"latest image now, after {self._state.steps} ascent steps, not "
                f"{first.ascent_steps}"
            ],
        )


@dataclass(frozen=True)
class _FirstLook:
    """The images ``(N, C, H, W)`` of a look, and their activations ``(N,)`` then, on the CPU."""

    step: int
    ascent_steps: int
    images: Tensor
    activations: Tensor


def _check_pictures(pictures: ImageSource, spec: InputSpec | None) -> None:
    """Refuse pictures that are none, too few, or cannot be read again each time."""
    if spec is None:
        raise ValueError("pictures need an input_spec, which says how the network is shown them")
    count = number_images(pictures, spec).number
    if count is None or count < LEAST_PICTURES:
        raise ValueError(
            f"pictures must be at least {LEAST_PICTURES}, in a folder, a tensor or a data set; got "
            + ("what can only be read once" if count is None else str(count))
        )


def _labels(names: Sequence[str], snapshot: AscentSnapshot) -> list[str]:
    return [f"{name}: {_outcome(snapshot, slot)}" for slot, name in enumerate(names)]


def _outcome(snapshot: AscentSnapshot, slot: int) -> str:
    """Return one image's activation and its noise image's as text, or what went wrong."""
    if snapshot.restarted[slot]:
        return "not finite, started again"
    if not snapshot.valid[slot]:
        return "not finite"
    if snapshot.dead[slot]:
        return "dead"
    return f"{snapshot.activations[slot]:.3g} (noise {snapshot.noise_activations[slot]:.3g})"


def _means(snapshot: AscentSnapshot) -> dict[str, float]:
    """The scalars by the ends of their tags."""
    return {
        "activation": snapshot.activations[snapshot.valid].mean().item(),
        "noise_activation": snapshot.noise_activations[snapshot.valid].mean().item(),
        "dead": snapshot.dead[snapshot.valid].float().mean().item(),
    }
