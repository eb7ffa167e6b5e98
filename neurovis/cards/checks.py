"""Check that the parts of a page fit each other: others would be drawn wrong, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from neurovis.cards.content import said

_AXES = {"orientation": "orientations", "spatial_frequency": "spatial_frequencies"}


def check_content(content: dict[str, Any]) -> None:
    """Refuse a page, as :func:`~neurovis.cards.content.record` makes it, whose parts do not fit.

    Raises:
        ValueError: If a layer, a measure or a card is there twice; a card is of a layer, a kernel
            or a measure that is not; curves do not go with their layer's axes; or a picture is
            none that a page can hold.
    """
    layers = _by_name(content["layers"], "layers")
    measures = _by_name(content["measures"], "measures")
    for layer in layers.values():
        _check_axes(layer)
    seen = set()
    for card in content["cards"]:
        where = card_name(card["layer"], card["kernel"])
        if (card["layer"], card["kernel"]) in seen:
            raise ValueError(f"{where}, is there twice; give each kernel one card")
        seen.add((card["layer"], card["kernel"]))
        if card["layer"] not in layers:
            raise _unknown(f"{where}: layer", card["layer"], "layers", layers)
        _check_card(card, layers[card["layer"]], where)
        for name in card["scores"]:
            if name not in measures:
                raise _unknown(f"{where}: scores", name, "measures", measures)


def card_name(layer: object, kernel: object) -> str:
    """Return a card's name for messages."""
    return f'the card of layer "{layer}", kernel {kernel}'


def _by_name(parts: Sequence[dict[str, Any]], what: str) -> dict[str, dict[str, Any]]:
    found = {part["name"]: part for part in parts}
    for name in found:
        if sum(part["name"] == name for part in parts) > 1:
            raise ValueError(f'{what} must have different names; "{name}" is there twice')
    return found


def _unknown(where: str, name: str, what: str, known: dict[str, dict[str, Any]]) -> ValueError:
    there = ", ".join(f'"{one}"' for one in known) or "none"
    return ValueError(
        f'{where} names "{name}", which is none of the page\'s {what}: {there}; add it to them'
    )


def _check_axes(layer: dict[str, Any]) -> None:
    for axis in _AXES.values():
        if None in layer[axis]:
            raise ValueError(f'layer "{layer["name"]}": {axis} must be finite')
    frequencies = layer["spatial_frequencies"]
    if frequencies and not min(frequencies) > 0:
        raise ValueError(
            f'layer "{layer["name"]}": spatial_frequencies must be above 0, in cycles per pixel; '
            f"got {min(frequencies):g}"
        )


def _check_card(card: dict[str, Any], layer: dict[str, Any], where: str) -> None:
    if not 0 <= card["kernel"] < layer["kernels"]:
        raise ValueError(
            f'{where}: kernel must be one of the {layer["kernels"]} of layer "{layer["name"]}", '
            f"from 0; got {card['kernel']}"
        )
    for field, axis in _AXES.items() if card["curves"] is not None else ():
        responses, places = len(card["curves"][field]), len(layer[axis])
        if not responses or responses != places:
            raise ValueError(
                f"{where}: curves: {field} must have a response for each of its layer's {axis}, "
                f"at least one; got {responses} for {places}"
            )
    for field, picture in _pictures(card):
        if not picture["source"].startswith("data:image/"):
            raise ValueError(
                f"{where}: {field}: source must be a picture in a data: URI, as data_uri makes; "
                f"got {said(picture['source'])}"
            )


def _pictures(card: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All pictures of a card with what messages call them."""
    for field in ("preferred", "top_images"):
        for place, picture in enumerate(card[field]):
            yield f"{field}[{place}]", picture
    in_field = card["field"]["picture"] if card["field"] is not None else None
    alone = {"weights": card["weights"], "saliency": card["saliency"], "field: picture": in_field}
    yield from ((field, picture) for field, picture in alone.items() if picture is not None)
