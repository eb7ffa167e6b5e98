"""Networks of timm, with the input of their ``pretrained_cfg``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.models.libraries.library_network import (
    LibraryNetwork,
    Weights,
    common_interpolation,
)


def names() -> list[str]:
    """Return the names of all networks."""
    import timm

    return [*timm.list_models(), *timm.list_pretrained()]


def load(name: str, weights: Weights, arguments: dict[str, Any]) -> LibraryNetwork:
    """Make a network by ``timm.create_model``.

    Args:
        name: Its name, with or without a tag of weights, or one with ``hf-hub:`` or ``local-dir:``.
        weights: By default those that timm has for the network, if any.
        arguments: Further arguments of ``create_model``.
    """
    import timm

    if weights.tag is not None:
        name = f"{name.partition('.')[0]}.{weights.tag}"
    has_weights = ":" in name or timm.is_model_pretrained(name)
    settings = {"pretrained": has_weights and not weights.is_random, **arguments}
    network = timm.create_model(name, **settings)
    config = network.pretrained_cfg
    is_pretrained = bool(settings["pretrained"] or arguments.get("checkpoint_path"))
    classes = arguments.get("num_classes", config.get("num_classes"))
    is_new_head = is_pretrained and classes not in (0, config.get("num_classes"))
    origin = "random weights"
    if is_pretrained:
        origin = f"weights {config.get('tag') or 'of timm'}"
    elif not has_weights and not weights.is_random:
        origin += ", since timm has no others"
    if is_new_head:
        origin += f", but a random classifier of {classes} classes"
    return LibraryNetwork(
        network,
        _input_spec(config, arguments),
        f"{origin}; input as timm's pretrained_cfg says",
        _class_names(config) if is_pretrained and not is_new_head else (),
    )


def _input_spec(config: dict[str, Any], arguments: dict[str, Any]) -> InputSpec:
    from timm.data import resolve_data_config

    found = resolve_data_config({}, pretrained_cfg=config)
    channels, *size = found["input_size"]
    given = arguments.get("img_size", size)
    channels = arguments.get("in_chans", channels)
    name, mean, std = "rgb", found["mean"], found["std"]
    if channels != len(mean):
        # As timm itself takes statistics for other numbers of channels: one for all.
        name, mean, std = "input", mean[:1], std[:1]
    modality = Modality(name, channels, mean=tuple(mean), std=tuple(std))
    height, width = (given, given) if isinstance(given, int) else given
    return InputSpec(
        (modality,), (height, width), interpolation=common_interpolation(found["interpolation"])
    )


def _class_names(config: dict[str, Any]) -> Sequence[str]:
    from timm.data import ImageNetInfo, infer_imagenet_subset

    if config.get("label_names"):
        return [str(name) for name in config["label_names"]]
    subset = infer_imagenet_subset(config)
    return ImageNetInfo(subset).label_descriptions() if subset else ()
