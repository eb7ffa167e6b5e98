"""The promise that watching does not disturb, as a harness for every monitor.

``outcome`` trains a small network that has everything a careless monitor is known to trip over,
and returns all that training leaves behind; two outcomes are compared bitwise.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

SIZE, CLASSES, BATCH, BATCHES, EPOCHS = 12, 3, 4, 5, 2


class TinyModule(LightningModule):
    """A user-frozen BatchNorm and a training one, dropout, in-place ReLUs, Adam."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.frozen_norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(6, CLASSES)
        self.frozen_norm.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.frozen_norm(self.conv1(images)))
        features = self.dropout(functional.relu(self.norm(self.conv2(features))))
        return self.head(features.mean((2, 3)))

    def training_step(self, batch: Any) -> Tensor:
        loss = self._loss(batch)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any) -> None:
        self.log("val_loss", self._loss(batch))

    def test_step(self, batch: Any) -> None:
        self.log("test_loss", self._loss(batch))

    def predict_step(self, batch: Any) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    def _loss(self, batch: Any) -> Tensor:
        images, classes = batch
        return functional.cross_entropy(self(images), classes)


def loader(shuffle: bool = False, seed: int = 0, batches: int = BATCHES) -> DataLoader[Any]:
    """Batches of noise; shuffled by the global random generator, as somebody's would be."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(BATCH * batches, 3, SIZE, SIZE, generator=generator)
    classes = torch.randint(CLASSES, (len(images),), generator=generator)
    return DataLoader(TensorDataset(images, classes), batch_size=BATCH, shuffle=shuffle)


def trainer(folder: Path, **arguments: Any) -> Trainer:
    """A quiet Trainer on the CPU."""
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": EPOCHS,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
        "default_root_dir": folder,
    }
    return Trainer(**{**quiet, **arguments})


def outcome(
    callbacks: Sequence[Callback], folder: Path, compiled: bool = False, **arguments: Any
) -> dict[str, Any]:
    """Train a fresh network, and return everything that training leaves behind, by name."""
    seed_everything(1, verbose=False)
    module = TinyModule()
    run = trainer(folder, callbacks=list(callbacks), **arguments)
    fitted = torch.compile(module, backend="eager") if compiled else module
    run.fit(fitted, loader(shuffle=True), loader(seed=1, batches=2))
    left: dict[str, Any] = {f"weights.{key}": value for key, value in module.state_dict().items()}
    for index, state in run.optimizers[0].state_dict()["state"].items():
        left |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    left |= {f"training.{key}": part.training for key, part in module.named_modules()}
    left |= {f"requires_grad.{key}": p.requires_grad for key, p in module.named_parameters()}
    left["random.torch"] = torch.get_rng_state()
    left["random.numpy"] = torch.as_tensor(np.random.get_state()[1].astype(np.int64))
    left["random.python"] = random.getstate()
    return left


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Names of what is not bitwise equal in two outcomes."""
    assert first.keys() == second.keys()
    return [name for name, value in first.items() if not _equal(value, second[name])]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    return bool(first == second)
