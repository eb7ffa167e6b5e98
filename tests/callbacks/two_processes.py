"""Train with two processes, with and without monitors.

Run as a script with a folder, where each process leaves what every training left it with, and what
to train: "quick" or "slow" ways to train with two processes, or "matrix", all cases of the promise.
All trainings share one launch: to start Python costs more than they do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from promise import MATRIX, every_monitor, outcome
from torch.multiprocessing import start_processes
from ways import WAYS, monitors, outcome_of


def train_with_two_processes(folder: Path, what: str, forked: bool = False) -> list[dict[str, Any]]:
    """Return what this script leaves behind, by process.

    Args:
        folder: Where it is left.
        what: What to train.
        forked: Fork the processes off this one, with the variables of launched ones, which spares
            their imports. Where there is an accelerator they are launched all the same: what has
            once differentiated there cannot in a fork.
    """
    if forked and not torch.accelerator.is_available():
        port = find_free_network_port()
        start_processes(_forked, (port, folder, what), nprocs=2, start_method="fork")
    else:
        finished = subprocess.run(
            [sys.executable, __file__, str(folder), what],
            timeout=600,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def _forked(rank: int, port: int, folder: Path, what: str) -> None:
    launched = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": 0, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in launched.items()}, WORLD_SIZE="2")
    main(folder, what)


def train_ways(folder: Path, are_slow: bool) -> dict[str, Any]:
    """The outcomes of each way: without monitors, with them, and without again."""
    return {
        name: (
            outcome_of(found, folder / name / "plain"),
            outcome_of(found, folder / name / "watched", partial(monitors, found.layer)),
            outcome_of(found, folder / name / "again"),
        )
        for name, found in WAYS.items()
        if found.processes == 2 and found.is_slow == are_slow
    }


def train_matrix(folder: Path) -> dict[str, Any]:
    """What each case of the promise leaves behind, without and with monitors."""
    return {
        f"{precision}-{accumulate}-{compiled}-{watched}": outcome(
            every_monitor() if watched else [],
            folder / f"{precision}-{accumulate}-{compiled}-{watched}",
            compiled,
            precision=precision,
            accumulate_grad_batches=accumulate,
            devices=2,
            strategy="ddp",
        )
        for precision, accumulate, compiled in MATRIX
        for watched in (False, True)
    }


def main(folder: Path, what: str) -> None:
    torch.set_num_threads(1)
    rank = os.environ.get("LOCAL_RANK", "0")
    left = train_matrix(folder) if what == "matrix" else train_ways(folder, what == "slow")
    torch.save(left, folder / f"{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
