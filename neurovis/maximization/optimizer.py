"""Adam without momentum for a batch of images that each count their own steps, and their averages.

In one batch some images have just begun and others are nearly done, so that no number of steps is
common to them, as it is in ``torch.optim.Adam``.

With a constant step size an image keeps jittering around where it is going, from one random view to
the next. The average of its last values (Polyak & Juditsky 1992) is smoother and, once an ascent is
well under way, drives its kernel more than the last of them; early on it lags behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurovis.transfer import sent

#: How much of the mean square of gradients is kept; a shorter memory than usual, for what an image
#: lacks changes from step to step.
_BETA = 0.9
#: Far below any gradient: at Adam's default of 1e-8 the images of layers with faint gradients
#: (1e-9 per spatial frequency is common) would hardly move.
_EPS = 1e-15
#: How much of an average is kept at a step, once there were enough.
_KEPT = 0.9


@dataclass
class Moments:
    """Adam's state for each image, and the running average of its values.

    Attributes:
        second: ``(B, ...)`` running mean of the squares of the gradients.
        average: ``(B, ...)`` running mean of the values that the steps led to.
        steps: ``(B,)`` how many steps were made; always on the CPU, where rates follow from it.
    """

    second: Tensor
    average: Tensor
    steps: Tensor

    @classmethod
    def none(cls, values: Tensor) -> Moments:
        """Return the moments of images that have made no step."""
        steps = torch.zeros(len(values))
        return cls(torch.zeros_like(values), torch.zeros_like(values), steps)

    def forget(self, rows: Sequence[int]) -> None:
        """Reset the moments of these images."""
        for remembered in (self.second, self.average, self.steps):
            remembered[list(rows)] = 0

    def of(self, rows: Sequence[int]) -> Moments:
        """Return copies of the moments of these images, on the CPU."""
        rows = list(rows)
        return Moments(self.second[rows].cpu(), self.average[rows].cpu(), self.steps[rows])

    def put(self, rows: Sequence[int], others: Moments) -> None:
        """Replace the moments of these images by those of others."""
        rows = list(rows)
        self.second[rows] = others.second.to(self.second)
        self.average[rows] = others.average.to(self.average)
        self.steps[rows] = others.steps

    def averaged(self, values: Tensor) -> Tensor:
        """Return the averages ``(B, ...)``; for images that have made no step, their values."""
        has_begun = sent(self.steps > 0, values.device)
        return torch.where(_beside(values, has_begun), self.average, values)

    @property
    def finite(self) -> Tensor:
        """``(B,)`` whether all moments of an image are finite."""
        both = torch.stack([self.second.flatten(1), self.average.flatten(1)])
        return both.isfinite().all(-1).all(0)


@torch.no_grad()
def adam_step(values: Tensor, gradients: Tensor, moments: Moments, lr: float) -> None:
    """One step down of every image, in place (Kingma & Ba 2015, with their bias correction).

    Args:
        values: ``(B, ...)``.
        gradients: ``(B, ...)``.
        moments: Moments of these images; they are updated in place.
        lr: Learning rate.
    """
    moments.steps += 1
    correction = (1 - _BETA**moments.steps).sqrt()
    # Among the first values the later ones count for more, as they are much better.
    newest = (2 / (moments.steps + 1)).clamp(min=1 - _KEPT)
    factors = torch.stack([_EPS * correction, -lr * correction, newest])
    least, size, newest = (_beside(values, one) for one in sent(factors, values.device))
    moments.second.mul_(_BETA).addcmul_(gradients, gradients, value=1 - _BETA)
    # Corrected, the root would be larger by a factor, which is in the size of the step.
    spread = moments.second.sqrt().add_(least)
    values.add_(torch.div(gradients, spread, out=spread).mul_(size))
    moments.average.lerp_(values, newest)


def _beside(values: Tensor, numbers: Tensor) -> Tensor:
    """Numbers ``(B,)`` in a shape that goes with values ``(B, ...)``."""
    return numbers.reshape(-1, *[1] * (values.ndim - 1))


class ImageAdam(torch.optim.Optimizer):
    """:func:`adam_step` as the optimizer that Lightning asks for.

    Args:
        values: ``(B, ...)`` the parameters of images.
        lr: Learning rate.
    """

    def __init__(self, values: Tensor, lr: float) -> None:
        super().__init__([values], {})
        self._lr = lr
        self.moments = Moments.none(values.detach())

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step down for all images, after the gradients that ``closure`` computes."""
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        (group,) = self.param_groups
        (values,) = group["params"]
        if values.grad is not None:
            adam_step(values, values.grad, self.moments, self._lr)
        return loss

    def work_on(self, values: Tensor, moments: Moments) -> None:
        """Optimize other images, from where their moments were left."""
        (group,) = self.param_groups
        group["params"] = [values]
        self.moments = moments
