"""Networks that are recomputed, made late, compiled, or given unusual batches."""

from __future__ import annotations

import shutil
import sys
import warnings
from typing import Any

import pytest
import torch
from promise import CLASSES, TinyModule, loader
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader
from typing_extensions import override

from ways import Training, all_warn, way


class Recomputed(TinyModule):
    """Keeps no activations of its second half, but computes them again for the gradient."""

    reentrant = False

    @override
    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.frozen_norm(self.conv1(images)))
        return checkpoint(self._second_half, features, use_reentrant=self.reentrant)

    def _second_half(self, features: Tensor) -> Tensor:
        return self.head(self.dropout(functional.relu(self.conv2(features))).mean((2, 3)))


@way()
def gradient_checkpoints(training: Training) -> None:
    training.fit(Recomputed())


class RecomputedReentrantly(Recomputed):
    reentrant = True


@way()
def reentrant_gradient_checkpoints(training: Training) -> None:
    training.fit(RecomputedReentrantly())


@way()
def channels_last(training: Training) -> None:
    training.fit(TinyModule().to(memory_format=torch.channels_last))


@way()
def lazy_layers(training: Training) -> None:
    module = TinyModule()
    module.conv2, module.head = nn.LazyConv2d(6, 3), nn.LazyLinear(CLASSES)
    training.fit(module)


@way()
def lazy_layers_without_sanity_check(training: Training) -> None:
    module = TinyModule()
    module.conv2, module.head = nn.LazyConv2d(6, 3), nn.LazyLinear(CLASSES)
    training.fit(module, num_sanity_val_steps=0)


class Coping(TinyModule):
    """Takes images in which a sensor saw nothing at places."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.nan_to_num())


def _with_nan() -> DataLoader[Any]:
    batches = loader(batches=2)
    batches.dataset.tensors[0][:, :, :3, :3] = torch.nan
    return batches


@way(warnings={"SaliencyMonitor": "values of 432 that are not finite"})
def images_with_nan(training: Training) -> None:
    training.fit(Coping(), train=_with_nan(), validation=_with_nan())


@way()
def losses_that_become_nan(training: Training) -> None:
    batches = loader(batches=2)
    batches.dataset.tensors[0][-1] = torch.nan
    training.fit(train=batches, validation=[])


class Exits(TinyModule):
    """Ends the program where it is asked for what it was not made for."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            sys.exit("this network is for training alone")
        return super().forward(images)


@way(warnings=all_warn("ends the program"))
def exit_in_evaluation(training: Training) -> None:
    training.fit(Exits(), validation=[])


class Masked(TinyModule):
    """Takes dictionaries, in which a mask comes before the images."""

    @override
    def _loss(self, batch: Any) -> Tensor:
        return super()._loss((batch["rgb"] * batch["valid"], batch["classes"]))


def _dictionaries(batches: int = 2) -> DataLoader[Any]:
    plain = loader(batches=batches)

    def collate(samples: Any) -> dict[str, Tensor]:
        images, classes = torch.utils.data.default_collate(samples)
        depth = images.mean(1, keepdim=True)
        return {"depth": depth, "valid": (depth > 0).float(), "rgb": images, "classes": classes}

    return DataLoader(plain.dataset, plain.batch_size, collate_fn=collate)


@way()
def dictionaries_with_masks(training: Training) -> None:
    training.fit(Masked(), train=_dictionaries(), validation=_dictionaries(1))


class Configured(TinyModule):
    """Makes its layers when it is fitted."""

    def __init__(self) -> None:
        super().__init__()
        del self.conv2

    @override
    def configure_model(self) -> None:
        if not hasattr(self, "conv2"):
            self.conv2 = nn.Conv2d(4, 6, 3)


@way()
def layers_made_in_configure_model(training: Training) -> None:
    training.fit(Configured())


class Recurrent(TinyModule):
    """Reads the rows of its features one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 6, batch_first=True, num_layers=2, dropout=0.2)

    @override
    def forward(self, images: Tensor) -> Tensor:
        rows = self.conv2(self.relu(self.conv1(images))).mean(3).transpose(1, 2)
        return self.head(self.lstm(rows)[0][:, -1])


@way()
def recurrent_layers(training: Training) -> None:
    training.fit(Recurrent())


class Attentive(TinyModule):
    """Attends to all positions of its features."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)

    @override
    def forward(self, images: Tensor) -> Tensor:
        tokens = self.conv2(self.relu(self.conv1(images))).flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens).mean(1))


@way(is_slow=True)
def attention(training: Training) -> None:
    training.fit(Attentive())


@way()
def scripted_parts(training: Training) -> None:
    module = TinyModule()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It is deprecated, and in use.
        module.norm = torch.jit.script(module.norm)
    training.fit(module)


class Compiled(TinyModule):
    backend = "aot_eager"

    def __init__(self) -> None:
        super().__init__()
        self.compile(backend=self.backend)


@way(is_slow=True)
def compiled_in_place_with_aot_eager(training: Training) -> None:
    torch.compiler.reset()
    training.fit(Compiled())


@way(is_slow=True)
def compiled_with_aot_eager(training: Training) -> None:
    torch.compiler.reset()
    training.fit(torch.compile(TinyModule(), backend="aot_eager"))


@way(is_slow=True)
def compiled_with_inductor(training: Training) -> None:
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("inductor needs a C++ compiler")
    torch.compiler.reset()
    training.fit(torch.compile(TinyModule(), backend="inductor"))
