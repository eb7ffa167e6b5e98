from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.inputs import InputSpec
from neurovis.maximization import AscentSettings
from neurovis.maximization.ascent import Views, ascent_losses
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives import (
    Mean,
    Target,
    TargetBatch,
    group_target,
)
from neurovis.maximization.silent_units import WakingRectifiers
from neurovis.modality import Modality

RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda values: F.relu(values, inplace=True),
    "torch.relu_": torch.relu_,
    "method": lambda values: values.relu(),
    "ReLU6": nn.ReLU6(),
    "hardswish": nn.Hardswish(),
    "clamp": lambda values: values.clamp(min=0),
    "clamp_min": lambda values: torch.clamp_min(values, 0),
}


def _gradient(rectify: Callable[[Tensor], Tensor], values: Tensor, waking: bool) -> Tensor:
    """Gradient of the mean of each sample's second channel after a rectifier."""
    inputs = values.clone().requires_grad_(True)
    if waking:
        with WakingRectifiers():
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
    for context in (torch.enable_grad(), WakingRectifiers()):
        inputs = values.clone().requires_grad_(True) * 1.0
        with context:
            rectified = RECTIFIERS[name](inputs)
        seen.append((rectified.detach(), inputs.detach()))
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])


def test_without_gradients_nothing_is_replaced(values: Tensor) -> None:
    with WakingRectifiers(), torch.no_grad():
        assert torch.equal(F.relu(values), values.clamp(min=0))


def test_only_units_that_are_asked_for_are_woken(values: Tensor) -> None:
    inputs = values.clone().requires_grad_(True)
    with WakingRectifiers():
        rectified = F.relu(inputs * 1.0)
    (gradient,) = torch.autograd.grad(rectified[:, 1, 2, 2].sum(), inputs)
    assert gradient[1].nonzero().tolist() == [[1, 2, 2]]


def _layer() -> tuple[nn.Module, InputSpec]:
    """Kernel 0 sleeps on gray, kernel 1 does not; kernel 2 sleeps deeply."""
    layer = nn.Conv2d(1, 3, 3)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.copy_(torch.tensor([-5.0, 0.0, -30.0]))
    return nn.Sequential(layer, nn.ReLU()), InputSpec((Modality("gray", 1),), size=(6, 6))


def _losses(targets: list[Target]) -> tuple[Tensor, Tensor]:
    """Gradients of an ascent step on gray images, with and without what wakes."""
    network, spec = _layer()
    response = LayerResponse(network.requires_grad_(False), "1", spec)
    images = torch.full((len(targets), *spec.shape), 0.5, requires_grad=True)
    batch = TargetBatch(targets, torch.device("cpu"))
    climb = ascent_losses(images, Views([], []), response, batch, Mean(), AscentSettings())
    (gradient,) = torch.autograd.grad(climb.losses.sum(), images)
    joint = batch.joint(batch.members(Mean()(response(images))))
    (plain,) = torch.autograd.grad(-joint.sum(), images)
    assert torch.equal(climb.objective_values, joint.detach())
    return gradient, plain


def test_an_ascent_step_wakes_silent_kernels_and_leaves_the_others_alone() -> None:
    gradient, plain = _losses([Target((0,)), Target((1,)), Target((2,))])
    assert not plain[0].any()
    assert not plain[2].any()
    assert gradient[0].min() < 0, "the image gets brighter where the kernel looks"
    assert gradient[2].min() < 0
    assert torch.equal(gradient[1], plain[1])


def test_a_silent_member_of_a_group_is_woken_beside_one_that_responds() -> None:
    gradient, plain = _losses([Target((0, 1))])
    assert plain.any()
    assert (gradient - plain).min() < 0


def test_members_that_are_to_be_silent_stay_so() -> None:
    gradient, plain = _losses([group_target((0, 1), "weighted", (-1.0, 1.0))])
    assert torch.equal(gradient, plain)


def test_waking_in_a_group_is_as_steep_as_what_is_climbed() -> None:
    """Else the sleepers' gradient drowns that of all others."""
    members = torch.tensor([[4.0, 0.0, 3.0], [4.0, 0.0, 3.0], [0.0, 0.0, 1.0], [0.0, 5.0, 0.0]])
    members.requires_grad_()
    statistics = ((1.0, 2.0, 3.0), (2.0, 10.0, 4.0))
    targets = [
        group_target((0, 1), suppressed=(2,)),
        group_target((0, 1), suppressed=(2,), zscore=statistics),
        group_target((0, 1), "min", suppressed=(2,), zscore=statistics),
        group_target((0, 1, 2), "weighted", (3.0, -1.0, 1.0)),
    ]
    batch = TargetBatch(targets, torch.device("cpu"))
    silent = batch.silent(members)
    assert silent.tolist() == [
        *[[False, True, False], [False, True, False]],
        *[[True, True, False], [True, False, True]],
    ]
    (wakes,) = torch.autograd.grad(batch.waking(members, silent).sum(), members)
    (climbs,) = torch.autograd.grad(batch.joint(members).sum(), members)
    for row in (0, 1, 3):
        torch.testing.assert_close(wakes[row], climbs[row] * silent[row])
    assert wakes[2].tolist() == pytest.approx([0.5 / 2, 0.5 / 10, 0])
    assert batch.asleep(members).tolist() == [False, False, True, True]
