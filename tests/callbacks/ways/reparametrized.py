"""Weights that are made of other weights, in each forward or in some."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from promise import CLASSES, TinyModule
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize
from typing_extensions import override

from ways import Training, way


def _with_second(make: Any) -> TinyModule:
    module = TinyModule()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # The old forms are in many networks.
        module.conv2 = make(module.conv2)
    return module


@way()
def weight_norm(training: Training) -> None:
    training.fit(_with_second(parametrizations.weight_norm))


@way(is_slow=True)
def weight_norm_of_old(training: Training) -> None:
    training.fit(_with_second(nn.utils.weight_norm))


@way()
def spectral_norm(training: Training) -> None:
    training.fit(_with_second(parametrizations.spectral_norm))


@way()
def spectral_norm_of_old(training: Training) -> None:
    training.fit(_with_second(nn.utils.spectral_norm))


@way()
def orthogonal_weights(training: Training) -> None:
    module = TinyModule()
    parametrizations.orthogonal(module.head)
    training.fit(module)


class LowRank(nn.Module):
    """A frozen weight and a trained product of two small matrices added to it."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(2, weight[0].numel()) / 10)
        self.up = nn.Parameter(torch.zeros(len(weight), 2))

    @override
    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


@way()
def low_rank_adaptation(training: Training) -> None:
    module = TinyModule().requires_grad_(False)
    parametrize.register_parametrization(module.conv2, "weight", LowRank(module.conv2.weight))
    training.fit(module)


class CachesWeights(TinyModule):
    """Makes its weight from others once a step."""

    def __init__(self) -> None:
        super().__init__()
        parametrizations.weight_norm(self.conv2)

    @override
    def training_step(self, batch: Any) -> Tensor:
        with parametrize.cached():
            return super().training_step(batch) + self(batch[0].flip(3)).square().mean()


@way()
def cached_parametrizations(training: Training) -> None:
    training.fit(CachesWeights())


class TiedWeights(TinyModule):
    """Decodes with the weights that it encodes with."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(CLASSES, 6, bias=False)
        self.decoder.weight = nn.Parameter(self.head.weight.T.contiguous())
        self.encoder = nn.Linear(6, CLASSES, bias=False)
        self.encoder.weight = self.again = nn.Parameter(torch.randn(CLASSES, 6))

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return self.encoder(self.decoder(logits)) + functional.linear(
            self.decoder(logits), self.again
        )


@way()
def tied_weights(training: Training) -> None:
    training.fit(TiedWeights())
