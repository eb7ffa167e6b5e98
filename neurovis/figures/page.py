"""A page laid out in pixels: pictures and texts put exactly where they belong.

matplotlib's axes cost about 10 ms each and place things by fractions; a page is one image of the
whole figure with texts over it, so that 64 labeled cells take as long as one axes or two, and
text is known not to overlap, because it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from neurovis.figures.output import Pixels, to_pixels
from neurovis.figures.pictures import square_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Font sizes and distances in pixels. Digits are about 0.73 of the font size tall.
LABEL, TITLE = 12, 16
MARGIN, GAP = 14, 8
#: A power of two, so that pixels divided by it and multiplied again are exact.
DPI = 128

INK = "#222222"

_FRAME = 190

Points = npt.NDArray[np.float64]
Align = Literal["left", "center", "right"]
Color = str | tuple[float, float, float]


def line_height(size: int) -> int:
    """Pixels from one line of text to the next."""
    return math.ceil(1.35 * size)


class Page:
    """A white page of ``width`` by ``height`` pixels; (0, 0) is its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self._canvas = np.full((height, width, 3), 255, np.uint8)
        self._texts: list[tuple[float, float, str, int, str, str]] = []
        self._lines: list[tuple[Points, str, float, bool]] = []
        self._areas: list[tuple[Points, Color]] = []

    def picture(self, x: int, y: int, pixels: Pixels) -> None:
        """Put a picture ``(h, w, 3)`` with its upper left corner here, in a thin gray frame."""
        height, width = pixels.shape[:2]
        self._canvas[y - 1 : y + height + 1, x - 1 : x + width + 1] = _FRAME
        self._canvas[y : y + height, x : x + width] = pixels

    def text(
        self,
        x: float,
        y: float,
        lines: Sequence[str],
        size: int = LABEL,
        align: Align = "left",
        color: str = INK,
    ) -> None:
        """Put lines of text here, ``y`` being the upper edge of the first."""
        for row, line in enumerate(lines):
            if line:
                down = y + row * line_height(size) + size
                self._texts.append((x, down, line, size, align, color))

    def line(
        self, points: Points, color: str = INK, width: float = 1, dashed: bool = False
    ) -> None:
        """Draw a line through points ``(n, 2)``, each ``(x, y)``; it stops where one is NaN."""
        self._lines.append((points, color, width, dashed))

    def area(self, points: Points, color: Color) -> None:
        """Fill the polygon of points ``(n, 2)``, each ``(x, y)``; lines are drawn over areas."""
        self._areas.append((points, color))

    def figure(self) -> Figure:
        """The finished page."""
        from matplotlib.figure import Figure

        from neurovis.figures.backdrop import Backdrop

        height, width = self._canvas.shape[:2]
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        figure.add_artist(Backdrop(self._canvas))
        self._draw_shapes(figure)
        for x, y, line, size, align, color in self._texts:
            figure.text(
                x / width,
                1 - y / height,
                line,
                fontsize=size * 72 / DPI,
                family="DejaVu Sans",
                color=color,
                ha=align,
                va="baseline",
                parse_math=False,
                usetex=False,
            )
        return figure

    def _draw_shapes(self, figure: Figure) -> None:
        """All areas in one artist and all lines in another, whatever their number."""
        from matplotlib.collections import LineCollection, PolyCollection
        from matplotlib.transforms import Affine2D

        height, width = self._canvas.shape[:2]
        place = Affine2D().scale(1 / width, -1 / height).translate(0, 1) + figure.transFigure
        if self._areas:
            areas, colors = zip(*self._areas, strict=True)
            figure.add_artist(
                PolyCollection(areas, facecolors=colors, linewidths=0, transform=place)
            )
        if self._lines:
            lines, inks, widths, dashed = zip(*self._lines, strict=True)
            figure.add_artist(
                LineCollection(
                    lines,
                    colors=inks,
                    linewidths=[one * 72 / DPI for one in widths],
                    linestyles=[(0, (4, 3)) if one else "solid" for one in dashed],
                    transform=place,
                )
            )


@dataclass
class Heading:
    """The title of a page over some smaller lines, wrapped to the page's width."""

    title: str
    notes: Sequence[str]
    width: int

    def __post_init__(self) -> None:
        self._title = wrapped(self.title, self.width, TITLE)
        self._notes = [line for note in self.notes for line in wrapped(note, self.width)]

    @property
    def height(self) -> int:
        """Pixels down, with the distance to what follows."""
        text = len(self._title) * line_height(TITLE) + len(self._notes) * line_height(LABEL)
        return text + GAP

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        page.text(x, y, self._title, TITLE)
        page.text(x, y + len(self._title) * line_height(TITLE), self._notes)


