"""What monitors elsewhere have been seen to do to a training run."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from typing_extensions import override


class Careless(Callback):
    """Does its work on the first process after each batch, as a monitor would."""

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_global_zero:
            self.watch(pl_module, batch[0].clone())

    def watch(self, pl_module: LightningModule, images: Tensor) -> None:
        raise NotImplementedError


class ForwardInTrainMode(Careless):
    @override
    def watch(self, pl_module: LightningModule, images: Tensor) -> None:
        with torch.no_grad():
            pl_module(images)


class EvalThenTrain(Careless):
    @override
    def watch(self, pl_module: LightningModule, images: Tensor) -> None:
        pl_module.eval()
        with torch.no_grad():
            pl_module(images)
        pl_module.train()


class DrawsNoise(Careless):
    @override
    def watch(self, pl_module: LightningModule, images: Tensor) -> None:
        torch.randn_like(images)


class Backward(Careless):
    """Puts every mode back, and clears the gradients that others were accumulating."""

    @override
    def watch(self, pl_module: LightningModule, images: Tensor) -> None:
        modes = {part: part.training for part in pl_module.modules()}
        pl_module.eval()
        pl_module(images).sum().backward()
        pl_module.zero_grad()
        for part, mode in modes.items():
            part.training = mode
