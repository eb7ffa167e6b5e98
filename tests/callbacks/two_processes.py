"""Train cases of the promise with two processes, with and without monitors.

Run as a script with a folder, where each process leaves what every training left it with, and
"first" or "all". All trainings share one launch: to start Python costs more than they do.
Networks that exchange data between processes in their forward are among them.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from careless import DrawsNoise, ForwardInTrainMode
from promise import MATRIX, TinyModule, every_monitor, outcome
from torch import Tensor, distributed
from torch.distributed import _functional_collectives as functional_collectives
from torch.distributed import all_reduce
from torch.distributed.nn import functional as with_gradients
from typing_extensions import override

from neurovis.callbacks import SaliencyMonitor


def _send_around(output: Tensor) -> None:
    rank = distributed.get_rank()
    sent = distributed.isend(output.detach(), 1 - rank)
    distributed.recv(torch.empty_like(output), 1 - rank)
    sent.wait()


#: Ways to exchange data between processes, from a module and its output.
EXCHANGES: dict[str, Callable[[Any, Tensor], object]] = {
    "lightning": lambda module, output: module.all_gather(output, sync_grads=True),
    "strategy": lambda module, _: module.trainer.strategy.broadcast("a text"),
    "imported": lambda _, output: all_reduce(output.detach().clone()),
    "asynchronous": lambda _, output: all_reduce(output.detach().clone(), async_op=True).wait(),
    "gradients": lambda _, output: with_gradients.all_reduce(output.clone()),
    "functional": lambda _, output: functional_collectives.all_reduce(
        output.detach(), "sum", [0, 1]
    ).add(0),
    "objects": lambda _, __: distributed.all_gather_object([None, None], "an object"),
    "barrier": lambda _, __: distributed.barrier(),
    "to one another": lambda _, output: _send_around(output),
}


class Exchanging(TinyModule):
    """Exchanges data with other processes in its forward, in every mode."""

    def __init__(self, exchange: Callable[[Any, Tensor], object] | None = None) -> None:
        super().__init__()
        self.exchange = exchange

    @override
    def forward(self, images: Tensor) -> Tensor:
        output = super().forward(images)
        if self.exchange is not None:
            self.exchange(self, output)
        return output


def train_exchanging(folder: Path, rank: int) -> None:
    """Train every kind of exchange with and without a monitor, and keep what was said."""
    for name, exchange in EXCHANGES.items():
        for watched in (False, True):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                left = outcome(
                    [SaliencyMonitor(every_n_train_steps=1)] if watched else [],
                    folder / f"{name}-{watched}",
                    kind=partial(Exchanging, exchange),
                    devices=2,
                    strategy="ddp",
                    max_epochs=1,
                )
            left["said"] = [str(one.message) for one in caught if "Monitor" in str(one.message)]
            torch.save(left, folder / f"exchange-{name}-{watched}.{rank}.pt")


def main(folder: Path, cases: str) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    for precision, accumulate, compiled in {"first": MATRIX[:1], "all": MATRIX}[cases]:
        for watched in (False, True):
            left = outcome(
                every_monitor() if watched else [],
                folder / f"{precision}-{accumulate}-{compiled}-{watched}",
                compiled,
                precision=precision,
                accumulate_grad_batches=accumulate,
                devices=2,
                strategy="ddp",
            )
            torch.save(left, folder / f"{precision}-{accumulate}-{compiled}-{watched}.{rank}.pt")
    train_exchanging(folder, rank)
    for careless in (DrawsNoise, ForwardInTrainMode):
        left = outcome([careless()], folder / "careless", devices=2, strategy="ddp")
        torch.save(left, folder / f"{careless.__name__}.{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
