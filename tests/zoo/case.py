"""A network of the zoo, and by hand how the outputs of its layers are arranged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from neurovis import InputSpec

#: Function of a layer's output that brings it to ``(B, K, *positions)``, as is known by hand.
Arrange = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Case:
    """A network, layers of it, and what is known of them by hand.

    Attributes:
        name: Of the network, for the table.
        make: Returns it; called after the random seed was set.
        layers: Arrangement of each layer's output.
        spec: What it is shown: by default RGB images of 32 pixels.
        library: Package that is needed to make it.
        is_quick: Whether it belongs to the default suite.
        call: Calls it with a tensor of all modalities, ``(B, C, H, W)`` in its space.
        scores: Finds the class scores in what it returns.
        output: Name of the output that is explained too, where the default is refused.
        loss: What one training step minimizes; by default the mean square of what it returns.
        module: Makes the LightningModule that trains it; by default one with a ``network``.
        part: Name of the network in that module.
        refused: Parts of the messages by which a column, a layer, or ``"column layer"`` is refused;
            an empty part where it is right after all.
    """

    name: str
    make: Callable[[], nn.Module]
    layers: Mapping[str, Arrange]
    spec: InputSpec = field(default_factory=lambda: InputSpec.rgb(32))
    library: str = "torchvision"
    is_quick: bool = False
    call: Callable[[nn.Module, Tensor], Any] = lambda network, images: network(images)
    scores: Callable[[Any], Tensor] = lambda output: output
    output: str | None = None
    loss: Callable[[nn.Module, Tensor], Tensor] | None = None
    module: Callable[[], LightningModule] | None = None
    part: str = "network"
    refused: Mapping[str, str] = field(default_factory=dict)

    def network(self) -> nn.Module:
        """The network, made anew, always with the same weights."""
        torch.manual_seed(0)
        network = self.make()
        for part in network.modules():
            part.training = False
        for name, parameter in network.named_parameters():
            # Some heads and norms begin at zero, and would respond to nothing.
            if name.endswith("weight") and not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        return network

    def fragment(self, column: str, name: str) -> str | None:
        """Part of the message by which something is refused; None if it is right."""
        keys = (f"{column} {name}", name, column)
        return next((self.refused[key] for key in keys if key in self.refused), None) or None


def maps(output: Any) -> Tensor:
    """``(B, K)``, ``(B, K, H, W)`` or ``(B, K, frames, H, W)`` as it is."""
    return output  # type: ignore[no-any-return]


def kernels_last(output: Any) -> Tensor:
    """``(B, ..., K)``."""
    return output.movedim(-1, 1)  # type: ignore[no-any-return]


def first(arrange: Arrange) -> Arrange:
    """The first of several tensors."""
    return lambda output: arrange(output[0])


def tokens(*grid: int, before: int = 0) -> Arrange:
    """``(B, before + tokens, K)``, of tokens in a grid (of a video: frames first)."""
    return lambda output: output[:, before:].movedim(-1, 1).unflatten(2, grid)


def windows(grid: int, window: int, shift: int = 0) -> Arrange:
    """``(B * windows, window * window, K)``, of windows in a square grid that is shifted first."""

    def arrange(output: Any) -> Tensor:
        across, kernels = grid // window, output.shape[-1]
        parts = output.reshape(-1, across, across, window, window, kernels)
        rows = parts.transpose(2, 3).reshape(-1, grid, grid, kernels)
        return rows.roll((shift, shift), (1, 2)).movedim(-1, 1)

    return arrange


def dilated_windows(grid: int, window: int) -> Arrange:
    """``(B * positions, window * window, K)``, of windows whose positions are apart (MaxViT)."""

    def arrange(output: Any) -> Tensor:
        inside, kernels = grid // window, output.shape[-1]
        parts = output.reshape(-1, inside, inside, window, window, kernels)
        rows = parts.permute(0, 3, 1, 4, 2, 5).reshape(-1, grid, grid, kernels)
        return rows.movedim(-1, 1)

    return arrange
