"""Random kernels of a layer's shape on the layer's input, for the selectivity that chance gives.

Random Gaussian kernels are not untuned (their median gOSI is about 0.2), so that a score means
little unless it stands out from theirs.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from neurovis.readouts import unit_at
from neurovis.receptive_fields import Layout

#: Layers that random kernels of the same shape can be made for.
WITH_NULL = (nn.Conv2d, nn.Conv3d, nn.Linear)


class NullKernels(ABC):
    """Gaussian kernels without bias, as many as asked for, of a layer's shape and spread.

    Args:
        name: Name of the layer; layers have different random numbers.
        weight: The layer's own, ``(K, ...)``.
        count: Number of random kernels, ``N``.
        seed: Seed of the random numbers, which are the same on every device.

    Attributes:
        weights: ``(N, C / groups, kh, kw)``, or ``(N, C)`` for a linear layer.
    """

    def __init__(self, name: str, weight: Tensor, count: int, seed: int) -> None:
        # The generator looks at 32 bits of its seed only.
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        own = weight.detach()
        known = own.float()[own.isfinite()]
        spread = known.std(correction=0).item() if len(known) else 1.0
        drawn = torch.randn(count, *own.shape[1:], generator=generator, dtype=torch.float32)
        # A layer of equal weights has no spread; any other than 0 will do.
        self.weights = (drawn * (spread or 1.0)).to(own)

    @abstractmethod
    def maps(self, inputs: Tensor) -> Tensor:
        """Their responses to the layer's inputs at all positions, ``(B, N, ...)``."""

    @abstractmethod
    def at(self, inputs: Tensor, unit: tuple[int, ...]) -> Tensor:
        """Their responses ``(B, N)`` at one position of the layer's output alone.

        Args:
            inputs: The layer's inputs.
            unit: Its place, ``(row, column)``; ``()`` for vectors.
        """


class LinearNull(NullKernels):
    """Random kernels of a linear layer, whose output has a layout."""

    def __init__(self, name: str, module: nn.Linear, count: int, seed: int, layout: Layout) -> None:
        super().__init__(name, module.weight, count, seed)
        self._layout = layout

    @override
    def maps(self, inputs: Tensor) -> Tensor:
        return self._kernels_second(functional.linear(inputs, self.weights))

    @override
    def at(self, inputs: Tensor, unit: tuple[int, ...]) -> Tensor:
        # Inputs have the outputs' layout, but for the number of kernels.
        return functional.linear(unit_at(self._kernels_second(inputs), unit), self.weights)

    def _kernels_second(self, values: Tensor) -> Tensor:
        return self._layout.kernels_second(values, self._layout.images_in(values))


class ConvolutionNull(NullKernels):
    """Random kernels of a convolution; where it has groups, they take these in turn."""

    def __init__(self, name: str, module: nn.Conv2d | nn.Conv3d, count: int, seed: int) -> None:
        super().__init__(name, module.weight, count, seed)
        self._module = module

    @override
    def maps(self, inputs: Tensor) -> Tensor:
        module = self._module
        inputs = _padded(module, inputs)
        groups = 1
        if module.groups > 1:
            groups = len(self.weights)
            inputs = inputs[:, self._channels()]
        convolve = functional.conv2d if isinstance(module, nn.Conv2d) else functional.conv3d
        maps: Tensor = convolve(
            inputs, self.weights, None, module.stride, 0, module.dilation, groups
        )
        return maps

    @override
    def at(self, inputs: Tensor, unit: tuple[int, ...]) -> Tensor:
        window = _window(self._module, inputs, unit)
        if self._module.groups == 1:
            return functional.linear(window.flatten(1), self.weights.flatten(1))
        gathered = window[:, self._channels()].unflatten(1, self.weights.shape[:2])
        summed: Tensor = (gathered * self.weights).flatten(2).sum(2)
        return summed

    def _channels(self) -> Tensor:
        """The input channels that each takes, one after the other, ``(N * C / groups,)``."""
        size = self.weights.shape[1]
        groups = torch.arange(len(self.weights), device=self.weights.device) % self._module.groups
        return (groups[:, None] * size + torch.arange(size, device=groups.device)).flatten()


def null_kernels(
    name: str, module: nn.Module, count: int, seed: int, layout: Layout | None = None
) -> NullKernels | None:
    """Random kernels for a layer; None where they cannot be made, or none are asked for.

    Args:
        name: As of :class:`NullKernels`.
        module: The layer.
        count: As of :class:`NullKernels`.
        seed: As of :class:`NullKernels`.
        layout: Layout of a linear layer's output; None for kernels in the last dimension.
    """
    if count and isinstance(module, (nn.Conv2d, nn.Conv3d)):
        return ConvolutionNull(name, module, count, seed)
    if count and isinstance(module, nn.Linear):
        return LinearNull(name, module, count, seed, layout or Layout(-1))
    return None


def _window(module: nn.Conv2d | nn.Conv3d, inputs: Tensor, unit: tuple[int, ...]) -> Tensor:
    """Return the window of the inputs that one unit of a convolution reads, ``(B, C, ...)``."""
    margins = _margins(module)
    starts = [place * step for place, step in zip(unit, module.stride, strict=True)]
    spans = [
        (size - 1) * gap for size, gap in zip(module.kernel_size, module.dilation, strict=True)
    ]
    firsts = [start - margin[0] for start, margin in zip(starts, margins, strict=True)]
    is_inside = all(
        first >= 0 and first + span < size
        for first, span, size in zip(firsts, spans, inputs.shape[2:], strict=True)
    )
    if not is_inside:
        inputs, firsts = _padded(module, inputs), starts
    read = (
        slice(first, first + span + 1, gap)
        for first, span, gap in zip(firsts, spans, module.dilation, strict=True)
    )
    return inputs[(slice(None), slice(None), *read)]


def _padded(module: nn.Conv2d | nn.Conv3d, inputs: Tensor) -> Tensor:
    # The last dimension comes first.
    margins = [margin for pair in reversed(_margins(module)) for margin in pair]
    if not any(margins):
        return inputs
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return functional.pad(inputs, margins, mode)


def _margins(module: nn.Conv2d | nn.Conv3d) -> list[tuple[int, int]]:
    """Return how much padding adds before and after the input, in each of its dimensions."""
    if module.padding == "valid":
        return [(0, 0)] * len(module.kernel_size)
    if module.padding == "same":
        totals = [
            (size - 1) * gap for size, gap in zip(module.kernel_size, module.dilation, strict=True)
        ]
        return [(total // 2, total - total // 2) for total in totals]
    return [(int(margin), int(margin)) for margin in module.padding]
