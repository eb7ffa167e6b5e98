"""Ways to train with two processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy
from promise import TinyModule, TwoOptimizers, loader
from torch import Tensor, distributed, nn
from torch.distributed import _functional_collectives as functional_collectives
from torch.distributed import all_reduce
from torch.distributed.nn import functional as with_gradients
from typing_extensions import override

from ways import Training, all_warn, way


def _fit(training: Training, module: Any, *callbacks: Any, **arguments: Any) -> None:
    options = {"strategy": "ddp", "devices": 2, **arguments}
    training.fit(
        module,
        *callbacks,
        train=loader(shuffle=True, batches=4),
        validation=loader(seed=1, batches=2),
        **options,
    )


@way(processes=2)
def two_processes(training: Training) -> None:
    _fit(training, TinyModule())


class SharesStatistics(TinyModule):
    """Normalizes in training by what all processes see, as synchronized batch norms do."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            images = images - with_gradients.all_reduce(images.mean((0, 2, 3), keepdim=True)) / 2
        return super().forward(images)


@way(processes=2)
def two_processes_with_common_statistics(training: Training) -> None:
    _fit(training, SharesStatistics())


class Unused(TinyModule):
    """Has a part that takes part in every other step only."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(6, 3)

    @override
    def training_step(self, batch: Any) -> Tensor:
        loss = super().training_step(batch)
        if self.global_step % 2:
            loss = loss + self.other(self.conv2(self.conv1(batch[0])).mean((2, 3))).square().mean()
        return loss


@way(processes=2, is_slow=True)
def two_processes_with_unused_parameters(training: Training) -> None:
    _fit(training, Unused(), strategy="ddp_find_unused_parameters_true")


@way(processes=2, is_slow=True)
def two_processes_with_common_optimizer_steps(training: Training) -> None:
    _fit(training, TwoOptimizers())


@way(processes=2, is_slow=True)
def two_processes_without_sync_while_accumulating(training: Training) -> None:
    _fit(training, TinyModule(), accumulate_grad_batches=2)


@way(processes=2, is_slow=True)
def two_processes_with_buckets_as_gradients(training: Training) -> None:
    _fit(training, TinyModule(), strategy=DDPStrategy(gradient_as_bucket_view=True))


@way(processes=2, is_slow=True)
def two_processes_that_stop_early(training: Training) -> None:
    _fit(training, TinyModule(), EarlyStopping("val_loss", patience=1, min_delta=10), max_epochs=4)


@way(processes=2, is_slow=True)
def two_processes_with_common_metrics(training: Training) -> None:
    _fit(training, SyncedMetrics())


class SyncedMetrics(TinyModule):
    @override
    def training_step(self, batch: Any) -> Tensor:
        loss = self._loss(batch)
        self.log("loss", loss, sync_dist=True)
        return loss

    @override
    def validation_step(self, batch: Any) -> None:
        self.log("val_loss", self._loss(batch), sync_dist=True)


def _send_around(images: Tensor) -> None:
    rank = distributed.get_rank()
    sent = distributed.isend(images.detach(), 1 - rank)
    distributed.recv(torch.empty_like(images), 1 - rank)
    sent.wait()


#: Ways to exchange data between processes, from a module and its images.
EXCHANGES: dict[str, Callable[[Any, Tensor], object]] = {
    "by_lightning": lambda module, images: module.all_gather(images, sync_grads=True),
    "by_the_strategy": lambda module, _: module.trainer.strategy.broadcast("a text"),
    "by_an_imported_function": lambda _, images: all_reduce(images.detach().clone()),
    "asynchronously": lambda _, images: all_reduce(images.detach().clone(), async_op=True).wait(),
    "with_gradients": lambda _, images: with_gradients.all_reduce(images.clone()),
    "functionally": lambda _, images: functional_collectives.all_reduce(
        images.detach(), "sum", [0, 1]
    ).add(0),
    "as_objects": lambda *_: distributed.all_gather_object([None, None], "an object"),
    "at_a_barrier": lambda *_: distributed.barrier(),
    "with_one_another": lambda _, images: _send_around(images),
}


class Exchanging(TinyModule):
    """Exchanges data with other processes in its forward, in every mode."""

    def __init__(self, exchange: Callable[[Any, Tensor], object]) -> None:
        super().__init__()
        self.exchange = exchange

    @override
    def forward(self, images: Tensor) -> Tensor:
        self.exchange(self, images)
        return super().forward(images)


def _exchanging(exchange: str) -> Callable[[Training], None]:
    def train(training: Training) -> None:
        _fit(training, Exchanging(EXCHANGES[exchange]), max_epochs=1)

    train.__name__ = f"two_processes_that_exchange_data_{exchange}"
    return train


#: Exchanges that the default suite tries.
_QUICK = ("by_lightning", "with_gradients")

for _exchange in EXCHANGES:
    way(
        processes=2,
        is_slow=_exchange not in _QUICK,
        warnings=all_warn("exchanges data with other processes"),
    )(_exchanging(_exchange))
