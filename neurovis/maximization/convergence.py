"""When an image has stopped improving."""

from __future__ import annotations

import torch
from torch import Tensor


def has_converged(curves: Tensor, steps: Tensor, patience: int, min_improvement: float) -> Tensor:
    """Whether ascents have stopped improving.

    One has if the mean of what it climbed in its last ``patience`` steps is not above that of the
    ``patience`` steps before by more than ``min_improvement`` of its whole rise since its first
    step. Means, since what is climbed varies with the random views.

    Args:
        curves: ``(B, steps)`` what was climbed, on the CPU, since it is summed up in double
            precision; what lies behind an ascent's last step is ignored.
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
