"""Detect that an image has stopped improving."""

from __future__ import annotations

import torch
from torch import Tensor


def has_converged(curves: Tensor, steps: Tensor, patience: int, min_improvement: float) -> Tensor:
    """Return True for ascents that have stopped improving.

    An ascent has if the mean of its curve over the last ``patience`` steps is not above that of the
    ``patience`` steps before by more than ``min_improvement`` of its whole rise since its first
    step. Means are compared, since the curve varies with the random views.

    Args:
        curves: ``(B, steps)`` the maximized number at each step, on the CPU, since it is summed up
            in double precision; values after an ascent's last step are ignored.
        steps: ``(B,)`` how many steps each has made.
        patience: At least 1.
        min_improvement: A fraction, at least 0.

    Returns:
        ``(B,)`` bool.
    """
    sums = torch.nn.functional.pad(curves.double().nan_to_num().cumsum(1), (1, 0))

    def mean_between(first: Tensor, last: Tensor) -> Tensor:
        first, last = first.clamp(min=0)[:, None], last.clamp(min=0)[:, None]
        return ((sums.gather(1, last) - sums.gather(1, first))[:, 0]) / patience

    recent = mean_between(steps - patience, steps)
    before = mean_between(steps - 2 * patience, steps - patience)
    rise = torch.maximum(recent, before) - curves[:, 0].double()
    stalled = recent - before <= min_improvement * rise.abs()
    return stalled & (steps >= 2 * patience)
