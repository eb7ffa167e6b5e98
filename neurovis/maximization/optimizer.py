"""Adam for a batch of images that each count their own steps.

In one batch some images have just begun and others are nearly done, so that no number of steps is
common to them, as it is in ``torch.optim.Adam``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: Shorter memories than usual: what an image lacks changes from step to step.
_BETAS = (0.0, 0.99)
#: Far below any gradient: at Adam's default of 1e-8 the images of layers with faint gradients
#: (1e-9 per spatial frequency is common) would hardly move.
_EPS = 1e-15

#: From the steps that each image has made before, ``(B,)``, to its learning rate, ``(B,)``.
Schedule = Callable[[Tensor], Tensor]


@dataclass
class Moments:
    """What Adam remembers of each image.

    Attributes:
        first: ``(B, ...)`` running mean of the gradients.
        second: ``(B, ...)`` running mean of their squares.
        steps: ``(B,)`` how many steps were made.
    """

    first: Tensor
    second: Tensor
    steps: Tensor

    @classmethod
    def none(cls, values: Tensor) -> Moments:
        """Those of images that have made no step."""
        steps = torch.zeros(len(values), device=values.device)
        return cls(torch.zeros_like(values), torch.zeros_like(values), steps)

    def forget(self, rows: Sequence[int]) -> None:
        """Start these images anew."""
        for remembered in (self.first, self.second, self.steps):
            remembered[list(rows)] = 0

    def of(self, rows: Sequence[int]) -> Moments:
        """Copies of what is remembered of these images."""
        rows = list(rows)
        return Moments(self.first[rows], self.second[rows], self.steps[rows])

    def put(self, rows: Sequence[int], others: Moments) -> None:
        """Remember of these images what is remembered of others."""
        rows = list(rows)
        self.first[rows], self.second[rows] = others.first, others.second
        self.steps[rows] = others.steps

    def to(self, device: torch.device) -> Moments:
        """The same on a device."""
        return Moments(self.first.to(device), self.second.to(device), self.steps.to(device))

    @property
    def finite(self) -> Tensor:
        """``(B,)`` whether what is remembered of an image is finite."""
        both = torch.stack([self.first.flatten(1), self.second.flatten(1)])
        return both.isfinite().all(-1).all(0)


@torch.no_grad()
def adam_step(values: Tensor, gradients: Tensor, moments: Moments, lr: float | Tensor) -> None:
    """One step down of every image, in place (Kingma & Ba 2015, with their bias correction).

    Args:
        values: ``(B, ...)``.
        gradients: ``(B, ...)``.
        moments: Of these images; they are brought up to date.
        lr: Learning rate, or ``(B,)`` one for each image.
    """
    moments.steps += 1
    moments.first.lerp_(gradients, 1 - _BETAS[0])
    moments.second.mul_(_BETAS[1]).addcmul_(gradients, gradients, value=1 - _BETAS[1])
    size = lr / (1 - _BETAS[0] ** moments.steps)
    correction = (1 - _BETAS[1] ** moments.steps).sqrt()
    shape = (-1, *[1] * (values.ndim - 1))
    spread = moments.second.sqrt().div_(correction.reshape(shape)).add_(_EPS)
    values.sub_((moments.first / spread).mul_(size.reshape(shape)))


class ImageAdam(torch.optim.Optimizer):
    """Adam over the parameters of images, whose first dimension counts images.

    Args:
        parameters: Tensors ``(B, ...)``.
        schedule: Learning rate of each image by the steps it has made.
    """

    def __init__(self, parameters: Iterable[Tensor], schedule: Schedule) -> None:
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
        """Let these images start anew."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self._moments(parameter).forget(rows)

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
        return Moments(state["first"], state["second"], state["steps"])
