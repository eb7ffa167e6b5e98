"""Processes that work apart notice when one of them ends, and wait for those that live."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from processes import started

from neurovis.maximization.heartbeats import Heartbeats, open_store

RANKS = 3


def _die(_: Heartbeats) -> None:
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)


def _work(heartbeats: Heartbeats) -> None:
    """For longer than the patience, unless somebody is gone."""
    for _ in range(1000):
        heartbeats.check()
        time.sleep(0.01)
    heartbeats.meet()


def _meet(heartbeats: Heartbeats) -> None:
    for _ in range(3):
        heartbeats.meet()


def _meet_late(heartbeats: Heartbeats) -> None:
    time.sleep(2)
    _meet(heartbeats)


def _a_process(rank: int, port: Connection, ways: Connection, doing: Callable[..., None]) -> None:
    store = open_store("localhost", 0 if rank == 0 else port.recv(), rank)
    if rank == 0:
        for _ in range(RANKS - 1):
            port.send(store.port)
    heartbeats = Heartbeats(store, rank, RANKS, beat=0.1, patience=1.5)
    try:
        doing(heartbeats)
        ways.send((rank, "done"))
    except RuntimeError as error:
        ways.send((rank, str(error)))
    finally:
        heartbeats.stop()


def run(*doing: Callable[[Heartbeats], None]) -> dict[int, str]:
    """What each rank says in the end; nothing of one that is killed."""
    context = multiprocessing.get_context("fork")
    (of_others, of_first), (said, ways) = context.Pipe(), context.Pipe(duplex=False)
    ports = (of_first, of_others, of_others)
    processes = [
        context.Process(target=_a_process, args=(rank, ports[rank], ways, doing[rank]))
        for rank in range(RANKS)
    ]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=60)
            assert process.exitcode is not None, "it waits"
    finally:
        for process in processes:
            process.kill()
    found = {}
    while said.poll(0):
        rank, text = said.recv()
        found[rank] = text
    return found


def test_all_wait_for_one_that_works_long() -> None:
    assert run(_meet_late, _meet, _meet) == dict.fromkeys(range(RANKS), "done")


@pytest.mark.parametrize("dead", [0, 1])
def test_the_others_end_when_one_is_killed_be_they_at_work_or_waiting(dead: int) -> None:
    doing = [_work, _meet, _work]
    doing[dead], doing[1 - dead] = _die, _meet
    said = run(*doing)
    assert set(said) == {0, 1, 2} - {dead}
    for text in said.values():
        assert f"the process of rank {dead} has ended" in text
        assert "run the same command again to resume" in text


_ENDLESS = """
import os, signal, sys
import lightning.pytorch as pl
import torch
from torch import nn
from neurovis import ActivationMaximization, InputSpec

class Ends(pl.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_rank == 0 and trainer.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU())
am = ActivationMaximization(
    network, "1", input_spec=InputSpec.rgb(16), steps=10**7, patience=None, batch_size=2
)
pl.Trainer(
    accelerator="cpu", devices=2, strategy="neurovis_independent", default_root_dir=sys.argv[1],
    logger=False, max_epochs=-1, enable_progress_bar=False, callbacks=[Ends()],
).fit(am)
"""


@pytest.mark.slow
def test_a_run_ends_within_a_minute_when_its_first_process_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(_ENDLESS)
    with started(script, tmp_path / "out") as process:
        assert process.wait(timeout=240) == -signal.SIGKILL
        # Its output ends when the process of rank 1 has ended too.
        output, _ = process.communicate(timeout=60)
    assert re.search(r"the process of rank 0 has ended", output), output[-3000:]
