"""Calls of networks with what they take, which may be several inputs, or videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from neurovis.inputs import InputSpec
from neurovis.layers import unwrap
from neurovis.modality import Modality


class OneInputNetwork(nn.Module):
    """A network that is given all its modalities as channels of one tensor.

    Its layers have the names that they have in the network, which it runs but does not change.

    Args:
        network: Takes its input as the spec says.
        spec: Modalities, and how the network takes them.
    """

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        self.spec = spec
        self.training = network.training

    def forward(self, images: Tensor) -> object:
        """Return what the network returns for images ``(B, C, H, W)`` in its own space."""
        arguments, keywords = call_arguments(self.spec, images)
        return self.network(*arguments, **keywords)

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """The network's own modules by their own names."""
        yield from self.network.named_modules(memo, prefix, remove_duplicate)

    def get_submodule(self, target: str) -> nn.Module:
        """The network's module of that name."""
        return self.network.get_submodule(target)


def one_input(network: nn.Module, spec: InputSpec | None) -> nn.Module:
    """A network as a function of one tensor of images, whatever way it takes its input.

    Functions that are given an ``input_spec`` call it themselves. For those that are not, such as
    ``explain``, it makes a network of several arguments one that they can run.

    Args:
        network: A compiled one is run as its original, uncompiled self.
        spec: Modalities and how the network takes them; None for one tensor.

    Returns:
        The network itself where it takes one tensor, or is the result of this function already.

    Example:
        >>> from neurovis import Modality
        >>> network = nn.Bilinear(3 * 4 * 4, 4 * 4, 5)
        >>> class TwoStreams(nn.Module):
        ...     def forward(self, rgb, depth):
        ...         return network(rgb.flatten(1), depth.flatten(1))
        >>> spec = InputSpec((*InputSpec.rgb(4).modalities, Modality("depth", 1)), 4, "arguments")
        >>> one_input(TwoStreams(), spec)(torch.rand(2, 4, 4, 4)).shape
        torch.Size([2, 5])
    """
    network = unwrap(network)
    if spec is None or spec.passed_as == "tensor" or isinstance(network, OneInputNetwork):
        return network
    return OneInputNetwork(network, spec)


def call_arguments(spec: InputSpec, values: Tensor) -> tuple[tuple[Any, ...], dict[str, Tensor]]:
    """The positional and keyword arguments by which the network takes its input.

    Args:
        spec: Modalities, and how the network takes them.
        values: ``(B, C, H, W)`` in the network's space.

    Returns:
        Views where modalities have arguments of their own.

    Raises:
        ValueError: If the number of channels is not the spec's.
    """
    if spec.passed_as == "tensor":
        return (values,), {}
    parts = spec.split(values)
    if spec.frames_dim is not None:
        video = values.unflatten(1, (spec.frames, -1))
        return (video.movedim(1, spec.frames_dim),), {}
    named = {
        name: torch.cat([parts[modality.name] for modality in modalities], 1)
        if len(modalities) > 1
        else parts[modalities[0].name]
        for name, modalities in _by_argument(spec).items()
    }
    if spec.passed_as == "keywords":
        return (), named
    if spec.passed_as == "dict":
        return (named,), {}
    in_order = list(named.values())
    return (tuple(in_order), {}) if spec.passed_as == "arguments" else ((in_order,), {})


def argument_shapes(spec: InputSpec) -> dict[str, tuple[int | None, ...]]:
    """The shape of each argument's tensor by its name; None where any size will do."""
    if spec.frames_dim is not None:
        channels = spec.channels // spec.frames
        sizes = [channels, spec.frames] if spec.frames_dim == 2 else [spec.frames, channels]
        return {spec.passed_as: (None, *sizes, None, None)}
    return {
        name: (None, sum(modality.channels for modality in modalities), None, None)
        for name, modalities in _by_argument(spec).items()
    }


def stack_arguments(spec: InputSpec, named: Mapping[str, Tensor]) -> Tensor:
    """The inverse of :func:`call_arguments`: all modalities as channels, ``(B, C, H, W)``.

    Args:
        spec: Modalities, and how the network takes them.
        named: A tensor for each name of :func:`argument_shapes`.

    Raises:
        RuntimeError: If their sizes differ.
    """
    if spec.frames_dim is not None:
        return named[spec.passed_as].movedim(spec.frames_dim, 1).flatten(1, 2)
    parts: dict[str, Tensor] = {}
    for name, modalities in _by_argument(spec).items():
        channels = [modality.channels for modality in modalities]
        split = named[name].split(channels, dim=1)
        parts.update(zip((modality.name for modality in modalities), split, strict=True))
    return torch.cat([parts[modality.name] for modality in spec.modalities], 1)


def _by_argument(spec: InputSpec) -> dict[str, list[Modality]]:
    """The modalities of each argument by its name, in order."""
    shared: dict[str, list[Modality]] = {}
    for modality in spec.modalities:
        shared.setdefault(modality.argument or modality.name, []).append(modality)
    return shared


def network_inputs(network: nn.Module, spec: InputSpec, images: Tensor) -> Tensor:
    """Images ``(B, C, H, W)`` in [0, 1] in a network's space, on its device and in its dtype."""
    inputs = spec.to_network(images)
    device = next(network.parameters(), inputs).device
    return inputs.to(device=device, dtype=input_dtype(network, inputs))


def input_dtype(network: nn.Module, images: Tensor) -> torch.dtype:
    """Return the dtype of images for a network: that of the first layer with weights for them.

    A parameter before it, such as a temperature, may have another.

    Args:
        network: A convolution or linear layer comes first, then any floating-point parameter.
        images: Whose dtype is right where no parameter tells.
    """
    layers = (part for part in network.modules() if isinstance(part, (_ConvNd, nn.Linear)))
    parameters = chain((p for part in layers for p in part.parameters(False)), network.parameters())
    return next((p.dtype for p in parameters if p.is_floating_point()), images.dtype)
