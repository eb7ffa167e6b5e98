"""Writes cards into one HTML file that holds all it needs."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from neurovis.cards.card import Card, CardLayer, Measure
from neurovis.cards.checks import card_name, check_content
from neurovis.cards.content import record, sequence
from neurovis.files import whole_file

#: Cards whose pictures are read at a time: a page of thousands opens at once.
_TOGETHER = 32


@dataclass
class CardPage:
    """A page of cards.

    Args:
        title: Stands over it.
        layers: Layers of the cards.
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

        Numbers may be Python's, NumPy's or torch's; so may sequences of them.

        Raises:
            TypeError: If a part of the page or of a card is not of the type that it is said to be.
            ValueError: If a card is of a layer, kernel or measure that the page does not name; a
                layer, a measure or a card is there twice; curves have another length than their
                layer's axes; or a picture is no ``data:`` URI.
            OSError: If the file cannot be written.
        """
        content = self._content()
        # A name of a file may be no text in UTF-8.
        with (
            whole_file(path) as partial,
            open(partial, "w", encoding="utf-8", errors="replace") as file,
        ):
            file.writelines(_parts(content))

    def _content(self) -> dict[str, Any]:
        """All that is on the page, by the names of fields."""
        content = record(replace(self, cards=[]), CardPage, "the page")
        for place, card in enumerate(sequence(self.cards, "the page: cards")):
            where = f"the page: cards[{place}]"
            if isinstance(card, Card):
                where = card_name(card.layer, card.kernel)
            content["cards"].append(record(card, Card, where))
        check_content(content)
        return content


def _parts(content: dict[str, Any]) -> Iterator[str]:
    folder = files("neurovis.cards")
    before, after = (folder / "page.html").read_text(encoding="utf-8").split("{{content}}")
    style = (folder / "page.css").read_text(encoding="utf-8")
    yield before.replace("{{style}}", style).replace("{{title}}", html.escape(content["title"]))
    pictures = [_without_pictures(card) for card in content["cards"]]
    yield _script("cards", content | {"together": _TOGETHER})
    for start in range(0, len(pictures), _TOGETHER):
        yield _script(f"pictures-{start // _TOGETHER}", pictures[start : start + _TOGETHER])
    script = (folder / "page.js").read_text(encoding="utf-8")
    yield f"<script>\n{script}</script>\n{after.lstrip()}"


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
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    # What is no text in UTF-8 becomes an escape of JSON's own.
    text = text.encode("utf-8", "backslashreplace").decode()
    return f'<script type="application/json" id="{name}">{text}</script>\n'
