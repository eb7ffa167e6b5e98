"""Curves on a page: a frame with ticks and names, laid out in pixels like everything on a page.

A matplotlib axes costs 10 ms and more, and takes its fonts and colors from the user's style; these
take next to nothing, and their texts are measured, so that none overlaps another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from neurovis.figures.page import GAP, INK, Page, Points
from neurovis.figures.pictures import number
from neurovis.figures.text import LABEL, line_height, text_width, wrapped

Values = npt.NDArray[np.float64]

#: Two of Okabe and Ito's colors, which color-blind eyes can tell apart; a tint of the blue.
BLUE, ORANGE, TINT = "#0072b2", "#d55e00", "#d6e6f2"
FAINT, GRAY = "#d0d0d0", "#777777"
_TICK = 4


def line_top(middle: float) -> float:
    """Return the upper edge, in pixels, of a line of text whose digits have their middle here."""
    return middle - 0.635 * LABEL


def as_values(values: Tensor) -> Values:
    """A tensor as float64 numbers, what is not finite as NaN."""
    numbers: Values = values.detach().cpu().double().numpy().copy()
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


@dataclass(frozen=True)
class Axis:
    """Axis along a side of a frame: its range, ticks and scale.

    Args:
        low: The value at its beginning.
        high: The value at its end, above ``low``.
        ticks: Values with what is written there.
        logarithmic: Whether equal distances are equal factors.
    """

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def places(self, values: Values) -> Values:
        """Return the places of values along the axis, from 0 at its beginning to 1 at its end."""
        if self.logarithmic:
            low, high = np.log2(self.low), np.log2(self.high)
            return np.asarray((np.log2(values) - low) / (high - low))
        return np.asarray((values - self.low) / (self.high - self.low))


def linear_axis(
    low: float, high: float, most: int = 5, wide: bool = False, whole: bool = False
) -> Axis:
    """An axis with ticks at round numbers.

    Args:
        low: Where it begins.
        high: Where it ends.
        most: Ticks, about.
        wide: Whether it extends to the ticks beyond its ends.
        whole: Whether ticks are whole numbers.
    """
    from matplotlib.ticker import MaxNLocator

    if not low < high:
        low, high = low - 0.5, low + 0.5
    ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
    if wide:
        low, high = min(low, ticks[0]), max(high, ticks[-1])
    slack = 1e-6 * (high - low)
    inside = [float(tick) for tick in ticks if low - slack <= tick <= high + slack]
    return Axis(low, high, list(zip(inside, _plain(inside), strict=True)))


def response_axis(values: Values) -> Axis:
    """From 0, or the lowest value if that is lower, to a little above the highest."""
    finite = values[np.isfinite(values)]
    high = max(float(finite.max(initial=0)), 0.0)
    low = min(float(finite.min(initial=0)), 0.0)
    if high == low:
        high = 1.0
    return linear_axis(low - (0.05 * (high - low) if low < 0 else 0), high + 0.05 * (high - low))


def angle_axis(first: float = 0) -> Axis:
    """Half a circle of orientations in degrees, from the first on."""
    ticks = [angle for angle in range(0, 361, 45) if first <= angle <= first + 180]
    return Axis(first, first + 180, [(angle, f"{angle % 180 or angle}°") for angle in ticks])


def octave_axis(values: Values) -> Axis:
    """An axis in octaves with a tick at each value, and a little room beyond the ends."""
    room = 2 ** (0.04 * max(1.0, float(np.log2(values.max() / values.min()))))
    ticks = [(float(value), short_number(float(value))) for value in values]
    return Axis(float(values.min()) / room, float(values.max()) * room, ticks, True)


def short_number(value: float) -> str:
    """A number of a list as short as its two or three digits allow.

    Example:
        >>> short_number(0.0441941), short_number(0.35), short_number(8.0), short_number(22.6274)
        ('0.044', '0.35', '8', '22.6')
    """
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"


def _plain(ticks: Sequence[float]) -> list[str]:
    """Ticks with as many decimals as their distance needs."""
    largest = max((abs(tick) for tick in ticks), default=0)
    if largest >= 1e5 or 0 < largest < 1e-3:
        return [number(tick) if abs(tick) > 1e-9 * largest else "0" for tick in ticks]
    decimals = next(
        (few for few in range(6) if all(abs(tick - round(tick, few)) < 1e-9 for tick in ticks)), 6
    )
    return [f"{tick + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for tick in ticks]


@dataclass(frozen=True)
class Frame:
    """A rectangle of a page in which values have their places."""

    left: float
    top: float
    width: float
    height: float
    across: Axis
    up: Axis

    def points(self, across: Values, up: Values) -> Points:
        """Pixels ``(n, 2)`` of values; beyond the frame where the values are."""
        x = self.left + self.width * self.across.places(across)
        y = self.top + self.height * (1 - self.up.places(up))
        return np.stack(np.broadcast_arrays(x, y), axis=1)

    def curve(
        self, page: Page, across: Values, up: Values, color: str = BLUE, dots: bool = True
    ) -> None:
        """Draw a curve with a dot at each value; NaN leaves a gap."""
        points = self.points(across, up)
        page.line(points, color, 1.6)
        if dots:
            for point in points[np.isfinite(points).all(axis=1)]:
                page.area(circle(point, 3), color)

    def bars(self, page: Page, edges: Values, heights: Values, color: str) -> None:
        """Draw a histogram's bars: ``heights`` ``(n,)`` between ``edges`` ``(n + 1,)``."""
        for low, high, height in zip(edges[:-1], edges[1:], heights, strict=True):
            (left, bottom), (right, top) = self.points(np.array([low, high]), np.array([0, height]))
            page.area(rectangle(left + 0.5, top, right - 0.5, bottom), color)

    def steps(
        self,
        page: Page,
        edges: Values,
        heights: Values,
        color: str,
        width: float,
        dashed: bool = False,
    ) -> None:
        """Draw a histogram's outline."""
        corners = np.concatenate([[0], heights.repeat(2), [0]])
        page.line(self.points(edges.repeat(2), corners), color, width, dashed)

    def upright(self, page: Page, at: float, color: str = INK, dashed: bool = True) -> None:
        """Draw a line over the whole height at a value."""
        x = self.points(np.array([at]), np.array([self.up.low]))[0, 0]
        ends = np.array([[x, self.top], [x, self.top + self.height]])
        page.line(ends, color, 1.3, dashed)

    def level(self, page: Page, at: float, color: str = INK) -> None:
        """Draw a dashed line over the whole width at a value."""
        y = self.points(np.array([self.across.low]), np.array([at]))[0, 1]
        page.line(np.array([[self.left, y], [self.left + self.width, y]]), color, 1.3, True)


