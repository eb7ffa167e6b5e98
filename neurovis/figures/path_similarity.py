"""Correlations of images and pictures by depth, beside what chance gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from neurovis.figures.legend import Drawn, Legend
from neurovis.figures.page import Page, page_figure
from neurovis.figures.plots import (
    BLUE,
    GRAY,
    ORANGE,
    Plot,
    Values,
    as_values,
    linear_axis,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE = (560, 280)
_BAND, _SINGLE = "#e6e6e6", "#8fb8d8"
#: Flagged kernels that are named.
_MOST_NAMED = 6


def path_similarity_figure(
    correlations: Tensor,
    null: Tensor,
    among_pictures: Tensor,
    layers: Sequence[str],
    flagged: Mapping[int, str],
    title: str,
) -> Figure:
    """A line for each kernel over the layers before its own, with the null as a band.

    Args:
        correlations: ``(K, L)`` of each kernel's images and its top pictures; NaN leaves a gap.
        null: ``(K, M, L)`` the same with other kernels' pictures; the band is from the 5th to the
            95th percentile of all.
        among_pictures: ``(K, L)`` the same of the pictures with each other; the median is drawn.
        layers: Names of the ``L`` layers.
        flagged: What is said of those of the ``K`` kernels that stand out.
        title: Stands over the figure.
    """
    body = _Lines(
        as_values(correlations),
        as_values(null.flatten(0, 1)),
        as_values(among_pictures),
        list(flagged),
    )
    more = len(flagged) - _MOST_NAMED
    notes = [*list(flagged.values())[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]
    first, last = f"1: {layers[0]}", f"{len(layers)}: {layers[-1]}"
    notes.append(f"layers with kernels, {first}" + (f", to {last}" if len(layers) > 1 else ""))
    return page_figure(body, title, notes, body.width)


def _over(values: Values, percent: float) -> Values:
    """A percentile ``(L,)`` of ``(n, L)`` numbers, NaN where there is none."""
    known = [column[np.isfinite(column)] for column in values.T]
    return np.array([np.percentile(one, percent) if len(one) else np.nan for one in known])


@dataclass
class _Lines:
    """Lines in a frame, under a legend."""

    correlations: Values
    null: Values
    among: Values
    flagged: list[int]

    def __post_init__(self) -> None:
        self._band = _over(self.null, 5), _over(self.null, 95)
        self._median = _over(self.among, 50)
        drawn = np.concatenate([self.correlations.ravel(), *self._band, self._median])
        finite = drawn[np.isfinite(drawn)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        depth = self.correlations.shape[1]
        self._plot = Plot(
            _SIZE,
            linear_axis(0.5, depth + 0.5, most=10, whole=True),
            linear_axis(min(0.0, float(low)), float(high), wide=True),
            "layer, from the image to the kernels",
            "correlation of what images and top pictures excite",
        )
        rows = [
            Drawn("each kernel's images, and their median", "line", BLUE),
            Drawn("with other kernels' pictures (5 to 95 %)", "bar", _BAND),
            Drawn("top pictures with each other, median", "line", GRAY),
        ]
        if self.flagged:
            rows.append(Drawn("kernels that take another way", "line", ORANGE))
        self._legend = Legend(*([row] for row in rows))
        self.width, self.height = self._plot.width, self._legend.height + self._plot.height

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        self._legend.draw(page, x, y)
        frame = self._plot.draw(page, x, y + self._legend.height)
        depths = np.arange(1.0, self.correlations.shape[1] + 1)
        low, high = self._band
        known = np.isfinite(low)
        if known.any():
            # A band of one layer is as wide as its dot.
            wide = depths[known] if known.sum() > 1 else depths[known] + np.array([-0.1, 0.1])
            there, back = frame.points(wide, high[known]), frame.points(wide, low[known])
            page.area(np.concatenate([there, back[::-1]]), _BAND)
        for place, row in enumerate(self.correlations):
            if place not in self.flagged:
                page.line(frame.points(depths, row), _SINGLE, 1.2)
        for place in self.flagged:
            frame.curve(page, depths, self.correlations[place], ORANGE)
        frame.curve(page, depths, self._median, GRAY, dots=False)
        frame.curve(page, depths, _over(self.correlations, 50), BLUE)
