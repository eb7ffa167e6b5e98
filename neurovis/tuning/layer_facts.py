"""Facts about a layer whose kernels are ranked, determined in a few forwards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from neurovis.calling import network_inputs
from neurovis.class_names import class_names
from neurovis.first_forward import IncompatibleInputError, checked_forward
from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import usable_layers
from neurovis.layer_reader import LayerReader
from neurovis.layers import LayerSelection, resolve_layer, select_layers, unwrap
from neurovis.readouts import ReadoutName, center_place
from neurovis.receptive_fields import (
    Box,
    Field,
    Layout,
    clipped_box,
    known_fields,
    receptive_fields,
)
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.sources import RECTIFIERS, find_sources

#: Layers whose outputs may be negative, or are cut off at both ends.
_SIGNED = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Bilinear),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm),
    *(nn.GroupNorm, nn.LayerNorm, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh),
)
_NOISE_IMAGES = 16
#: Distance in pixels from the middle of the image that a unit's place is not noted up to.
_LARGEST_OFFSET = 2


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """Facts about a layer that hold while its network is trained, stored without the network.

    Attributes:
        name: Dotted name.
        spec: What the network is shown.
        kernels: Number of kernels, ``K``.
        layout: Where its output keeps them, and its positions.
        unit: Place of the unit in the center of its map; ``()`` for vectors.
        is_rectified: Whether responses are cut off at 0, so that their mean over phases means
            something; if not, they are read by their modulation.
        is_first: Whether it is a convolution over the image's own channels, so that its weights
            are pictures.
        source: The convolution or linear layer whose kernels these are, if there is one.
        before: The module whose output the layer rectifies; the layer itself if it is no rectifier.
        readout: What is read of its maps.
        field: Its units' receptive field, as far as it is known.
        place: Row and column of the pixel that its central unit looks at; None without a map.
        notes: Notes on its responses, for all rankings except those by weights.
        class_names: Names of its kernels, where they are classes.
    """

    name: str
    spec: InputSpec
    kernels: int
    layout: Layout
    unit: tuple[int, ...]
    is_rectified: bool
    is_first: bool
    source: str | None
    before: str
    readout: ReadoutName
    field: Field | None
    place: tuple[float, float] | None
    notes: tuple[str, ...] = ()
    class_names: Sequence[str] = ()

    @property
    def mixes_units(self) -> bool:
        """True if what is read of a map is of several units, which may be negative.

        Where one of them is driven another is suppressed, so that their mean or highest response
        says nothing about either.
        """
        return self.readout != "center" and bool(self.unit) and not self.is_rectified

    @property
    def box(self) -> Box | None:
        """The pixels that its central unit's receptive field spans, perhaps beyond the image."""
        field = self.field
        return None if field is None or field.center is None else field.pixels(field.center)

    @property
    def visible_box(self) -> Box:
        """The part of the image that its central unit may see; all where that is unknown."""
        return clipped_box(self.box or (0, 0, *self.spec.size), self.spec.size)


def find_layers(
    network: nn.Module, selection: LayerSelection, spec: InputSpec, settings: RankingSettings
) -> dict[str, LayerFacts]:
    """Find the layers of a selection, by name, in a network that is undisturbed.

    Raises:
        ValueError: If the network cannot take the images, or a layer is not usable.
    """
    example = spec.example()
    fields = known_fields(network, example, select_layers(network, selection))
    layouts = usable_layers(network, selection, example, fields)
    reader, shapes, lowest = read_noise(network, layouts, spec)
    noise = torch.rand(1, *spec.shape, generator=torch.Generator().manual_seed(0))
    sources, over_image = find_sources(
        network, reader.calls or {}, network_inputs(network, spec, noise), fields
    )
    layers: dict[str, LayerFacts] = {}
    for name, layout in layouts.items():
        _, kernels, *map_size = shapes[name]
        if settings.readout == "center":
            reader.check_places(name, shapes[name])
        module = unwrap(resolve_layer(network, name))
        layers[name] = LayerFacts(
            name=name,
            spec=spec,
            kernels=kernels,
            layout=layout,
            unit=center_place(map_size),
            is_rectified=settings.rectify or is_rectified(module, lowest[name]),
            is_first=module in over_image,
            source=sources[name].layer if name in sources else None,
            before=sources[name].before if name in sources else name,
            readout=settings.readout,
            field=fields.get(name),
            place=_central_place(fields.get(name), tuple(map_size), spec.size),
            class_names=class_names(network, name, kernels),
        )
        layers[name] = replace(
            layers[name], notes=_notes(layers[name], settings, lowest[name].dtype)
        )
    return layers


