"""Streaming metrics against what the formulas give for all responses at once."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor

from neurovis.tuning.metrics import (
    ConditionMeans,
    ConditionSums,
    ResponseMetric,
    ResponseRange,
)
from neurovis.tuning.rankings import RANKINGS, ImageResponses

KERNELS, CONDITIONS = 5, 4


def make(kind: type[ResponseMetric]) -> ResponseMetric:
    options: dict[str, Any] = {"conditions": CONDITIONS} if issubclass(kind, ConditionMeans) else {}
    return kind(kernels=KERNELS, **options)


def drawn(count: int = 23) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    responses = torch.randn(count, KERNELS, generator=generator).relu()
    responses[:, 0] = 0
    return responses, torch.randint(0, CONDITIONS - 1, (count,), generator=generator)


def literal(kind: type[ResponseMetric], responses: Tensor, shown: Tensor) -> Tensor:
    responses = responses.double()
    if kind is ConditionMeans:
        means = [responses[shown == condition].mean(0) for condition in range(CONDITIONS)]
        return torch.stack(means, 1)
    if kind is ConditionSums:
        groups = [responses[shown == condition] for condition in range(CONDITIONS)]
        sums = [[torch.ones_like(r).sum(0), r.sum(0), (r * r).sum(0)] for r in groups]
        return torch.stack([torch.stack(group, 1) for group in sums], 1)
    rows = [[r.sum() / len(r), r.min(), r.max()] for r in responses.T]
    return torch.tensor(rows, dtype=torch.float64)


KINDS = [ConditionMeans, ConditionSums, ResponseRange]


@pytest.mark.parametrize("batch", [1, 4, 23])
def test_sparseness_of_what_streams(batch: int) -> None:
    responses, _ = drawn()
    ranking: Any = RANKINGS["sparseness"]
    metric = ranking.metric(KERNELS, 0)
    for part in responses.split(batch):
        metric.update(part, torch.zeros(len(part), dtype=torch.long))
    scores = ranking.score(ImageResponses(metric.compute()), None)
    expected = []
    for r in responses.double().T.tolist():
        n = len(r)
        squares = sum(x * x for x in r) / n
        part = (sum(r) / n) ** 2 / squares if squares else float("nan")
        expected.append((1 - part) / (1 - 1 / n))
    assert scores.score.tolist() == pytest.approx(expected, nan_ok=True)
    assert scores.dead.tolist() == [True] + [False] * (KERNELS - 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 4, 23])
def test_batches_make_no_difference(kind: type[ResponseMetric], batch: int) -> None:
    responses, shown = drawn()
    metric = make(kind)
    for part, numbers in zip(responses.split(batch), shown.split(batch), strict=True):
        metric.update(part, numbers)
    expected = literal(kind, responses, shown)
    assert torch.allclose(metric.compute(), expected, equal_nan=True)
    assert metric.compute().isnan().any() == (kind not in (ConditionSums, ResponseRange))


@pytest.mark.parametrize("kind", KINDS)
def test_reset_and_pickle(kind: type[ResponseMetric]) -> None:
    responses, shown = drawn()
    metric = make(kind)
    metric.update(1 + responses, shown)
    metric.reset()
    metric = pickle.loads(pickle.dumps(metric))
    metric.update(responses, shown)
    assert torch.allclose(metric.compute(), literal(kind, responses, shown), equal_nan=True)


def _part(rank: int, file: str, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2
    )
    responses, shown = drawn()
    # An uneven share for each.
    mine = slice(0, 9) if rank == 0 else slice(9, None)
    for kind in KINDS:
        metric = make(kind)
        metric.update(responses[mine], shown[mine])
        torch.save(metric.compute(), f"{folder}/{kind.__name__}_{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_see_as_much_as_one(tmp_path: Path) -> None:
    if not (torch.distributed.is_available() and hasattr(os, "fork")):
        pytest.skip("needs torch.distributed and fork")
    arguments = (str(tmp_path / "meeting"), str(tmp_path))
    torch.multiprocessing.start_processes(_part, arguments, nprocs=2, start_method="fork")
    for kind in KINDS:
        expected = literal(kind, *drawn())
        for rank in (0, 1):
            found = torch.load(tmp_path / f"{kind.__name__}_{rank}.pt")
            assert torch.allclose(found, expected, equal_nan=True)
