"""Networks of timm, transformers, segmentation_models_pytorch and open_clip, made small."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from torch import nn

from neurovis import InputSpec
from zoo.case import Case, dilated_windows, first, kernels_last, maps, tokens, windows

_WIDE = InputSpec.rgb((32, 48))
_IMAGES = InputSpec.rgb(64)
_VIT: dict[str, Any] = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
_SWIN: dict[str, Any] = {
    **{"img_size": 32, "window_size": 4, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2)},
}
_STAGES: dict[str, Any] = {"depths": (1, 1, 1, 1), "dims": (8, 16, 16, 16)}
_CONFIG: dict[str, Any] = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 64, "image_size": 32, "patch_size": 8},
}
_SWIN_CONFIG: dict[str, Any] = {
    **{"image_size": 32, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2]},
    **{"window_size": 4, "num_labels": 5},
}
_STAGES_CONFIG: dict[str, Any] = {
    **{"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "num_labels": 5},
    "layer_scale_init_value": 1.0,
}
_NO_SCORES = "returns no certain class scores"
_HEADS = "does not tell which dimension of its output counts kernels"


def _timm(name: str, **arguments: Any) -> nn.Module:
    return import_module("timm").create_model(name, num_classes=5, **arguments)


def _mixer() -> nn.Module:
    mixer = import_module("timm.models.mlp_mixer").MlpMixer
    return mixer(num_classes=5, img_size=32, patch_size=8, num_blocks=2, embed_dim=32)


def _transformers(name: str, config: str, **arguments: Any) -> nn.Module:
    library = import_module("transformers")
    return getattr(library, name)(getattr(library, config)(**arguments))


def _segmenter(name: str, encoder: str, **arguments: Any) -> nn.Module:
    library = import_module("segmentation_models_pytorch")
    return getattr(library, name)(encoder, encoder_weights=None, classes=5, **arguments)


def _clip_vit() -> nn.Module:
    module = import_module("open_clip.transformer")
    return module.VisionTransformer(32, 8, 32, 2, 2, 2.0, output_dim=8)


def _clip_resnet() -> nn.Module:
    return import_module("open_clip.modified_resnet").ModifiedResNet((1, 1, 1, 1), 8, 2, 32, 8)


def _of_timm(name: str, model: str, layers: dict[str, Any], **options: Any) -> Case:
    arguments = options.pop("arguments")
    return Case(name, partial(_timm, model, **arguments), layers, library="timm", **options)


def _of_transformers(
    name: str, model: str, config: str, layers: dict[str, Any], **options: Any
) -> Case:
    make = partial(_transformers, model, config, **options.pop("arguments"))
    options.setdefault("scores", lambda output: output.logits)
    return Case(name, make, layers, library="transformers", **options)


def _blocks(grid: Any, before: int) -> dict[str, Any]:
    """Layers that people ask for, of timm's vision transformers."""
    of_tokens = tokens(*grid, before=before)
    names = ("norm1", "attn.qkv", "attn", "mlp.fc1", "mlp.act", "")
    layers = {f"blocks.1.{name}".rstrip("."): of_tokens for name in names}
    return {"patch_embed.proj": maps, "patch_embed": tokens(*grid), **layers}


