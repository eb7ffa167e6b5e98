"""Grad-CAM: the places in a convolution's map, rather than the pixels, that raise a value.

It is ours, a few lines, because captum's reads a map that an in-place rectifier has overwritten.

Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
localization", ICCV 2017.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.layer_reader import LayerReader
from neurovis.layers import first_names, resolve_layer
from neurovis.receptive_fields import Layout
from neurovis.recording import hooked
from neurovis.saliency.question import Question
from neurovis.saliency.rectified import guided_backprop


def gradcam(question: Question) -> Tensor:
    """Return Grad-CAM's map of evidence for the value, ``(B, 1, H, W)``, nowhere negative."""
    chosen = question.settings.gradcam_layer
    if chosen is not None:
        reader = LayerReader(question.value.model, chosen, question.images[:1])
        found = _weighted_map(question, chosen, reader)
        if found is None:
            raise ValueError(
                f'gradcam_layer "{chosen}" has no part in layer "{question.value.target.label}"; '
                "name a layer that comes before it"
            )
        return found
    for layer in _convolutions_before(question):
        reader = LayerReader(question.value.model, {layer: Layout(1)})
        found = _weighted_map(question, layer, reader)
        if found is not None:
            return found
    raise ValueError(
        f'no convolution with a map larger than 1 x 1 leads to layer "'
        f'{question.value.target.label}"; name a gradcam_layer, or use another method'
    )


def guided_gradcam(question: Question) -> Tensor:
    """Grad-CAM's map times guided backprop's, ``(B, C, H, W)``."""
    return gradcam(question) * guided_backprop(question)


def _weighted_map(question: Question, layer: str, reader: LayerReader) -> Tensor | None:
    """The map of Grad-CAM at the images' size; None if the value does not depend on the layer."""
    images = question.images.clone().requires_grad_()
    activation, target = question.value.activation_with(layer, images)
    values = question.value.of_activation(target, question.kernels)
    gradient = None
    if values.requires_grad and activation.requires_grad:
        (gradient,) = torch.autograd.grad(values.sum(), activation, allow_unused=True)
    if gradient is None:
        return None
    maps, gradient = (
        reader.kernels_second(layer, part.detach(), len(images)) for part in (activation, gradient)
    )
    if maps.ndim != 4:
        raise ValueError(
            f'gradcam_layer "{layer}" needs maps (B, K, H, W); its activation has shape '
            f"{tuple(activation.shape)}"
        )
    weights = gradient.mean((2, 3), keepdim=True)
    coarse = (weights * maps).sum(1, keepdim=True).relu()
    return F.interpolate(coarse, question.images.shape[2:], mode="bilinear", align_corners=False)


def _convolutions_before(question: Question) -> list[str]:
    """Convolutions with maps that are called once before the target returns, the last one first."""
    value = question.value
    name = value.target.name
    target = None if name is None else resolve_layer(value.model, name)
    convolutions = {
        name: module
        for name, module in first_names(value.model).items()
        if module is not target and isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    }
    calls: list[str] = []
    with_map: set[str] = set()

    def follow(name: str, _module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        calls.append(name)
        if isinstance(output, Tensor) and output.ndim == 4 and max(output.shape[2:]) > 1:
            with_map.add(name)

    # The recorder has counted its calls by now, so that this is a single forward.
    with torch.no_grad(), hooked(convolutions, follow):
        value.activation(question.images[:1])
    return [name for name in reversed(calls) if name in with_map and calls.count(name) == 1]
