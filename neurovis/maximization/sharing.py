"""Distribute images across processes, and gather the results on all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeVar

import torch

from neurovis.maximization.jobs import Job

_Value = TypeVar("_Value")


def slots_for(jobs: int, at_once: int, ranks: int) -> int:
    """Return the number of jobs that each process works on together, fewer with many processes.

    Example:
        >>> slots_for(jobs=100, at_once=8, ranks=2), slots_for(jobs=6, at_once=8, ranks=2)
        (8, 3)
    """
    return max(1, min(at_once, -(-jobs // ranks)))


def share_of(jobs: Sequence[Job], slots: int, rank: int, ranks: int) -> list[Job]:
    """The jobs of one process, layer by layer.

    The jobs of a layer go in equal parts to as many processes as can be kept busy with full
    batches, those with the least to do so far.

    Args:
        jobs: Jobs of all processes, those of a layer together.
        slots: Jobs that a process works on together.
        rank: Rank of the process.
        ranks: Number of processes.
    """
    loads = [0] * ranks
    share: list[Job] = []
    for _, of_layer in groupby(jobs, key=lambda job: job.layer):
        listed = list(of_layer)
        workers = min(ranks, -(-len(listed) // slots))
        chosen = sorted(range(ranks), key=lambda worker: (loads[worker], worker))[:workers]
        for place, worker in enumerate(chosen):
            part = listed[place * len(listed) // workers : (place + 1) * len(listed) // workers]
            loads[worker] += len(part)
            if worker == rank:
                share += part
    return share


def common_batch_size(stored: int | None, choose: Callable[[], int]) -> int:
    """Return the batch size of all processes. To be called by all of them together.

    Args:
        stored: The one asked for, or that of the resumed run, as far as this process knows.
        choose: Returns the one that fits this process, for runs without one; the smallest counts.
    """
    known = [size for size in gathered(stored) if size is not None]
    return known[0] if known else min(gathered(choose()))


def process_count() -> int:
    """Return the number of processes that make images together."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 1
    return torch.distributed.get_world_size()


def gathered(value: _Value) -> list[_Value]:
    """Return the values of all processes, by rank. To be called by all of them together."""
    shares = [value] * process_count()
    if len(shares) == 1:
        return shares
    torch.distributed.all_gather_object(shares, value)
    return shares
