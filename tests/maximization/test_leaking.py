"""Gradients that leak through the rectifiers that end a layer, and through no others."""

from __future__ import annotations

import pytest
import torch
import torchvision
from climbing import GRAY
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from neurovis.copies import frozen_copy
from neurovis.inputs import InputSpec
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.silent_units import LeakingRectifiers, last_rectifiers


class Branches(nn.Module):
    """Two rectified branches beside each other, as in SqueezeNet, and a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.both, self.pool, self.sum = nn.Identity(), nn.MaxPool2d(2), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        first = F.relu(self.first(images))
        left, right = F.relu(self.left(first)), torch.relu(self.right(first))
        both = self.both(torch.cat([left, right], dim=1))
        self.pool(both)
        return self.sum((left + first).relu())


@pytest.mark.parametrize(
    ("layer", "calls"),
    [
        ("first", set()),
        ("left", set()),
        ("both", {1, 2}),
        ("pool", {1, 2}),
        ("sum", {3}),
    ],
)
def test_which_rectifiers_end_a_layer(layer: str, calls: set[int]) -> None:
    assert last_rectifiers(LayerResponse(frozen_copy(Branches()), layer, GRAY)) == calls


def test_of_squeezenet() -> None:
    network = frozen_copy(torchvision.models.squeezenet1_0())
    spec = InputSpec.rgb(64)
    of = {
        layer: last_rectifiers(LayerResponse(network, layer, spec))
        for layer in ("features.0", "features.1", "features.3", "features.3.expand3x3")
    }
    assert list(of.values()) == [set(), {0}, {2, 3}, set()]


def test_the_gradient_is_a_leaky_rectifiers_for_each_image() -> None:
    torch.manual_seed(0)
    before, after = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3)
    images = torch.randn(3, 1, 9, 9, requires_grad=True)
    leak = torch.tensor([0.0, 0.3, 1.0])
    with LeakingRectifiers(frozenset({1}), leak):
        output = F.relu(after(F.relu(before(images))))
    (found,) = torch.autograd.grad(output.sum(), images)
    values = after(F.relu(before(images)))
    leaky = [F.leaky_relu(one, slope) for one, slope in zip(values, leak.tolist(), strict=True)]
    (expected,) = torch.autograd.grad(torch.stack(leaky).sum(), images)
    torch.testing.assert_close(found, expected)
    assert torch.equal(output, values.clamp(min=0)), "values stay what they are"


def test_an_image_without_leak_has_its_plain_gradient() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 3, 3)
    images = torch.randn(2, 1, 9, 9, requires_grad=True)
    with LeakingRectifiers(frozenset({0}), torch.tensor([0.0, 0.5])):
        output = F.relu(layer(images))
    (found,) = torch.autograd.grad(output.square().sum(), images)
    (plain,) = torch.autograd.grad(F.relu(layer(images)).square().sum(), images)
    assert torch.equal(found[0], plain[0])


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointed_rectifiers_leak_as_others_do(use_reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
            self.out = nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            return self.out(checkpoint(self.inner, images, use_reentrant=use_reentrant))

    torch.manual_seed(0)
    assert last_rectifiers(LayerResponse(frozen_copy(Checkpointed()), "out", GRAY)) == {0}
