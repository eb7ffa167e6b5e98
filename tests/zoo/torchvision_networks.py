"""Networks of torchvision, made small and without weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import detection, segmentation, video
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2
from torchvision.models.video.mvit import MSBlockConfig

from neurovis import InputSpec
from zoo.case import Case, dilated_windows, first, kernels_last, maps, tokens, windows

_IMAGES = InputSpec.rgb(64)
_VIDEO = InputSpec.video(4, 32)
_RANDOM: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": 5}
_SWIN: dict[str, Any] = {
    **{"patch_size": [4, 4], "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2]},
    **{"window_size": [4, 4], "num_classes": 5},
}
_ENCODER = "encoder.layers.encoder_layer_1"
_MAXVIT = "blocks.0.layers.0.layers"
_UNTOLD = "does not tell which dimension of its output counts kernels"
_NOT_BY_IMAGE = "has no kernels that are read image by image"
_DETECTIONS = "returns a list of detections for each image"


def _convnext() -> nn.Module:
    blocks = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 1), CNBlockConfig(24, None, 1)]
    return models.ConvNeXt(blocks, layer_scale=1.0, num_classes=5)


def _vgg() -> nn.Module:
    network = models.VGG(models.vgg.make_layers([8, "M", 16, "M"]), init_weights=False)
    network.classifier = nn.Sequential(nn.Linear(16 * 49, 32), nn.ReLU(), nn.Linear(32, 5))
    return network


def _mvit() -> nn.Module:
    kernel = [3, 3, 3]
    blocks = [
        MSBlockConfig(1, 8, 16, [], [1, 2, 2], [], kernel),
        MSBlockConfig(2, 16, 16, kernel, [1, 2, 2], [1, 2, 2], kernel),
    ]
    return video.MViT((32, 32), 4, blocks, False, False, False, False, num_classes=5)


def _of_frames(network: nn.Module, images: Tensor) -> Any:
    return network(images.unflatten(1, (4, 3)).transpose(1, 2))


def _best_scores(detections: Any) -> Tensor:
    return torch.stack([found["scores"].amax() for found in detections])[:, None]


def _detection_loss(network: nn.Module, images: Tensor) -> Tensor:
    box = {"boxes": torch.tensor([[8.0, 8.0, 40.0, 48.0]]), "labels": torch.tensor([1])}
    return sum(network(list(images), [box] * len(images)).values())


def _classification(name: str, make: Any, layers: dict[str, Any], is_quick: bool = False) -> Case:
    return Case(name, make, layers, _IMAGES, is_quick=is_quick)


def _detector(name: str, make: Any, layers: dict[str, Any], refused: dict[str, str]) -> Case:
    return Case(
        name,
        make,
        layers,
        InputSpec.rgb(64, mean=(0.0,) * 3, std=(1.0,) * 3),
        scores=_best_scores,
        output="scores",
        loss=_detection_loss,
        refused={"scores default": _DETECTIONS, **refused},
    )


TORCHVISION = [
    Case(
        "ResNet",
        partial(models.ResNet, BasicBlock, [1, 1, 1, 1], num_classes=5),
        {"conv1": maps, "layer1.0.relu@2": maps, "layer2": maps, "avgpool": maps, "fc": maps},
        _IMAGES,
        is_quick=True,
    ),
    Case(
        "SqueezeNet",
        partial(models.squeezenet1_1, num_classes=5),
        {
            "features.0": maps,
            "features.3": maps,
            "features.3.expand3x3": maps,
            "classifier.1": maps,
        },
        _IMAGES,
        is_quick=True,
    ),
    Case(
        "DenseNet",
        partial(models.DenseNet, 8, (2, 2), 16, num_classes=5),
        {
            "features.denseblock1.denselayer2.conv1": maps,
            "features.denseblock1.denselayer2": maps,
            "features": maps,
            "classifier": maps,
        },
        _IMAGES,
        is_quick=True,
    ),
    Case(
        "ConvNeXt",
        _convnext,
        {
            "features.0": maps,
            "features.1.0.block.2": kernels_last,
            "features.3.0.block.4": kernels_last,
            "features.3.0.block.5": kernels_last,
            "features.3.0": maps,
            "features.4.0": maps,
            "classifier.2": maps,
        },
        is_quick=True,
    ),
    Case(
        "ViT",
        partial(models.VisionTransformer, 32, 8, 2, 2, 16, 32, num_classes=5),
        {
            "conv_proj": maps,
            f"{_ENCODER}.ln_1": tokens(4, 4, before=1),
            f"{_ENCODER}.self_attention": first(tokens(4, 4, before=1)),
            f"{_ENCODER}.mlp.0": tokens(4, 4, before=1),
            f"{_ENCODER}.mlp.1": tokens(4, 4, before=1),
            _ENCODER: tokens(4, 4, before=1),
            "encoder.ln": tokens(4, 4, before=1),
            "heads.head": maps,
        },
        is_quick=True,
    ),
    Case(
        "Swin",
        partial(models.SwinTransformer, **_SWIN),
        {
            "features.0": kernels_last,
            "features.1.1.attn": kernels_last,
            "features.1.1.mlp.1": kernels_last,
            "features.2.reduction": kernels_last,
            "features.3.1": kernels_last,
            "norm": kernels_last,
            "head": maps,
        },
        is_quick=True,
    ),
    _classification("VGG", _vgg, {"features.0": maps, "features.4": maps, "classifier.0": maps}),
    Case(
        # Its auxiliary scores need images of 299 pixels; GoogLeNet has such, too.
        "Inception",
        partial(models.Inception3, num_classes=5, init_weights=False, aux_logits=False),
        {"Conv2d_1a_3x3.conv": maps, "Mixed_5b": maps, "Mixed_7c.branch3x3_2a.conv": maps},
        InputSpec.rgb(96),
    ),
    _classification(
        "GoogLeNet",
        partial(models.GoogLeNet, num_classes=5, init_weights=False),
        {"conv1": maps, "inception3a": maps, "inception4a.branch2.1.conv": maps, "fc": maps},
    ),
    _classification(
        "ShuffleNet",
        partial(models.shufflenet_v2_x0_5, num_classes=5),
        {"conv1.0": maps, "stage2.0": maps, "stage2.1.branch2.3": maps, "stage3": maps},
    ),
    _classification(
        "MobileNetV3",
        partial(models.mobilenet_v3_small, num_classes=5),
        {
            "features.0.2": maps,
            "features.1.block.1": maps,
            "features.1.block.1.scale_activation": maps,
            "features.4": maps,
            "classifier.3": maps,
        },
    ),
    _classification(
        "EfficientNet",
        partial(models.efficientnet_b0, num_classes=5),
        {"features.0.0": maps, "features.2.0.block.2": maps, "features.3": maps, "avgpool": maps},
    ),
    _classification(
        "RegNet",
        partial(models.regnet_y_400mf, num_classes=5),
        {"stem.0": maps, "trunk_output.block1.block1-0.f.b.0": maps, "trunk_output": maps},
    ),
    _classification(
        "MNASNet",
        partial(models.mnasnet0_5, num_classes=5),
        {"layers.0": maps, "layers.8": maps, "classifier.1": maps},
    ),
    Case(
        "Swin v2",
        partial(
            models.SwinTransformer,
            **_SWIN,
            block=SwinTransformerBlockV2,
            downsample_layer=PatchMergingV2,
        ),
        {
            "features.1.1.attn": kernels_last,
            "features.1.1.norm1": kernels_last,
            "features.1.1.mlp.1": kernels_last,
            "features.2": kernels_last,
            "features.3.1": kernels_last,
            "features.1.0.attn.cpb_mlp.0": kernels_last,
        },
        refused={
            "features.1.0.attn.cpb_mlp.0": _NOT_BY_IMAGE,
        },
    ),
    Case(
        "MaxViT",
        partial(models.MaxVit, (32, 32), 16, 4, [16, 16], [1, 1], 8, 0.0, num_classes=5),
        {
            "stem.0.0": maps,
            f"{_MAXVIT}.MBconv": maps,
            f"{_MAXVIT}.window_attention.attn_layer.0": windows(8, 4),
            f"{_MAXVIT}.window_attention.attn_layer.1.to_qkv": windows(8, 4),
            f"{_MAXVIT}.grid_attention.attn_layer.1": dilated_windows(8, 4),
            f"{_MAXVIT}.grid_attention.mlp_layer.2": dilated_windows(8, 4),
            "blocks.1": maps,
        },
    ),
    Case(
        "DeepLabV3",
        partial(segmentation.deeplabv3_mobilenet_v3_large, **_RANDOM, aux_loss=True),
        {"backbone.0.0": maps, "classifier.0.convs.1.0": maps, "classifier.0": maps},
        _IMAGES,
        scores=lambda output: output["out"],
    ),
    Case(
        "FCN",
        partial(segmentation.fcn_resnet50, **_RANDOM),
        {"backbone.conv1": maps, "backbone.layer4": maps, "classifier.4": maps},
        _IMAGES,
        scores=lambda output: output["out"],
    ),
    Case(
        "LRASPP",
        partial(segmentation.lraspp_mobilenet_v3_large, **_RANDOM),
        {"classifier.cbr.0": maps, "classifier.cbr": maps, "classifier.low_classifier": maps},
        _IMAGES,
        scores=lambda output: output["out"],
    ),
    _detector(
        "Faster R-CNN",
        partial(
            detection.fasterrcnn_mobilenet_v3_large_320_fpn,
            **_RANDOM,
            min_size=64,
            box_score_thresh=0.0,
        ),
        {
            "backbone.body.0.0": maps,
            "backbone.fpn.inner_blocks.0.0": maps,
            "rpn.head.conv.0.0@1": maps,
            "roi_heads.box_head.fc6": maps,
        },
        {"roi_heads.box_head.fc6": _NOT_BY_IMAGE},
    ),
    _detector(
        "RetinaNet",
        partial(detection.retinanet_resnet50_fpn, **_RANDOM, min_size=64, score_thresh=0.0),
        {"backbone.body.conv1": maps, "head.classification_head.cls_logits@2": maps},
        {},
    ),
    _detector(
        "SSDlite",
        partial(detection.ssdlite320_mobilenet_v3_large, **_RANDOM, score_thresh=0.0),
        {
            "backbone.features.0.0.0": maps,
            "backbone.features.0.1": maps,
            "head.classification_head.module_list.0.1": maps,
        },
        {"backbone.features.0.1": _UNTOLD},
    ),
    Case(
        "R3D (video)",
        partial(video.r3d_18, num_classes=5),
        {"stem.0": maps, "stem.1": maps, "layer2.0.conv1.0": maps, "layer2": maps, "fc": maps},
        _VIDEO,
        call=_of_frames,
        refused={"layer2": _UNTOLD},
    ),
    Case(
        "MViT (video)",
        _mvit,
        {
            "conv_proj": maps,
            "blocks.0.norm1": tokens(2, 8, 8, before=1),
            "blocks.0.attn.qkv": tokens(2, 8, 8, before=1),
            "blocks.0": first(tokens(2, 8, 8, before=1)),
            "blocks.1.mlp.1": tokens(2, 4, 4, before=1),
            "norm": tokens(2, 4, 4, before=1),
            "head.1": maps,
        },
        _VIDEO,
        call=_of_frames,
    ),
    Case(
        "Swin3D (video)",
        partial(video.SwinTransformer3d, [2, 4, 4], 16, [2], [2], [2, 4, 4], num_classes=5),
        {
            "patch_embed.proj": maps,
            "features.0.1.attn": kernels_last,
            "features.0.1.mlp.0": kernels_last,
            "norm": kernels_last,
            "head": maps,
        },
        _VIDEO,
        call=_of_frames,
        refused={"features.0.1.attn": _UNTOLD},
    ),
]
