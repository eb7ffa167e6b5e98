"""A page laid out in pixels: pictures and texts put exactly where they belong.

matplotlib's axes cost about 10 ms each and place things by fractions; a page is one image of the
whole figure with texts over it, so that 64 labeled cells take as long as one axes or two, and
text is known not to overlap, because it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from neurovis.figures.output import Pixels
from neurovis.figures.text import DPI, LABEL, TITLE, line_height, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Distances in pixels; the last is that of pictures in a stack.
MARGIN, GAP, APART = 14, 8, 3

INK = "#222222"

#: A page is at least this wide, so that titles have room, and its pictures together at most about
#: that wide: larger ones are shrunk, down to a size that still shows something.
MINIMUM_WIDTH, MAXIMUM_WIDTH = 420, 1600

_PICTURE_FRAME = 190

Points = npt.NDArray[np.float64]
Align = Literal["left", "center", "right"]
Color = str | tuple[float, float, float]


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
        self._canvas[y - 1 : y + height + 1, x - 1 : x + width + 1] = _PICTURE_FRAME
        self._canvas[y : y + height, x : x + width] = pixels

    def stack(self, x: int, y: int, pictures: Sequence[Pixels]) -> int:
        """Put pictures one below the other; return the top of a further one."""
        for pixels in pictures:
            self.picture(x, y, pixels)
            y += len(pixels) + APART
        return y

    def text(
        self,
        x: float,
        y: float,
        lines: Sequence[str],
        size: int = LABEL,
        align: Align = "left",
        color: str = INK,
        above: bool = False,
    ) -> None:
        """Put lines of text here, ``y`` being the upper edge of the first.

        With ``above`` it is the lower edge of the last: short labels beside long ones stand on the
        same line as their last.
        """
        if above:
            y -= len(lines) * line_height(size)
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
        from neurovis.figures.page_figure import Backdrop, PageFigure

        height, width = self._canvas.shape[:2]
        figure = PageFigure(width, height)
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


class Body(Protocol):
    """Part of a page that is laid out before it is drawn."""

    @property
    def width(self) -> int:
        """Pixels across."""

    @property
    def height(self) -> int:
        """Pixels down."""

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""


class Beside:
    """Bodies beside each other, with their upper edges level.

    Args:
        bodies: From left to right.
        apart: Pixels between them.
    """

    def __init__(self, bodies: Sequence[Body], apart: int = GAP) -> None:
        self._bodies, self._apart = bodies, apart
        self.width = sum(body.width + apart for body in bodies) - apart
        self.height = max(body.height for body in bodies)

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put them on a page with their upper left corner here."""
        for body in self._bodies:
            body.draw(page, x, y)
            x += body.width + self._apart


def page_figure(
    body: Body, title: str, notes: Sequence[str] = (), minimum_width: int = MINIMUM_WIDTH
) -> Figure:
    """Return a page with a body under its title and notes."""
    page, top = titled_page(title, notes, max(body.width, minimum_width), body.height)
    body.draw(page, MARGIN, top)
    return page.figure()


def titled_page(title: str, notes: Sequence[str], width: int, height: int) -> tuple[Page, int]:
    """Return a page with its title over smaller notes, and the top of what follows.

    Args:
        title: Wrapped to the width, as the notes are.
        notes: Stand below it.
        width: Pixels across between the margins.
        height: Pixels down of what follows.
    """
    titles = wrapped(title, width, TITLE)
    lines = [line for note in notes for line in wrapped(note, width)]
    below = MARGIN + len(titles) * line_height(TITLE)
    top = below + len(lines) * line_height(LABEL) + GAP
    page = Page(width + 2 * MARGIN, top + height + MARGIN)
    page.text(MARGIN, MARGIN, titles, TITLE)
    page.text(MARGIN, below, lines)
    return page, top
