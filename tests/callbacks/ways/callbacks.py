"""Callbacks of other people, which hook into the network that they train."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BackboneFinetuning, BaseFinetuning, LambdaCallback
from promise import TinyModule
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from typing_extensions import override

from ways import Training, way


class CountsForwards(Callback):
    """Counts a layer's calls, and scales the learning rate by them."""

    def __init__(self) -> None:
        self.calls = 0

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.conv2.register_forward_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.calls += 1

    @override
    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        trainer.optimizers[0].param_groups[0]["lr"] = 1e-2 / (1 + self.calls)

    @override
    def state_dict(self) -> dict[str, int]:
        return {"calls": self.calls}


@way()
def callback_that_counts_in_a_forward_hook(training: Training) -> None:
    training.fit(TinyModule(), CountsForwards())


class ReadsActivations(CountsForwards):
    """Adds a penalty on what a hook read of the last forward."""

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sizes: list[float] = []
        for part in (pl_module.conv1, pl_module.conv2):
            part.register_forward_pre_hook(self._read)

    def _read(self, _module: nn.Module, inputs: Any) -> None:
        self.calls += 1
        self.sizes.append(inputs[0].detach().abs().mean().item())

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls, "sizes": self.sizes}


@way(is_slow=True)
def callback_that_reads_activations(training: Training) -> None:
    training.fit(TinyModule(), ReadsActivations())


class ScalesGradients(Callback):
    """Halves gradients on their way back, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.conv2.register_full_backward_hook(self._halve)
        pl_module.head.register_full_backward_pre_hook(self._double)

    def _halve(self, _module: nn.Module, into: Any, _out: Any) -> Any:
        self.calls += 1
        return tuple(None if g is None else g / 2 for g in into)

    def _double(self, _module: nn.Module, out: Any) -> Any:
        self.calls += 1
        return tuple(2 * g for g in out)

    @override
    def state_dict(self) -> dict[str, int]:
        return {"calls": self.calls}


@way()
def callback_with_backward_hooks(training: Training) -> None:
    training.fit(TinyModule(), ScalesGradients())


class HooksParameters(ScalesGradients):
    """Hooks on weights: one on their gradient, one behind its accumulation."""

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.conv1.weight.register_hook(self._count_gradient)
        pl_module.conv2.weight.register_post_accumulate_grad_hook(self._count)

    def _count_gradient(self, gradient: Tensor) -> Tensor:
        self.calls += 1
        return gradient * (1 + self.calls / 10)

    def _count(self, _weight: Tensor) -> None:
        self.calls += 1


@way()
def callback_with_hooks_on_weights(training: Training) -> None:
    training.fit(TinyModule(), HooksParameters())


@way()
def hook_on_all_modules(training: Training) -> Any:
    calls: dict[str, int] = {}

    def count(module: nn.Module, *_: Any) -> None:
        name = type(module).__name__
        calls[name] = calls.get(name, 0) + 1

    handle = register_module_forward_hook(count)
    try:
        training.fit()
    finally:
        handle.remove()
    return {"calls": calls}


class Unfreezes(BaseFinetuning):
    @override
    def freeze_before_training(self, pl_module: LightningModule) -> None:
        self.freeze(pl_module.conv1)

    @override
    def finetune_function(
        self, pl_module: LightningModule, epoch: int, optimizer: torch.optim.Optimizer
    ) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.conv1, optimizer, lr=1e-3)


@way(is_slow=True)
def finetuning(training: Training) -> None:
    training.fit(TinyModule(), Unfreezes())


class WithBackbone(TinyModule):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    @override
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(self.backbone(images))

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.SGD(trained, lr=1e-2)


@way()
def backbone_finetuning(training: Training) -> None:
    unfreezing = BackboneFinetuning(1, lambda _: 1.5, backbone_initial_lr=1e-3)
    training.fit(WithBackbone(), unfreezing)


class FreezesNorms(TinyModule):
    """Keeps all its normalizations in evaluation mode, whoever calls train."""

    @override
    def train(self, mode: bool = True) -> FreezesNorms:
        super().train(mode)
        self.calls = getattr(self, "calls", 0) + 1
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self


@way()
def frozen_batch_norms(training: Training) -> Any:
    module = FreezesNorms()
    training.fit(module)
    return {"calls": module.calls}


@way(is_slow=True)
def callback_that_adds_noise_to_weights(training: Training) -> None:
    def add_noise(_trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        with torch.no_grad():
            pl_module.conv1.weight.add_(torch.randn_like(pl_module.conv1.weight), alpha=1e-3)

    training.fit(TinyModule(), LambdaCallback(on_train_batch_end=add_noise))


class Predicts(Callback):
    """Runs the network by itself in the middle of training, as image loggers do."""

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.eval()
        with torch.no_grad():
            pl_module.log("confidence", pl_module(batch[0]).softmax(1).amax())
        pl_module.train()


@way()
def callback_that_runs_the_network(training: Training) -> None:
    training.fit(TinyModule(), Predicts())
