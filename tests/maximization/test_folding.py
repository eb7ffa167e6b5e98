from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torchvision
from climbing import GRAY
from torch import Tensor, nn

from neurovis.copies import frozen_copy
from neurovis.inputs import InputSpec
from neurovis.maximization.network import fold_batch_norms
from neurovis.recording import Recorder


def _norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_frozen_copy_has_nothing_in_common_with_the_original(small_network: nn.Module) -> None:
    small_network[4].eval()
    flags = [module.training for module in small_network.modules()]
    copied = frozen_copy(small_network)
    assert not any(module.training for module in copied.modules())
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    before = copy.deepcopy(copied.state_dict())
    with torch.no_grad():
        small_network[0].weight.zero_()
        small_network[1].running_mean.zero_()
    assert all(torch.equal(before[name], value) for name, value in copied.state_dict().items())
    assert flags == [module.training for module in small_network.modules()]
    assert all(parameter.requires_grad for parameter in small_network.parameters())


def _activation(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    with torch.no_grad():
        return Recorder(network, layer).record(images)[layer]


@pytest.mark.parametrize(("layer", "left"), [("8", 0), ("4", 0), ("3", 1), ("1", 1), ("0", 2)])
def test_pairs_before_the_layer_are_folded(small_network: nn.Module, layer: str, left: int) -> None:
    network = frozen_copy(small_network)
    images = torch.rand(2, *GRAY.shape)
    before = _activation(network, layer, images)
    weights = copy.deepcopy(network.state_dict())
    folded = fold_batch_norms(network, layer, images)
    assert _norms(folded) == left
    torch.testing.assert_close(_activation(folded, layer, images), before, rtol=1e-4, atol=1e-5)
    assert _norms(network) == 2, "the network that was given keeps its norms"
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())


def test_a_residual_network_is_folded_throughout() -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn_like(module.running_mean) * 0.1
            module.running_var = torch.rand_like(module.running_var) + 0.5
    network = frozen_copy(network)
    images = torch.rand(1, *InputSpec.rgb(32).shape)
    folded = fold_batch_norms(network, "layer4", images)
    assert _norms(folded) == 0
    torch.testing.assert_close(
        _activation(folded, "layer4", images),
        _activation(network, "layer4", images),
        rtol=1e-3,
        atol=1e-4,
    )


class _UsedTwice(nn.Module):
    """What the convolution returns is normalized, and also used as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.last = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        convolved = self.convolution(images)
        summed: Tensor = self.last(convolved + self.norm(convolved))
        return summed


def test_a_convolution_that_is_used_twice_is_left_alone() -> None:
    network = _UsedTwice()
    network.norm.running_mean = torch.tensor([0.5, -0.5, 1.0])
    network = frozen_copy(network)
    assert fold_batch_norms(network, "last", torch.rand(1, 1, 8, 8)) is network


class _Standardized(nn.Conv2d):
    """A convolution that subtracts the mean of its kernels, which folding knows nothing of."""

    def forward(self, images: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(images, weight, self.bias)


def test_convolutions_that_are_more_than_that_are_left_alone() -> None:
    torch.manual_seed(0)
    odd = {
        "subclass": _Standardized(1, 4, 3, bias=False),
        "parametrized": nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 4, 3)),
        "spectral": nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 4, 3)),
    }
    images = torch.rand(2, *GRAY.shape)
    for name, convolution in odd.items():
        norm = nn.BatchNorm2d(4)
        norm.running_var = torch.rand(4) + 0.1
        network = frozen_copy(nn.Sequential(convolution, norm, nn.ReLU()))
        assert fold_batch_norms(network, "2", images) is network, name


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_old_style_norms_can_be_copied(norm: Callable[[nn.Module], nn.Module]) -> None:
    network = nn.Sequential(norm(nn.Conv2d(1, 3, 3)), nn.ReLU())
    images = torch.rand(2, *GRAY.shape)
    network(images)
    network.eval()
    torch.testing.assert_close(frozen_copy(network)(images), network(images))
