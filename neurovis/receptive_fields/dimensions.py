"""Dimensions of tensors, and what they count: images, rows, columns, tokens, or anything else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: What a factor counts: units along an axis of the image, images, tokens, or anything else.
VERTICAL, HORIZONTAL, BATCH, TOKENS, OTHER = 0, 1, 2, 3, -1
AXES = (VERTICAL, HORIZONTAL)


class Factor(NamedTuple):
    """A part of a dimension.

    Attributes:
        axis: What it counts.
        size: How many.
        step: Units from one to the next along the axis: 7 for a factor that counts windows of 7
            units. 1 where it counts something else.
    """

    axis: int
    size: int
    step: int = 1


#: A row-major sequence of factors: one for a plain dimension, ``(OTHER, 512), (VERTICAL, 7),
#: (HORIZONTAL, 7)`` after flattening, none for a size of 1.
Dim = tuple[Factor, ...]


class UnknownFieldError(Exception):
    """The receptive field cannot be followed through an operation."""


@dataclass(frozen=True)
class Tokens:
    """A grid with other tokens, such as a class token, before and behind it.

    Attributes:
        before: Number of tokens before the grid.
        grid: The factors of the grid.
        behind: Number of tokens behind it.
    """

    before: int
    grid: Dim
    behind: int = 0


def size_of(dim: Iterable[Factor]) -> int:
    """Number of elements along a dimension."""
    return math.prod(factor.size for factor in dim)


def axes_of(dim: Dim) -> list[int]:
    """The image axes that a dimension carries, or tokens."""
    return [factor.axis for factor in dim if factor.axis in (*AXES, TOKENS)]


def is_known(dim: Dim) -> bool:
    """True if a dimension counts images, tokens, or units along an axis of the image."""
    return any(factor.axis != OTHER for factor in dim)


def other(size: int) -> Dim:
    """A dimension that carries no image axis."""
    return merged([Factor(OTHER, size)])


def merged(dim: Sequence[Factor]) -> Dim:
    """The dimension with neighboring factors that belong together multiplied into one."""
    factors: list[Factor] = []
    for factor in dim:
        axis, size, step = factor
        if (axis, size) == (OTHER, 1):
            continue
        last = factors[-1] if factors else None
        if last is not None and axis == last.axis == OTHER:
            factors[-1] = Factor(OTHER, last.size * size)
        elif last is not None and axis == last.axis and last.step == size * step:
            factors[-1] = Factor(axis, last.size * size, step)
        else:
            factors.append(factor)
    return tuple(factors)


def take(factors: list[Factor], size: int, taken: int) -> Factor:
    """Remove and return the first factor, or only the part that ``taken`` lacks of ``size``.

    Args:
        factors: Those that are left.
        size: Size of the dimension that they are to fill.
        taken: Size of what fills it by now.

    Raises:
        UnknownFieldError: If images or tokens would be cut into pieces, or nothing fits.
    """
    axis, units, step = factor = factors.pop(0)
    missing = size // taken
    if size % taken == 0 and missing % units == 0:
        return factor
    if size % taken or units % missing or axis in (BATCH, TOKENS):
        raise UnknownFieldError
    rest = units // missing
    factors.insert(0, Factor(axis, rest, step))
    return Factor(axis, missing, step * rest if axis in AXES else 1)


def leading_ones(sizes: Sequence[int]) -> int:
    """Number of sizes of 1 before the first other one."""
    return next((index for index, size in enumerate(sizes) if size != 1), len(sizes))
