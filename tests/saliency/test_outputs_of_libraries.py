"""Outputs and Grad-CAM's layer of networks that libraries build, without weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.saliency import kernel_saliency

#: A vision transformer of 4 x 4 patches, by the names that transformers has for it.
SMALL = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 32, "image_size": 32, "patch_size": 8},
}


def of_transformers(name: str, **config: Any) -> nn.Module:
    """A network of transformers by the name of its class, with random weights everywhere."""
    transformers = pytest.importorskip("transformers")
    network = getattr(transformers, name)
    return _random(network(network.config_class(**config)))


def of_timm(name: str, **arguments: Any) -> nn.Module:
    """A network of timm, with random weights everywhere."""
    return _random(pytest.importorskip("timm").create_model(name, **arguments))


def _random(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network.eval()


def tokens(read: Tensor) -> Tensor:
    """The grid of tokens behind a class token, kernels second."""
    return read[:, 1:].movedim(-1, 1).unflatten(-1, (4, 4))


def rows(read: Tensor) -> Tensor:
    """A grid of tokens without others, kernels second."""
    side = round(read.shape[1] ** 0.5)
    return read.movedim(-1, 1).unflatten(-1, (side, side))


#: By network: how it is built, Grad-CAM's layer, and how its output is read as maps.
CLASSIFIERS: dict[str, tuple[Callable[[], nn.Module], str, Callable[[Tensor], Tensor]]] = {
    "ViTForImageClassification": (
        lambda: of_transformers("ViTForImageClassification", **SMALL, num_labels=5),
        "vit.layers.1.layernorm_before",
        tokens,
    ),
    "SwinForImageClassification": (
        lambda: of_transformers(
            "SwinForImageClassification",
            **{"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1]},
            **{"num_heads": [2, 2], "window_size": 4, "num_labels": 5},
        ),
        "swin.layernorm",
        rows,
    ),
    "ConvNextForImageClassification": (
        lambda: of_transformers(
            "ConvNextForImageClassification",
            **{"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "num_labels": 5},
        ),
        "convnext.encoder.stages.1.layers.0",
        lambda read: read,
    ),
    "timm's vit": (
        lambda: of_timm(
            "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, embed_dim=12, num_classes=5
        ),
        "blocks.1.norm1",
        tokens,
    ),
    "timm's mixer": (
        lambda: of_timm("mixer_s16_224", img_size=64, num_classes=5),
        "norm",
        rows,
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name: str) -> None:
    build, layer, arranged = CLASSIFIERS[name]
    size = 64 if "mixer" in name else 32
    network, images = build(), torch.rand(2, 3, size, size)
    found = kernel_saliency(network, images, None, "strongest", "gradcam")
    assert found.gradcam_layer == layer
    read: list[Tensor] = []
    module = network.get_submodule(layer)
    handle = module.register_forward_hook(lambda *arguments: read.append(arguments[-1]))
    output = network(images)
    handle.remove()
    scores = getattr(output, "logits", output)
    assert found.kernels == scores.argmax(1).tolist()
    (gradient,) = torch.autograd.grad(scores.amax(1).sum(), read[0])
    maps, weights = arranged(read[0].detach()), arranged(gradient).mean((2, 3), keepdim=True)
    coarse = (maps * weights).sum(1, keepdim=True).relu()
    expected = F.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.maps, expected)


BACKBONES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ViTModel": (
        lambda: of_transformers("ViTModel", **SMALL),
        r'"last_hidden_state" \(2, 17, 16\), "pooler_output" \(2, 16\).*output="pooler_output"',
    ),
    "Dinov2Model": (
        lambda: of_transformers("Dinov2Model", **SMALL),
        r'"last_hidden_state" \(2, 17, 16\), "pooler_output" \(2, 16\).*output="pooler_output"',
    ),
    "CLIPVisionModelWithProjection": (
        lambda: of_transformers("CLIPVisionModelWithProjection", **SMALL, projection_dim=6),
        r'"image_embeds" \(2, 6\), "last_hidden_state" \(2, 17, 16\).*output="image_embeds"',
    ),
    "YolosForObjectDetection": (
        lambda: of_transformers(
            "YolosForObjectDetection",
            **{**SMALL, "image_size": [32, 32]},
            num_labels=4,
            num_detection_tokens=5,
        ),
        r'"logits" \(2, 5, 5\), "pred_boxes" \(2, 5, 4\)',
    ),
    "timm's vit without head": (
        lambda: of_timm(
            "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, embed_dim=12, num_classes=0
        ),
        r'"output" \(2, 12\).*output="output"',
    ),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_have_no_class_scores(name: str) -> None:
    build, message = BACKBONES[name]
    with pytest.raises(ValueError, match=f"no certain class scores: {message}"):
        kernel_saliency(build(), torch.rand(2, 3, 32, 32), None, "strongest")


def test_named_outputs_of_a_backbone() -> None:
    network = of_transformers("Dinov2Model", **SMALL)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    output = network(images)
    values = output.last_hidden_state[:, 1 + 2 * 4 + 3, 7], output.pooler_output[:, 7]
    for value, (name, readout) in zip(
        values, (("last_hidden_state", (2, 3)), ("pooler_output", None)), strict=True
    ):
        (expected,) = torch.autograd.grad(value.sum(), images, retain_graph=True)
        found = kernel_saliency(network, images, None, 7, output=name, readout=readout)
        torch.testing.assert_close(found.values, value.detach())
        torch.testing.assert_close(found.maps, expected)


@pytest.mark.slow
def test_boxes_of_a_detector_of_torchvision() -> None:
    torch.manual_seed(0)
    network = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=5, min_size=96, max_size=96
    ).eval()
    images = torch.rand(2, 3, 96, 96, requires_grad=True)
    detections = network(images)
    classes = detections[0]["labels"].unique().tolist()
    assert classes
    for name, of_class in (("scores", None), (f"scores.{classes[-1]}", classes[-1])):
        best = torch.stack(
            [
                one["scores"][(one["labels"] == of_class) | (of_class is None)].max()
                for one in detections
            ]
        )
        (expected,) = torch.autograd.grad(best.sum(), images, retain_graph=True)
        found = kernel_saliency(network, images, None, "strongest", output=name)
        torch.testing.assert_close(found.values, best.detach())
        torch.testing.assert_close(found.maps, expected)
        assert found.maps.any()


def test_classes_of_a_segmenter_of_torchvision() -> None:
    torch.manual_seed(0)
    network = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4
    ).eval()
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    value = network(images)["out"][:, 2, 8:24, 16:40].mean()
    (expected,) = torch.autograd.grad(value, images)
    found = kernel_saliency(network, images, None, 2, readout=(8, 16, 24, 40))
    torch.testing.assert_close(found.values, value.detach()[None])
    torch.testing.assert_close(found.maps, expected)
    assert found.names == ["class 2"]
