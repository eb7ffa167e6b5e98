"""Responses to gratings of growing size: how far summation goes, and whether more suppresses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from neurovis.figures.cells import Grid
from neurovis.figures.page import Page, page_figure
from neurovis.figures.plots import (
    GRAY,
    ORANGE,
    Plot,
    Values,
    as_values,
    circle,
    octave_axis,
    response_axis,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVE_SIZE, _CURVES_APART = (210, 120), 26


def size_tuning_figure(
    diameters: Tensor,
    responses: Tensor,
    labels: Sequence[str],
    title: str,
    *,
    suppression: Tensor | None = None,
    preferred: Tensor | None = None,
    notes: Sequence[str] = (),
) -> Figure:
    """A curve for each kernel over the diameter of a grating, its peak marked.

    Args:
        diameters: ``(D,)`` in pixels, positive and rising.
        responses: ``(K, D)``; what is not finite leaves a gap.
        labels: One for each kernel.
        title: Stands over the figure.
        suppression: ``(K,)``, stated in the labels; "not defined" if not finite.
        preferred: ``(K,)`` in pixels, the preferred diameters, drawn as a line and stated.
        notes: Lines under the title.

    Raises:
        ValueError: If there is no curve, or an argument has another shape or order.
    """
    shape = (len(labels), *diameters.shape)
    if len(shape) != 2 or responses.shape != shape or 0 in shape:
        raise ValueError(
            f"needs diameters (D,), responses (K, D) and K labels; got {tuple(diameters.shape)}, "
            f"{tuple(responses.shape)} and {len(labels)} labels"
        )
    sizes = as_values(diameters)
    if not (np.diff(sizes) > 0).all() or not sizes[0] > 0:
        raise ValueError(f"diameters must be positive and rise; got {sizes.tolist()}")
    for name, one in (("suppression", suppression), ("preferred", preferred)):
        if one is not None and one.shape != (len(labels),):
            raise ValueError(f"{name} must be ({len(labels)},); got {tuple(one.shape)}")
    titles = [
        f"{label}{_stated('suppression', suppression, index, '.2f')}"
        f"{_stated('size', preferred, index, '.3g', ' px')}"
        for index, label in enumerate(labels)
    ]
    marks = np.full(len(labels), np.nan) if preferred is None else as_values(preferred)
    body = _Curves(sizes, as_values(responses), marks, titles)
    ring = "Ring: the largest response"
    dashed = "" if preferred is None else "; dashed: the preferred size"
    return page_figure(body, title, [*notes, ring + dashed])


def _stated(name: str, values: Tensor | None, index: int, form: str, unit: str = "") -> str:
    if values is None:
        return ""
    value = float(values[index])
    said = f"{value:{form}}{unit}" if math.isfinite(value) else "not defined"
    return f", {name} {said}".replace("-", "\N{MINUS SIGN}")


class _Curves:
    """Plots in a grid, their frames below each other."""

    def __init__(
        self,
        sizes: Values,
        curves: Values,
        marks: Values,
        titles: Sequence[str],
    ) -> None:
        self._sizes, self._curves, self._marks = sizes, curves, marks
        across = octave_axis(sizes)
        self._plots = [
            Plot(_CURVE_SIZE, across, response_axis(curve), "diameter (pixels)", "response", words)
            for curve, words in zip(curves, titles, strict=True)
        ]
        cell = max(plot.width for plot in self._plots), max(plot.height for plot in self._plots)
        self._above = max(plot.above for plot in self._plots)
        self._grid = Grid(len(self._plots), cell, _CURVES_APART, landscape=1.3)
        self.width, self.height = self._grid.width, self._grid.height

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put them on a page with their upper left corner here."""
        for index, (plot, curve) in enumerate(zip(self._plots, self._curves, strict=True)):
            across, down = self._grid.place(index)
            frame = plot.draw(page, x + across, y + down + self._above - plot.above)
            mark = self._marks[index]
            if np.isfinite(mark) and frame.across.low <= mark <= frame.across.high:
                frame.upright(page, mark, GRAY)
            frame.curve(page, self._sizes, curve)
            if curve[np.isfinite(curve)].max(initial=0) > 0:
                peak = int(np.nanargmax(curve))
                at = frame.points(self._sizes[peak : peak + 1], curve[peak : peak + 1])[0]
                page.line(circle(at, 6, 24), ORANGE, 2)
