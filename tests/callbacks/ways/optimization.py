"""Averages of weights, schedules, slow copies of the network, and optimizers of all sorts."""

from __future__ import annotations

import copy
from typing import Any

import torch
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from promise import BATCH, CLASSES, TinyModule
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

from ways import Training, way


@way()
def plain(training: Training) -> None:
    training.fit()


@way()
def weights_averaged_exponentially(training: Training) -> None:
    training.fit(TinyModule(), EMAWeightAveraging(decay=0.9))


@way(is_slow=True)
def weights_averaged_with_buffers(training: Training) -> None:
    training.fit(TinyModule(), WeightAveraging(use_buffers=True))


class AveragesByItself(TinyModule):
    """Keeps an average of itself, and validates with that."""

    def __init__(self) -> None:
        super().__init__()
        self.average = AveragedModel(nn.Sequential(self.conv1, self.conv2))

    @override
    def on_train_batch_end(self, *_: Any) -> None:
        self.average.update_parameters(nn.Sequential(self.conv1, self.conv2))


@way()
def weights_averaged_by_the_module(training: Training) -> None:
    training.fit(AveragesByItself())


@way()
def stochastic_weight_averaging(training: Training) -> None:
    training.fit(TinyModule(), StochasticWeightAveraging(1e-2, swa_epoch_start=1), max_epochs=3)


@way()
def accumulated_gradients(training: Training) -> None:
    training.fit(accumulate_grad_batches=2)


@way(is_slow=True)
def accumulation_by_schedule(training: Training) -> None:
    training.fit(TinyModule(), GradientAccumulationScheduler({0: 1, 1: 2}))


@way()
def clipped_gradient_norm(training: Training) -> None:
    training.fit(gradient_clip_val=0.1)


@way(is_slow=True)
def clipped_gradient_values(training: Training) -> None:
    training.fit(gradient_clip_val=0.01, gradient_clip_algorithm="value")


class OneCycle(TinyModule):
    @override
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1e-2, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-1, total_steps=8)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


@way()
def learning_rate_of_each_step(training: Training) -> None:
    training.fit(OneCycle(), LearningRateMonitor())


class OnPlateau(TinyModule):
    @override
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.RMSprop(self.parameters(), lr=1e-1)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "val_loss"}


@way(is_slow=True)
def learning_rate_by_a_metric(training: Training) -> None:
    training.fit(OnPlateau(), max_epochs=3)


class LineSearch(TinyModule):
    @override
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=1e-2, max_iter=3)


@way()
def closures_called_several_times(training: Training) -> None:
    training.fit(LineSearch())


class MomentumContrast(TinyModule):
    """A slow copy of the network makes keys, which a queue keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = copy.deepcopy(nn.Sequential(self.conv1, self.relu, self.conv2))
        self.slow.requires_grad_(False)
        self.register_buffer("queue", functional.normalize(torch.randn(6, 8), dim=0))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    @override
    def training_step(self, batch: Any) -> Tensor:
        with torch.no_grad():
            for ours, theirs in zip(
                [*self.conv1.parameters(), *self.conv2.parameters()],
                self.slow.parameters(),
                strict=True,
            ):
                theirs.mul_(0.9).add_(ours, alpha=0.1)
            keys = functional.normalize(self.slow(batch[0].flip(3)).mean((2, 3)))
        own = functional.normalize(self.conv2(self.relu(self.conv1(batch[0]))).mean((2, 3)))
        alike = torch.cat([(own * keys).sum(1, keepdim=True), own @ self.queue.clone()], 1) / 0.1
        loss = functional.cross_entropy(alike, alike.new_zeros(len(alike), dtype=torch.long))
        place = int(self.place)
        self.queue[:, place : place + BATCH] = keys.T
        self.place[0] = (place + BATCH) % self.queue.shape[1]
        self.log("contrast", loss)
        return loss + super().training_step(batch)


@way()
def momentum_contrast(training: Training) -> None:
    training.fit(MomentumContrast())


class Bootstrapped(TinyModule):
    """Predicts what a slow copy of itself, which no gradient reaches, makes of another view."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = nn.Linear(CLASSES, CLASSES)
        self.target = AveragedModel(self.online, avg_fn=_slowly)

    @property
    def online(self) -> nn.Module:
        return nn.ModuleList([self.conv1, self.conv2])

    @override
    def training_step(self, batch: Any) -> Tensor:
        first, second = self.target.module
        with torch.no_grad():
            wanted = second(first(batch[0].flip(2))).mean((2, 3))[:, :CLASSES]
        loss = functional.mse_loss(self.predictor(self(batch[0])), wanted)
        self.log("loss", loss)
        return loss

    @override
    def on_train_batch_end(self, *_: Any) -> None:
        self.target.update_parameters(self.online)


def _slowly(average: Tensor, now: Tensor, _count: Any) -> Tensor:
    return 0.9 * average + 0.1 * now


@way()
def bootstrapped_targets(training: Training) -> None:
    training.fit(Bootstrapped())


@way()
def pruned_weights(training: Training) -> None:
    module = TinyModule()
    pruning = ModelPruning(
        "l1_unstructured",
        parameters_to_prune=[(module.conv1, "weight"), (module.conv2, "weight")],
        amount=0.5,
        use_global_unstructured=False,
    )
    training.fit(module, pruning)
