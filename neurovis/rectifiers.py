"""Replace the gradient of rectifiers, modules and functions; forward values stay the same.

Methods that change how gradients pass a ReLU are commonly written with hooks on ``nn.ReLU``, and do
nothing, silently, where a forward calls ``F.relu``. Here functions are caught as they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from typing_extensions import Self, override

from neurovis.differentiation import without_checkpoints

#: From the gradient of a rectifier's output, the values that went in, and its slope at them, all
#: of one shape ``(B, ...)``, to the gradient of its input.
GradientRule = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _Rectifier:
    """A rectifier as a function of values and its own parameters, with its slope."""

    function: Callable[..., Tensor]
    slope: Callable[..., Tensor]
    parameters: tuple[str, ...] = ("input", "inplace")
    always_in_place: bool = False
    #: The highest value up to which it is constant, and the parameter that sets another.
    floor: float | None = 0.0
    floor_parameter: str = ""


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


def _threshold_slope(values: Tensor, threshold: float, **_: float) -> Tensor:
    return (values > threshold).to(values.dtype)


_RELU = _Rectifier(torch.relu, _relu_slope)
_RELU_IN_PLACE = _Rectifier(torch.relu, _relu_slope, always_in_place=True)
_CLAMP = _Rectifier(
    torch.clamp, _clamp_slope, ("input", "min", "max"), floor=None, floor_parameter="min"
)
_CLAMP_IN_PLACE = replace(_CLAMP, always_in_place=True)
_THRESHOLD = _Rectifier(
    torch.threshold,
    _threshold_slope,
    ("input", "threshold", "value", "inplace"),
    floor=None,
    floor_parameter="threshold",
)
_THRESHOLD_IN_PLACE = replace(_THRESHOLD, always_in_place=True)
_RECTIFIERS: dict[Any, _Rectifier] = {
    F.relu: _RELU,
    torch.relu: _RELU,
    Tensor.relu: _RELU,
    torch.relu_: _RELU_IN_PLACE,
    Tensor.relu_: _RELU_IN_PLACE,
    F.relu6: _Rectifier(F.relu6, _relu6_slope),
    # nn.ReLU6 is a nn.Hardtanh between 0 and 6.
    F.hardtanh: _Rectifier(
        F.hardtanh,
        _hardtanh_slope,
        ("input", "min_val", "max_val", "inplace"),
        floor=-1.0,
        floor_parameter="min_val",
    ),
    F.hardswish: _Rectifier(F.hardswish, _hardswish_slope, floor=None),
    F.threshold: _THRESHOLD,
    torch.threshold: _THRESHOLD,
    torch.threshold_: _THRESHOLD_IN_PLACE,
}
for _name in ("clamp", "clip", "clamp_min"):
    for _home in (torch, Tensor):
        _RECTIFIERS[getattr(_home, _name)] = _CLAMP
        _RECTIFIERS[getattr(_home, f"{_name}_")] = _CLAMP_IN_PLACE

#: Nonlinearities that are no rectifiers: their gradient is theirs, and that is to be known.
_OTHER_NONLINEARITIES: dict[Any, str] = {
    getattr(F, name): name
    for name in (
        *("celu", "elu", "gelu", "hardswish", "leaky_relu", "logsigmoid", "mish", "prelu"),
        *("rrelu", "selu", "silu", "softplus"),
    )
}


class _Ruled(torch.autograd.Function):
    """A rectifier whose gradient is a rule's."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        rectifier: _Rectifier,
        options: dict[str, Any],
        inplace: bool,
        rule: GradientRule,
    ) -> Tensor:
        """Values ``(B, ...)`` rectified."""
        ctx.rule = rule
        ctx.save_for_backward(values.clone(), rectifier.slope(values, **options))
        rectified = rectifier.function(values, **options)
        if not inplace:
            return rectified
        ctx.mark_dirty(values)
        return values.copy_(rectified)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Apply the rule to the gradient."""
        (gradient,) = gradients
        values, slope = ctx.saved_tensors
        return ctx.rule(gradient, values, slope), None, None, None, None


def _is_zero_below_zero(rectifier: _Rectifier, options: dict[str, Any]) -> bool:
    floor = options.get(rectifier.floor_parameter, rectifier.floor)
    return isinstance(floor, (int, float)) and floor == 0


class RectifierGradients(TorchFunctionMode):
    """While active, gradients pass rectifiers (modules and functions alike) by another rule.

    Rectifiers are ReLU, ReLU6, threshold, clamp, hard tanh and hard swish. Scripted code is not
    seen into, nor are rectifiers that are written as something else (``torch.where``,
    ``torch.maximum``, a product with a mask). Checkpointed parts of a network keep their
    activations, since a recomputation would pass rectifiers by their own rule.

    Args:
        rule: From a gradient, a rectifier's input and its slope there to another gradient.
        only_at_zero: Leave those alone that are not zero for all values up to zero: a clamp at
            another value, a hard tanh from -1, a hard swish.

    Attributes:
        met: How many rectifiers were called on values that a gradient will pass.
        passed: Names of other nonlinearities that were called on such values, such as ``gelu``,
            whose gradient is what it is without this mode.
    """

    def __init__(self, rule: GradientRule, only_at_zero: bool = False) -> None:
        super().__init__()
        self.met = 0
        self.passed: set[str] = set()
        self._rule = rule
        self._only_at_zero = only_at_zero
        self._stack = ExitStack()

    @override
    def __enter__(self) -> Self:
        # A recomputation in the backward pass would not be under this mode.
        self._stack.enter_context(without_checkpoints())
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    @override
    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        self._stack.close()

    def rule_for(self, call: int) -> GradientRule | None:  # noqa: ARG002
        """The rule of a call, counted from 0 in the order of a forward; None to leave it alone.

        For subclasses that tell rectifiers apart.
        """
        return self._rule

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
            self._note(func, args)
            return func(*args, **(kwargs or {}))
        options = dict(zip(rectifier.parameters, args, strict=False)) | (kwargs or {})
        values = options.pop("input")
        inplace = options.pop("inplace", False) or rectifier.always_in_place
        if not values.requires_grad:
            return func(*args, **(kwargs or {}))
        if self._only_at_zero and not _is_zero_below_zero(rectifier, options):
            self._note(func, args)
            return func(*args, **(kwargs or {}))
        rule = self.rule_for(self.met)
        self.met += 1
        if rule is None:
            return func(*args, **(kwargs or {}))
        return _Ruled.apply(values, rectifier, options, inplace, rule)

    def _note(self, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Remember a nonlinearity whose gradient is not changed."""
        name = _OTHER_NONLINEARITIES.get(func)
        if name and any(isinstance(one, Tensor) and one.requires_grad for one in args[:1]):
            self.passed.add(name)