TIMM = [
    _of_timm(
        "ViT",
        "vit_tiny_patch16_224",
        {
            **_blocks((4, 6), 1),
            "norm": tokens(4, 6, before=1),
            "head": maps,
            "blocks.1.attn.q_norm": lambda output: output.flatten(2),
        },
        spec=_WIDE,
        arguments={**_VIT, "img_size": (32, 48)},
        refused={"blocks.1.attn.q_norm": _HEADS},
    ),
    _of_timm(
        "DeiT (distilled)",
        "deit_tiny_distilled_patch16_224",
        {**_blocks((4, 4), 2), "head": maps, "head_dist": maps},
        arguments={**_VIT, "img_size": 32},
    ),
    _of_timm(
        "DINOv2 (registers)",
        "vit_small_patch14_reg4_dinov2",
        {**_blocks((4, 4), 5), "blocks.1.ls1": tokens(4, 4, before=5), "head": maps},
        arguments={**_VIT, "img_size": 32, "init_values": 1.0},
    ),
    _of_timm(
        "SigLIP",
        "vit_base_patch16_siglip_224",
        {**_blocks((4, 4), 0), "attn_pool.kv": tokens(4, 4), "head": maps},
        arguments={**_VIT, "img_size": 32},
    ),
    _of_timm(
        "BEiT",
        "beit_base_patch16_224",
        {
            "blocks.1.norm1": tokens(4, 4, before=1),
            "blocks.1.attn.qkv": tokens(4, 4, before=1),
            "blocks.1.attn": tokens(4, 4, before=1),
            "blocks.1": tokens(4, 4, before=1),
            "head": maps,
        },
        arguments={**_VIT, "img_size": 32},
        refused={"blocks.1.attn.qkv": "is never reached in a forward of Beit"},
    ),
    _of_timm(
        "EVA-02",
        "eva02_tiny_patch14_224",
        {
            "blocks.1.attn": tokens(4, 4, before=1),
            "blocks.1.mlp.act": tokens(4, 4, before=1),
            "blocks.1": tokens(4, 4, before=1),
            "head": maps,
        },
        arguments={**_VIT, "img_size": 32},
    ),
    _of_timm(
        "XCiT",
        "xcit_nano_12_p8_224",
        {
            "blocks.1.attn.qkv": tokens(4, 4),
            "blocks.1.attn": tokens(4, 4),
            "blocks.1.local_mp.conv1": maps,
            "blocks.1.local_mp": tokens(4, 4),
            "blocks.1": tokens(4, 4),
            "norm": tokens(4, 4, before=1),
        },
        arguments={"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2},
    ),
    Case(
        "MLP-Mixer",
        _mixer,
        {
            "stem.proj": maps,
            "blocks.1.norm1": tokens(4, 4),
            "blocks.1.mlp_channels.act": tokens(4, 4),
            "blocks.1": tokens(4, 4),
            "head": maps,
        },
        library="timm",
    ),
    _of_timm(
        "ConvNeXt",
        "convnext_atto",
        {"stem.1": maps, "stages.1.blocks.0.mlp.act": maps, "stages.1": maps, "head.fc": maps},
        arguments={**_STAGES, "ls_init_value": 1.0},
    ),
    _of_timm(
        "ConvNeXt v2",
        "convnextv2_atto",
        {"stages.0.blocks.0.mlp.grn": maps, "stages.1.blocks.0.norm": maps, "stages.2": maps},
        arguments=_STAGES,
    ),
    _of_timm(
        "Swin",
        "swin_tiny_patch4_window7_224",
        {
            "patch_embed.norm": kernels_last,
            "layers.0.blocks.1.attn.qkv": windows(8, 4, 2),
            "layers.0.blocks.1.attn": windows(8, 4, 2),
            "layers.0.blocks.1.mlp.act": tokens(8, 8),
            "layers.0.blocks.1": kernels_last,
            "layers.1.downsample": kernels_last,
            "layers.1.blocks.1.attn": windows(4, 4),
            "head.fc": maps,
        },
        arguments=_SWIN,
    ),
    _of_timm(
        "Swin v2",
        "swinv2_tiny_window8_256",
        {
            "layers.0.blocks.1.attn.proj": windows(8, 4, 2),
            "layers.0.blocks.1.norm1": kernels_last,
            "layers.0.blocks.1.norm2": tokens(8, 8),
            "layers.0.blocks.1": kernels_last,
            "norm": kernels_last,
        },
        arguments=_SWIN,
    ),
    _of_timm(
        "MaxViT",
        "maxvit_pico_rw_256",
        {
            "stem.conv1": maps,
            "stages.0.blocks.0.conv.se": maps,
            "stages.0.blocks.0.attn_block.attn.qkv": windows(16, 2),
            "stages.0.blocks.0.attn_grid.attn.qkv": dilated_windows(16, 2),
            "stages.0.blocks.0.attn_grid.mlp.act": kernels_last,
            "stages.0": maps,
        },
        spec=_IMAGES,
        arguments={"img_size": 64},
    ),
    _of_timm(
        "EfficientNet",
        "test_efficientnet",
        {"conv_stem": maps, "bn1.act": maps, "blocks.1": maps, "classifier": maps},
        arguments={},
    ),
    _of_timm(
        "ResNetV2",
        "resnetv2_50",
        {"stem.conv": maps, "stages.1.blocks.0.norm1.act": maps, "head.fc": maps},
        arguments={"layers": (1, 1, 1, 1), "channels": (8, 16, 16, 16), "stem_chs": 8},
    ),
]

TRANSFORMERS = [
    _of_transformers(
        "ViT",
        "ViTForImageClassification",
        "ViTConfig",
        {
            "vit.embeddings.patch_embeddings": tokens(4, 4),
            "vit.layers.1.layernorm_before": tokens(4, 4, before=1),
            "vit.layers.1.attention": first(tokens(4, 4, before=1)),
            "vit.layers.1.attention.q_proj": tokens(4, 4, before=1),
            "vit.layers.1.mlp.fc1": tokens(4, 4, before=1),
            "vit.layers.1.mlp.activation_fn": tokens(4, 4, before=1),
            "vit.layers.1": tokens(4, 4, before=1),
            "vit.layernorm": tokens(4, 4, before=1),
            "classifier": maps,
        },
        arguments={**_CONFIG, "num_labels": 5},
    ),
    _of_transformers(
        "DeiT",
        "DeiTForImageClassification",
        "DeiTConfig",
        {
            "deit.layers.1.attention": first(tokens(4, 4, before=2)),
            "deit.layers.1": tokens(4, 4, before=2),
        },
        arguments={**_CONFIG, "num_labels": 5},
    ),
    _of_transformers(
        "DINOv2 (registers)",
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        {
            "encoder.layer.1.norm1": tokens(4, 4, before=5),
            "encoder.layer.1.attention": first(tokens(4, 4, before=5)),
            "encoder.layer.1.mlp.activation_fn": tokens(4, 4, before=5),
            "encoder.layer.1": tokens(4, 4, before=5),
            "layernorm": tokens(4, 4, before=5),
        },
        arguments=_CONFIG,
        scores=lambda output: output.pooler_output,
        output="pooler_output",
        refused={"scores default": _NO_SCORES},
    ),
    _of_transformers(
        "CLIP",
        "CLIPVisionModelWithProjection",
        "CLIPVisionConfig",
        {
            "vision_model.embeddings": tokens(4, 4, before=1),
            "vision_model.encoder.layers.1.self_attn": first(tokens(4, 4, before=1)),
            "vision_model.encoder.layers.1.mlp.activation_fn": tokens(4, 4, before=1),
            "vision_model.encoder.layers.1": tokens(4, 4, before=1),
            "visual_projection": maps,
        },
        arguments={**_CONFIG, "projection_dim": 8},
        scores=lambda output: output.image_embeds,
        output="image_embeds",
        refused={"scores default": _NO_SCORES},
    ),
    _of_transformers(
        "SigLIP",
        "SiglipVisionModel",
        "SiglipVisionConfig",
        {
            "encoder.layers.1.layer_norm1": tokens(4, 4),
            "encoder.layers.1.mlp.fc1": tokens(4, 4),
            "encoder.layers.1": tokens(4, 4),
            "head.mlp.fc1": kernels_last,
        },
        arguments=_CONFIG,
        scores=lambda output: output.pooler_output,
        output="pooler_output",
        refused={"scores default": _NO_SCORES},
    ),
    _of_transformers(
        "Swin",
        "SwinForImageClassification",
        "SwinConfig",
        {
            "swin.embeddings": first(tokens(8, 8)),
            "swin.encoder.layers.0.blocks.1.attention.q_proj": windows(8, 4, 2),
            "swin.encoder.layers.0.blocks.1.attention": first(windows(8, 4, 2)),
            "swin.encoder.layers.0.blocks.1.mlp.activation_fn": tokens(8, 8),
            "swin.encoder.layers.0.blocks.1": first(tokens(8, 8)),
            "swin.encoder.layers.0.downsample": tokens(4, 4),
            "swin.layernorm": tokens(4, 4),
        },
        arguments=_SWIN_CONFIG,
    ),
    _of_transformers(
        "Swin v2",
        "Swinv2ForImageClassification",
        "Swinv2Config",
        {
            "swinv2.encoder.layers.0.blocks.1.attention.output.dense": windows(8, 4, 2),
            "swinv2.encoder.layers.0.blocks.1.layernorm_before": tokens(8, 8),
            "swinv2.encoder.layers.0.blocks.1": first(tokens(8, 8)),
        },
        arguments=_SWIN_CONFIG,
    ),
    _of_transformers(
        "ConvNeXt",
        "ConvNextForImageClassification",
        "ConvNextConfig",
        {
            "convnext.embeddings.layernorm": maps,
            "convnext.encoder.stages.1.layers.0.layernorm": kernels_last,
            "convnext.encoder.stages.1.layers.0.act": kernels_last,
            "convnext.encoder.stages.1": maps,
        },
        arguments=_STAGES_CONFIG,
    ),
    _of_transformers(
        "ConvNeXt v2",
        "ConvNextV2ForImageClassification",
        "ConvNextV2Config",
        {
            "convnextv2.encoder.stages.1.layers.0.grn": kernels_last,
            "convnextv2.encoder.stages.1.layers.0": maps,
        },
        arguments=_STAGES_CONFIG,
    ),
    _of_transformers(
        "BEiT",
        "BeitForImageClassification",
        "BeitConfig",
        {
            "beit.layers.1.attention": first(tokens(4, 4, before=1)),
            "beit.layers.1": tokens(4, 4, before=1),
            "beit.pooler": maps,
        },
        arguments={**_CONFIG, "num_labels": 5, "layer_scale_init_value": 1.0},
    ),
    _of_transformers(
        "SegFormer",
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {
            "segformer.stages.0.blocks.0.attention.k_proj": tokens(2, 2),
            "segformer.stages.0.blocks.0.attention": first(tokens(16, 16)),
            "segformer.stages.0.blocks.0.mlp.activation_fn": tokens(16, 16),
            "segformer.stages.1": maps,
            "decode_head.classifier": maps,
        },
        spec=_IMAGES,
        arguments={
            **{"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]},
            **{"num_attention_heads": [1, 2, 2, 2], "decoder_hidden_size": 16, "num_labels": 5},
        },
    ),
    _of_transformers(
        "ResNet",
        "ResNetForImageClassification",
        "ResNetConfig",
        {
            "resnet.embedder.embedder.convolution": maps,
            "resnet.encoder.stages.1": maps,
            "resnet.pooler": maps,
            "classifier.1": maps,
        },
        arguments={
            **{"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 5},
        },
    ),
]

_SMP = "segmentation_models_pytorch"
SEGMENTERS = [
    Case(
        "Unet",
        partial(_segmenter, "Unet", "resnet18"),
        {"encoder.layer2": maps, "decoder.blocks.0.conv1": maps, "segmentation_head.0": maps},
        _IMAGES,
        _SMP,
    ),
    Case(
        "Unet with a classifier",
        partial(_segmenter, "Unet", "resnet18", aux_params={"classes": 3}),
        {"decoder.blocks.3": maps, "classification_head.3": maps},
        _IMAGES,
        _SMP,
        scores=lambda output: output[1],
    ),
    Case(
        "FPN",
        partial(_segmenter, "FPN", "mobilenet_v2"),
        {"decoder.p3": maps, "decoder.seg_blocks.0": maps},
        _IMAGES,
        _SMP,
    ),
    Case(
        "DeepLabV3+",
        partial(_segmenter, "DeepLabV3Plus", "resnet18"),
        {"decoder.aspp.0.convs.1": maps, "decoder.aspp.0.convs.4": maps, "decoder.block2": maps},
        _IMAGES,
        _SMP,
    ),
    Case(
        "SegFormer",
        partial(_segmenter, "Segformer", "mit_b0"),
        {
            "decoder.mlp_stage.2.linear": tokens(8, 8),
            "decoder.mlp_stage.2": maps,
            "decoder.fuse_stage": maps,
        },
        _IMAGES,
        _SMP,
    ),
]

CLIP = [
    Case(
        "CLIP ViT",
        _clip_vit,
        {
            "conv1": maps,
            "ln_pre": tokens(4, 4, before=1),
            "transformer.resblocks.1.attn": first(tokens(4, 4, before=1)),
            "transformer.resblocks.1.mlp.gelu": tokens(4, 4, before=1),
            "transformer.resblocks.1": tokens(4, 4, before=1),
        },
        library="open_clip",
    ),
    Case(
        "CLIP RN50",
        _clip_resnet,
        {"act1": maps, "layer1.0.conv2": maps, "layer2": maps, "attnpool": maps},
        library="open_clip",
    ),
]

LIBRARIES = [*TIMM, *TRANSFORMERS, *SEGMENTERS, *CLIP]
