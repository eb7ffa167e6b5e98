"""Networks of transformers, with the input of their image processor."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from neurovis.inputs import InputSpec, Interpolation
from neurovis.layers import ArgumentError
from neurovis.models.libraries.library_network import (
    LibraryNetwork,
    Weights,
    common_interpolation,
)

#: Arguments about files, which the config and the image processor need too.
_WHERE = (
    *("cache_dir", "revision", "subfolder", "token", "local_files_only"),
    "trust_remote_code",
)
#: Pillow's numbers of interpolations.
_RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
#: Pictures that tell what a processor makes of any: their side in pixels, and black, white and red.
_PICTURE, _COLORS = 256, ((0, 0, 0), (255, 255, 255), (255, 0, 0))
#: Digits of a mean or std that are no rounding errors of float32.
_DIGITS = 7
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def names() -> list[str]:
    """Return nothing: the hub has too many networks to list."""
    return []


def load(name: str, weights: Weights, arguments: dict[str, Any]) -> LibraryNetwork:
    """Make a network by ``from_pretrained`` of the class that its config names.

    Of a network that takes text too, such as CLIP, it is the vision tower.

    Args:
        name: Name on the hub, or a folder.
        weights: By default those of the hub or folder.
        arguments: Further arguments of ``from_pretrained``, ``trust_remote_code`` among them.

    Raises:
        ArgumentError: If the network does not take pixels alone, or has no weights of that name.
    """
    from transformers import AutoConfig, AutoModel

    if weights.tag is not None:
        raise ArgumentError(
            f'"hf:{name}" has one set of weights, and none named "{weights.tag}"; give a file, '
            "DEFAULT or random, or a revision: --model_args.revision"
        )
    where = {key: arguments[key] for key in _WHERE if key in arguments}
    config = AutoConfig.from_pretrained(name, **arguments)
    network_class = _network_class(config, arguments)
    origin, is_pretrained = "random weights", not weights.is_random
    if weights.is_random:
        if network_class is AutoModel:
            is_trusted = arguments.get("trust_remote_code", False)
            network = network_class.from_config(config, trust_remote_code=is_trusted)
        else:
            network = network_class(config)
    else:
        network, loading = network_class.from_pretrained(
            name, output_loading_info=True, **arguments
        )
        origin = "its own weights"
        if missing := sorted(loading["missing_keys"]):
            origin += f", but {len(missing)} that it lacks are random: {', '.join(missing[:3])}"
            origin += ", …" if missing[3:] else ""
            is_pretrained = False
    whole, network = network, _of_images(name, network)
    part = "" if network is whole else f" (the vision tower of {type(whole).__name__})"
    spec, source = _input_spec(name, network.config, where)
    return LibraryNetwork(
        network,
        spec,
        f"{type(network).__name__}{part}, {origin}; {source}",
        _class_names(network.config) if is_pretrained else (),
        is_part=bool(part),
    )


def _network_class(config: Any, arguments: Mapping[str, Any]) -> Any:
    """Return the class that made the weights, as the config names it."""
    import transformers

    architecture = next(iter(getattr(config, "architectures", None) or ()), "")
    found = getattr(transformers, architecture, None)
    if found is None or (arguments.get("trust_remote_code") and getattr(config, "auto_map", None)):
        return transformers.AutoModel
    return found


def _of_images(name: str, network: Any) -> Any:
    """Return the network, or its vision tower if it takes text too."""
    if _takes_pixels_alone(network):
        return network
    vision = getattr(network.config, "vision_config", None)
    for module in network.modules():
        is_tower = vision is not None and isinstance(getattr(module, "config", None), type(vision))
        if is_tower and _takes_pixels_alone(module):
            return module
    raise ArgumentError(
        f'"hf:{name}" is a {type(network).__name__}, which does not take pixels alone; name a '
        "network of images"
    )


def _takes_pixels_alone(network: Any) -> bool:
    """True if a forward takes ``pixel_values`` first, and needs nothing else."""
    first, *others = inspect.signature(network.forward).parameters.values()
    needed = [one for one in others if one.default is one.empty and one.kind not in _VARIADIC]
    return bool(first.name == "pixel_values") and not needed


def _input_spec(name: str, config: Any, where: Mapping[str, Any]) -> tuple[InputSpec, str]:
    """Return what the image processor makes of pictures, and who says so."""
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(name, **where)
    except (OSError, ValueError):
        size = getattr(config, "image_size", None) or 224
        height, width = (size, size) if isinstance(size, int) else size
        spec = InputSpec.rgb((height, width))
        return spec, "input with ImageNet's mean and std, since it has no image processor"
    pictures = [np.full((_PICTURE, _PICTURE, 3), color, dtype=np.uint8) for color in _COLORS]
    made = processor(images=pictures, return_tensors="pt")["pixel_values"].double()
    if made.ndim != 4 or made.shape[1] != 3:
        raise ArgumentError(
            f'the image processor of "hf:{name}" makes {tuple(made.shape)} of three pictures, and '
            "NeuroVis shows (B, 3, H, W); name another network"
        )
    height, width = made.shape[2:]
    black, white, red = made[:, :, height // 2, width // 2]
    if not torch.equal(red, torch.stack([white[0], black[1], black[2]])):
        raise ArgumentError(
            f'"hf:{name}" takes blue, green, red, in this order, and NeuroVis shows red first; '
            "wrap it in a module that flips the channels, and name that module"
        )
    mean, std = ((-black / (white - black)).tolist(), (1 / (white - black)).tolist())
    spec = InputSpec.rgb(
        (height, width), *([round(value, _DIGITS) for value in one] for one in (mean, std))
    )
    source = f"input as its {type(processor).__name__} says"
    return replace(spec, interpolation=_interpolation(processor)), source


def _interpolation(processor: Any) -> Interpolation:
    resample = getattr(processor, "resample", None)
    if resample is None:
        return "bilinear"
    return common_interpolation(
        _RESAMPLE[int(resample)] if isinstance(resample, int) else str(resample.value)
    )


def _class_names(config: Any) -> Sequence[str]:
    """Return the names of ``id2label``, unless they are numbered placeholders."""
    labels = getattr(config, "id2label", None) or {}
    found = [str(labels[key]) for key in sorted(labels)]
    return () if all(re.fullmatch(r"LABEL_\d+", label) for label in found) else found
