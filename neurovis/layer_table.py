"""The table of a network's layers: how many kernels, how large a map, and what its units see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from neurovis.inputs import InputSpec, check_input_spec
from neurovis.layers import (
    LayerSelection,
    first_names,
    kernel_axis,
    resolve_layer,
    select_layers,
    unwrap,
)
from neurovis.receptive_fields import Field, Layout, known_fields, receptive_fields
from neurovis.recording import check_reached

_CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_WITH_KERNELS = (*_CONVOLUTIONS, nn.Linear, nn.Bilinear)
#: Layers whose channels are always in dimension 1.
_CHANNELS_FIRST = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a network, as one row of ``neurovis layers``.

    Args:
        name: Dotted name, as in ``model.named_modules()``.
        type: Class of the module.
        kernels: Number of kernels; None where that is unknown.
        output_size: ``(H, W)`` of the output, or whatever other dimensions it has between the
            batch and the kernels; ``()`` for vectors. None if the layer is not reached, or does
            not return one tensor of one shape.
        stride: Pixels of the input from a unit to its neighbor: a number, or ``(vertical,
            horizontal)`` where they differ. None for vectors and where it is unknown.
        receptive_field: Side in pixels of the theoretical receptive field, or ``(height, width)``
            where it is not square. It may exceed the input (padding counts); a layer that sees
            the image as a whole has the input's size. None where it is unknown, and for a
            layer that is called several times with different fields.
        calls: How often the layer is called in one forward; 0 if it is not reached.
        kernel_axis: Dimension of the output that counts the kernels; None where that is unknown.
    """

    name: str
    type: str
    kernels: int | None
    output_size: tuple[int, ...] | None
    stride: int | tuple[int, int] | None
    receptive_field: int | tuple[int, int] | None
    calls: int
    kernel_axis: int | None


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
        A row for each layer: its name, number of kernels, output size ``(H, W)``, stride and
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
    model = unwrap(model)
    check_input_spec(input_spec)
    modules = first_names(model)
    fields = receptive_fields(model, input_spec.example())
    reached = [name for name in fields if name in modules]
    in_order = [*reached, *(name for name in modules if name not in fields)]
    return [
        _layer_info(name, modules[name], fields.get(name))
        for name in in_order
        if kinds == "all" or isinstance(modules[name], _WITH_KERNELS)
    ]


def kernel_layouts(model: nn.Module, layers: Iterable[str], example: Tensor) -> dict[str, Layout]:
    """The order of images, kernels and positions in the outputs of layers.

    A layer that owns its kernels tells by its type which dimension counts them. What others return
    (an activation in a channels-last stretch, say), and the order of tokens and windows, is
    followed through a forward.

    Args:
        model: The network; it is left exactly as it was found.
        layers: Dotted names.
        example: An image ``(1, C, H, W)`` in the network's space.

    Raises:
        ValueError: If there is no such layer, a forward does not reach it, or nothing tells which
            dimension it is.
    """
    modules = {name: resolve_layer(model, name) for name in layers}
    fields: dict[str, Field] = {}
    if all(isinstance(module, _WITH_KERNELS) for module in modules.values()):
        if not all(isinstance(module, _CONVOLUTIONS) for module in modules.values()):
            fields = known_fields(unwrap(model), example, modules)
    else:
        fields = receptive_fields(unwrap(model), example, modules)
        check_reached(model, {name: name in fields for name in modules})
    layouts = {}
    for name, module in modules.items():
        layout = _layout(module, fields.get(name))
        if layout is None:
            raise ValueError(
                f'layer "{name}" does not tell which dimension of its output counts kernels; name '
                "a layer that owns them, such as a convolution or a linear layer"
            )
        layouts[name] = layout
    return layouts


def usable_layers(
    model: nn.Module, selection: LayerSelection, example: Tensor
) -> dict[str, Layout]:
    """The layers that a selection means and whose activations can be taken, with their layouts.

    Layers that are named must be usable, see :func:`kernel_layouts`. Layers selected by type are
    left out if a forward does not call them exactly once, or if nothing tells which dimension
    counts their kernels.

    Args:
        model: The network; it is left exactly as it was found.
        selection: As in :func:`~neurovis.layers.select_layers`.
        example: An image ``(1, C, H, W)`` in the network's space.

    Returns:
        The layout of each layer's output, by name.

    Raises:
        ValueError: If a layer does not exist or cannot be used, or none is left.
    """
    parts = [selection] if isinstance(selection, (str, type)) else list(selection)
    names = select_layers(model, parts)
    if set(names) <= set(parts):
        return kernel_layouts(model, names, example)
    fields = receptive_fields(unwrap(model), example)
    layouts: dict[str, Layout] = {}
    for name in names:
        field = fields.get(name)
        layout = _layout(resolve_layer(model, name), field)
        if name in parts:
            layouts |= kernel_layouts(model, [name], example)
        elif layout is not None and field is not None and field.calls == 1:
            layouts[name] = layout
    if not layouts:
        raise ValueError(
            f"of the layers selected by {', '.join(map(str, parts))} none is called exactly once "
            "in a forward; give layers by name"
        )
    return layouts


def _layout(module: nn.Module, field: Field | None) -> Layout | None:
    """The layout of a layer's output; None where nothing tells which dimension counts kernels."""
    axis = _kernel_axis(module, field)
    return None if axis is None else Layout.of(None if field is None else field.trace, axis)


def _kernel_axis(module: nn.Module, field: Field | None) -> int | None:
    """The dimension by the layer's type, or as it was followed; None where neither tells."""
    by_type = kernel_axis(module)
    if by_type != 1 or isinstance(module, (*_WITH_KERNELS, *_CHANNELS_FIRST)):
        return by_type
    if field is None:
        return None
    is_vector = field.output_shape is not None and len(field.output_shape) == 2
    return 1 if is_vector else field.kernel_axis


def _layer_info(name: str, module: nn.Module, field: Field | None) -> LayerInfo:
    """Return the row of one layer, which is not reached if ``field`` is None."""
    axis = _kernel_axis(module, field)
    kernels = getattr(module, "out_channels", getattr(module, "out_features", None))
    output_size = None
    if field is not None and field.output_shape is not None and len(field.output_shape) > 1:
        sizes = list(field.output_shape)
        if axis is None:
            kernels = None
        else:
            axis %= len(sizes)
            kernels = sizes.pop(axis)
        output_size = tuple(sizes[1:])
    return LayerInfo(
        name=name,
        type=type(module).__name__,
        kernels=kernels,
        output_size=output_size,
        stride=_one_if_equal(field.stride) if field else None,
        receptive_field=_one_if_equal(field.size) if field else None,
        calls=field.calls if field else 0,
        kernel_axis=axis,
    )


def _one_if_equal(pair: tuple[int, int] | None) -> int | tuple[int, int] | None:
    return pair[0] if pair is not None and pair[0] == pair[1] else pair
