"""Convert names and custom functions to objectives."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from torch import Tensor

from neurovis.maximization.objectives.kernels import Center, CustomReadout, Max, Mean
from neurovis.maximization.objectives.layers import DeepDream
from neurovis.maximization.objectives.objective import Objective

#: Objectives that need no arguments, by the names that users give.
NAMED_OBJECTIVES: dict[str, type[Objective]] = {
    "mean": Mean,
    "center": Center,
    "max": Max,
    "deep_dream": DeepDream,
}


def as_objective(value: str | Objective | Callable[[Tensor], Tensor]) -> Objective:
    """Return the objective that is meant by a name, an objective, or a custom function.

    Args:
        value: ``"mean"``, ``"center"``, ``"max"`` or ``"deep_dream"``; an :class:`Objective`; or a
            function from activations ``(B, K, ...)`` to ``(B, K)``.

    Raises:
        ValueError: If it is none of these.

    Example:
        >>> as_objective("center")
        Center()
    """
    if isinstance(value, Objective):
        return value
    if isinstance(value, str):
        if value in NAMED_OBJECTIVES:
            return NAMED_OBJECTIVES[value]()
        near = get_close_matches(value, NAMED_OBJECTIVES, 1)
        meant = f'; did you mean "{near[0]}"?' if near else ""
        raise ValueError(f"objective must be {_choice()}; got {value!r}{meant}")
    if isinstance(value, type):
        raise ValueError(f"objective must be an object, as in {value.__name__}(...); got the class")
    if callable(value):
        return CustomReadout(value)
    raise ValueError(f"objective must be {_choice()}; got {value!r}")


def _choice() -> str:
    names = ", ".join(f'"{name}"' for name in NAMED_OBJECTIVES)
    return f"{names}, an Objective or a function"
