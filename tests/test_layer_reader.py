"""Activations with their kernels second, against ordinary hooks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neurovis.layer_reader import LayerReader
from neurovis.receptive_fields import Layout

IMAGES = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A convolution, a linear layer and an activation with kernels last, a sequence, a number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3)
        self.mix = nn.Linear(4, 5)
        self.act = nn.GELU()
        self.steps = nn.LSTM(5, 7)
        self.batched = nn.LSTM(5, 7, batch_first=True)
        self.number = nn.Flatten(0)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.act(self.mix(self.conv(images).flatten(2).transpose(1, 2)))
        self.steps(tokens.transpose(0, 1))
        last, _ = self.batched(tokens)
        number: Tensor = self.number(last.sum((1, 2)))
        return number


def hooked_output(network: nn.Module, layer: str) -> Any:
    seen = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *call: seen.append(call[2]))
    network(IMAGES)
    handle.remove()
    return seen[0]


def test_kernels_are_second() -> None:
    network = Net().eval()
    activations = LayerReader(network, ["conv", "mix", "act"], IMAGES[:1])(IMAGES)
    assert torch.equal(activations["conv"], hooked_output(network, "conv"))
    for layer in ("mix", "act"):
        assert activations[layer].shape == (3, 5, 4, 4)
        tokens = activations[layer].flatten(2).transpose(1, 2)
        assert torch.equal(tokens, hooked_output(network, layer))


def test_what_is_kept_is_made_of_activation_and_inputs() -> None:
    network = Net().eval()
    reader = LayerReader(network, "mix", IMAGES[:1])
    shapes = {}

    def keep(name: str, inputs: tuple[Any, ...], activation: Tensor) -> Tensor:
        shapes[name] = tuple(inputs[0].shape), tuple(activation.shape)
        return activation.amax(2)

    assert torch.equal(reader(IMAGES, keep)["mix"], reader(IMAGES)["mix"].amax(2))
    assert shapes == {"mix": ((3, 16, 4), (3, 5, 4, 4))}


def test_what_a_reader_found_serves_the_next_one() -> None:
    network = Net().eval()
    first = LayerReader(network, ["mix", "conv"], IMAGES[:1])
    read = first(IMAGES)
    again = LayerReader(network, first.layouts, calls=first.calls)
    assert all(torch.equal(again(IMAGES)[name], read[name]) for name in ("mix", "conv"))
    with pytest.raises(ValueError, match="needs an example"):
        LayerReader(network, "conv")


def test_images_are_counted_first() -> None:
    """The steps of a sequence are not taken for images, nor hidden units for kernels of images."""
    network = Net().eval()
    with pytest.raises(ValueError, match=r'"steps" has no kernels .* \(16, 3, 7\) for'):
        LayerReader(network, {"steps": Layout(2)})(IMAGES)
    read = LayerReader(network, {"batched": Layout(2)})(IMAGES)["batched"]
    assert torch.equal(read, hooked_output(network, "batched")[0].movedim(2, 1))


def test_a_number_for_each_image_is_one_kernel() -> None:
    network = Net().eval()
    read = LayerReader(network, {"number": Layout(1)})(IMAGES)["number"]
    assert torch.equal(read, network(IMAGES)[:, None])
