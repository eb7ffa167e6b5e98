"""What is climbed: the readout of a kernel's map, and how a group's kernels are joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from neurovis.readouts import Readout

Joint = Literal["mean", "min", "weighted"]


@dataclass(frozen=True)
class Target:
    """The kernels that one image is to drive together; most often just one.

    Args:
        kernels: 0-based channels of the layer, without repetition.
        joint: How their readouts become one number: their ``mean``, their ``min`` (climb the
            weakest), or ``weighted``, their mean weighted by ``weights`` over the sum of absolute
            weights.
        weights: One for each kernel; only with ``weighted``. Negative weights suppress.

    Raises:
        ValueError: If there is no kernel, one is repeated, or weights do not fit.
    """

    kernels: tuple[int, ...]
    joint: Joint = "mean"
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.kernels:
            raise ValueError("a group needs at least one kernel; got none")
        if len(set(self.kernels)) < len(self.kernels):
            raise ValueError(f"a group names each kernel once; got {list(self.kernels)}")
        if self.joint not in ("mean", "min", "weighted"):
            raise ValueError(f'joint must be "mean", "min" or "weighted"; got {self.joint!r}')
        if (self.weights is not None) != (self.joint == "weighted"):
            raise ValueError('weights are given with joint="weighted", and only with it')
        if self.weights is not None and len(self.weights) != len(self.kernels):
            raise ValueError(
                f"weights must have one value per kernel: {len(self.kernels)} kernels, "
                f"{len(self.weights)} weights"
            )
        if self.weights is not None and not all(map(math.isfinite, self.weights)):
            raise ValueError(f"weights must be finite numbers; got {list(self.weights)}")
        if self.weights is not None and not any(self.weights):
            raise ValueError("weights must not all be zero")

    def join(self, values: Tensor) -> Tensor:
        """One number from the members' readouts ``(M,)``."""
        if self.joint == "min":
            return values.min()
        if self.weights is not None:
            weights = values.new_tensor(self.weights)
            return (weights * values).sum() / weights.abs().sum()
        return values.mean()


def wanted_members(count: int, weights: Sequence[float] | None) -> list[bool]:
    """Which of ``count`` members are to respond: all but those with a weight of 0 or less."""
    return [True] * count if weights is None else [weight > 0 for weight in weights]


def member_values(activation: Tensor, targets: Sequence[Target], readout: Readout) -> list[Tensor]:
    """Each image's readouts ``(M,)`` of its own target's kernels, in float32.

    Args:
        activation: ``(B, K, ...)``, kernels second.
        targets: One for each image.
        readout: From activations to ``(B, K)``.

    Raises:
        ValueError: If the readout returns another shape.
    """
    values = readout(activation.float())
    if values.shape != activation.shape[:2]:
        raise ValueError(
            f"an objective must return one number for each image and kernel, "
            f"{tuple(activation.shape[:2])}; it returned {tuple(values.shape)}"
        )
    return [
        row[torch.tensor(target.kernels, device=row.device)]
        for row, target in zip(values, targets, strict=True)
    ]


def joint_values(members: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
    """The number that each image climbs, ``(B,)``."""
    return torch.stack(
        [target.join(values) for target, values in zip(targets, members, strict=True)]
    )