def circle(center: Values, radius: float, corners: int = 16) -> Points:
    """The closed outline of a circle."""
    angles = np.linspace(0, 2 * np.pi, corners + 1)
    return np.asarray(center) + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    """The closed outline of a rectangle."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])


@dataclass
class Plot:
    """A frame under a title and the name of its upright axis, over that of the other.

    Args:
        size: Pixels ``(width, height)`` of the frame itself.
        across: The axis at the bottom.
        up: The axis at the left.
        xlabel: Name of the axis at the bottom, with the unit.
        ylabel: Name of the upright axis, which stands over its upper end.
        title: Stands over all; may be empty.
        grid: Whether faint lines extend from the ticks of the upright axis.
        room: Pixels left free right above the frame.
    """

    size: tuple[int, int]
    across: Axis
    up: Axis
    xlabel: str
    ylabel: str
    title: str = ""
    grid: bool = True
    room: int = 0

    def __post_init__(self) -> None:
        ticks = [text_width(text) for _, text in self.up.ticks]
        names = [text_width(text) for _, text in self.across.ticks]
        self._left = max([names[0] // 2 if names else 0, *(tick + _TICK + 4 for tick in ticks)])
        self._right = max(names[-1] // 2 if names else 0, 2) + 2
        self.width = self._left + self.size[0] + self._right
        self._title = wrapped(self.title, self.width) if self.title else []
        self._ylabel = wrapped(self.ylabel, self.width) if self.ylabel else []
        self._xlabel = wrapped(self.xlabel, self.width) if self.xlabel else []

    @property
    def above(self) -> int:
        """Pixels down to the frame."""
        lines = len(self._title) + len(self._ylabel)
        return lines * line_height(LABEL) + (GAP if lines else LABEL // 2) + self.room

    @property
    def height(self) -> int:
        """Pixels down, with all texts."""
        return self.above + self.size[1] + GAP + (1 + len(self._xlabel)) * line_height(LABEL)

    def draw(self, page: Page, x: float, y: float) -> Frame:
        """Put it on a page with its upper left corner here; curves go into what is returned."""
        width, height = self.size
        page.text(x, y, self._title)
        page.text(x, y + len(self._title) * line_height(LABEL), self._ylabel, color=GRAY)
        frame = Frame(x + self._left, y + self.above, width, height, self.across, self.up)
        self._draw_ticks(page, frame)
        left, bottom, right = frame.left, frame.top + height, frame.left + width
        page.line(np.array([[left, frame.top], [left, bottom], [right, bottom]]))
        below = bottom + GAP + line_height(LABEL)
        middle = min(left + width / 2, x + self.width / 2)
        page.text(middle, below, self._xlabel, align="center", color=GRAY)
        return frame

    def _draw_ticks(self, page: Page, frame: Frame) -> None:
        bottom, right = frame.top + frame.height, frame.left + frame.width
        low = np.array([self.up.low])
        free = -np.inf
        for value, text in self.across.ticks:
            x = frame.points(np.array([value]), low)[0, 0]
            page.line(np.array([[x, bottom], [x, bottom + _TICK]]))
            if x - text_width(text) / 2 >= free:
                page.text(x, bottom + GAP - 2, [text], align="center")
                free = x + text_width(text) / 2 + 5
        for value, text in self.up.ticks:
            y = frame.points(np.array([self.across.low]), np.array([value]))[0, 1]
            if self.grid:
                page.line(np.array([[frame.left, y], [right, y]]), FAINT, 0.8)
            page.line(np.array([[frame.left - _TICK, y], [frame.left, y]]))
            page.text(frame.left - _TICK - 3, line_top(y), [text], align="right")
