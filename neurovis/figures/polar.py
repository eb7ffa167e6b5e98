"""Orientation tuning as a polar plot, mirrored to the whole circle."""

from __future__ import annotations

import numpy as np

from neurovis.figures.page import Page, Points
from neurovis.figures.plots import BLUE, FAINT, ORANGE, TINT, Values, circle

#: Beginning and end of the preferred orientation's tick, in radii.
_FROM, _TO = 1.03, 1.16


def polar_reach(radius: float) -> float:
    """Pixels from the middle of a polar plot to its outermost point."""
    return _TO * radius


def draw_polar(
    page: Page,
    center: tuple[float, float],
    radius: float,
    orientations: Values,
    curve: Values,
    preferred: float | None,
    dots: bool = False,
) -> None:
    """Draw a tuning curve in a circle that is as large as its peak.

    Angles are as on the screen: 0 degrees to the right, 90 degrees upwards. A response at an
    orientation is drawn in both of its directions.

    Args:
        page: Where.
        center: ``(x, y)`` on the page.
        radius: Radius of the circle, in pixels.
        orientations: ``(O,)`` in degrees.
        curve: ``(O,)``, non-negative; without a positive value only the circle is drawn.
        preferred: Ticks are drawn at its two ends, in degrees; or none, if None or NaN.
        dots: Whether each response has a dot.
    """
    x, y = center
    page.line(np.array([[x - radius, y], [x + radius, y]]), FAINT, 0.8)
    page.line(np.array([[x, y - radius], [x, y + radius]]), FAINT, 0.8)
    page.line(circle(np.array(center), radius, 64), "#a0a0a0", 0.8)
    peak = curve[np.isfinite(curve)].max(initial=0)
    if peak <= 0:
        return
    order = np.argsort(orientations % 180)
    half, sizes = (orientations % 180)[order], np.nan_to_num(curve[order]) / peak
    angles = np.concatenate([half, half + 180, half[:1] + 360])
    outline = directed(center, angles, radius * np.concatenate([sizes, sizes, sizes[:1]]))
    page.area(outline, TINT)
    page.line(outline, BLUE, 1.5)
    if dots:
        for point in outline[:-1]:
            page.area(circle(point, 2.5), BLUE)
    if preferred is not None and np.isfinite(preferred):
        for end in (preferred, preferred + 180):
            ends = directed(center, np.full(2, end), radius * np.array([_FROM, _TO]))
            page.line(ends, ORANGE, 3)


def directed(center: tuple[float, float], angles: Values, distances: Values) -> Points:
    """Points ``(n, 2)`` at some distances in directions, counter-clockwise in degrees."""
    radians = np.deg2rad(angles)
    x = center[0] + distances * np.cos(radians)
    y = center[1] - distances * np.sin(radians)
    return np.stack([x, y], axis=1)
