"""Networks of other kinds: several inputs, recurrence, precisions, compilers, and outputs."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from adversaries import Adversaries
from torch import Tensor, nn

from neurovis import InputSpec, Modality
from neurovis.demo import TwoStreamNet
from zoo.case import Case, maps

_TWO = InputSpec((Modality("image", 3), Modality("depth", 1, range=(0.3, 2.0))), 32, "arguments")
_SCRIPTED = "is scripted or traced, and torch allows no hooks on such modules"
_NEVER = "is never reached in a forward"
_NO_GRADIENT = "has no gradient to the images"
_LAYERS = {"0": maps, "1": maps, "3": maps, "7": maps}


def _convolutions() -> nn.Module:
    layers = [nn.Conv2d(3, 8, 5, stride=2), nn.GELU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6), nn.Linear(6, 5)]
    return nn.Sequential(*layers, *pooled)


class Recurrent(nn.Module):
    """A convolution that is called three times, as in CORnet."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, stride=2)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        state = self.first(images)
        for _ in range(3):
            state = state + self.conv(state).relu()
        scores: Tensor = self.head(state.mean((2, 3)))
        return scores


class Sequence(nn.Module):
    """An LSTM that reads the rows of a map from the top."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=4)
        self.lstm = nn.LSTM(8, 12, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.conv(images).mean(3).transpose(1, 2)
        scores: Tensor = self.head(self.lstm(rows)[0][:, -1])
        return scores


@dataclass
class Scored:
    """What a network returns: class scores, and what they were made of."""

    features: Tensor
    logits: Tensor


Pair = namedtuple("Pair", ("features", "logits"))


class Returning(nn.Module):
    """A network that returns its features and its scores in some structure."""

    def __init__(self, structure: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.body, self.head = _convolutions()[:6], nn.Linear(8, 5)
        self.structure = structure

    def forward(self, images: Tensor) -> Any:
        features = self.body(images)
        return self.structure(features, self.head(features))


def _returning(
    name: str, structure: Callable[[Any, Any], Any], scores: Any, **options: Any
) -> Case:
    layers = {"body.2": maps, "head": maps}
    make = partial(Returning, structure)
    return Case(name, make, layers, library="torch", scores=scores, **options)


def _quantized() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(_convolutions(), {nn.Linear})


class Exported(nn.Module):
    """What torch.export makes of a network, which cannot be switched to training."""

    def __init__(self) -> None:
        super().__init__()
        batch = {0: torch.export.Dim("batch", min=1, max=64)}
        example = torch.zeros(2, 3, 32, 32)
        program = torch.export.export(_convolutions().eval(), (example,), dynamic_shapes=(batch,))
        self.program = program.module()

    def train(self, mode: bool = True) -> Exported:  # noqa: ARG002 - Lightning calls it
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.program(images)


def _plain(name: str, make: Callable[[], nn.Module], **options: Any) -> Case:
    return Case(name, make, options.pop("layers", _LAYERS), library="torch", **options)


OTHERS = [
    Case(
        "two streams (RGB-D)",
        partial(TwoStreamNet, 8),
        {"color.0": maps, "depth.1": maps, "both.0": maps, "classifier": maps},
        _TWO,
        "torch",
        is_quick=True,
        call=lambda network, images: network(images[:, :3], images[:, 3:]),
    ),
    Case(
        "two streams (keywords)",
        partial(TwoStreamNet, 8),
        {"color.0": maps, "depth.1": maps},
        replace(_TWO, passed_as="keywords"),
        "torch",
        call=lambda network, images: network(image=images[:, :3], depth=images[:, 3:]),
    ),
    _plain(
        "GAN's discriminator",
        _convolutions,
        module=lambda: Adversaries(_convolutions(), 32),
        part="discriminator",
    ),
    _plain(
        "recurrent",
        Recurrent,
        layers={"first": maps, "conv@2": maps, "conv@3": maps, "conv": maps, "head": maps},
        refused={"conv": "is called 3 times in one forward"},
    ),
    _plain(
        "LSTM",
        Sequence,
        layers={"conv": maps, "lstm": maps, "head": maps},
        refused={"lstm": "does not tell which dimension of its output counts kernels"},
    ),
    _plain("float64", lambda: _convolutions().double()),
    _plain("bfloat16", lambda: _convolutions().bfloat16()),
    _plain("float16", lambda: _convolutions().half()),
    _plain("compiled", lambda: torch.compile(_convolutions(), backend="eager")),
    _plain("symbolically traced", lambda: torch.fx.symbolic_trace(_convolutions())),
    _plain(
        "scripted",
        lambda: torch.jit.script(_convolutions()),
        layers={"0": maps},
        refused={"0": _SCRIPTED, "monitors": _SCRIPTED},
    ),
    _plain(
        "traced",
        lambda: torch.jit.trace(_convolutions(), torch.zeros(1, 3, 32, 32)),
        layers={"0": maps},
        refused={"0": _SCRIPTED, "monitors": _SCRIPTED},
    ),
    _plain(
        "exported",
        Exported,
        layers={"program.0": maps},
        refused={"layers program.0": "", "program.0": _NEVER, "monitors": _NEVER},
    ),
    _plain(
        "quantized",
        _quantized,
        refused={
            "7": "is quantized",
            "scores default": _NO_GRADIENT,
            "monitors": _NO_GRADIENT,
        },
    ),
    _returning("dictionary", lambda f, s: {"features": f, "out": s}, lambda out: out["out"]),
    _returning(
        "dataclass",
        Scored,
        lambda out: out.logits,
        loss=lambda network, images: network(images).logits.square().mean(),
    ),
    _returning("named tuple", Pair, lambda out: out.logits),
    _returning(
        "tuple",
        lambda f, s: (s, f.detach(), s * 2),
        lambda out: out[2],
        output="2",
        refused={"scores default": "several outputs that may be class scores"},
    ),
]
