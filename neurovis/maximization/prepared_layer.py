"""A layer whose kernels are maximized: the network as it is run, the images as they are made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.layers import LayerSelection, select_layers
from neurovis.maximization.ascent import default_views, try_views
from neurovis.maximization.canvas import Canvas
from neurovis.maximization.field_crop import FieldCrop, find_field_crop
from neurovis.maximization.first_checks import try_layer
from neurovis.maximization.image_initializer import Beginning
from neurovis.maximization.jobs import Job
from neurovis.maximization.keeper import ImageKeeper
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.leaking import LeakingRectifiers, last_rectifiers
from neurovis.maximization.network import fold_batch_norms
from neurovis.maximization.objectives import noise_statistics
from neurovis.maximization.precision import fast_copy
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.tones import ToneMemory
from neurovis.maximization.transforms import Transform
from neurovis.receptive_fields import Box

#: Side in pixels below which a crop saves nothing, and has too few spatial frequencies.
_SMALLEST_CROP = 32


def climbed_layers(
    network: nn.Module, selection: LayerSelection, spec: InputSpec, settings: AscentSettings
) -> dict[str, PreparedLayer]:
    """All layers that a selection means, by name.

    Layers that it does not name, but means by their type, are left out with a warning if they
    cannot be maximized.

    Raises:
        ValueError: If there is no such layer, one that is named cannot be maximized, or none can.
    """
    parts = [selection] if isinstance(selection, (str, type)) else list(selection)
    layers: dict[str, PreparedLayer] = {}
    left_out: dict[str, ValueError] = {}
    for name in select_layers(network, parts):
        try:
            layers[name] = PreparedLayer(network, name, spec, settings)
        except ValueError as error:
            if name in parts:
                raise
            left_out[name] = error
    if not layers:
        raise next(iter(left_out.values()))
    if left_out:
        reasons = "; ".join(str(error) for error in left_out.values())
        rank_zero_warn(f"{len(left_out)} of the layers are left out: {reasons}")
    return layers


class PreparedLayer:
    """A layer prepared for an ascent on its kernels: network, images and transforms.

    What takes memory or time (a folded copy of the network, say) is there between :meth:`enter`
    and :meth:`leave` only, since a sweep goes through many layers.

    Args:
        network: Frozen and in eval mode; all layers share it.
        name: Dotted name of the layer.
        spec: What the network is shown.
        settings: How the ascent is done.

    Attributes:
        response: The layer's response to whole images, of the unmodified network in float32.
        objective: What is read from it.
        count: Number of kernels, or of whatever else the objective reads.

    Raises:
        ValueError: If the layer, the images' shape or the layer's response are not usable.
    """

    #: What is run at every step; set by :meth:`enter`, as is all that follows.
    fast_response: LayerResponse
    #: What is optimized, and what it is shown as.
    canvas: Canvas
    #: Modalities and size of what is optimized: a part of the image where a crop is enough.
    spec: InputSpec
    #: What images are shown under.
    transforms: Sequence[Transform]

    def __init__(
        self, network: nn.Module, name: str, spec: InputSpec, settings: AscentSettings
    ) -> None:
        self.name = name
        self.response = LayerResponse(network, name, spec)
        self.objective = settings.resolved_objective.prepared(self.response)
        self.count = try_layer(self.response, self.objective)
        if settings.transforms is not None:
            try_views(self.response, settings)
        self._settings = settings
        self._keeper = ImageKeeper(spec, settings)
        self._crop: FieldCrop | None = None

    def enter(self, device: torch.device) -> None:
        """Prepare everything for an ascent on a device."""
        settings, whole = self._settings, self.response.spec
        network = self.response.network.to("cpu")
        self.canvas = Canvas(whole, settings, self._find_crop())
        self._crop = self.canvas.crop
        self.spec = self.canvas.spec
        self.transforms = self._views()
        examples = self.response.inputs(noise_images(whole, count=2))
        folded = fold_batch_norms(network, self.name, examples)
        axis = self.response.kernel_axis
        folded_response = LayerResponse(folded, self.name, whole, axis)
        fast = fast_copy(folded_response, settings.precision, device)
        self.fast_response = LayerResponse(fast, self.name, self.spec, axis)
        self._leaking = last_rectifiers(self.fast_response) if settings.leak else frozenset()
        self.response.to(device)
        self._initializer = self.canvas.initializer()

    def leave(self) -> None:
        """Release what only the ascent needs, and the device's memory; harmless if repeated."""
        for name in ("fast_response", "_initializer"):
            vars(self).pop(name, None)
        self.response.to(torch.device("cpu"))
        self.objective.leave_devices()

    @property
    def leaks(self) -> bool:
        """True if the layer ends in rectifiers through which gradients can leak."""
        return bool(self._leaking)

    def leaking(self, leak: Tensor) -> AbstractContextManager[object]:
        """Let parts of gradients, ``(B,)`` on the CPU, through what ends the layer."""
        if not self._leaking or not leak.any():
            return nullcontext()
        return LeakingRectifiers(self._leaking, leak)

    @property
    def box(self) -> Box | None:
        """The part of the image that the center unit sees, if no more than that is optimized."""
        return None if self._crop is None else self._crop.box

    @property
    def crop_box(self) -> Box | None:
        """The part of the image that is optimized for the sake of :attr:`box`."""
        if self._crop is None:
            return None
        (top, left), (height, width) = self._crop.corner, self._crop.spec.size
        return top, left, top + height, left + width

    def beginning(self, job: Job) -> Beginning:
        """Return the start of a job's ascent, on the CPU."""
        return self._initializer.of(job)

    def constrained(self, images: Tensor, memory: ToneMemory | None = None) -> Tensor:
        """Images ``(B, C, h, w)`` that keep to the constraints, of what is optimized.

        Args:
            images: In [0, 1].
            memory: Gains and shifts of the images' last step, if this is one of many.
        """
        return self.canvas.constrained(images, memory)

    def whole(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` as the network is to be shown them, of what is optimized."""
        return self.canvas.whole(images)

    def finished(self, images: Tensor) -> Tensor:
        """Whole images, rounded to the values that are kept, of what is optimized."""
        return self.canvas.whole(self._keeper.rounded(images))

    def noise_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(N,)`` of what the objective reads of noise images."""
        return noise_statistics(self.response, self.objective, self._noise_images)

    @torch.no_grad()
    def _noise_images(self, count: int) -> Tensor:
        """Whole noise images ``(count, C, H, W)``, as an ascent starts from them."""
        spec = self.response.spec
        images = self._settings.image_parameters.images(count, spec)
        seed = self._settings.seed
        images.start_from_noise(
            [image_generator(seed, number, Stream.STATISTICS) for number in range(count)]
        )
        return self._settings.constraints(images(), spec)

    def _find_crop(self) -> FieldCrop | None:
        if not self._settings.may_crop:
            return None
        still = find_field_crop(self.response)
        if still is None:
            return None
        top, left, bottom, right = still.box
        margin = max(0.0, (_SMALLEST_CROP - min(bottom - top, right - left)) / 2)
        return find_field_crop(self.response, margin, self._views_of(still.box))

    def _views(self) -> list[Transform]:
        if self._crop is None:
            return default_views(self._settings, self.response)
        return self._views_of(self._crop.box)

    def _views_of(self, box: Box) -> list[Transform]:
        """Return views for a field; by default they shift it in proportion to its size."""
        top, left, bottom, right = box
        return self._settings.views((bottom - top, right - left))
