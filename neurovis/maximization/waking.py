"""Wakes units that a rectifier silences, so that no kernel comes out grey for want of a gradient.

A kernel whose rectified response is zero everywhere passes no gradient, and its image would stay
what it was. Here its gradient goes through the rectifier that blocks all of it, as if the
pre-activation were climbed: that of the unit nearest to its threshold, since the mean over a map
may be highest for a grey image. Once the kernel responds, its plain gradient is all there is.
Passing on the gradient that a silent sample's rectifier blocks is an idea of Olah, Mordvintsev &
Schubert (2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class _Rectifier:
    """A rectifier as a function of values and its own parameters, with its slope."""

    function: Callable[..., Tensor]
    slope: Callable[..., Tensor]
    parameters: tuple[str, ...] = ("input", "inplace")
    always_in_place: bool = False


def _relu_slope(values: Tensor) -> Tensor:
    return (values > 0).to(values.dtype)


def _hardtanh_slope(values: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    return ((values > min_val) & (values < max_val)).to(values.dtype)


def _relu6_slope(values: Tensor) -> Tensor:
    return _hardtanh_slope(values, 0.0, 6.0)


def _hardswish_slope(values: Tensor) -> Tensor:
    return torch.where(values < -3, 0, torch.where(values > 3, 1, values / 3 + 0.5))


def _clamp_slope(values: Tensor, min: Any = None, max: Any = None) -> Tensor:
    inside = torch.ones_like(values)
    if min is not None:
        inside = inside * (values > min)
    return inside if max is None else inside * (values < max)


_RELU = _Rectifier(torch.relu, _relu_slope)
_RELU_IN_PLACE = _Rectifier(torch.relu, _relu_slope, always_in_place=True)
_CLAMP = _Rectifier(torch.clamp, _clamp_slope, ("input", "min", "max"))
_RECTIFIERS: dict[Any, _Rectifier] = {
    F.relu: _RELU,
    torch.relu: _RELU,
    Tensor.relu: _RELU,
    torch.relu_: _RELU_IN_PLACE,
    Tensor.relu_: _RELU_IN_PLACE,
    F.relu6: _Rectifier(F.relu6, _relu6_slope),
    # nn.ReLU6 is a nn.Hardtanh between 0 and 6.
    F.hardtanh: _Rectifier(F.hardtanh, _hardtanh_slope, ("input", "min_val", "max_val", "inplace")),
    F.hardswish: _Rectifier(F.hardswish, _hardswish_slope),
    torch.clamp: _CLAMP,
    Tensor.clamp: _CLAMP,
    torch.clamp_min: _CLAMP,
    Tensor.clamp_min: _CLAMP,
}


class _PassBlocked(torch.autograd.Function):
    """A rectifier that lets gradients pass for the samples of which it blocks everything."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, rectifier: _Rectifier, options: dict[str, Any], inplace: bool
    ) -> Tensor:
        """Values ``(B, ...)`` rectified."""
        ctx.save_for_backward(rectifier.slope(values, **options), values.clone())
        rectified = rectifier.function(values, **options)
        if not inplace:
            return rectified
        ctx.mark_dirty(values)
        return values.copy_(rectified)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """The gradient that passes; samples of which nothing would are woken."""
        slope, values = ctx.saved_tensors
        (gradient,) = gradients
        passed = gradient * slope
        blocked = (passed == 0).flatten(1).all(1)
        blocked = blocked.reshape(-1, *[1] * (gradient.ndim - 1))
        woken = torch.where(blocked, _at_nearest_unit(gradient, values), passed)
        return woken, None, None, None


def _at_nearest_unit(gradient: Tensor, values: Tensor) -> Tensor:
    """Each map's gradient ``(B, K, ...)``, all of it at the unit nearest to its threshold."""
    if gradient.ndim < 3:
        return gradient
    flat = gradient.flatten(2)
    asked = values.flatten(2).masked_fill(flat == 0, -torch.inf)
    nearest = torch.zeros_like(flat).scatter_(2, asked.argmax(2, keepdim=True), 1)
    return (nearest * flat.sum(2, keepdim=True)).reshape(gradient.shape)


class WakingRectifiers(TorchFunctionMode):
    """While active, rectifiers (modules and functions alike) wake samples that they silence.

    Values are what they are without it; so are gradients of samples of which any passes.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace rectifiers of values that a gradient will pass."""
        rectifier = _RECTIFIERS.get(func)
        if rectifier is None or not torch.is_grad_enabled():
            return func(*args, **(kwargs or {}))
        options = dict(zip(rectifier.parameters, args, strict=False)) | (kwargs or {})
        values = options.pop("input")
        if not values.requires_grad:
            return func(*args, **(kwargs or {}))
        inplace = options.pop("inplace", False) or rectifier.always_in_place
        return _PassBlocked.apply(values, rectifier, options, inplace)
