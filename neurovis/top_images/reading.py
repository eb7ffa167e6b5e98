"""Read each kernel's response to an image and its most active unit, in some layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from neurovis.arithmetic import exact_float32
from neurovis.calling import network_inputs, one_input
from neurovis.class_names import class_names
from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import kernel_layouts
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.layer_reader import LayerReader
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.objectives import Objective, as_objective
from neurovis.receptive_fields import Box, Field, clipped_box, known_fields
from neurovis.recording import undisturbed

#: What kernels are judged by, as :func:`~neurovis.maximization.objectives.as_objective` takes it.
AnyObjective = str | Objective | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Places:
    """Parts of the image that a layer's units see.

    Attributes:
        map_size: Size of the layer's maps; ``()`` for layers without one.
        image_size: Height and width of the image.
        field: Field of the layer; None if it is unknown, and then every unit sees the whole image.
        one_unit: Whether it is always the same unit of a map that is read, such as the center.
    """

    map_size: tuple[int, ...]
    image_size: tuple[int, int]
    field: Field | None
    one_unit: bool = False

    def box(self, unit: int) -> Box:
        """The pixels that a unit's receptive field spans, which may lie beyond the image.

        Args:
            unit: Its number in the map, row by row.
        """
        whole = (0, 0, *self.image_size)
        if self.field is None:
            return whole
        row, column = divmod(unit, self.map_size[1]) if self.map_size else (0, 0)
        box = self.field.pixels((row, column)) or whole
        top, left, bottom, right = box
        # One that sees only padding is the same for all images.
        misses = bottom <= 0 or right <= 0 or top >= whole[2] or left >= whole[3]
        return whole if misses else box

    def clipped(self, unit: int) -> Box:
        """The part of the image that a unit may see."""
        return clipped_box(self.box(unit), self.image_size)

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width that the part of the image which any unit sees fits into."""
        if self.field is None or self.field.size is None:
            return self.image_size
        height, width = (
            min(seen, pixels) for seen, pixels in zip(self.field.size, self.image_size, strict=True)
        )
        return height, width


@dataclass(frozen=True)
class ReadLayer:
    """Reader of one layer's kernels.

    Attributes:
        name: Dotted.
        kernels: The ``K`` that are asked for.
        objective: From activations ``(B, K, ...)`` to numbers ``(B, N)``, and to their maps.
        read_units: ``(P,)``, which units the objective reads.
        places: Where they look.
        class_names: Names of all of the layer's kernels, where they are classes.
    """

    name: str
    kernels: list[int]
    objective: Objective
    read_units: Tensor
    places: Places
    class_names: Sequence[str] = ()

    def __call__(self, activation: Tensor) -> tuple[Tensor, Tensor]:
        """Each kernel's number and the number of its most active unit, both ``(B, K)``."""
        activation = activation.float()
        values = self.objective(activation)[:, self.kernels]
        maps = self.objective.maps(activation)[:, self.kernels]
        units = maps.flatten(2) if maps.ndim > 2 else maps[:, :, None]
        unread = ~self.read_units.to(units.device)
        return values, units.masked_fill(unread, -torch.inf).argmax(-1)


class TopReader:
    """Reads chosen kernels of some layers in one forward.

    To be called inside :func:`~neurovis.recording.undisturbed`, or with a frozen network.

    Args:
        network: On any device.
        layers: For each layer its kernels: ``"all"``, ``"0-15,20"`` or numbers.
        spec: What the network is shown.
        objective: What a kernel is judged by.

    Attributes:
        layers: How each is read, by name.
        by: Name of the objective.

    Raises:
        ValueError: If the network cannot take such images, or there is no such layer, kernel or
            objective.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Mapping[str, KernelSelection],
        spec: InputSpec,
        objective: AnyObjective = "mean",
    ) -> None:
        self.network = one_input(network, spec)
        self.spec = spec
        self.by: str = getattr(objective, "__name__", str(objective))
        chosen = as_objective(objective)
        with undisturbed(self.network), torch.no_grad():
            example = spec.example()
            fields = known_fields(self.network, example, layers)
            layouts = kernel_layouts(self.network, layers, example, fields)
            self._reader = LayerReader(self.network, layouts)
            self.layers = {
                name: self._read_layer(name, kernels, chosen, fields.get(name))
                for name, kernels in layers.items()
            }

    def read_from(self, network: nn.Module) -> None:
        """Read another copy of the network from now on."""
        self.network = one_input(network, self.spec)
        known = self._reader
        self._reader = LayerReader(self.network, known.layouts, calls=known.calls)

    @exact_float32()
    def __call__(self, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return for each layer its kernels' numbers and most active units, both ``(B, K)``.

        Args:
            images: ``(B, C, H, W)`` in [0, 1].
        """
        units: dict[str, Tensor] = {}

        def read(name: str, _: tuple[Any, ...], activation: Tensor) -> Tensor:
            values, units[name] = self.layers[name](activation)
            return values

        inputs = network_inputs(self.network, self.spec, images)
        with torch.autocast(inputs.device.type, enabled=False):
            values = self._reader(inputs, read)
        return {name: (values[name], units[name]) for name in self.layers}

    def _read_layer(
        self,
        name: str,
        kernels: KernelSelection,
        objective: Objective,
        field: Field | None,
    ) -> ReadLayer:
        layout = self._reader.layouts[name]
        response = LayerResponse(self.network, name, self.spec, layout)
        activation = response.checked(noise_images(self.spec, count=2)).float()
        if objective.reads_center:
            response.check_center(activation)
        objective = objective.prepared(response)
        values, found = objective(activation), objective.maps(activation)
        if values.ndim != 2 or values.shape != found.shape[:2] or len(values) != len(activation):
            raise ValueError(
                "an objective must return one number for each image and kernel, "
                f"{tuple(found.shape[:2])}; it returned {tuple(values.shape)}"
            )
        map_size = tuple(found.shape[2:])
        if field is not None and (field.units != (map_size or (1, 1)) or field.extents is None):
            field = None
        read_units = _read_units(objective, activation[:1], prod(map_size))
        one_unit = int(read_units.sum()) == 1 < len(read_units)
        return ReadLayer(
            name=name,
            kernels=select_kernels(kernels, values.shape[1], name),
            objective=objective,
            read_units=read_units,
            places=Places(map_size, self.spec.size, field, one_unit),
            class_names=class_names(self.network, name, activation.shape[1])
            if objective.noun == "kernel"
            else (),
        )


def _read_units(objective: Callable[[Tensor], Tensor], activation: Tensor, count: int) -> Tensor:
    """Return True for units that an objective reads, by its gradient where all are equally active.

    The mean and the maximum read all of them, the center and a position one.

    Args:
        objective: From activations to ``(B, N)``.
        activation: ``(1, N, ...)``, such as the layer has.
        count: Units in a map.
    """
    everywhere = torch.ones(count, dtype=torch.bool)
    with torch.enable_grad():
        even = torch.ones_like(activation, requires_grad=True)
        values = objective(even)
        if not values.requires_grad:
            return everywhere
        (gradient,) = torch.autograd.grad(values.sum(), even, allow_unused=True)
    if gradient is None:
        return everywhere
    read = gradient.nan_to_num().flatten(2).ne(0).any(1)[0].cpu() if gradient.ndim > 2 else None
    return read if read is not None and len(read) == count and bool(read.any()) else everywhere
