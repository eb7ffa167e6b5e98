"""Panels in blocks in a grid: pictures under headings and over keys, a block for each image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neurovis.figures.colors import Key
from neurovis.figures.output import Pixels
from neurovis.figures.page import APART, GAP, Page
from neurovis.figures.text import LABEL, line_height, text_width, wrapped

#: Between blocks, and the largest width of the names beside them.
_BLOCKS_APART, _NAME_WIDTH = 24, 90


@dataclass
class Panel:
    """Pictures ``(h, w, 3)`` one below the other, under a heading and over a key."""

    heading: str
    pictures: Sequence[Pixels]
    key: Key | None = None

    def __post_init__(self) -> None:
        self.width = self.pictures[0].shape[1]
        self.lines = wrapped(self.heading, self.width) if self.heading else []

    @property
    def height(self) -> int:
        """Pixels down, without the heading."""
        stack = sum(len(picture) + APART for picture in self.pictures)
        return stack + (self.key.height if self.key else 0)

    def draw(self, page: Page, x: int, y: int, heading: int) -> None:
        """Put it on a page; ``heading`` lines of room are left for the heading."""
        y += heading * line_height(LABEL)
        page.text(x + self.width / 2, y, self.lines, align="center", above=True)
        y = page.stack(x, y + APART, self.pictures)
        if self.key:
            self.key.draw(page, x, y)


@dataclass
class Block:
    """One panel, and at its right others in one or more lines, under a label.

    Args:
        label: Over the block; may be empty.
        lead: At the left.
        lines: Panels as wide as the lead, line by line.
        names: What stands beside the pictures of the lead; may be empty.
    """

    label: str
    lead: Panel
    lines: Sequence[Sequence[Panel]]
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._names = [wrapped(name, _NAME_WIDTH) for name in self.names]
        widths = [text_width(line) for lines in self._names for line in lines]
        self._indent = max(widths) + GAP if widths else 0
        across = 1 + max(len(line) for line in self.lines)
        self.width = self._indent + across * (self.lead.width + GAP) - GAP
        self._label = wrapped(self.label, self.width - self._indent) if self.label else []
        headings = [max(len(panel.lines) for panel in line) for line in self.lines]
        self._headings = [max(headings[0], len(self.lead.lines)), *headings[1:]]

    @property
    def height(self) -> int:
        """Pixels down."""
        lead = self._headings[0] * line_height(LABEL) + APART + self.lead.height
        lines = sum(self._line_heights()) + GAP * (len(self.lines) - 1)
        return len(self._label) * line_height(LABEL) + max(lead, lines)

    def _line_heights(self) -> list[int]:
        return [
            heading * line_height(LABEL) + APART + max(panel.height for panel in line)
            for heading, line in zip(self._headings, self.lines, strict=True)
        ]

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        page.text(x + self._indent, y, self._label)
        y += len(self._label) * line_height(LABEL)
        self._draw_names(page, x, y + self._headings[0] * line_height(LABEL) + APART)
        x += self._indent
        self.lead.draw(page, x, y, self._headings[0])
        for heading, line, height in zip(
            self._headings, self.lines, self._line_heights(), strict=True
        ):
            for column, panel in enumerate(line, start=1):
                panel.draw(page, x + column * (panel.width + GAP), y, heading)
            y += height + GAP

    def _draw_names(self, page: Page, x: int, y: int) -> None:
        for picture, lines in zip(self.lead.pictures, self._names, strict=False):
            middle = y + (len(picture) - len(lines) * line_height(LABEL)) // 2
            page.text(x + self._indent - GAP, middle, lines, align="right")
            y += len(picture) + APART


class Blocks:
    """Blocks in a grid, ``across`` in a row; rows are as tall as their tallest block."""

    def __init__(self, blocks: Sequence[Block], across: int) -> None:
        self._rows = [blocks[start : start + across] for start in range(0, len(blocks), across)]
        self._column = max(block.width for block in blocks) + _BLOCKS_APART
        self._heights = [max(block.height for block in row) for row in self._rows]
        self.width = min(across, len(blocks)) * self._column - _BLOCKS_APART + 1
        self.height = sum(self._heights) + _BLOCKS_APART * (len(self._rows) - 1) + 1

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put the grid on a page with its upper left corner here."""
        for row, height in zip(self._rows, self._heights, strict=True):
            for column, block in enumerate(row):
                block.draw(page, x + column * self._column, y)
            y += height + _BLOCKS_APART


def lines_of(panels: Sequence[Panel], across: int) -> list[list[Panel]]:
    """Panels in lines of about equal length, at most ``across`` in each."""
    lines = math.ceil(len(panels) / across)
    length = math.ceil(len(panels) / lines)
    return [list(panels[start : start + length]) for start in range(0, len(panels), length)]
