"""Figures of kernels beside neurons: scores of layers by property, and their distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from neurovis.figures.cells import Grid
from neurovis.figures.colors import Key, colored
from neurovis.figures.legend import Drawn, Legend
from neurovis.figures.page import GAP, INK, Page, page_figure
from neurovis.figures.plots import (
    BLUE,
    GRAY,
    ORANGE,
    Axis,
    Plot,
    Values,
    linear_axis,
    rectangle,
)
from neurovis.figures.text import LABEL, line_height, text_width, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BinCounts = npt.NDArray[np.int64]

#: Sizes in pixels.
_CELL_WIDTH, _TILE, _NULL_TILE, _PANEL = 104, 34, 12, (280, 150)
_CELLS_COLOR = "#d9d9d9"


@dataclass(frozen=True)
class ScoreCell:
    """One score of a heat map, in [0, 1].

    Args:
        score: The score.
        low: Lower end of its interval.
        high: Upper end of it.
        null: What chance scores; NaN if that is not known.
        exceeds_null: Whether the score stands out from chance.
    """

    score: float
    low: float
    high: float
    null: float
    exceeds_null: bool


def reference_score_figure(cells: Mapping[tuple[str, str], ScoreCell], title: str) -> Figure:
    """Scores as colors, properties by layers, each over the level of chance.

    Args:
        cells: By property and layer, both in the order in which they are drawn.
        title: Stands over the figure.

    Raises:
        ValueError: If there is no score.
    """
    if not cells:
        raise ValueError("a figure of scores needs at least one; nothing was compared")
    notes = [
        "upper color: the layer's kernels; lower color: random kernels of the same shape; below: "
        "both scores and the 95 % interval of the layer's"
    ]
    if any(cell.exceeds_null for cell in cells.values()):
        notes.append("orange frame: above 95 % of layers of random kernels")
    body = _HeatMap(cells)
    return page_figure(body, title, notes, body.width)


@dataclass
class _HeatMap:
    cells: Mapping[tuple[str, str], ScoreCell]

    def __post_init__(self) -> None:
        self._properties = list(dict.fromkeys(name for name, _ in self.cells))
        self._layers = list(dict.fromkeys(layer for _, layer in self.cells))
        self._names = [name.replace("_", " ") for name in self._properties]
        self._left = max(text_width(name) for name in self._names) + GAP
        self._labels = [wrapped(layer, _CELL_WIDTH) for layer in self._layers]
        self._top = max(map(len, self._labels)) * line_height(LABEL) + 4
        self._step = _TILE + _NULL_TILE + 2 * line_height(LABEL) + GAP
        self.width = self._left + len(self._layers) * (_CELL_WIDTH + GAP)
        self._key = Key(min(240, self.width), 1.0, False, "0 as far apart as can be, 1 the same")
        self.height = self._top + len(self._names) * self._step + self._key.height + GAP

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        for column, lines in enumerate(self._labels):
            middle = x + self._left + column * (_CELL_WIDTH + GAP) + _CELL_WIDTH / 2
            page.text(middle, y + self._top - 4, lines, align="center", above=True)
        for row, name in enumerate(self._properties):
            top = y + self._top + row * self._step
            middle = top + (_TILE - LABEL) / 2
            page.text(x + self._left - GAP, middle, [self._names[row]], align="right")
            for column, layer in enumerate(self._layers):
                left = x + self._left + column * (_CELL_WIDTH + GAP)
                self._draw_cell(page, left, top, self.cells.get((name, layer)))
        self._key.draw(page, x, y + self.height - self._key.height)

    def _draw_cell(self, page: Page, left: int, top: int, cell: ScoreCell | None) -> None:
        middle = left + _CELL_WIDTH / 2
        if cell is None:
            page.text(middle, top + (_TILE - LABEL) / 2, ["no score"], align="center", color=GRAY)
            return
        right, lower, bottom = left + _CELL_WIDTH, top + _TILE, top + _TILE + _NULL_TILE
        page.area(rectangle(left, top, right, lower), _color(cell.score))
        if math.isfinite(cell.null):
            page.area(rectangle(left, lower + 2, right, bottom), _color(cell.null))
        if cell.exceeds_null:
            page.line(rectangle(left, top, right, bottom), ORANGE, 2.4)
        null = f", null {cell.null:.2f}" if math.isfinite(cell.null) else ""
        page.text(middle, bottom + 2, [f"{cell.score:.2f}{null}"], align="center")
        interval = f"{cell.low:.2f} to {cell.high:.2f}"
        page.text(middle, bottom + 2 + line_height(LABEL), [interval], align="center", color=GRAY)


def _color(score: float) -> tuple[float, float, float]:
    red, green, blue = colored(torch.tensor([[[score]]]), torch.ones(1), False).flatten().tolist()
    return red, green, blue


@dataclass(frozen=True)
class CountedKernels:
    """Kernels of a layer, counted in the bins of a distribution of neurons.

    Args:
        label: The layer, with its score.
        counts: ``(bins,)``.
        null: ``(bins,)``, the random kernels; all 0 without any.
    """

    label: str
    counts: BinCounts
    null: BinCounts


def distribution_figure(
    edges: Values,
    cells: BinCounts,
    layers: Sequence[CountedKernels],
    title: str,
    cells_label: str,
    notes: Sequence[str] = (),
) -> Figure:
    """A histogram for each layer: its kernels as an outline before the neurons' bars.

    Bins are drawn equally wide, as shares of all kernels or neurons.

    Args:
        edges: ``(bins + 1,)`` of the neurons' distribution.
        cells: ``(bins,)``, neurons.
        layers: One for each histogram.
        title: Stands over the figure.
        cells_label: What the neurons are.
        notes: Lines under the title.

    Raises:
        ValueError: If there is no layer.
    """
    if not layers:
        raise ValueError("a figure of distributions needs at least one layer; got none")
    body = _Histograms(edges, cells, layers, cells_label)
    return page_figure(body, title, notes, body.width)


class _Histograms:
    def __init__(
        self,
        edges: Values,
        cells: BinCounts,
        layers: Sequence[CountedKernels],
        cells_label: str,
    ) -> None:
        self._cells = _shares(cells)
        self._layers = [(_shares(one.counts), _shares(one.null)) for one in layers]
        drawn = np.concatenate([self._cells, *sum(self._layers, ())])
        ticks = [(float(place), f"{edge:.4g}") for place, edge in enumerate(edges)]
        across, up = Axis(0, len(cells), ticks), linear_axis(0, 1.05 * float(np.nanmax(drawn)))
        self._plots = [Plot(_PANEL, across, up, "", "share", one.label) for one in layers]
        size = max(one.width for one in self._plots), max(one.height for one in self._plots)
        self._grid = Grid(len(layers), size, 2 * GAP, landscape=1.3)
        rows = [Drawn(cells_label, "bar", _CELLS_COLOR), Drawn("kernels", "line", BLUE)]
        if not all(np.isnan(null).all() for _, null in self._layers):
            rows.append(Drawn("random kernels", "dashed", INK))
        self._legend = Legend(*([row] for row in rows))
        self.width = max(self._grid.width, self._legend.width)
        self.height = self._legend.height + self._grid.height

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        self._legend.draw(page, x, y)
        edges = np.arange(len(self._cells) + 1.0)
        for index, (plot, (kernels, null)) in enumerate(
            zip(self._plots, self._layers, strict=True)
        ):
            across, down = self._grid.place(index)
            # Frames of a row stand level, whatever their titles.
            down += max(one.above for one in self._plots) - plot.above
            frame = plot.draw(page, x + across, y + self._legend.height + down)
            frame.bars(page, edges, self._cells, _CELLS_COLOR)
            frame.steps(page, edges, kernels, BLUE, 2)
            if not np.isnan(null).all():
                frame.steps(page, edges, null, INK, 1.2, dashed=True)


def _shares(counts: BinCounts) -> Values:
    total = counts.sum()
    return counts / total if total else np.full(len(counts), np.nan)
