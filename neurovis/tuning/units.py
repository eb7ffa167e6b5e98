"""The units of a layer's kernels at one place of their maps, and where in the image they look."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from neurovis.calling import network_inputs, one_input
from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import kernel_layouts
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.layers import resolve_layer
from neurovis.readouts import center_place, unit_at
from neurovis.receptive_fields import Box, Field, clipped_box, known_fields
from neurovis.recording import undisturbed
from neurovis.tuning.layer_facts import is_rectified, read_noise, viewed_pixel


class Units:
    """Reads some kernels of a layer, each by its unit at one place.

    To be called inside :func:`~neurovis.recording.undisturbed`.

    Args:
        model: The network, on any device.
        layer: Dotted name.
        kernels: Which kernels: ``"all"``, ``"0-15,20"`` or numbers.
        spec: What the network is shown.
        unit: Row and column in the layer's map; by default the unit in the center, at
            ``size // 2``. ``()`` for layers without a map.

    Attributes:
        network: The network, uncompiled.
        layer: The layer's name.
        kernels: The kernels' numbers, ``K`` of them.
        unit: The place that is read.
        map_size: Size of the layer's maps; ``()`` for layers without one.
        box: The pixels that the theoretical receptive field spans, which may lie beyond the image
            (see :meth:`neurovis.receptive_fields.Field.pixels`); None where it is unknown.
        is_rectified: Whether the layer's responses are cut off at 0.

    Raises:
        ValueError: If the network cannot take such images, or there is no such layer, kernel or
            unit.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        kernels: KernelSelection,
        spec: InputSpec,
        unit: tuple[int, ...] | None = None,
    ) -> None:
        self.network = one_input(model, spec)
        self.layer = layer
        self.spec = spec
        with undisturbed(self.network), torch.no_grad():
            example = spec.example()
            fields = known_fields(self.network, example, [layer])
            layouts = kernel_layouts(self.network, [layer], example, fields)
            self._reader, shapes, lowest = read_noise(self.network, layouts, spec)
        _, count, *map_size = shapes[layer]
        self.kernels = select_kernels(kernels, count, layer)
        self.map_size = tuple(map_size)
        if unit is None:
            self._reader.check_places(layer, shapes[layer])
        self.unit = center_place(self.map_size) if unit is None else tuple(unit)
        self._check_unit()
        self.is_rectified = is_rectified(resolve_layer(self.network, layer), lowest[layer])
        self.box = self._find_box(fields.get(layer))

    @property
    def clipped_box(self) -> Box:
        """The part of the image that the units may see; the whole image where that is unknown."""
        return clipped_box(self.box or (0, 0, *self.spec.size), self.spec.size)

    @property
    def place(self) -> tuple[float, float]:
        """Row and column of the pixel that the units look at.

        As :func:`~neurovis.tuning.layer_facts.viewed_pixel` finds it.

        Raises:
            ValueError: If the layer has no map.
        """
        if len(self.map_size) != 2:
            raise ValueError(
                f'layer "{self.layer}" has no maps, so that its units look at no place of the '
                "image; name a convolution, or a layer behind one"
            )
        return viewed_pixel(self.box, self.unit, self.map_size, self.spec.size)

    def __call__(self, images: Tensor) -> Tensor:
        """The units' responses ``(B, K)`` to images ``(B, C, H, W)`` in [0, 1].

        In the network's type and on its device; they can be differentiated to the images.
        """
        inputs = network_inputs(self.network, self.spec, images)
        return self._reader(inputs, self._read)[self.layer]

    def _read(self, _: str, __: tuple[Any, ...], activation: Tensor) -> Tensor:
        # A copy: indexing with a list never shares memory.
        return unit_at(activation[:, self.kernels], self.unit)

    def _check_unit(self) -> None:
        if len(self.unit) != len(self.map_size) or not all(
            0 <= index < size for index, size in zip(self.unit, self.map_size, strict=True)
        ):
            sizes = "x".join(map(str, self.map_size)) or "no"
            raise ValueError(
                f'unit must be a place in the maps of layer "{self.layer}", which have {sizes} '
                f"units; got {self.unit}"
            )

    def _find_box(self, field: Field | None) -> Box | None:
        if field is None or field.units != (self.map_size or (1, 1)):
            return None
        row, column = self.unit or (0, 0)
        box = field.pixels((row, column))
        if box is not None and (
            _misses(box[0::2], self.spec.size[0]) or _misses(box[1::2], self.spec.size[1])
        ):
            raise ValueError(
                f'unit {self.unit} of layer "{self.layer}" sees nothing but padding; name one '
                f"further inside the map of {self.map_size[0]}x{self.map_size[1]} units"
            )
        return box


def _misses(span: tuple[int, ...], pixels: int) -> bool:
    return span[1] <= 0 or span[0] >= pixels
