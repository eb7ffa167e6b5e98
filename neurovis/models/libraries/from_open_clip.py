"""Image towers of open_clip's networks, with the input of their preprocess config."""

from __future__ import annotations

from typing import Any

from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError
from neurovis.modality import Modality
from neurovis.models.libraries.library_network import (
    LibraryNetwork,
    Weights,
    common_interpolation,
)


def names() -> list[str]:
    """Return the names of all networks."""
    import open_clip

    return list(open_clip.list_models())


def load(name: str, weights: Weights, arguments: dict[str, Any]) -> LibraryNetwork:
    """Make a network by ``open_clip.create_model``, and return the image tower.

    The tower is what ``encode_image`` runs: it maps images to embeddings, before they are
    normalized to length 1.

    Args:
        name: Its name, or one with ``hf-hub:`` or ``local-dir:``.
        weights: Tag of weights; by default the first that open_clip lists.
        arguments: Further arguments of ``create_model``.

    Raises:
        ArgumentError: If there are no weights of that name.
    """
    import open_clip

    settings: dict[str, Any] = {"pretrained_text": False, "load_weights": not weights.is_random}
    origin = "random weights"
    if ":" not in name:
        tags = open_clip.list_pretrained_tags_by_model(name)
        tag = _tag(name, tags, weights)
        settings["pretrained"] = tag
        if tag is not None:
            origin = f"weights {tag} (one of {len(tags)})"
            # Else weights that were trained with one GELU would silently run with another.
            config = open_clip.get_pretrained_cfg(name, tag)
            settings["force_quick_gelu"] = bool(config.get("quick_gelu", False))
        elif not weights.is_random:
            origin += ", since open_clip has no others"
    elif not weights.is_random:
        settings["require_pretrained"] = True
        origin = "its own weights"
    tower = open_clip.create_model(name, **{**settings, **arguments}).visual
    return LibraryNetwork(
        tower,
        _input_spec(tower.preprocess_cfg),
        f"the image tower, as encode_image runs it, {origin}; input as its preprocess config says",
        is_part=True,
    )


def _tag(name: str, tags: list[str], weights: Weights) -> str | None:
    """Return the tag of the weights to load, or None for no weights."""
    if weights.is_random:
        return None
    if weights.tag is None:
        return next(iter(tags), None)
    if weights.tag not in tags:
        raise ArgumentError(
            f'"open_clip:{name}" has no weights "{weights.tag}"; it has {", ".join(tags) or "none"}'
        )
    return weights.tag


def _input_spec(config: dict[str, Any]) -> InputSpec:
    size = config["size"]
    modality = Modality("rgb", 3, mean=tuple(config["mean"]), std=tuple(config["std"]))
    return InputSpec(
        (modality,),
        (size, size) if isinstance(size, int) else tuple(size),
        interpolation=common_interpolation(config["interpolation"]),
    )
