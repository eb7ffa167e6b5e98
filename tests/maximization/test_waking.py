from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.maximization.waking import WakingRectifiers

RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda values: F.relu(values, inplace=True),
    "torch.relu_": torch.relu_,
    "method": lambda values: values.relu(),
    "ReLU6": nn.ReLU6(),
    "hardswish": nn.Hardswish(),
}


def _gradient(rectify: Callable[[Tensor], Tensor], values: Tensor, waking: bool) -> Tensor:
    """Gradient of the mean of each sample's second channel after a rectifier."""
    inputs = values.clone().requires_grad_(True)
    if waking:
        with WakingRectifiers(torch.tensor([False, True, False])):
            rectified = rectify(inputs * 1.0)
    else:
        rectified = rectify(inputs * 1.0)
    (gradient,) = torch.autograd.grad(rectified[:, 1].mean((1, 2)).sum(), inputs)
    return gradient


@pytest.fixture
def values() -> Tensor:
    """Of three samples, the second is silent in the channel that is read."""
    values = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    values[1, 1] = -4 - values[1, 1].abs()
    return values


@pytest.mark.parametrize("name", RECTIFIERS)
def test_silent_samples_climb_the_preactivation_of_their_nearest_unit(
    name: str, values: Tensor
) -> None:
    plain = _gradient(RECTIFIERS[name], values, waking=False)
    woken = _gradient(RECTIFIERS[name], values, waking=True)
    assert not plain[1].any()
    expected = (values[1, 1] == values[1, 1].max()).float()
    torch.testing.assert_close(woken[1, 1], expected)
    assert not woken[1, 0].any()


@pytest.mark.parametrize("name", RECTIFIERS)
def test_samples_that_respond_get_their_plain_gradient(name: str, values: Tensor) -> None:
    plain = _gradient(RECTIFIERS[name], values, waking=False)
    woken = _gradient(RECTIFIERS[name], values, waking=True)
    torch.testing.assert_close(woken[[0, 2]], plain[[0, 2]], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", RECTIFIERS)
def test_values_and_side_effects_are_unchanged(name: str, values: Tensor) -> None:
    seen = []
    for context in (torch.enable_grad(), WakingRectifiers(torch.tensor([False, True, True]))):
        inputs = values.clone().requires_grad_(True) * 1.0
        with context:
            rectified = RECTIFIERS[name](inputs)
        seen.append((rectified.detach(), inputs.detach()))
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])


def test_without_gradients_nothing_is_replaced(values: Tensor) -> None:
    with WakingRectifiers(torch.ones(3, dtype=torch.bool)), torch.no_grad():
        assert torch.equal(F.relu(values), values.clamp(min=0))


def test_a_branch_that_is_blocked_stays_blocked_in_samples_that_respond(values: Tensor) -> None:
    """In a sum of branches one may be silent for good reason while the other responds."""
    inputs = values.clone().requires_grad_(True)
    with WakingRectifiers(torch.tensor([False, False, False])):
        summed = F.relu(inputs[:, :1]) + F.relu(inputs[:, 1:])
    (gradient,) = torch.autograd.grad(summed.sum(), inputs)
    assert torch.equal(gradient, (values > 0).float())


def test_only_units_that_are_asked_for_are_woken(values: Tensor) -> None:
    inputs = values.clone().requires_grad_(True)
    with WakingRectifiers(torch.tensor([False, True, False])):
        rectified = F.relu(inputs * 1.0)
    (gradient,) = torch.autograd.grad(rectified[:, 1, 2, 2].sum(), inputs)
    assert gradient[1].nonzero().tolist() == [[1, 2, 2]]
