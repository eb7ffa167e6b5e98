"""Decide where the outputs of layers keep images, kernels and positions.

First counts what the user said (:func:`set_layout`), then the type of the layer, then what was
followed through a forward (:mod:`~neurovis.receptive_fields`); see :func:`layout_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from neurovis.layers import CONVOLUTIONS, LayerSelection, resolve_layer, select_layers, unwrap
from neurovis.receptive_fields import Field, Layout, known_fields, receptive_fields
from neurovis.recording import check_reached

#: Layers whose channels are always in the last dimension.
_FEATURES_LAST = (nn.Linear, nn.Bilinear)
_NORMALIZE_LAST = (nn.LayerNorm, nn.RMSNorm)
#: Layers whose channels are always in dimension 1.
_CHANNELS_FIRST = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
)
#: Layers that have them there unless a forward shows other places, such as tokens, there.
_POOLINGS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)


#: Attribute of a module with the layout of its output, where the user has given it.
_GIVEN = "kernel_layout"


def set_layout(
    network: nn.Module,
    layer: str,
    *,
    kernel_dim: int,
    token_grid: tuple[int, int] | None = None,
    prefix_tokens: int = 0,
) -> nn.Module:
    """Say where a layer's output keeps kernels and positions, where nothing else tells.

    From then on every function, command and monitor that reads the layer in this network, or in a
    copy of it, goes by that. The first dimension counts images.

    Args:
        network: It gets an attribute in the layer's module, and computes as before.
        layer: Dotted name.
        kernel_dim: The dimension that counts kernels; the last is -1.
        token_grid: Rows and columns of the image's tokens, for ``(B, tokens, K)``.
        prefix_tokens: Number of tokens before them, such as a class token.

    Returns:
        The network itself.

    Raises:
        ValueError: If there is no such layer, a number is out of its range, or ``prefix_tokens``
            are given without a ``token_grid``.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(2))
        >>> set_layout(network, "1", kernel_dim=1, token_grid=(2, 2)) is network
        True
    """
    module = resolve_layer(network, layer)
    if isinstance(kernel_dim, bool) or not isinstance(kernel_dim, int) or kernel_dim == 0:
        raise ValueError(
            f"kernel_dim must be a dimension after the first, such as 1 or -1; got {kernel_dim!r}"
        )
    if token_grid is None:
        if prefix_tokens:
            raise ValueError(f"prefix_tokens={prefix_tokens} need a token_grid, (rows, columns)")
        setattr(module, _GIVEN, Layout(kernel_dim))
        return network
    numbers = (*token_grid, prefix_tokens)
    if len(token_grid) != 2 or not all(isinstance(one, int) for one in numbers):
        raise ValueError(f"token_grid must be two numbers, rows and columns; got {token_grid!r}")
    if min(token_grid) < 1 or prefix_tokens < 0 or kernel_dim not in (1, 2, -1, -2):
        raise ValueError(
            "a token_grid needs rows and columns of at least 1, prefix_tokens of at least 0 and a "
            f"kernel_dim of 1 or 2; got {token_grid}, {prefix_tokens} and {kernel_dim}"
        )
    rows, columns = token_grid
    setattr(module, _GIVEN, Layout.of_tokens(kernel_dim % 3, (rows, columns), prefix_tokens))
    return network


def has_layout(module: nn.Module) -> bool:
    """True if the layout of a layer's output was given by :func:`set_layout`."""
    return hasattr(module, _GIVEN)


def owns_kernels(module: nn.Module) -> bool:
    """True for convolutions and linear layers."""
    return isinstance(module, (*CONVOLUTIONS, *_FEATURES_LAST))


def kernel_dim(module: nn.Module, field: Field | None = None) -> int | None:
    """The dimension of a layer's output that counts its kernels.

    It is 1 for convolutions and batch norms, for poolings unless a forward tells, and the last one
    for ``nn.Linear`` and the layer norms, which ConvNeXt and vision transformers apply to
    ``(N, H, W, K)`` or ``(N, tokens, K)``. A layer norm over several dimensions, or a subclass of
    one with a ``forward`` of its own (torchvision's ``LayerNorm2d``), may be applied to maps: its
    output, as that of all other layers, is known as far as it was followed through a forward.

    Args:
        module: The layer.
        field: What is known of its output; see :func:`~neurovis.receptive_fields.receptive_fields`.

    Returns:
        The dimension, perhaps negative; None where neither type nor forward tells.
    """
    if isinstance(module, _FEATURES_LAST):
        return -1
    if _normalizes_last(module):
        return -1
    if isinstance(module, _POOLINGS) and field is not None and field.kernel_dim is not None:
        return field.kernel_dim
    if isinstance(module, (*CONVOLUTIONS, *_CHANNELS_FIRST, *_POOLINGS)):
        return 1
    if field is None:
        return None
    is_vector = field.output_shape is not None and len(field.output_shape) == 2
    return 1 if is_vector else field.kernel_dim


