"""The table of a network's layers: how many kernels, how large a map, and what its units see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from neurovis.calling import one_input
from neurovis.inputs import InputSpec, check_input_spec
from neurovis.kernel_layouts import layout_of, owns_kernels
from neurovis.layers import check_recordable, first_names
from neurovis.receptive_fields import Field, receptive_fields


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a network, as one row of ``neurovis layers``.

    Args:
        name: Dotted name, as in ``model.named_modules()``; of one of several calls ``"conv@2"``.
        type: Class of the module.
        kernels: Number of kernels; None where that is unknown.
        output_size: ``(H, W)`` of the output, or whatever other dimensions it has between the
            batch and the kernels; ``()`` for vectors. None if the layer is not reached, or does
            not return one tensor of one shape.
        stride: Pixels of the input from a unit to its neighbor: a number, or ``(vertical,
            horizontal)`` where they differ. None for vectors and where it is unknown.
        receptive_field: Side in pixels of the theoretical receptive field, or ``(height, width)``
            where it is not square. It may exceed the input (padding counts); a layer that sees
            the image as a whole has the input's size. None where it is unknown.
        calls: How often the layer is called in one forward; 0 if it is not reached.
        kernel_dim: Dimension of the output that counts the kernels; None where that is unknown.
    """

    name: str
    type: str
    kernels: int | None
    output_size: tuple[int, ...] | None
    stride: int | tuple[int, int] | None
    receptive_field: int | tuple[int, int] | None
    calls: int
    kernel_dim: int | None


def list_layers(
    model: nn.Module, input_spec: InputSpec, kinds: Literal["kernels", "all"] = "kernels"
) -> list[LayerInfo]:
    """List a network's layers in the order in which a forward of one image calls them.

    Args:
        model: The network; it is left exactly as it was found.
        input_spec: What it is shown.
        kinds: ``"kernels"`` for the layers that own kernels (convolutions and linear layers),
            ``"all"`` for every named module. A block follows the layers inside it, as its
            output does. Layers that are not reached are last.

    Returns:
        A row for each layer, and for each call of one that a forward calls several times, named
        ``"conv@2"``: its name, number of kernels, output size ``(H, W)``, stride and
        receptive field in pixels of the input, and how often it is called.

    Raises:
        ValueError: If the model cannot run on such images, or ``kinds`` is unknown.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> for row in list_layers(model, InputSpec.rgb(32)):
        ...     print(row.name, row.kernels, row.output_size, row.stride, row.receptive_field)
        0 8 (14, 14) 2 5
        2 4 (12, 12) 2 9
    """
    if kinds not in ("kernels", "all"):
        raise ValueError(f'kinds must be "kernels" or "all"; got {kinds!r}')
    check_input_spec(input_spec)
    model = one_input(model, input_spec)
    modules = first_names(model)
    if not any(owns_kernels(module) for module in modules.values()):
        for name, module in modules.items():
            check_recordable(name, module)
    fields = receptive_fields(model, input_spec.example())
    reached = [name for name in fields if name in modules]
    in_order = [*reached, *(name for name in modules if name not in fields)]
    return [
        row
        for name in in_order
        if kinds == "all" or owns_kernels(modules[name])
        for row in _rows_of(name, modules[name], fields)
    ]


def _rows_of(name: str, module: nn.Module, fields: Mapping[str, Field]) -> Iterator[LayerInfo]:
    """The row of a layer, or of each of its calls."""
    field = fields.get(name)
    if field is None or field.calls < 2:
        yield _layer_info(name, module, field)
        return
    for number in range(1, field.calls + 1):
        call = f"{name}@{number}"
        yield replace(_layer_info(call, module, fields[call]), calls=field.calls)


def _layer_info(name: str, module: nn.Module, field: Field | None) -> LayerInfo:
    """Return the row of one layer, which is not reached if ``field`` is None."""
    kernels = getattr(module, "out_channels", getattr(module, "out_features", None))
    output_size = None
    layout = layout_of(module, field)
    kernel_dim = None if layout is None else layout.kernel_dim
    if field is not None and field.output_shape is not None and len(field.output_shape) > 1:
        output = torch.empty(field.output_shape, device="meta")
        if layout is None:
            kernels, output_size = None, tuple(output.shape[1:])
        else:
            _, kernels, *sizes = layout.kernels_second(output, layout.images_in(output)).shape
            output_size, kernel_dim = tuple(sizes), layout.kernel_dim % output.ndim
    return LayerInfo(
        name=name,
        type=type(module).__name__,
        kernels=kernels,
        output_size=output_size,
        stride=_one_if_equal(field.stride) if field and output_size else None,
        receptive_field=_one_if_equal(field.size) if field else None,
        calls=field.calls if field else 0,
        kernel_dim=kernel_dim,
    )


def _one_if_equal(pair: tuple[int, int] | None) -> int | tuple[int, int] | None:
    return pair[0] if pair is not None and pair[0] == pair[1] else pair
