"""Gradients through checkpoints and recurrent layers are those of the same network without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import checkpoint as checkpointing
from torch.utils.checkpoint import checkpoint

from neurovis.differentiation import differentiable, without_checkpoints
from neurovis.recording import Recorder
from neurovis.saliency import METHODS, Method, kernel_saliency

IMAGES = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))

#: How a part of a network is called: plainly, or with its activations computed a second time.
CALLS: dict[str, Callable[..., Any]] = {
    "plain": lambda part, images: part(images),
    "reentrant": lambda part, images: checkpoint(part, images, use_reentrant=True),
    "non-reentrant": lambda part, images: checkpoint(part, images, use_reentrant=False),
}


class Called(nn.Module):
    """Two rectified convolutions, the second in a part that is called one way or another."""

    def __init__(self, call: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3)
        self.part = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3))
        self.head = nn.Linear(5, 4)
        self.call = CALLS[call]

    def forward(self, images: Tensor) -> Tensor:
        features = self.call(self.part, F.relu(self.stem(images)))
        return self.head(features.relu().mean((2, 3)))


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize("call", ["reentrant", "non-reentrant"])
@pytest.mark.parametrize("layer", [None, "part.2"])
class TestCheckpoints:
    @pytest.mark.parametrize("method", METHODS)
    def test_every_method(self, method: Method, call: str, layer: str | None) -> None:
        plain, found = (
            kernel_saliency(Called(one), IMAGES, layer, 2, method) for one in ("plain", call)
        )
        assert torch.equal(found.maps, plain.maps)
        assert found.maps.any()

    def test_the_gradient_by_hand(self, call: str, layer: str | None) -> None:
        images = IMAGES.clone().requires_grad_()
        network = Called("plain")
        output = network(images)
        if layer is not None:
            output = network.part(F.relu(network.stem(images))).mean((2, 3))
        output[:, 1].sum().backward()
        assert images.grad is not None
        torch.testing.assert_close(
            kernel_saliency(Called(call), IMAGES, layer, 1).maps, images.grad.cpu()
        )


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize("method", ["gradient", "guided_backprop", "deconvnet"])
def test_memory_efficient_densenet(method: Method) -> None:
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = []
    for memory_efficient in (False, True):
        torch.manual_seed(0)
        network = torchvision.models.DenseNet(
            8, (2, 2), 16, memory_efficient=memory_efficient, num_classes=5
        )
        maps.append(kernel_saliency(network.eval(), images, None, 1, method).maps)
    assert torch.equal(*maps)
    assert maps[0].any()


def test_a_reentrant_checkpoint_still_saves_memory() -> None:
    """The part's activations are computed again, not kept."""
    network, calls = Called("reentrant"), []
    network.part[0].register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    images = IMAGES.clone().requires_grad_()
    with differentiable(network, images):
        output = network(images)
    assert len(calls) == 1
    torch.autograd.grad(output.sum(), images)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "context", [lambda: differentiable(nn.LSTM(2, 2), IMAGES), without_checkpoints]
)
def test_everything_is_restored_after_an_exception(context: Callable[[], Any]) -> None:
    hooks = torch.autograd.graph.saved_tensors_hooks
    before = checkpointing.CheckpointFunction, hooks.__enter__, hooks.__exit__

    def fail() -> None:
        assert checkpointing.CheckpointFunction is not before[0]
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), context():
        fail()
    assert before == (checkpointing.CheckpointFunction, hooks.__enter__, hooks.__exit__)


class Recurrent(nn.Module):
    """Reads images row by row, and notes in which circumstances."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(30, 4, batch_first=True)
        self.head = nn.Linear(4, 3)
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        backend = torch.backends.cudnn
        self.seen.append((images.requires_grad and torch.is_grad_enabled(), backend.enabled))
        if len(images) == 3:
            raise RuntimeError("three")
        return self.head(self.lstm(images.movedim(2, 1).flatten(2))[0][:, -1])


def test_recurrent_layers_run_without_cudnn_where_a_gradient_is_wanted() -> None:
    """cuDNN refuses their backward pass in evaluation mode."""
    network, images = Recurrent().eval(), IMAGES.clone().requires_grad_()
    recorder = Recorder(network, "head")
    recorder.record(images)
    assert network.seen == [(True, False)]
    recorder.record(IMAGES)
    assert network.seen == [(True, False), (False, True)]
    with pytest.raises(RuntimeError, match="three"):
        recorder.record(images[:1].repeat(3, 1, 1, 1))
    assert torch.backends.cudnn.enabled


def test_the_gradient_of_a_recurrent_network_by_hand() -> None:
    network, images = Recurrent().eval(), IMAGES.clone().requires_grad_()
    network(images)[:, 1].sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(kernel_saliency(network, IMAGES, None, 1).maps, images.grad)
