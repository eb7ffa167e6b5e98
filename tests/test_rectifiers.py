from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis.rectifiers import RectifierGradients

VALUES = torch.tensor([[-4.0, -2.0, -0.5, 0.0, 0.5, 2.0, 7.0]])
RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)),
    "F.relu": functional.relu,
    "torch.relu": torch.relu,
    "Tensor.relu": lambda values: values.relu(),
    "torch.relu_": torch.relu_,
    "Tensor.relu_": lambda values: values.relu_(),
    "nn.ReLU6": nn.ReLU6(),
    "F.relu6": functional.relu6,
    "clamp at zero": lambda values: torch.clamp(values, min=0),
    "Tensor.clamp at zero": lambda values: values.clamp(min=0.0),
    "clamp_min": lambda values: torch.clamp_min(values, 0),
    "clamp between": lambda values: values.clamp(0, 6),
    "clamp_": lambda values: values.clamp_(min=0),
    "clip": lambda values: torch.clip(values, 0),
    "clip_": lambda values: values.clip_(min=0),
    "clamp_min_": lambda values: torch.clamp_min_(values, 0),
    "nn.Threshold": nn.Threshold(0, 0),
    "F.threshold in place": lambda values: functional.threshold(values, 0, 0, True),
}
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "hard tanh": nn.Hardtanh(),
    "hard swish": nn.Hardswish(),
    "clamp at one": lambda values: values.clamp(min=1),
    "clamp_min at -1": lambda values: values.clamp_min(-1.0),
    "clamp from above": lambda values: values.clamp(max=1),
    "threshold at one": nn.Threshold(1, 1),
}


def gradient_of(function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Of a sum over what a function makes of the values: the outputs, the gradient."""
    values = VALUES.clone().requires_grad_()
    outputs = function(values * 1.0)
    (gradient,) = torch.autograd.grad(outputs.sum(), values)
    return outputs.detach(), gradient


def doubled(gradient: Tensor, _values: Tensor, slope: Tensor) -> Tensor:
    return 2 * gradient * slope


@pytest.mark.parametrize("name", [*RECTIFIERS, *OTHERS])
class TestEveryRectifier:
    def test_same_values_and_the_rules_gradient(self, name: str) -> None:
        function = (RECTIFIERS | OTHERS)[name]
        outputs, gradient = gradient_of(function)
        with RectifierGradients(doubled) as mode:
            ruled_outputs, ruled = gradient_of(function)
        assert mode.met == 1
        torch.testing.assert_close(ruled_outputs, outputs, rtol=0, atol=0)
        # At a kink (0, and -1 or 1) any slope between the two sides' is right.
        smooth = torch.ones_like(VALUES, dtype=torch.bool)
        smooth[VALUES.abs() == 0] = False
        torch.testing.assert_close(ruled[smooth], 2 * gradient[smooth])

    def test_only_at_zero(self, name: str) -> None:
        function = (RECTIFIERS | OTHERS)[name]
        outputs, gradient = gradient_of(function)
        with RectifierGradients(doubled, only_at_zero=True) as mode:
            ruled_outputs, ruled = gradient_of(function)
        assert mode.met == (name in RECTIFIERS)
        torch.testing.assert_close(ruled_outputs, outputs, rtol=0, atol=0)
        assert torch.equal(ruled, gradient) == (name in OTHERS)


def test_guided_backprop_as_a_rule() -> None:
    """Springenberg et al. 2015, equation 1: no gradient where it, or the value, is negative."""

    def guided(gradient: Tensor, _values: Tensor, slope: Tensor) -> Tensor:
        return gradient.clamp(min=0) * slope

    values = VALUES.clone().requires_grad_()
    weights = torch.tensor([[1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0]])
    with RectifierGradients(guided, only_at_zero=True):
        loss = (functional.relu(values) * weights).sum()
    # The rule is kept by the graph: it holds outside too.
    (gradient,) = torch.autograd.grad(loss, values)
    assert gradient.tolist() == [[0, 0, 0, 0, 0, 1, 0]]


class TestMet:
    def test_counts_calls_of_all_that_a_gradient_passes(self) -> None:
        relu = nn.ReLU()
        values = VALUES.clone().requires_grad_()
        with RectifierGradients(doubled) as mode:
            assert mode.met == 0
            functional.relu(relu(relu(values)))
            assert mode.met == 3

    def test_not_those_that_no_gradient_passes(self) -> None:
        with RectifierGradients(doubled) as mode:
            functional.relu(VALUES)
            with torch.no_grad():
                functional.relu(VALUES.clone().requires_grad_())
        assert mode.met == 0

    def test_not_other_activations(self) -> None:
        values = VALUES.clone().requires_grad_()
        with RectifierGradients(doubled) as mode:
            functional.gelu(functional.leaky_relu(torch.tanh(values)))
        assert mode.met == 0


def test_nothing_outside() -> None:
    with RectifierGradients(doubled):
        pass
    _, gradient = gradient_of(functional.relu)
    assert gradient.max() == 1


def test_other_nonlinearities_are_named() -> None:
    def network(values: Tensor) -> Tensor:
        return functional.gelu(functional.relu(values)) + nn.Hardswish()(values) + nn.SiLU()(values)

    with RectifierGradients(doubled, only_at_zero=True) as mode:
        gradient_of(network)
        functional.elu(VALUES)  # No gradient passes here.
    assert (mode.met, mode.passed) == (1, {"gelu", "hardswish", "silu"})
