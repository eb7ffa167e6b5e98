"""Objectives: the numbers read from a layer's activation, and how a group's numbers are joined.

An :class:`Objective` reads numbers from an activation; a :class:`Target` says which of them one
image is to drive together; a :class:`TargetBatch` does so for all images of a batch at once.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Literal

from torch import Tensor

from neurovis.maximization.objectives.constant import Constant
from neurovis.maximization.objectives.direction import Direction
from neurovis.maximization.objectives.diversity import diversity_penalty
from neurovis.maximization.objectives.groups import Joint, group_target
from neurovis.maximization.objectives.kernels import Center, CustomReadout, Max, Mean, Position
from neurovis.maximization.objectives.layers import DeepDream, Inversion
from neurovis.maximization.objectives.noise import noise_statistics
from neurovis.maximization.objectives.objective import Objective, WeightedSum
from neurovis.maximization.objectives.targets import (
    Target,
    TargetBatch,
    member_values,
)

ObjectiveName = Literal["mean", "center", "max", "deep_dream"]
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


__all__ = [
    "NAMED_OBJECTIVES",
    "Center",
    "Constant",
    "CustomReadout",
    "DeepDream",
    "Direction",
    "Inversion",
    "Joint",
    "Max",
    "Mean",
    "Objective",
    "ObjectiveName",
    "Position",
    "Target",
    "TargetBatch",
    "WeightedSum",
    "as_objective",
    "diversity_penalty",
    "group_target",
    "member_values",
    "noise_statistics",
]
