"""Grad-CAM: the places in a layer's map, rather than the pixels, that raise a value.

It is ours, a few lines, because captum's reads a map that an in-place rectifier has overwritten.

Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
localization", ICCV 2017.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional as F

from neurovis.kernel_layouts import layout_of
from neurovis.layer_reader import LayerReader
from neurovis.layers import find_call, first_names, named_layers
from neurovis.outputs import first_tensor
from neurovis.receptive_fields import Field, Layout, known_fields
from neurovis.recording import check_called_once, hooked
from neurovis.saliency.question import Question
from neurovis.saliency.rectified import guided_backprop

#: Matches the names of layers inside an attention.
_ATTENTION = re.compile(r"(attn|attention)\w*\.")


def gradcam(question: Question) -> Tensor:
    """Return Grad-CAM's map of evidence for the value, ``(B, 1, H, W)``, nowhere negative."""
    layer, label = str(question.settings.gradcam_layer), question.value.target.label
    known = question.gradcam_layout
    reader = LayerReader(
        question.value.model, layer if known is None else {layer: known}, question.images[:1]
    )
    calls, values = _followed(question, [layer], keep_activations=True)
    call = calls.get(layer)
    gradient = None if call is None else _gradient(values, call)
    if call is None or call.activation is None or gradient is None:
        raise ValueError(
            f'gradcam_layer "{layer}" has no part in layer "{label}"; name a layer that comes '
            "before it"
        )
    batch = len(question.images)
    maps = reader.kernels_second(layer, call.activation, batch)
    weights = reader.kernels_second(layer, gradient, batch)
    if maps.ndim != 4:
        raise ValueError(
            f'gradcam_layer "{layer}" needs maps (B, K, H, W); its activation has shape '
            f"{tuple(call.activation.shape)}"
        )
    if gradient.any() and not weights.any():
        raise ValueError(
            f'the positions of gradcam_layer "{layer}" have no part in layer "{label}", which sees '
            "its class token alone; name a layer that comes before it"
        )
    coarse = (weights.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
    return F.interpolate(coarse, question.images.shape[2:], mode="bilinear", align_corners=False)


def guided_gradcam(question: Question) -> Tensor:
    """Grad-CAM's map times guided backprop's, ``(B, C, H, W)``."""
    return gradcam(question) * guided_backprop(question)


def last_layer_with_positions(question: Question) -> tuple[str, Layout]:
    """Find the last layer with weights and positions by which the value depends on the images.

    Returns its name, or that of one of its calls, and its layout.

    Layers are convolutions, norms, linear layers and blocks, of maps or of tokens, but not the
    projections inside an attention. The class token has no position: layers of a transformer whose
    other tokens lead nowhere are passed over.

    Raises:
        ValueError: If there is none.
    """
    layouts = _layers_with_positions(question)
    calls, values = _followed(question, list(layouts))
    leading = None
    for layer in reversed(layouts):
        gradient = _gradient(values, calls[layer]) if layer in calls else None
        if gradient is None:
            continue
        leading = leading or layer
        if layouts[layer].kernels_second(gradient, len(question.images)).any():
            leading = layer
            break
    # If no gradient is left, nothing drives the value: its map is empty, whatever the layer.
    if leading is not None:
        edge = calls[leading].edge
        # A block that returns what its last part does goes by the name of that part.
        first = next(layer for layer, call in calls.items() if call.edge == edge)
        return first, layouts[first]
    raise ValueError(
        f"no convolution or block with a map larger than 1 x 1 leads to layer "
        f'"{question.value.target.label}"; name a gradcam_layer, or use another method'
    )


def _layers_with_positions(question: Question) -> dict[str, Layout]:
    """Layers with weights and a map larger than 1 x 1, by their last outputs, before the target."""
    network, target = question.value.model, question.value.target
    fields = known_fields(network, question.images[:1], [target.name] if target.name else [])
    found: dict[str, Layout] = {}
    for name, module in _in_order(network, fields):
        if name == target.name:
            break
        field = fields[name]
        layout = layout_of(module, field)
        is_left_out = (
            next(module.parameters(), None) is None
            or type(module).forward is nn.Sequential.forward
            or _ATTENTION.search(name)
        )
        if layout is None or field.output_shape is None or is_left_out:
            continue
        output = torch.empty(field.output_shape, device="meta")
        try:
            sizes = layout.kernels_second(output, layout.images_in(output)).shape[2:]
        except ValueError:
            continue
        if len(sizes) == 2 and max(sizes) > 1:
            found[name] = layout
    return found


def _in_order(network: nn.Module, fields: Mapping[str, Field]) -> Iterator[tuple[str, nn.Module]]:
    """Yield layers by their first names in the order of their last outputs, or these calls."""
    modules = first_names(network)
    for name in [name for name in fields if name in modules]:
        calls = fields[name].calls
        yield (name if calls == 1 else f"{name}@{calls}"), modules[name]


class _Call(NamedTuple):
    """Output of a layer: where its gradient arrives, and its values if they are kept."""

    edge: GradientEdge
    activation: Tensor | None


def _followed(
    question: Question, layers: list[str], *, keep_activations: bool = False
) -> tuple[dict[str, _Call], Tensor]:
    """The calls of layers in one forward, and the values ``(B,)``, both under gradients."""
    every = named_layers(question.value.model)
    wanted: dict[str, list[tuple[str, int | None]]] = {}
    modules: dict[str, nn.Module] = {}
    for layer in layers:
        module, number = find_call(every, layer)
        if module is not None:
            name = layer if number is None else layer.rpartition("@")[0]
            modules[name] = module
            wanted.setdefault(name, []).append((layer, number))
    counts = dict.fromkeys(modules, 0)
    calls: dict[str, _Call] = {}

    def follow(name: str, _module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        counts[name] += 1
        tensor = first_tensor(name, output)
        if tensor.requires_grad:
            for layer, number in wanted[name]:
                if number in (None, counts[name]):
                    # Not the tensor: the layers that follow may work in place.
                    activation = tensor.detach().clone() if keep_activations else None
                    calls[layer] = _Call(get_gradient_edge(tensor), activation)

    # The recorder has counted its calls by now, so that this is a single forward.
    with hooked(modules, follow):
        values = question.value(question.images.clone().requires_grad_(), question.kernels)
    for name, meant in wanted.items():
        if (name, None) in meant:
            check_called_once(name, counts[name])
    return calls, values


def _gradient(values: Tensor, call: _Call) -> Tensor | None:
    if not values.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(values.sum(), call.edge, retain_graph=True, allow_unused=True)
    return gradient
