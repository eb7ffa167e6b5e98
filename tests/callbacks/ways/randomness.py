"""Ways to draw random numbers, in a forward, a dataset or its workers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from promise import TinyModule, loader
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torchvision.ops import StochasticDepth
from typing_extensions import override

from ways import Training, way


class DropsAlways(TinyModule):
    """Drops features in evaluation too, as Monte Carlo dropout does."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(super().forward(images), 0.2, training=True)


@way()
def dropout_in_evaluation(training: Training) -> None:
    training.fit(DropsAlways())


@way()
def stochastic_depth(training: Training) -> None:
    module = TinyModule()
    module.dropout = nn.Sequential(
        StochasticDepth(0.5, "row"), nn.RReLU(), nn.FeatureAlphaDropout()
    )
    training.fit(module)


class Augments(TinyModule):
    """Draws from all global generators, in every forward."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        if torch.rand(()) < 0.5:
            images = images.flip(3)
        images = images.roll(random.randint(0, 3), 2) * np.random.uniform(0.5, 1.5)
        return super().forward(images + 0.1 * torch.randn_like(images))


@way()
def random_augmentation_in_forward(training: Training) -> None:
    training.fit(Augments())


class OwnGenerators(TinyModule):
    """Draws from generators of its own, of torch, NumPy and Python."""

    def __init__(self) -> None:
        super().__init__()
        self.of_torch = torch.Generator().manual_seed(3)
        self.of_numpy = np.random.default_rng(3)
        self.of_python = random.Random(3)

    @override
    def forward(self, images: Tensor) -> Tensor:
        drawn = torch.randn(images.shape, generator=self.of_torch)
        images = images + drawn.to(images.device)
        images = images.roll(self.of_python.randint(0, 3), 2) * self.of_numpy.uniform(0.5, 1.5)
        return super().forward(images.float())


@way()
def random_generators_of_the_network(training: Training) -> Any:
    module = OwnGenerators()
    training.fit(module)
    drawn = (module.of_torch.get_state(), module.of_numpy.random(), module.of_python.random())
    return {"drawn": drawn}


class Spawns(TinyModule):
    """Spawns a generator for every forward."""

    def __init__(self) -> None:
        super().__init__()
        self.parent = np.random.default_rng(3)

    @override
    def forward(self, images: Tensor) -> Tensor:
        (child,) = self.parent.spawn(1)
        return super().forward(images * float(child.uniform(0.5, 1.5)))


@way()
def random_generators_spawned(training: Training) -> Any:
    module = Spawns()
    training.fit(module)
    return {"next": module.parent.spawn(1)[0].random()}


class Noisy(Dataset[Any]):
    """Augments its images, wherever it is read."""

    def __init__(self) -> None:
        self.images, self.classes = loader(batches=2).dataset.tensors

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        factor = random.random() * float(np.random.rand())
        return self.images[index] + factor * torch.randn(3, 12, 12), self.classes[index]


@way()
def random_augmentation_in_the_dataset(training: Training) -> None:
    training.fit(train=DataLoader(Noisy(), 4, shuffle=True))


@way()
def random_augmentation_in_workers(training: Training) -> None:
    batches = DataLoader(
        Noisy(), 4, shuffle=True, num_workers=1, persistent_workers=True, prefetch_factor=1
    )
    training.fit(train=batches)


@way(is_slow=True)
def shuffled_by_a_generator_of_its_own(training: Training) -> None:
    generator = torch.Generator().manual_seed(5)
    training.fit(train=DataLoader(Noisy(), 4, shuffle=True, generator=generator))


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        while True:
            yield torch.randn(3, 12, 12), int(torch.randint(3, ()))


@way()
def endless_data(training: Training) -> None:
    training.fit(train=DataLoader(Endless(), 4), max_epochs=-1, max_steps=4)


@way(is_slow=True)
def endless_data_in_short_epochs(training: Training) -> None:
    training.fit(train=DataLoader(Endless(), 4), limit_train_batches=2)
