"""Responses to gratings of growing size: how far summation goes, and whether more suppresses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from neurovis.figures.page import MARGIN, Heading, Page
from neurovis.figures.pictures import square_columns
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

_FRAME, _APART, _NARROWEST = (210, 120), 26, 420


def size_tuning_figure(
    diameters: Tensor,
    responses: Tensor,
    labels: Sequence[str],
    title: str,
    *,
    suppression: Tensor | None = None,
    preferred: Tensor | None = None,
    notes: Sequence[str] = (),
    response_name: str = "response",
    columns: int | None = None,
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
        response_name: What the responses are, with the unit.
        columns: Curves in a row; by default the figure is about square.

    Returns:
        The figure.

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
    curves = as_values(responses)
    marks = np.full(len(labels), np.nan) if preferred is None else as_values(preferred)
    titles = [
        f"{label}{_stated('suppression', suppression, index, '.2f')}"
        f"{_stated('size', preferred, index, '.3g', ' px')}"
        for index, label in enumerate(labels)
    ]
    across = octave_axis(sizes)
    plots = [
        Plot(_FRAME, across, response_axis(curve), "diameter (pixels)", response_name, words)
        for curve, words in zip(curves, titles, strict=True)
    ]
    said = [*notes, "Ring: the largest response" + _said_of(preferred)]
    return _page(plots, curves, sizes, marks, title, said, columns)


def _stated(name: str, values: Tensor | None, index: int, form: str, unit: str = "") -> str:
    if values is None:
        return ""
    value = float(values[index])
    said = f"{value:{form}}{unit}" if math.isfinite(value) else "not defined"
    return f", {name} {said}".replace("-", "\N{MINUS SIGN}")


def _said_of(preferred: Tensor | None) -> str:
    return "" if preferred is None else "; dashed: the preferred size"


def _page(
    plots: Sequence[Plot],
    curves: Values,
    sizes: Values,
    marks: Values,
    title: str,
    notes: Sequence[str],
    columns: int | None,
) -> Figure:
    """Plots in a grid, their frames below each other."""
    step = max(plot.width for plot in plots) + _APART, max(plot.height for plot in plots) + _APART
    above = max(plot.above for plot in plots)
    across = columns or square_columns(len(plots), 1.3 * step[1], step[0])
    rows = math.ceil(len(plots) / across)
    heading = Heading(title, notes, max(_NARROWEST, across * step[0] - _APART))
    height = heading.height + rows * step[1] - _APART
    page = Page(heading.width + 2 * MARGIN, height + 2 * MARGIN)
    heading.draw(page, MARGIN, MARGIN)
    for index, (plot, curve, mark) in enumerate(zip(plots, curves, marks, strict=True)):
        row, column = divmod(index, across)
        top = MARGIN + heading.height + row * step[1] + above - plot.above
        frame = plot.draw(page, MARGIN + column * step[0], top)
        if np.isfinite(mark) and frame.across.low <= mark <= frame.across.high:
            frame.upright(page, mark, GRAY)
        frame.curve(page, sizes, curve)
        if curve[np.isfinite(curve)].max(initial=0) > 0:
            peak = int(np.nanargmax(curve))
            at = frame.points(sizes[peak : peak + 1], curve[peak : peak + 1])[0]
            page.line(circle(at, 6, 24), ORANGE, 2)
    return page.figure()
