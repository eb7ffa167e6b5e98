"""Find the convolution whose kernels a layer has, through a batch norm, a rectifier, or both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurovis.layers import find_call, first_names, named_layers
from neurovis.receptive_fields import Field
from neurovis.recording import Recorder, can_be_hooked, hooked
from neurovis.tuning.null import WITH_NULL

#: Layers that cut off negative values, some of them softly.
RECTIFIERS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish),
)
#: Layers that may stand between kernels and a rectifier: in evaluation mode they scale and shift.
_PASSING = (
    *RECTIFIERS,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.dropout._DropoutNd,
    nn.Identity,
)
#: Minimum correlation with the image's channels of the input of a convolution over the image.
_FOLLOWS = 1 - 1e-4


@dataclass(frozen=True)
class Source:
    """Source of a layer's kernels.

    Attributes:
        layer: The convolution or linear layer that has them; perhaps the layer itself. It names
            the call (``"conv@2"``) of one that is called several times in a forward.
        before: The module whose output a rectifier is given, named in the same way; the layer
            itself if it is no rectifier.
    """

    layer: str
    before: str


@dataclass(frozen=True)
class _Call:
    """One call of a module without submodules, in a forward of an image.

    Attributes:
        name: The module's first name, with the number of the call where there are several.
        module: The module.
        number: Number of the call among the module's calls, from 1.
        output: What it returned.
    """

    name: str
    module: nn.Module
    number: int
    output: Tensor


def find_sources(
    network: nn.Module, calls: Mapping[str, int], image: Tensor, fields: Mapping[str, Field]
) -> tuple[dict[str, Source], set[nn.Module]]:
    """The sources of those layers that have one, and all convolutions that are over the image.

    A module's source is found by what it does: its output must be what it makes of an earlier
    module's output. What joins branches, pools, or rectifies a sum has none.

    Args:
        network: Undisturbed, without gradients.
        calls: How often each of the layers is called in one forward; none comes after the last.
        image: ``(1, C, H, W)`` in the network's space, unlike itself everywhere: noise.
        fields: Receptive fields of the network's layers and of their calls, by name.
    """
    leaves = {
        name: module
        for name, module in first_names(network).items()
        if next(module.children(), None) is None and can_be_hooked(module)
    }
    made: list[_Call] = []
    over_image: set[nn.Module] = set()
    called: Counter[str] = Counter()

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        called[name] += 1
        if isinstance(output, Tensor):
            number = called[name]
            one = f"{name}@{number}"
            copy = output.detach().clone()
            made.append(_Call(one if one in fields else name, module, number, copy))
        if inputs and isinstance(module, nn.Conv2d) and _follows(module, inputs[0], image):
            over_image.add(module)

    recorder = Recorder(network, list(calls), calls)
    with hooked(leaves, note):
        recorder.record_calls(image, lambda _name, _inputs, output: output[:0])
    found = {}
    every = named_layers(network)
    for name in calls:
        module, number = find_call(every, name)
        places = [
            place
            for place, call in enumerate(made)
            if call.module is module and number in (None, call.number)
        ]
        chain = _chain(places[0], made) if len(places) == 1 else None
        if chain is not None:
            is_rectifier = isinstance(module, RECTIFIERS)
            # The layer itself goes by the name that it was given, which may not be its first.
            names = [name, *(call.name for call in chain[1:])]
            found[name] = Source(names[-1], names[1] if is_rectifier else name)
    return found, over_image


def _chain(place: int, made: Sequence[_Call]) -> list[_Call] | None:
    """Return the calls from a layer back to that with the kernels, or None if there is none."""
    chain = [made[place]]
    while not isinstance(chain[-1].module, WITH_NULL):
        last = chain[-1]
        if not isinstance(last.module, _PASSING):
            return None
        earlier = (
            before
            for before in range(place - 1, -1, -1)
            if made[before].output.shape == last.output.shape
            and torch.allclose(
                last.module(made[before].output.clone()),
                last.output,
                rtol=1e-4,
                atol=1e-6,
                equal_nan=True,
            )
        )
        place = next(earlier, -1)
        if place < 0:
            return None
        chain.append(made[place])
    return chain


def _follows(module: nn.Conv2d, inputs: Any, image: Tensor) -> bool:
    """True if a convolution is given the image, its channels perhaps scaled and shifted."""
    if not isinstance(inputs, Tensor) or inputs.shape != image.shape or module.groups > 1:
        return False
    pair = torch.stack([inputs.detach(), image]).cpu().double().flatten(3).squeeze(1)
    centered = pair - pair.mean(-1, keepdim=True)
    products = centered.prod(0).sum(-1) / centered.norm(dim=-1).prod(0)
    return bool((products > _FOLLOWS).all())
