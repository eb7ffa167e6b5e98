"""Adam without momentum for a batch of images that each count their own steps, and their averages.

In one batch some images have just begun and others are nearly done, so that no number of steps is
common to them, as it is in ``torch.optim.Adam``.

With a constant step size an image keeps jittering around where it is going, from one random view to
the next. The average of its last values (Polyak & Juditsky 1992) is smoother and, once an ascent is
well under way, drives its kernel more than the last of them; early on it lags behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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

#: From the steps that each image has made before, ``(B,)``, to its learning rate, ``(B,)``; both on
#: the CPU.
LearningRateSchedule = Callable[[Tensor], Tensor]


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
        for remembered in self._all:
            remembered[list(rows)] = 0

    def of(self, rows: Sequence[int]) -> Moments:
        """Return copies of the moments of these images."""
        return Moments(*(remembered[list(rows)] for remembered in self._all))

    def put(self, rows: Sequence[int], others: Moments) -> None:
        """Replace the moments of these images by those of others."""
        for remembered, other in zip(self._all, others._all, strict=True):
            remembered[list(rows)] = other

    def to(self, device: torch.device) -> Moments:
        """Return the moments on a device."""
        return Moments(self.second.to(device), self.average.to(device), self.steps)

    def averaged(self, values: Tensor) -> Tensor:
        """Return the averages ``(B, ...)``; for images that have made no step, their values."""
        has_begun = sent(self.steps > 0, values.device)
        return torch.where(_beside(values, has_begun), self.average, values)

    @property
    def finite(self) -> Tensor:
        """``(B,)`` whether all moments of an image are finite."""
        both = torch.stack([self.second.flatten(1), self.average.flatten(1)])
        return both.isfinite().all(-1).all(0)

    @property
    def _all(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.second, self.average, self.steps


@torch.no_grad()
def adam_step(values: Tensor, gradients: Tensor, moments: Moments, lr: float | Tensor) -> None:
    """One step down of every image, in place (Kingma & Ba 2015, with their bias correction).

    Args:
        values: ``(B, ...)``.
        gradients: ``(B, ...)``.
        moments: Moments of these images; they are updated in place.
        lr: Learning rate, or ``(B,)`` one for each image, on the CPU.
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
    """Adam over the parameters of images, whose first dimension counts images.

    Args:
        parameters: Tensors ``(B, ...)``.
        schedule: Learning rate of each image by the steps it has made.
    """

    def __init__(self, parameters: Iterable[Tensor], schedule: LearningRateSchedule) -> None:
        super().__init__(parameters, {})
        self._schedule = schedule

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step down for all images, after the gradients that ``closure`` computes."""
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    moments = self._moments(parameter)
                    lr = self._schedule(moments.steps)
                    adam_step(parameter, parameter.grad, moments, lr)
        return loss

    def forget(self, rows: Sequence[int]) -> None:
        """Reset the moments of these images."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self._moments(parameter).forget(rows)

    @torch.no_grad()
    def averaged(self, parameter: Tensor) -> Tensor:
        """``(B, ...)`` the averages of images' last values."""
        return self._moments(parameter).averaged(parameter.detach())

    def work_on(self, parameter: Tensor) -> None:
        """Take up other images, which have made no steps."""
        self.state.clear()
        (group,) = self.param_groups
        group["params"] = [parameter]

    def _moments(self, parameter: Tensor) -> Moments:
        # By name, as tensors: checkpoints are read with nothing but tensors allowed.
        state = self.state[parameter]
        if not state:
            state.update(vars(Moments.none(parameter.detach())))
        return Moments(state["second"], state["average"], state["steps"])
