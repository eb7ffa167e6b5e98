"""Whose kernels a layer's are: the convolution behind a batch norm, a rectifier, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from neurovis.recording import Recorder, can_be_hooked, hooked
from neurovis.tuning.null import WITH_NULL

#: They cut off what is negative, some of them softly.
RECTIFIERS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish),
)
#: What may stand between kernels and a rectifier; in evaluation mode it scales, shifts, or passes.
_PASSING = (
    *RECTIFIERS,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.dropout._DropoutNd,
    nn.Identity,
)
#: How closely a convolution's input must follow the image's channels for it to be over the image.
_FOLLOWS = 1 - 1e-4


@dataclass(frozen=True)
class Source:
    """Where a layer's kernels come from.

    Attributes:
        layer: The convolution or linear layer that has them; perhaps the layer itself.
        before: The module whose output a rectifier is given; the layer itself if it is none.
    """

    layer: str
    before: str


@dataclass
class _Seen:
    """What one forward of an image left: each leaf module's output, in the order of the calls."""

    outputs: list[tuple[str, Tensor]] = field(default_factory=list)
    over_image: set[str] = field(default_factory=set)


def find_sources(
    network: nn.Module, calls: Mapping[str, int], image: Tensor
) -> tuple[dict[str, Source], set[str]]:
    """The sources of those layers that have one, and all convolutions that are over the image.

    A module's source is found by what it does: its output must be what it makes of an earlier
    module's output. What joins branches, pools, or rectifies a sum has none.

    Args:
        network: Undisturbed, without gradients.
        calls: How often each of the layers is called in one forward; none comes after the last.
        image: ``(1, C, H, W)`` in the network's space, unlike itself everywhere: noise.
    """
    # A part that is compiled on its own goes by the name that it has without torch.compile.
    modules: Mapping[str, nn.Module] = {
        name.replace("._orig_mod", ""): module
        for name, module in network.named_modules()
        if name and not any(module.children()) and can_be_hooked(module)
    }
    seen = _Seen()

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            seen.outputs.append((name, output.detach().clone()))
        if inputs and isinstance(module, nn.Conv2d) and _follows(module, inputs[0], image):
            seen.over_image.add(name)

    recorder = Recorder(network, list(calls), calls, lambda _name, _inputs, output: output[:0])
    with hooked(modules, note):
        recorder.record_calls(image)
    found = {}
    for name in calls:
        chain = _chain(name, modules, seen.outputs)
        if chain is not None:
            is_rectifier = isinstance(modules[name], RECTIFIERS)
            found[name] = Source(chain[-1], chain[1] if is_rectifier else name)
    return found, seen.over_image


def _chain(
    name: str, modules: Mapping[str, nn.Module], outputs: list[tuple[str, Tensor]]
) -> list[str] | None:
    """A layer, what it works on, what that works on, up to the layer that has the kernels."""
    chain = [name]
    while not isinstance(modules.get(chain[-1]), WITH_NULL):
        places = [place for place, (known, _) in enumerate(outputs) if known == chain[-1]]
        module = modules.get(chain[-1])
        if len(places) != 1 or not isinstance(module, _PASSING):
            return None
        output = outputs[places[0]][1]
        earlier = (
            known
            for known, candidate in reversed(outputs[: places[0]])
            if candidate.shape == output.shape
            and torch.allclose(
                module(candidate.clone()), output, rtol=1e-4, atol=1e-6, equal_nan=True
            )
        )
        behind = next(earlier, None)
        if behind is None:
            return None
        chain.append(behind)
    return chain


def _follows(module: nn.Conv2d, inputs: Any, image: Tensor) -> bool:
    """Whether a convolution is given the image, its channels perhaps scaled and shifted."""
    if not isinstance(inputs, Tensor) or inputs.shape != image.shape or module.groups > 1:
        return False
    pair = torch.stack([inputs.detach(), image]).cpu().double().flatten(3).squeeze(1)
    centred = pair - pair.mean(-1, keepdim=True)
    products = centred.prod(0).sum(-1) / centred.norm(dim=-1).prod(0)
    return bool((products > _FOLLOWS).all())
