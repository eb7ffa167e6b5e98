"""The eight object classes of the demo scenes, as exact inside tests in the plane.

Each shape answers, for every point, whether the point belongs to it. Only additions, products and
comparisons are used, so that a machine's mathematical library cannot change a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
InsideTest = Callable[[Plane, Plane], Mask]

_FIFTH = math.radians(72)
_STAR_TIP, _STAR_NOTCH = np.float32(1.05), np.float32(0.5)
# Normals of the mirrors, 36 degrees to either side of the upward axis, between a star's tips.
_STAR_MIRRORS = [
    (np.float32(side * math.cos(_FIFTH / 2)), np.float32(-math.sin(_FIFTH / 2))) for side in (1, -1)
]


def _triangle(u: Plane, v: Plane) -> Mask:
    return (v > np.float32(-0.5)) & (v + np.float32(math.sqrt(3)) * np.abs(u) < np.float32(1))


def _square(u: Plane, v: Plane) -> Mask:
    return np.maximum(np.abs(u), np.abs(v)) < np.float32(0.72)


def _disc(u: Plane, v: Plane) -> Mask:
    return u * u + v * v < np.float32(0.85**2)


def _ring(u: Plane, v: Plane) -> Mask:
    squared_radius = u * u + v * v
    return (squared_radius < np.float32(0.92**2)) & (squared_radius > np.float32(0.5**2))


def _star(u: Plane, v: Plane) -> Mask:
    """Five tips: mirrored until all lie on the upper one, whose right edge then decides."""
    x, y = np.abs(u), v
    for normal_x, normal_y in _STAR_MIRRORS:
        beyond = np.maximum(normal_x * x + normal_y * y, np.float32(0)) * np.float32(2)
        x, y = x - beyond * normal_x, y - beyond * normal_y
    notch_x = _STAR_NOTCH * np.float32(math.sin(_FIFTH / 2))
    notch_y = _STAR_NOTCH * np.float32(math.cos(_FIFTH / 2))
    star: Mask = np.abs(x) * (_STAR_TIP - notch_y) < (_STAR_TIP - y) * notch_x
    return star


def _cross(u: Plane, v: Plane) -> Mask:
    across, along = np.abs(u), np.abs(v)
    arms = np.minimum(across, along) < np.float32(0.27)
    cross: Mask = arms & (np.maximum(across, along) < np.float32(0.92))
    return cross


def _crescent(u: Plane, v: Plane) -> Mask:
    bite = u - np.float32(0.5)
    height = v * v
    crescent: Mask = (u * u + height < np.float32(0.92**2)) & (
        bite * bite + height > np.float32(0.74**2)
    )
    return crescent


def _heart(u: Plane, v: Plane) -> Mask:
    """The sextic (x² + y² - 1)³ < x² y³, scaled into the unit disc."""
    x, y = u * np.float32(1.3), v * np.float32(1.3) + np.float32(0.1)
    squared_x, squared_y = x * x, y * y
    excess = squared_x + squared_y - np.float32(1)
    heart: Mask = excess * excess * excess < squared_x * squared_y * y
    return heart


_INSIDE_TESTS: dict[str, InsideTest] = {
    "triangle": _triangle,
    "square": _square,
    "disc": _disc,
    "ring": _ring,
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
    "heart": _heart,
}

SHAPES: tuple[str, ...] = tuple(_INSIDE_TESTS)
"""Names of the classes, in the order of the network's outputs."""


def inside_shape(shape: str, u: Plane, v: Plane) -> Mask:
    """Says which points belong to a shape.

    Args:
        shape: One of ``SHAPES``.
        u: Horizontal coordinates, to the right, any array shape; the shape's size is about 1.
        v: Vertical coordinates, upwards, of the same array shape.

    Returns:
        Booleans of the same array shape.

    Raises:
        ValueError: If ``shape`` is not one of ``SHAPES``.

    Example:
        >>> origin = np.zeros(1, np.float32)
        >>> [name for name in SHAPES if not inside_shape(name, origin, origin)]
        ['ring', 'crescent']
    """
    if shape not in _INSIDE_TESTS:
        raise ValueError(f"shape {shape!r} is unknown; expected one of {', '.join(SHAPES)}")
    return _INSIDE_TESTS[shape](u, v)
