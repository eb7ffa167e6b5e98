"""Gradients for units that a rectifier silences: they take part in an ascent, and are woken.

In a rectified layer only the positions that respond pass a gradient, and in the beginning those are
few: an image grows from them, while its other parts wait. Here a part of the gradient leaks through
the rectifiers that end the layer, as through a leaky ReLU (Maas, Hannun & Ng 2013), less with every
step until it is plain. Rectifiers further down keep their gradients: with those leaking as well,
images improve more slowly.

A kernel whose rectified response is zero everywhere passes no gradient, and its image would stay
what it was. Its gradient goes through the rectifier that blocks it, as if the pre-activation were
maximized: that of the unit nearest to its threshold, since the mean over a map may be highest for a
gray image. Once the kernel responds, its plain gradient is all there is. Passing on the gradient
that a silent sample's rectifier blocks is an idea of Olah, Mordvintsev & Schubert (2017).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.rectifiers import GradientRule, RectifierGradients
from neurovis.transfer import sent


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


class LeakingRectifiers(RectifierGradients):
    """While active, some rectifiers pass a part of the gradient of what they silence.

    Args:
        calls: Which, see :func:`last_rectifiers`.
        leak: ``(B,)`` the part, for each image; 0 for the plain gradient.
    """

    def __init__(self, calls: frozenset[int], leak: Tensor) -> None:
        super().__init__(self._leaked)
        self._calls = calls
        self._leak = leak

    def rule_for(self, call: int) -> GradientRule | None:
        """The leaking rule for the calls that are asked for, none for the others."""
        return self._leaked if call in self._calls else None

    def _leaked(self, gradient: Tensor, _values: Tensor, slope: Tensor) -> Tensor:
        leak = sent(self._leak, gradient.device).to(gradient.dtype)
        leak = leak.reshape(-1, *[1] * (gradient.ndim - 1))
        return gradient * torch.maximum(slope, leak)


def looks_rectified(values: Tensor) -> bool:
    """Return True for values as a rectifier leaves them: some are 0, and none below."""
    return bool(values.min() >= 0) and bool((values == 0).any())


def last_rectifiers(response: LayerResponse) -> frozenset[int]:
    """The rectifiers that end a layer, by the order of their calls; none if it ends otherwise.

    Those whose output comes into the layer's without passing through another.

    Args:
        response: Response of the layer.
    """
    images = noise_images(response.spec, count=2)
    with torch.no_grad():
        values = response(images)
    if not looks_rectified(values):
        return frozenset()
    reached = _Reached()
    with torch.enable_grad(), reached:
        values = response(images.requires_grad_(True))
    if not values.requires_grad:
        return frozenset()
    # Not all alike, for there may be a normalization that takes off the mean.
    weights = torch.rand(values.shape, generator=torch.Generator().manual_seed(0))
    torch.autograd.grad((values * weights.to(values)).sum(), images, allow_unused=True)
    return frozenset(reached.calls)


class _Reached(RectifierGradients):
    """Record the rectifiers that the layer's gradient reaches, while none lets it pass."""

    def __init__(self) -> None:
        super().__init__(_blocked)
        self.calls: set[int] = set()

    def rule_for(self, call: int) -> GradientRule:
        """A rule that notes the call, and lets nothing pass."""
        return partial(self._block, call)

    def _block(self, call: int, gradient: Tensor, values: Tensor, slope: Tensor) -> Tensor:
        if gradient.any():
            self.calls.add(call)
        return _blocked(gradient, values, slope)


def _blocked(gradient: Tensor, _values: Tensor, _slope: Tensor) -> Tensor:
    return torch.zeros_like(gradient)
