"""Histogram of the selectivity of a layer's kernels, beside what chance gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from neurovis.figures.legend import Drawn, Legend
from neurovis.figures.page import GAP, INK, Page, page_figure
from neurovis.figures.pictures import number
from neurovis.figures.plots import (
    BLUE,
    GRAY,
    ORANGE,
    Axis,
    Frame,
    Plot,
    Values,
    as_values,
    linear_axis,
)
from neurovis.figures.text import LABEL, line_height, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Percentile of the null.
_LIMIT = 95
_HISTOGRAM_SIZE = (560, 280)
_BINS = (10, 40)
_BAR = "#9cc3e2"
#: Lines at percentiles of what is drawn as bars and as an outline.
_LINES = {
    "bar": {50: Drawn("median", "line", BLUE)},
    "outline": {
        50: Drawn("median", "line", GRAY),
        _LIMIT: Drawn("95th percentile", "dashed", ORANGE),
    },
}


def score_histogram(
    scores: Tensor,
    null: Tensor | None,
    title: str,
    xlabel: str,
    split: float | None = None,
    limits: tuple[float, float] | None = None,
    *,
    notes: Sequence[str] = (),
    null_name: str = "null",
) -> Figure:
    """Histogram of the kernels' scores, with the scores of chance as an outline over it.

    The null has the area of the kernels' bars, whatever its number. Medians and the null's 95th
    percentile are drawn as lines. What is not finite is left out and counted.

    Args:
        scores: ``(K,)``, one for each kernel.
        null: ``(N,)``, scores of what is not selective, such as random kernels; or None.
        title: Stands over the figure.
        xlabel: What the score is, with the unit if it has one.
        split: A score to draw a line at, between complex and simple cells: 1 for F1/F0.
        limits: Ends of the axis; by default all scores are on it.
        notes: Lines under the title.
        null_name: What the null is, such as ``"random kernels"``.

    Raises:
        ValueError: If there is no score, a shape is another, or the limits do not rise or leave
            out the split.
    """
    for name, values in (("scores", scores), ("null", null)):
        if values is not None and (values.ndim != 1 or len(values) == 0):
            raise ValueError(
                f"{name} must be one-dimensional, not empty; got {tuple(values.shape)}"
            )
    if limits is not None and not (limits[0] < limits[1] and _within(split, limits)):
        raise ValueError(f"limits must rise and have the split between them; got {limits}, {split}")
    kernels = as_values(scores)
    chance = np.empty(0) if null is None else as_values(null)
    across = _axis(kernels, chance, split, limits)
    plot = _Histogram(kernels, chance, across, xlabel, split, null_name)
    lines = [*notes, *_counted(kernels, chance, across, null_name)]
    return page_figure(plot, title, lines, plot.width)


def null_limit(null: Tensor) -> float | None:
    """The null's 95th percentile: what is above it is above at least 95 % of the null's scores.

    Args:
        null: Scores ``(N,)``; what is not finite does not count.

    Returns:
        None if there is no score.

    Example:
        >>> import torch
        >>> null_limit(torch.arange(48.0))
        45.0
    """
    return _percentile(as_values(null), _LIMIT)


def _within(split: float | None, limits: tuple[float, float]) -> bool:
    return split is None or limits[0] < split < limits[1]


def _axis(
    kernels: Values, chance: Values, split: float | None, limits: tuple[float, float] | None
) -> Axis:
    """From the limits, or else round numbers around all scores and the split."""
    if limits is not None:
        return linear_axis(*limits, most=8)
    values = np.concatenate([kernels, chance, [] if split is None else [0, split, 2 * split]])
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    return linear_axis(float(low), float(high), most=8, wide=True)


def _counted(kernels: Values, chance: Values, across: Axis, null_name: str) -> list[str]:
    """Return notes on scores that are not in the picture, and on kernels above chance."""
    notes = []
    for name, values in (("kernels", kernels), (null_name, chance)):
        missing = int(np.isnan(values).sum())
        if missing:
            notes.append(f"{missing} of {len(values)} {name} not defined (left out)")
        beyond = int(((values < across.low) | (values > across.high)).sum())
        if beyond:
            notes.append(f"{beyond} of {len(values)} {name} beyond the axis")
    known, limit = kernels[np.isfinite(kernels)], _percentile(chance, _LIMIT)
    if limit is not None and len(known):
        above = int((known > limit).sum())
        share = 100 * above / len(known)
        notes.append(
            f"{above} of {len(known)} kernels ({share:.0f} %) above the 95th percentile of the "
            f"{null_name}"
        )
    return notes


def _percentile(values: Values, percent: float) -> float | None:
    finite = values[np.isfinite(values)]
    # A limit is one of the scores, so that the part of them below what is above it is exact.
    method: Literal["inverted_cdf", "linear"] = "inverted_cdf" if percent == _LIMIT else "linear"
    return float(np.percentile(finite, percent, method=method)) if len(finite) else None


@dataclass
class _Histogram:
    """Bars and outline in a frame, under what they are."""

    kernels: Values
    chance: Values
    across: Axis
    xlabel: str
    split: float | None
    null_name: str

    def __post_init__(self) -> None:
        few, many = _BINS
        number_of_bins = min(many, max(few, 2 * math.ceil(math.sqrt(len(self.kernels)))))
        self._edges = np.linspace(self.across.low, self.across.high, number_of_bins + 1)
        self._bars = self._counts(self.kernels)
        known = max(1, int(np.isfinite(self.chance).sum()))
        share = np.isfinite(self.kernels).sum() / known
        self._outline = self._counts(self.chance) * share
        highest = max(self._bars.max(), self._outline.max(), 1)
        up = linear_axis(0, 1.05 * float(highest), whole=True)
        room = line_height(LABEL) if self.split is not None else 0
        self._plot = Plot(
            _HISTOGRAM_SIZE, self.across, up, self.xlabel, "number of kernels", room=room
        )
        self._marks: list[tuple[float, Drawn]] = []
        rows = [self._explained("kernels", self.kernels, Drawn("", "bar", _BAR))]
        if len(self.chance):
            rows.append(self._explained(self.null_name, self.chance, Drawn("", "outline", INK)))
        self._legend = Legend(*rows)
        self.width = self._plot.width
        self.height = self._legend.height + self._plot.height

    def _counts(self, values: Values) -> Values:
        finite = values[np.isfinite(values)]
        return np.histogram(finite, self._edges)[0].astype(np.float64)

    def _explained(self, name: str, values: Values, drawn: Drawn) -> list[Drawn]:
        """A row of the legend: what scores are drawn as, and the lines at some of them."""
        row = [drawn._replace(words=f"{name}, n = {int(np.isfinite(values).sum())}")]
        for percent, line in _LINES[drawn.kind].items():
            at = _percentile(values, percent)
            if at is not None:
                row.append(line._replace(words=f"{line.words} {number(at)}"))
                self._marks.append((at, line))
        return row

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        self._legend.draw(page, x, y)
        frame = self._plot.draw(page, x, y + self._legend.height)
        frame.bars(page, self._edges, self._bars, _BAR)
        if np.isfinite(self.chance).any():
            frame.steps(page, self._edges, self._outline, INK, 1.4)
        for at, line in self._marks:
            if self.across.low <= at <= self.across.high:
                frame.upright(page, at, line.color, line.kind == "dashed")
        if self.split is not None:
            self._draw_split(page, frame, self.split)

    def _draw_split(self, page: Page, frame: Frame, split: float) -> None:
        at = frame.points(np.array([split]), np.array([frame.up.low]))[0, 0]
        page.line(np.array([[at, frame.top - GAP], [at, frame.top + frame.height]]), INK, 2.4)
        known = self.kernels[np.isfinite(self.kernels)]
        below = f"complex: {int((known < split).sum())}"
        above = f"simple: {int((known >= split).sum())}"
        # At the line's sides, or as near as the page allows.
        end = frame.left + frame.width - text_width(above)
        middle = min(max(at, frame.left + text_width(below) + GAP), end - GAP)
        top = frame.top - GAP - line_height(LABEL)
        page.text(middle - GAP, top, [below], align="right")
        page.text(middle + GAP, top, [above])
