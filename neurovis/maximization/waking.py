"""Wakes units that a rectifier silences, so that no kernel comes out gray for want of a gradient.

A kernel whose rectified response is zero everywhere passes no gradient, and its image would stay
what it was. Here its gradient goes through the rectifier that blocks it, as if the
pre-activation were maximized: that of the unit nearest to its threshold, since the mean over a map
may be highest for a gray image. Once the kernel responds, its plain gradient is all there is.
Passing on the gradient that a silent sample's rectifier blocks is an idea of Olah, Mordvintsev &
Schubert (2017).
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurovis.rectifiers import RectifierGradients


class WakingRectifiers(RectifierGradients):
    """While active, rectifiers (modules and functions alike) wake samples that they silence.

    Values are what they are without it; so are gradients of samples of which any passes.
    """

    def __init__(self) -> None:
        super().__init__(_wake)


def _wake(gradient: Tensor, values: Tensor, slope: Tensor) -> Tensor:
    """The gradient that passes; samples of which nothing would are woken."""
    passed = gradient * slope
    blocked = (passed == 0).flatten(1).all(1)
    blocked = blocked.reshape(-1, *[1] * (gradient.ndim - 1))
    return torch.where(blocked, _at_nearest_unit(gradient, values), passed)


def _at_nearest_unit(gradient: Tensor, values: Tensor) -> Tensor:
    """Return each map's gradient ``(B, K, ...)``, all at the unit nearest to its threshold."""
    if gradient.ndim < 3:
        return gradient
    flat = gradient.flatten(2)
    asked = values.flatten(2).masked_fill(flat == 0, -torch.inf)
    nearest = torch.zeros_like(flat).scatter_(2, asked.argmax(2, keepdim=True), 1)
    return (nearest * flat.sum(2, keepdim=True)).reshape(gradient.shape)