def viewed_pixel(
    box: Box | None, unit: tuple[int, ...], map_size: tuple[int, ...], size: tuple[int, int]
) -> tuple[float, float]:
    """Row and column of the pixel that a unit of a map looks at.

    The middle of the receptive field, or, where it is unknown or the whole image (behind a
    squeeze-and-excitation gate, say), the unit's place in its map scaled to the image.
    """
    top, left, bottom, right = box or (0, 0, *size)
    if (top, left, bottom, right) != (0, 0, *size):
        return (top + bottom - 1) / 2, (left + right - 1) / 2
    row, column = (
        (place + 0.5) * pixels / units - 0.5
        for place, pixels, units in zip(unit, size, map_size, strict=True)
    )
    return row, column


def _central_place(
    field: Field | None, map_size: tuple[int, ...], size: tuple[int, int]
) -> tuple[float, float] | None:
    if len(map_size) != 2:
        return None
    row, column = center_place(map_size)
    known = field is not None and field.units == map_size
    box = field.pixels((row, column)) if field is not None and known else None
    return viewed_pixel(box, (row, column), map_size, size)


def read_noise(
    network: nn.Module, layouts: Mapping[str, Layout], spec: InputSpec
) -> tuple[LayerReader, dict[str, torch.Size], dict[str, Tensor]]:
    """Read layers for some noise, the first forward of a network that may want other images.

    Args:
        network: Undisturbed.
        layouts: Where each layer's output keeps kernels and positions, by name.
        spec: What the network is shown.

    Returns:
        The reader, which knows how often layers are called; the shape of each layer's activation
        ``(B, K, *positions)``; and its lowest value.

    Raises:
        ValueError: If the network cannot take the images, or a layer is not reached.
    """
    shapes: dict[str, torch.Size] = {}

    def keep_lowest(name: str, _: tuple[Any, ...], activation: Tensor) -> Tensor:
        shapes[name] = activation.shape
        return activation.detach().amin()

    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(_NOISE_IMAGES, *spec.shape, generator=generator)
    inputs = network_inputs(network, spec, noise)
    try:
        with checked_forward(network, spec):
            reader = LayerReader(network, layouts)
            return reader, shapes, reader(inputs, keep_lowest)
    except (IncompatibleInputError, TypeError):
        # Its message says which images the network seems to need, if they are the cause.
        receptive_fields(network, inputs[:1])
        raise


def _notes(layer: LayerFacts, settings: RankingSettings, dtype: torch.dtype) -> tuple[str, ...]:
    """Return notes on a layer's responses: readout, type, null, receptive field and stimuli."""
    notes = []
    if dtype in (torch.bfloat16, torch.float16):
        notes.append(
            f"computed in {str(dtype).removeprefix('torch.')}: differences of "
            f"{torch.finfo(dtype).eps / 2:.2%} of a response are rounding; rank model.float()"
        )
    if layer.unit:
        unit = "unit in the center" if settings.readout == "center" else settings.readout
        notes.append(f"read: {unit} of the map")
    if layer.place is not None and settings.readout == "center":
        off = math.dist(layer.place, [(side - 1) / 2 for side in layer.spec.size])
        if off > _LARGEST_OFFSET:
            notes.append(
                f"its central unit looks {off:.2g} px beside the middle of the image, where arcs "
                "and squares are"
            )
    if layer.source is None and settings.null_kernels:
        notes.append("no null: random kernels can be made for convolutions and linear layers only")
    field = layer.field
    if field is None or field.size is None:
        return (*notes, "its receptive field is unknown")
    height, width = field.size
    box = layer.box
    if box is not None and settings.aperture is not None:
        notes += _beside_the_window(box, layer.spec.size, settings.aperture)
    if box is not None and not _is_inside(box, layer.spec.size):
        rows, columns = layer.spec.size
        notes.append(
            f"the stimuli, {rows} x {columns} px, do not fill the receptive field of its central "
            f"unit, {height} x {width} px: zero padding counts"
        )
    return tuple(notes)


def _beside_the_window(
    box: tuple[int, int, int, int], size: tuple[int, int], aperture: float
) -> list[str]:
    """A note if a window in the middle of the image does not cover what a unit sees."""
    top, left, bottom, right = box
    offset = math.hypot(top + bottom - size[0], left + right - size[1]) / 2
    height, width = bottom - top, right - left
    if offset + max(height, width) / 2 <= aperture / 2:
        return []
    return [
        f"gratings of {aperture:g} px in the middle of the image do not cover the receptive field "
        f"of {height} x {width} px, {offset:.3g} px off the middle"
    ]


def _is_inside(box: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    top, left, bottom, right = box
    return top >= 0 and left >= 0 and bottom <= size[0] and right <= size[1]


def is_rectified(module: nn.Module, lowest: Tensor) -> bool:
    """True if a layer's responses are cut off at 0.

    This follows from the layer's type or, where the type does not tell (pooling, whole blocks),
    from responses to some noise that are never negative.

    Args:
        module: The layer.
        lowest: The lowest value of its output for some noise images.
    """
    if isinstance(module, _SIGNED):
        return False
    return isinstance(module, RECTIFIERS) or bool(lowest >= 0)
