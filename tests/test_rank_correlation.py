from __future__ import annotations

import time

import pytest
import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from neurovis.rank_correlation import average_ranks, rank_correlations


def maps(kind: str, size: int) -> Tensor:
    values = torch.randn(3, size, size, generator=torch.Generator().manual_seed(len(kind)))
    if kind == "many zeros":
        return (values - 1).relu()
    return values.round() if kind == "few values" else values


@pytest.mark.parametrize("kind", ["no ties", "many zeros", "few values"])
def test_as_scipy(kind: str) -> None:
    found, reference = maps(kind, 64), maps("many zeros", 64) + maps(kind, 64)
    expected = [
        spearmanr(one.flatten().numpy(), other.flatten().numpy()).statistic
        for one, other in zip(found, reference, strict=True)
    ]
    torch.testing.assert_close(rank_correlations(found, reference).tolist(), expected)
    ranks = average_ranks(found[0].flatten()).numpy()
    torch.testing.assert_close(ranks, rankdata(found[0].flatten().double().numpy()))


def test_large_maps_that_are_mostly_zero() -> None:
    # The ranks of so many ties add up to more than 32 bits hold.
    found, reference = maps("many zeros", 512)[:1], maps("many zeros", 512)[1:2]
    reference = reference + found
    expected = spearmanr(found.flatten().numpy(), reference.flatten().numpy()).statistic
    begun = time.perf_counter()
    assert rank_correlations(found, reference).item() == pytest.approx(expected)
    assert time.perf_counter() - begun < 5


def test_without_ranks_there_is_no_correlation() -> None:
    found = torch.rand(4, 5, 5)
    reference = torch.rand(4, 5, 5)
    found[0], reference[1], found[2, 0, 0] = 0, 3, torch.inf
    assert rank_correlations(found, reference).isnan().tolist() == [True, True, True, False]
