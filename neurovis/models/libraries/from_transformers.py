"""Networks of transformers, with the input of their image processor."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from neurovis.inputs import InputSpec, Interpolation, Modality
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
    from transformers import AutoConfig

    if weights.tag is not None:
        raise ArgumentError(
            f'"hf:{name}" has one set of weights, and none named "{weights.tag}"; give a file, '
            "DEFAULT or random, or a revision: --model_args.revision"
        )
    where = {key: arguments[key] for key in _WHERE if key in arguments}
    config = AutoConfig.from_pretrained(name, **where)
    network_class, config, tower = _network_class(name, config, arguments)
    origin, is_pretrained = "random weights", not weights.is_random
    if weights.is_random:
        make = getattr(network_class, "from_config", None) or network_class._from_config
        network = make(config)
    else:
        network, loading = network_class.from_pretrained(
            name, config=config, output_loading_info=True, **arguments
        )
        origin = "its own weights"
        if missing := sorted(loading["missing_keys"]):
            origin += f", but {len(missing)} that it lacks are random: {', '.join(missing[:3])}"
            origin += ", …" if missing[3:] else ""
            is_pretrained = False
    spec, source = _input_spec(name, config, where)
    return LibraryNetwork(
        network,
        spec,
        f"{type(network).__name__}{tower}, {origin}; input as {source}",
        _class_names(config) if is_pretrained else (),
    )


def _network_class(name: str, config: Any, arguments: Mapping[str, Any]) -> tuple[Any, Any, str]:
    """Return the class to load, its config, and what to say of it."""
    import transformers

    architecture = next(iter(getattr(config, "architectures", None) or ()), "")
    found = getattr(transformers, architecture, None)
    if found is None or (arguments.get("trust_remote_code") and getattr(config, "auto_map", None)):
        return transformers.AutoModel, config, ""
    if next(iter(list(inspect.signature(found.forward).parameters)[1:]), "") == "pixel_values":
        return found, config, ""
    vision = getattr(config, "vision_config", None)
    if vision is None:
        raise ArgumentError(
            f'"hf:{name}" is a {architecture}, which does not take pixels alone; name a network '
            "of images"
        )
    return transformers.AutoModel, vision, f" (the vision tower of {architecture})"


def _input_spec(name: str, config: Any, where: Mapping[str, Any]) -> tuple[InputSpec, str]:
    """Return what the image processor makes of pictures, and who says so."""
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(name, **where)
    except (OSError, ValueError):
        size = _size(getattr(config, "image_size", None)) or (224, 224)
        return InputSpec.rgb(size), "ImageNet's statistics, since it has no image processor"
    if getattr(processor, "do_flip_channel_order", False):
        raise ArgumentError(
            f'"hf:{name}" takes blue, green, red, in this order, and NeuroVis shows red first; '
            "wrap it in a module that flips the channels, and name that module"
        )
    sizes = [getattr(processor, "size", None), getattr(config, "image_size", None)]
    if getattr(processor, "do_center_crop", False):
        sizes.insert(0, getattr(processor, "crop_size", None))
    size = next((found for found in map(_size, sizes) if found is not None), (224, 224))
    return InputSpec((_modality(processor),), size, interpolation=_interpolation(processor)), (
        f"its {type(processor).__name__} says"
    )


def _modality(processor: Any) -> Modality:
    """Return the modality with the processor's scale and statistics."""
    scale = 255.0
    if getattr(processor, "do_rescale", True):
        scale *= getattr(processor, "rescale_factor", None) or 1 / 255
    if not getattr(processor, "do_normalize", True) or not processor.image_mean:
        return Modality("rgb", 3, range=(0.0, scale))
    return Modality("rgb", 3, (0.0, scale), tuple(processor.image_mean), tuple(processor.image_std))


def _size(size: Any) -> tuple[int, int] | None:
    """Return height and width of any of the forms in which processors and configs keep them."""
    if size is None:
        return None
    if isinstance(size, int):
        return size, size
    if isinstance(size, (list, tuple)):
        return int(size[0]), int(size[-1])
    found = {key: value for key, value in dict(size).items() if value is not None}
    if {"height", "width"} <= set(found):
        return found["height"], found["width"]
    side = found.get("shortest_edge")
    return None if side is None else (side, side)


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
