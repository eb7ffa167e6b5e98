"""Train cases of the promise with two processes, with and without monitors.

Run as a script with a folder, where each process leaves what every training left it with, and
"first" or "all". All trainings share one launch: to start Python costs more than they do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from careless import DrawsNoise, ForwardInTrainMode
from promise import MATRIX, every_monitor, outcome


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
    for careless in (DrawsNoise, ForwardInTrainMode):
        left = outcome([careless()], folder / "careless", devices=2, strategy="ddp")
        torch.save(left, folder / f"{careless.__name__}.{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