def _normalizes_last(module: nn.Module) -> bool:
    """True for a norm of PyTorch's over the last dimension alone."""
    return (
        isinstance(module, _NORMALIZE_LAST)
        and any(type(module).forward is norm.forward for norm in _NORMALIZE_LAST)
        and len(module.normalized_shape) == 1
    )


def kernel_layouts(
    model: nn.Module,
    layers: Iterable[str],
    example: Tensor,
    fields: Mapping[str, Field] | None = None,
) -> dict[str, Layout]:
    """The order of images, kernels and positions in the outputs of layers.

    A layer that owns its kernels tells by its type which dimension counts them. What others return
    (an activation in a channels-last stretch, say), and the order of tokens and windows, is
    followed through a forward.

    Args:
        model: The network; it is left exactly as it was found.
        layers: Dotted names.
        example: An image ``(1, C, H, W)`` in the network's space.
        fields: Fields of the layers, if a forward was followed before; see
            :func:`~neurovis.receptive_fields.known_fields`.

    Raises:
        ValueError: If there is no such layer, a forward does not reach it, or nothing tells which
            dimension it is.
    """
    modules = {name: resolve_layer(model, name) for name in layers}
    if all(owns_kernels(module) or has_layout(module) for module in modules.values()):
        are_convolutions = all(
            isinstance(module, CONVOLUTIONS) or has_layout(module) for module in modules.values()
        )
        if fields is None:
            fields = {} if are_convolutions else known_fields(unwrap(model), example, modules)
    else:
        fields = fields or receptive_fields(unwrap(model), example, modules)
        check_reached(model, {name: name in fields for name in modules})
    return {name: _known_layout(name, module, fields) for name, module in modules.items()}


def _known_layout(name: str, module: nn.Module, fields: Mapping[str, Field]) -> Layout:
    field = fields.get(name)
    layout = layout_of(module, field)
    if layout is None and field is not None and _is_lost(field):
        raise ValueError(
            f'layer "{name}" has no kernels that are read image by image: its output has shape '
            f"{field.output_shape} for one image, and nothing tells where images are in it"
        )
    if layout is None:
        raise ValueError(
            f'layer "{name}" does not tell which dimension of its output counts kernels; say it, '
            f'as in set_layout(network, "{name}", kernel_dim=1) or --layouts "{{{name}: '
            '{kernel_dim: 1}}", or name a layer that owns them, such as a convolution'
        )
    return layout


def usable_layers(
    model: nn.Module,
    selection: LayerSelection,
    example: Tensor,
    fields: Mapping[str, Field] | None = None,
) -> dict[str, Layout]:
    """The layers that a selection means and whose activations can be taken, with their layouts.

    Layers that are named must be usable, see :func:`kernel_layouts`. Layers selected by type are
    left out if a forward does not call them exactly once, or if nothing tells which dimension
    counts their kernels.

    Args:
        model: The network; it is left exactly as it was found.
        selection: As in :func:`~neurovis.layers.select_layers`.
        example: An image ``(1, C, H, W)`` in the network's space.
        fields: As of :func:`kernel_layouts`.

    Returns:
        The layout of each layer's output, by name.

    Raises:
        ValueError: If a layer does not exist or cannot be used, or none is left.
    """
    parts = [selection] if isinstance(selection, (str, type)) else list(selection)
    names = select_layers(model, parts)
    if set(names) <= set(parts):
        return kernel_layouts(model, names, example, fields)
    fields = fields or receptive_fields(unwrap(model), example)
    layouts: dict[str, Layout] = {}
    for name in names:
        module, field = resolve_layer(model, name), fields.get(name)
        layout = layout_of(module, field)
        if name in parts:
            if not owns_kernels(module) and not has_layout(module):
                check_reached(model, {name: field is not None})
            layouts[name] = _known_layout(name, module, fields)
        elif layout is not None and field is not None and field.calls == 1:
            layouts[name] = layout
    if not layouts:
        raise ValueError(
            f"of the layers selected by {', '.join(map(str, parts))} none is called exactly once "
            "in a forward; give layers by name"
        )
    return layouts


def layout_of(module: nn.Module, field: Field | None) -> Layout | None:
    """The layout of a layer's output; None where nothing tells where kernels or images are.

    Args:
        module: The layer.
        field: What is known of its output.
    """
    if has_layout(module):
        given: Layout = getattr(module, _GIVEN)
        return given
    dim = kernel_dim(module, field)
    if dim is None or (field is not None and _is_lost(field)):
        return None
    trace = None if field is None else field.trace
    # What may be heads and tokens is no map, unless a layer has kernels second by its type.
    return Layout.of(trace, dim, is_map=trace is not None or dim == 1)


def _is_lost(field: Field) -> bool:
    """True if an output was not followed, and does not have one image first."""
    return field.trace is None and field.output_shape is not None and field.output_shape[:1] != (1,)
