"""Checks of numbers, pictures and functions that options are given; messages name the option."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

#: The largest number that tensors of float32 hold.
LARGEST = 3.4e38


def is_number(value: object) -> bool:
    """Return True for a finite number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -math.inf < value < math.inf


def check_number(option: str, value: float, at_least: float = 0, at_most: float = LARGEST) -> None:
    """Raise ValueError for what is no finite number, too small, or too large."""
    if not is_number(value) or value < at_least:
        raise ValueError(f"{option} must be a number of at least {at_least}; got {value!r}")
    if value > at_most:
        raise ValueError(f"{option} must be a number of at most {at_most:g}; got {value!r}")


def check_positive(option: str, value: float) -> None:
    """Raise ValueError for what is no finite number above 0."""
    check_number(option, value)
    if value == 0:
        raise ValueError(f"{option} must be a positive number; got 0")


def check_integer(
    option: str, value: object, at_least: int = 0, at_most: int | None = None
) -> None:
    """Raise ValueError for what is no integer, too small, or too large."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{option} must be an integer of at least {at_least}; got {value!r}")
    if at_most is not None and value > at_most:
        raise ValueError(f"{option} must be an integer of at most {at_most}; got {value!r}")


def checked_range(
    option: str, ends: Sequence[float], at_least: float = 0, at_most: float = LARGEST
) -> tuple[float, float]:
    """Both ends of a range as a tuple.

    Raises:
        ValueError: If they are not two numbers within limits, the smaller one first.
    """
    values = tuple(ends) if isinstance(ends, Sequence) else ()
    usable = len(values) == 2 and all(map(is_number, values))
    if not usable or not at_least <= values[0] <= values[1] <= at_most:
        limit = "" if at_most == LARGEST else f" <= {at_most:g}"
        raise ValueError(
            f"{option} must be two numbers {at_least:g} <= low <= high{limit}; got {ends!r}"
        )
    return float(values[0]), float(values[1])


def check_picture(option: str, picture: Tensor, shape: str = "(C, H, W)") -> None:
    """Raise ValueError for what is no floating-point tensor of this shape in [0, 1], or empty."""
    is_shaped = picture.ndim == len(shape.split(",")) and picture.numel()
    if not is_shaped or not picture.is_floating_point():
        raise ValueError(
            f"{option} must be a floating-point tensor {shape} in [0, 1], not empty; got "
            f"{picture.dtype} of shape {tuple(picture.shape)}"
        )
    low, high = (float(limit) for limit in picture.aminmax())
    if not 0 <= low <= high <= 1:
        raise ValueError(f"{option} must have values in [0, 1]; got {low:g} to {high:g}")


def check_functions(option: str, given: object) -> None:
    """Refuse what is no list of functions, or of objects that can be called."""
    if given is None and option == "transforms":
        return
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{option} must be a list, as in [{given!r}]; got {given!r}")
    for one in given:
        if isinstance(one, type):
            raise ValueError(f"{option} must be objects, as in {one.__name__}(...); got the class")
        if not callable(one):
            raise ValueError(f"{option} must be functions of images; got {one!r}")
