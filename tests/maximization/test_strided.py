"""The input's gradient by phases, against autograd's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neurovis.maximization.strided import PhaseConv2d, input_gradient, speed_up_strided


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [
        (7, 2, 0, (31, 30)),
        (7, 2, 3, (32, 33)),
        (11, 4, 2, (63, 64)),
        (3, 2, 1, (16, 17)),
        (4, 4, 0, (35, 34)),
        (1, 2, 0, (9, 9)),
        (2, 3, 0, (17, 16)),
        (3, 2, (2, 0), (12, 15)),
    ],
)
def test_gradients_are_autograds(
    kernel: int, stride: int, padding: int | tuple[int, int], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, *size, dtype=torch.double, requires_grad=True)
    weight = torch.randn(5, 3, kernel, kernel, dtype=torch.double)
    output = F.conv2d(images, weight, stride=stride, padding=padding)
    gradient = torch.randn_like(output)
    (expected,) = torch.autograd.grad(output, images, gradient)
    margins = padding if isinstance(padding, tuple) else (padding, padding)
    found = input_gradient(gradient, weight, size, stride, margins)
    torch.testing.assert_close(found, expected)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, bias=False),
        nn.Conv2d(12, 12, 3, padding=1),
    ).requires_grad_(False)


def test_values_are_bitwise_the_same_and_gradients_close() -> None:
    plain, fast = _network(), _network()
    speed_up_strided(fast)
    assert [type(module) is PhaseConv2d for module in fast] == [True, False, True, False]
    images = torch.rand(2, 4, 24, 30, requires_grad=True)
    outputs = [network(images) for network in (plain, fast)]
    assert torch.equal(*outputs)
    with torch.no_grad():
        assert torch.equal(fast(images), outputs[0])
    gradients = [torch.autograd.grad(one.square().sum(), images)[0] for one in outputs]
    torch.testing.assert_close(*gradients)


def test_under_autocast_gradients_are_those_of_plain_convolutions() -> None:
    plain, fast = _network(), _network()
    speed_up_strided(fast)
    images = torch.rand(2, 4, 24, 30, requires_grad=True)
    gradients = []
    for network in (plain, fast):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = network(images)
        (gradient,) = torch.autograd.grad(output.float().square().sum(), images)
        gradients.append(gradient)
    assert gradients[1].dtype == torch.float32
    torch.testing.assert_close(*gradients, rtol=0.05, atol=0.05 * float(gradients[0].abs().max()))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(3, 6, 3, stride=1),
        nn.Conv2d(3, 6, 3, stride=(1, 2)),
        nn.Conv2d(3, 6, 3, stride=2, dilation=2),
        nn.Conv2d(4, 8, 3, stride=2, groups=2),
        nn.Conv2d(3, 6, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.Conv2d(16, 6, 3, stride=2),
    ],
    ids=str,
)
def test_others_are_left_alone(module: nn.Conv2d) -> None:
    network = nn.Sequential(module.requires_grad_(False))
    speed_up_strided(network)
    assert type(network[0]) is nn.Conv2d


def test_weights_that_are_trained_are_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2))
    speed_up_strided(network)
    assert type(network[0]) is nn.Conv2d
