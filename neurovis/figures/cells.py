"""Cells in a grid on a page, such as pictures under their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from neurovis.figures.output import to_pixels
from neurovis.figures.page import GAP, Page
from neurovis.figures.pictures import square_columns
from neurovis.figures.text import LABEL, line_height, text_width, wrapped

#: Pixels that labels and captions are wrapped to, where pictures are smaller.
_LABEL_WIDTH, _CAPTION_WIDTH = 140, 200


class Grid:
    """Places of cells of one size, row by row.

    Args:
        number: Number of cells.
        cell: Width and height of a cell in pixels.
        apart: Pixels between cells.
        columns: Cells in a row; by default the grid is about square.
        landscape: Width of a grid over its height, about, by default.

    Attributes:
        columns: Cells in a row.
        width: Pixels across.
        height: Pixels down.
    """

    def __init__(
        self,
        number: int,
        cell: tuple[int, int],
        apart: int = GAP,
        columns: int | None = None,
        landscape: float = 1,
    ) -> None:
        self._step = cell[0] + apart, cell[1] + apart
        self.columns = columns or square_columns(number, landscape * self._step[1], self._step[0])
        self.width = self.columns * self._step[0] - apart
        self.height = math.ceil(number / self.columns) * self._step[1] - apart

    def place(self, index: int) -> tuple[int, int]:
        """Return the pixels to the right and down of a cell's upper left corner."""
        row, column = divmod(index, self.columns)
        return column * self._step[0], row * self._step[1]


@dataclass
class Cells:
    """A grid of cells, each one picture or a stack of them, under a label.

    Args:
        rows: Pictures ``(N, 3, h, w)`` by row label; a cell shows its own of each, stacked.
        labels: One for each cell.
        columns: Cells in a row; by default the grid is about square.
        frames: Number of frames of a video, whose rows stand side by side in a cell instead.
        captions: One below each cell, or none; parts between " · " may stand on several lines.
    """

    rows: dict[str, Tensor]
    labels: Sequence[str]
    columns: int | None = None
    frames: int = 1
    captions: Sequence[str] = ()

    def __post_init__(self) -> None:
        _, _, self._height, self._picture_width = next(iter(self.rows.values())).shape
        self._width = self.frames * (self._picture_width + 3) - 3
        self._names = row_names(list(self.rows), self.frames)
        widest = max(text_width(text) for text in (*self.labels, *self.captions))
        at_most = _CAPTION_WIDTH if self.captions else _LABEL_WIDTH
        self._cell_width = max(self._width, min(widest + 2, max(at_most, self._width)))
        self._lines = [wrapped(label, self._cell_width) for label in self.labels]
        self._label_height = max(len(lines) for lines in self._lines) * line_height(LABEL)
        self._captions = [_caption_lines(caption, self._cell_width) for caption in self.captions]
        self._stack = len(self._names) * (self._height + 3) - 3
        below = max(map(len, self._captions), default=0) * line_height(LABEL) + 3
        cell = self._cell_width, self._label_height + 3 + self._stack + below
        self._grid = Grid(len(self.labels), cell, columns=self.columns)
        names = [text_width(name) for name in self._names] if len(self._names) > 1 else []
        self._names_width = max(names) + GAP if names else 0

    @property
    def width(self) -> int:
        """Pixels across, with the row labels at the left."""
        return self._names_width + self._grid.width + 1

    @property
    def height(self) -> int:
        """Pixels down."""
        return self._grid.height + 1

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put the grid on a page with its upper left corner here."""
        rows = [to_pixels(pictures) for pictures in self.rows.values()]
        for index, lines in enumerate(self._lines):
            across, down = self._grid.place(index)
            left, top = x + self._names_width + across, y + down
            middle, under = left + self._cell_width / 2, top + self._label_height
            page.text(middle, under, lines, align="center", above=True)
            if self._captions:
                below = under + 3 + self._stack + 3
                page.text(middle, below, self._captions[index], align="center")
            first = left + (self._cell_width - self._width) // 2
            for number, pictures in enumerate(rows):
                frame, level = divmod(number, len(self._names))
                at = under + 3 + level * (self._height + 3)
                page.picture(first + frame * (self._picture_width + 3), at, pictures[index])
                if across == 0 and frame == 0 and self._names_width:
                    middle = at + (self._height - LABEL) / 2
                    name = self._names[level]
                    page.text(x + self._names_width - GAP, middle, [name], align="right")


def _caption_lines(caption: str, width: int) -> list[str]:
    """A caption on one line, or each of its parts on lines of its own."""
    if text_width(caption) <= width:
        return [caption]
    return [line for part in caption.split(" · ") for line in wrapped(part, width)]


def row_names(names: list[str], frames: int) -> list[str]:
    """The names of rows, those of a video's first frame without its number.

    Args:
        names: Frame by frame.
        frames: Their number.

    Example:
        >>> row_names(["rgb 1", "depth 1", "rgb 2", "depth 2"], frames=2)
        ['rgb', 'depth']
    """
    of_first = names[: len(names) // frames]
    return ["".join(name.rpartition(" 1")[::2]) for name in of_first] if frames > 1 else of_first
