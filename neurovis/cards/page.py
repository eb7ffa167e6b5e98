"""Writes cards into one HTML file that holds all it needs."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from neurovis.cards.card import Card, CardLayer, Measure
from neurovis.files import whole_file

#: Cards whose pictures are read at a time: a page of thousands opens at once.
_TOGETHER = 32
#: Digits that mean something.
_DIGITS = 4


@dataclass
class CardPage:
    """A page of cards.

    Args:
        title: Stands over it.
        layers: Of the cards.
        measures: What cards can be sorted and filtered by, beside activation.
        facts: What there is to know of the whole: names with words, such as the network's.
        notes: Further sentences.
        cards: The cards.
    """

    title: str
    layers: Sequence[CardLayer]
    measures: Sequence[Measure] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    cards: list[Card] = field(default_factory=list)

    def save(self, path: str | Path) -> None:
        """Write the page, whole or not at all.

        Raises:
            ValueError: If a card is of a layer or measure that the page does not name.
            OSError: If the file cannot be written.
        """
        self._check()
        # A name of a file may be no text in UTF-8.
        with (
            whole_file(path) as partial,
            open(partial, "w", encoding="utf-8", errors="replace") as file,
        ):
            file.writelines(self._parts())

    def _parts(self) -> Iterator[str]:
        folder = files("neurovis.cards")
        before, after = (folder / "page.html").read_text(encoding="utf-8").split("{{content}}")
        style = (folder / "page.css").read_text(encoding="utf-8")
        yield before.replace("{{style}}", style).replace("{{title}}", html.escape(self.title))
        pictures = []
        cards = []
        for card in self.cards:
            content = asdict(card)
            pictures.append(_without_pictures(content))
            cards.append(content)
        content = {
            "title": self.title,
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "layers": [asdict(layer) for layer in self.layers],
            "measures": [asdict(measure) for measure in self.measures],
            "together": _TOGETHER,
            "cards": cards,
        }
        yield _script("cards", content)
        for start in range(0, len(pictures), _TOGETHER):
            yield _script(f"pictures-{start // _TOGETHER}", pictures[start : start + _TOGETHER])
        script = (folder / "page.js").read_text(encoding="utf-8")
        yield f"<script>\n{script}</script>\n{after.lstrip()}"

    def _check(self) -> None:
        layers = {layer.name for layer in self.layers}
        measures = {measure.name for measure in self.measures}
        for card in self.cards:
            unknown = [name for name in card.scores if name not in measures]
            if card.layer not in layers or unknown:
                what = f"measure {unknown[0]!r}" if unknown else f'layer "{card.layer}"'
                raise ValueError(
                    f"a card of kernel {card.kernel} has a {what} that the page does not name"
                )


def _without_pictures(content: dict[str, Any]) -> dict[str, Any]:
    """Take the pictures out of a card; they are read when the card is shown."""
    receptive_field = content["field"] or {}
    return {
        "preferred": content.pop("preferred"),
        "weights": content.pop("weights"),
        "saliency": content.pop("saliency"),
        "top_images": content.pop("top_images"),
        "field": receptive_field.pop("picture", None),
    }


def _script(name: str, content: object) -> str:
    """Content as JSON that a page can hold: ``<`` might end it, and is written otherwise."""
    text = json.dumps(_plain(content), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    # What is no text in UTF-8 becomes an escape of JSON's own.
    text = text.encode("utf-8", "backslashreplace").decode()
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _plain(content: object) -> object:
    """Numbers with the digits that mean something; None in place of what is not finite."""
    if isinstance(content, float):
        return float(f"{content:.{_DIGITS}g}") if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    return content
