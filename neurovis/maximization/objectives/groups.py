"""Targets of groups: means, minima, weighted means, suppressed kernels, standardized members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from neurovis.maximization.objectives.targets import Target
from neurovis.maximization.option_checks import is_number

Joint = Literal["mean", "min", "weighted"]


def group_target(
    kernels: Sequence[int],
    joint: Joint = "mean",
    weights: Sequence[float] | None = None,
    suppressed: Sequence[int] = (),
    zscore: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Target:
    """Return the target of a group of kernels.

    Args:
        kernels: 0-based channels of the layer, without repetition.
        joint: How their readouts become one number: their ``mean``, their ``min`` (the weakest
            is maximized), or ``weighted``, their mean weighted by ``weights`` over the sum of
            absolute weights.
        weights: One for each kernel; only with ``weighted``. Negative weights suppress.
        suppressed: Other kernels, whose mean readout is taken off the number.
        zscore: Statistics ``(means, standard deviations)`` of each member's readout of noise: if
            given, readouts are standardized by them before they are joined, so that kernels of
            different liveliness count alike. One of each for each kernel, then for each that is
            suppressed; see :func:`~neurovis.maximization.objectives.noise_statistics`.

    Returns:
        Its kernels are followed by those that are suppressed.

    Raises:
        ValueError: If there is no kernel, one is repeated, or weights or statistics do not fit.

    Example:
        >>> target = group_target([0, 1], suppressed=[4])
        >>> target.kernels, target.weights
        ((0, 1, 4), (0.5, 0.5, -1.0))
    """
    if joint not in ("mean", "min", "weighted"):
        raise ValueError(f'joint must be "mean", "min" or "weighted"; got {joint!r}')
    _check_weights(kernels, joint, weights)
    if len(set(suppressed)) < len(suppressed):
        raise ValueError(f"each suppressed kernel is named once; got {list(suppressed)}")
    both = sorted(set(kernels) & set(suppressed))
    if both:
        raise ValueError(f"kernels cannot be driven and suppressed at once; got {both} as both")
    members = (*kernels, *suppressed)
    means, deviations = zscore or ((0.0,) * len(members), (1.0,) * len(members))
    _check_statistics(members, means, deviations)
    shares = [float(weight) for weight in weights or [1.0] * len(kernels)]
    total = 1.0 if joint == "min" else math.fsum(map(abs, shares))
    factors = [share / total for share in shares] + [-1 / len(suppressed) for _ in suppressed]
    scaled = [factor / deviation for factor, deviation in zip(factors, deviations, strict=True)]
    offsets = [-weight * mean for weight, mean in zip(scaled, means, strict=True)]
    return Target(members, tuple(scaled), tuple(offsets), joint == "min")


def _check_weights(kernels: Sequence[int], joint: Joint, weights: Sequence[float] | None) -> None:
    if (weights is not None) != (joint == "weighted"):
        raise ValueError('weights are given with joint="weighted", and only with it')
    if weights is None:
        return
    if len(weights) != len(kernels):
        raise ValueError(
            f"weights must have one value per kernel: {len(kernels)} kernels, "
            f"{len(weights)} weights"
        )
    if not all(
        is_number(one.item() if isinstance(one, (np.generic, Tensor)) else one) for one in weights
    ):
        raise ValueError(f"weights must be finite real numbers; got {list(weights)}")
    if not any(weights):
        raise ValueError("weights must not all be zero")


def _check_statistics(
    members: Sequence[int], means: Sequence[float], deviations: Sequence[float]
) -> None:
    for name, values in (("means", means), ("standard deviations", deviations)):
        if len(values) != len(members):
            raise ValueError(
                f"zscore must have one value per member: {len(members)} members, "
                f"{len(values)} {name}"
            )
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{name} of zscore must be finite numbers; got {list(values)}")
    if min(deviations, default=1.0) <= 0:
        raise ValueError(f"standard deviations of zscore must be positive; got {list(deviations)}")
