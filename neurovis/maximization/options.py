"""Checks of the numbers that options are given, with messages that name the option."""

from __future__ import annotations

import math
from collections.abc import Sequence


def is_number(value: object) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_number(option: str, value: float, at_least: float = 0) -> None:
    """Raise ValueError for what is no finite number, or too small."""
    if not is_number(value) or value < at_least:
        raise ValueError(f"{option} must be a number of at least {at_least}; got {value!r}")


def check_integer(option: str, value: object, at_least: int = 0) -> None:
    """Raise ValueError for what is no integer, or too small."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{option} must be an integer of at least {at_least}; got {value!r}")


def checked_range(
    option: str, ends: Sequence[float], above_zero: bool = False
) -> tuple[float, float]:
    """Both ends of a range as a tuple.

    Raises:
        ValueError: If they are not two numbers of at least 0, the smaller one first.
    """
    values = tuple(ends) if isinstance(ends, Sequence) else ()
    usable = len(values) == 2 and all(map(is_number, values)) and 0 <= values[0] <= values[1]
    if not usable or (above_zero and values[0] == 0):
        sign = "<" if above_zero else "<="
        raise ValueError(f"{option} must be two numbers 0 {sign} low <= high; got {ends!r}")
    return float(values[0]), float(values[1])
