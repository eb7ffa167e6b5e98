"""A layer whose kernels are maximized: the network as it is run, the images as they are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.layers import LayerSelection, select_layers
from neurovis.maximization.ascent import default_views, try_views
from neurovis.maximization.checks import try_layer
from neurovis.maximization.field_crop import FieldCrop, find_field_crop
from neurovis.maximization.gain_noise import GainNoise, chosen_gain_noise
from neurovis.maximization.kept_images import ImageKeeper
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.network import fast_copy, fold_batch_norms
from neurovis.maximization.objectives import Objective, noise_statistics
from neurovis.maximization.optimized_region import OptimizedRegion
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.silent_units import (
    LeakingRectifiers,
    last_rectifiers,
    looks_rectified,
)
from neurovis.maximization.transforms import Transform
from neurovis.receptive_fields import Box

#: Side in pixels below which a crop saves nothing, and has too few spatial frequencies.
_SMALLEST_CROP = 32


@dataclass(frozen=True)
class PreparedLayer:
    """A layer with everything that an ascent on its kernels needs.

    Attributes:
        response: The layer's response to whole images, of the unmodified network.
        fast_response: The response to what is optimized, as it is run at every step.
        objective: What is read from it.
        region: What is optimized, and what it is shown as.
        transforms: What images are shown under.
        keeper: Rounds finished images to the values that are kept; None to leave them.
        last_rectifiers: The rectifiers that end the layer, through which gradients may leak, by
            the order of their calls.
        gain_noise: Random gains of the kernels before the layer; None for none.
    """

    response: LayerResponse
    fast_response: LayerResponse
    objective: Objective
    region: OptimizedRegion
    transforms: Sequence[Transform]
    keeper: ImageKeeper | None = None
    last_rectifiers: frozenset[int] = frozenset()
    gain_noise: GainNoise | None = None

    @property
    def name(self) -> str:
        """Dotted name."""
        return self.response.layer

    def leaking(self, leak: Tensor | None) -> AbstractContextManager[object]:
        """Let parts of gradients, ``(B,)`` on the CPU, through what ends the layer."""
        if leak is None or not leak.any():
            return nullcontext()
        return LeakingRectifiers(self.last_rectifiers, leak)

    def finished(self, images: Tensor) -> Tensor:
        """Whole images, rounded to the values that are kept, of what is optimized."""
        return self.region.whole(images if self.keeper is None else self.keeper.rounded(images))


class MaximizableLayer:
    """A layer that was found fit for an ascent on its kernels.

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

    @contextmanager
    def prepared(self, device: torch.device) -> Iterator[PreparedLayer]:
        """Prepare everything for an ascent on a device, and release its memory at the end.

        What takes memory or time (a folded copy of the network, say) exists inside only, since a
        sweep goes through many layers.
        """
        settings, whole = self._settings, self.response.spec
        try:
            network = self.response.network.to("cpu")
            crop = self._find_crop()
            region = OptimizedRegion(whole, settings, crop)
            examples = self.response.inputs(noise_images(whole, count=2))
            folded = fold_batch_norms(network, self.name, examples)
            layout = self.response.layout
            folded_response = LayerResponse(folded, self.name, whole, layout)
            fast = fast_copy(folded_response, settings.precision, device)
            fast_response = LayerResponse(fast, self.name, region.spec, layout)
            rectifiers = last_rectifiers(fast_response) if settings.leak else frozenset()
            transforms = (
                default_views(settings, self.response) if crop is None else self._views(crop.box)
            )
            self.response.to(device)
            yield PreparedLayer(
                self.response,
                fast_response,
                self.objective,
                region,
                transforms,
                ImageKeeper(whole, settings),
                rectifiers,
                chosen_gain_noise(fast_response, settings, device),
            )
        finally:
            self.response.to(torch.device("cpu"))
            self.objective.release_copies()

    @property
    def is_rectified(self) -> bool:
        """True if the layer's output has zeros for noise, and nothing below."""
        with torch.no_grad():
            return looks_rectified(self.response(noise_images(self.response.spec, count=2)))

    def noise_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(N,)`` of what the objective reads of noise images."""
        return noise_statistics(self.response, self.objective, self._noise_images)

    @torch.no_grad()
    def _noise_images(self, count: int) -> Tensor:
        """Whole noise images ``(count, C, H, W)``, as an ascent starts from them."""
        spec = self.response.spec
        images = self._settings.resolved_parametrization.images(count, spec)
        seed = self._settings.seed
        images.start_from_noise(
            [image_generator(seed, number, Stream.STATISTICS) for number in range(count)]
        )
        return self._settings.constraints(images(), spec)

    def _find_crop(self) -> FieldCrop | None:
        settings = self._settings
        if not settings.crop or not settings.resolved_objective.reads_center:
            return None
        if settings.frozen or settings.change is not None:
            return None
        still = find_field_crop(self.response)
        if still is None:
            return None
        top, left, bottom, right = still.box
        margin = max(0.0, (_SMALLEST_CROP - min(bottom - top, right - left)) / 2)
        return find_field_crop(self.response, margin, self._views(still.box))

    def _views(self, field: Box) -> list[Transform]:
        """Return views for a field; by default they shift it in proportion to its size."""
        top, left, bottom, right = field
        return self._settings.views(self.response.spec.resized((bottom - top, right - left)))


def maximizable_layers(
    network: nn.Module, selection: LayerSelection, spec: InputSpec, settings: AscentSettings
) -> dict[str, MaximizableLayer]:
    """All layers that a selection means, by name.

    Layers that it does not name, but means by their type, are left out with a warning if they
    cannot be maximized.

    Raises:
        ValueError: If there is no such layer, one that is named cannot be maximized, or none can.
    """
    parts = [selection] if isinstance(selection, (str, type)) else list(selection)
    layers: dict[str, MaximizableLayer] = {}
    left_out: dict[str, ValueError] = {}
    for name in select_layers(network, parts):
        try:
            layers[name] = MaximizableLayer(network, name, spec, settings)
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
