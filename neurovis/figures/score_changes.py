"""Figure of the effect of training on scores: each kernel's score at first against that now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch import Tensor

from neurovis.figures.page import MARGIN, Page, titled_page
from neurovis.figures.plots import (
    BLUE,
    GRAY,
    ORANGE,
    Axis,
    Frame,
    Plot,
    Values,
    as_values,
    circle,
    line_top,
    linear_axis,
)
from neurovis.figures.text import LABEL, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Left, top, right, bottom in pixels.
_Box = tuple[float, float, float, float]
#: A line, as ``(across, down, offset)``: ``across * x + down * y + offset`` is 0 on it.
_Line = tuple[float, float, float]

_PLOT_SIDE, _DOT_RADIUS = 420, 4
#: Kernels that are named in the figure: those that changed most.
_KERNELS_NAMED = 16


def score_change_figure(
    first: Tensor,
    now: Tensor,
    names: tuple[str, str],
    title: str,
    limits: tuple[float | None, float | None] = (None, None),
    notes: tuple[str, ...] = (),
) -> Figure:
    """Each kernel as a dot: across its score at first, up its score now.

    Kernels on the diagonal have not changed, those above it score more than at first. The kernels
    that changed most have their numbers beside them, where there is room.

    Args:
        first: ``(K,)``; kernels without a score, not finite, are left out and counted.
        now: ``(K,)``, the scores of the same kernels now.
        names: Names of the two axes.
        title: Stands over the figure.
        limits: Scores that chance exceeds in one of twenty cases, at first and now; drawn as lines.
        notes: Lines under the title.

    Raises:
        ValueError: If there is no kernel, or the two shapes differ.
    """
    if first.ndim != 1 or len(first) == 0 or first.shape != now.shape:
        raise ValueError(
            f"first and now must both be (K,), K > 0; got {tuple(first.shape)} and "
            f"{tuple(now.shape)}"
        )
    before, after = as_values(first), as_values(now)
    known = np.isfinite(before) & np.isfinite(after)
    lines = [*notes]
    if not known.all():
        missing = int((~known).sum())
        lines.append(f"{missing} of {len(known)} kernels without a score then or now (left out)")
    drawn = [limit for limit in limits if limit is not None]
    if drawn:
        lines.append("orange lines: the 95th percentile of random kernels, at first and now")
    axis = _axis(np.concatenate([before[known], after[known], drawn]))
    plot = Plot((_PLOT_SIDE, _PLOT_SIDE), axis, axis, names[0], names[1], grid=False)
    page, top = titled_page(title, lines, plot.width, plot.height)
    frame = plot.draw(page, MARGIN, top)
    ends = np.array([axis.low, axis.high])
    page.line(frame.points(ends, ends), GRAY, 1.2, True)
    if limits[0] is not None:
        frame.upright(page, limits[0], ORANGE)
    if limits[1] is not None:
        frame.level(page, limits[1], ORANGE)
    _draw_kernels(page, frame, before, after, known, limits)
    return page.figure()


def _axis(values: Values) -> Axis:
    """Round numbers around all scores."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    return linear_axis(float(low), float(high), wide=True)


def _draw_kernels(
    page: Page,
    frame: Frame,
    before: Values,
    after: Values,
    known: npt.NDArray[np.bool_],
    limits: tuple[float | None, float | None],
) -> None:
    """Dots, and the numbers of those that changed most beside theirs, where nothing else is."""
    points = frame.points(before, after)
    for point in points[known]:
        page.area(circle(point, _DOT_RADIUS), BLUE)
    kernels = np.flatnonzero(known)
    changed = kernels[np.argsort(-np.abs(after - before)[kernels], kind="stable")]
    taken = [_around(point) for point in points[known]]
    lines = _lines(frame, limits)
    for kernel in changed[:_KERNELS_NAMED]:
        x, y = points[kernel]
        name, width = str(kernel), text_width(str(kernel))
        for left in (x + _DOT_RADIUS + 3, x - _DOT_RADIUS - 3 - width):
            box = (left, y - LABEL / 2 - 2, left + width, y + LABEL / 2 + 2)
            inside = frame.left + 2 < left and box[3] < frame.top + frame.height - 2
            if inside and box[2] < frame.left + frame.width and not _overlaps(box, taken, lines):
                taken.append(box)
                page.text(left, line_top(y), [name])
                break


def _lines(frame: Frame, limits: tuple[float | None, float | None]) -> list[_Line]:
    """The diagonal and the limits."""
    corner = (frame.left, frame.top + frame.height)
    found: list[_Line] = [(1.0, 1.0, -corner[0] - corner[1])]
    at = frame.points(*(np.array([0.0 if one is None else one]) for one in limits))[0]
    if limits[0] is not None:
        found.append((1.0, 0.0, -float(at[0])))
    if limits[1] is not None:
        found.append((0.0, 1.0, -float(at[1])))
    return found


def _around(point: Values) -> _Box:
    x, y = point
    return x - _DOT_RADIUS, y - _DOT_RADIUS, x + _DOT_RADIUS, y + _DOT_RADIUS


def _overlaps(box: _Box, others: list[_Box], lines: list[_Line]) -> bool:
    left, top, right, bottom = box
    for across, down, offset in lines:
        sides = [across * x + down * y + offset > 0 for x in (left, right) for y in (top, bottom)]
        if any(sides) != all(sides):
            return True
    return any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in others
    )
