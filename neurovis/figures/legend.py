"""Legends of plots: swatches of bars and lines, and what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from neurovis.figures.page import GAP, Page
from neurovis.figures.plots import rectangle
from neurovis.figures.text import LABEL, line_height, text_width

#: Width of a swatch, and the distance to the next.
_SWATCH, _APART = 26, 24


class Drawn(NamedTuple):
    """Something that a legend explains.

    Attributes:
        words: What it is.
        kind: How it is drawn.
        color: Its color.
    """

    words: str
    kind: Literal["bar", "outline", "line", "dashed"]
    color: str


class Legend:
    """Rows of swatches and words, in columns, that explain the plots below."""

    def __init__(self, *rows: Sequence[Drawn]) -> None:
        self._rows = rows
        columns = max(map(len, rows))
        self._widths = [
            max(text_width(row[place].words) for row in rows if len(row) > place)
            for place in range(columns)
        ]
        self.width = sum(_SWATCH + 5 + width + _APART for width in self._widths) - _APART
        self.height = len(rows) * line_height(LABEL) + GAP

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        for line, row in enumerate(self._rows):
            left, top = x, y + line * line_height(LABEL)
            for drawn, width in zip(row, self._widths, strict=False):
                _draw_swatch(page, drawn, left, top + 2)
                page.text(left + _SWATCH + 5, top, [drawn.words])
                left += _SWATCH + width + _APART


def _draw_swatch(page: Page, drawn: Drawn, x: float, y: float) -> None:
    box = rectangle(x, y, x + _SWATCH, y + LABEL - 1)
    if drawn.kind == "bar":
        page.area(box, drawn.color)
    elif drawn.kind == "outline":
        page.line(box[[3, 0, 1, 2]], drawn.color, 1.4)
    else:
        middle = y + LABEL / 2
        ends = np.array([[x, middle], [x + _SWATCH, middle]])
        page.line(ends, drawn.color, 1.6, drawn.kind == "dashed")