@dataclass
class Cells:
    """A grid of cells, each one picture or a stack of them, under a label.

    Args:
        rows: Pictures ``(N, 3, h, w)`` by row label; a cell shows its own of each, stacked.
        labels: One for each cell.
        columns: Cells in a row; by default the grid is about square.
    """

    rows: dict[str, Tensor]
    labels: Sequence[str]
    columns: int | None = None

    def __post_init__(self) -> None:
        _, _, self._height, self._width = next(iter(self.rows.values())).shape
        widest = max(text_width(label) for label in self.labels)
        self._cell_width = max(self._width, min(widest + 2, max(140, self._width)))
        self._lines = [wrapped(label, self._cell_width) for label in self.labels]
        self._label_height = max(len(lines) for lines in self._lines) * line_height(LABEL)
        stack = len(self.rows) * (self._height + 3) - 3
        self._cell_height = self._label_height + 3 + stack
        self._across = self.columns or square_columns(
            len(self.labels), self._cell_height + GAP, self._cell_width + GAP
        )
        names = [text_width(name) for name in self.rows] if len(self.rows) > 1 else []
        self._names_width = max(names) + GAP if names else 0

    @property
    def width(self) -> int:
        """Pixels across, with the row labels at the left."""
        return self._names_width + self._across * (self._cell_width + GAP) - GAP + 1

    @property
    def height(self) -> int:
        """Pixels down."""
        return math.ceil(len(self.labels) / self._across) * (self._cell_height + GAP) - GAP + 1

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put the grid on a page with its upper left corner here."""
        rows = {name: to_pixels(pictures) for name, pictures in self.rows.items()}
        for index, lines in enumerate(self._lines):
            row, column = divmod(index, self._across)
            left = x + self._names_width + column * (self._cell_width + GAP)
            top = y + row * (self._cell_height + GAP)
            # Short labels stand on the same line as the last line of long ones.
            down = self._label_height - len(lines) * line_height(LABEL)
            page.text(left + self._cell_width / 2, top + down, lines, align="center")
            for level, (name, pictures) in enumerate(rows.items()):
                at = top + self._label_height + 3 + level * (self._height + 3)
                page.picture(left + (self._cell_width - self._width) // 2, at, pictures[index])
                if column == 0 and self._names_width:
                    middle = at + (self._height - LABEL) / 2
                    page.text(x + self._names_width - GAP, middle, [name], align="right")


def text_width(text: str, size: int = LABEL) -> int:
    """Width of one line in pixels.

    It is the sum of its characters' widths, since to measure a line takes matplotlib a millisecond:
    letters that are drawn closer make the line a few percent narrower, and the ligature of "ffi"
    a pixel wider.
    """
    return math.ceil(sum(_character_width(character, size) for character in text))


@lru_cache(maxsize=4096)
def _character_width(character: str, size: int) -> float:
    """From one character to the next, in pixels."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="DejaVu Sans", size=size * 72 / DPI)
    one, many = (
        float(_measuring_renderer().get_text_width_height_descent(text, font, False)[0])
        for text in (character, 33 * character)
    )
    return (many - one) / 32


def wrapped(text: str, width: int, size: int = LABEL) -> list[str]:
    """Break text into lines of at most ``width`` pixels: between words, or else within one."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if text_width(longer, size) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while text_width(word, size) > width and len(word) > 1:
            end = _fitting(word, width, size)
            lines.append(word[:end])
            word = word[end:]
        line = word
    return [*lines, line]


def _fitting(word: str, width: int, size: int) -> int:
    """Return the number of characters of a word that fit, at least 1; best up to a dot or dash."""
    end = max(1, len(word) * width // text_width(word, size))
    while end < len(word) and text_width(word[: end + 1], size) <= width:
        end += 1
    while end > 1 and text_width(word[:end], size) > width:
        end -= 1
    natural = max(word.rfind(mark, 0, end) for mark in "._-/") + 1
    return natural if natural > end // 2 else end


@lru_cache(maxsize=1)
def _measuring_renderer() -> Any:
    from matplotlib.backends import backend_agg

    agg: Any = backend_agg  # matplotlib leaves it untyped
    return agg.RendererAgg(1, 1, DPI)
