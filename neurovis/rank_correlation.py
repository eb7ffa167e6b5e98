"""Spearman's rank correlation of maps and of tuning curves, with ties.

It is ours because torchmetrics' adds the ranks of ties in 32 bits, which overflows for a map of
512 x 512 pixels that is zero in most places, as Grad-CAM's are, and gives 0 for constant maps.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rank_correlations(maps: Tensor, reference: Tensor) -> Tensor:
    """Spearman's correlation of each map with its own reference, ``(B,)``, float64.

    NaN where a map or its reference is constant, or not finite everywhere.

    Args:
        maps: ``(B, ...)``.
        reference: A tensor of the same shape.

    Example:
        >>> rank_correlations(torch.tensor([[0.0, 0.0, 3.0, 9.0]]), torch.tensor([[1.0, 1, 2, 3]]))
        tensor([1.], dtype=torch.float64)
    """
    correlations = torch.full((len(maps),), torch.nan, dtype=torch.float64)
    for index, pair in enumerate(zip(maps.cpu(), reference.cpu(), strict=True)):
        if all(bool(part.isfinite().all()) for part in pair):
            ranks = torch.stack([average_ranks(part.flatten()) for part in pair])
            correlations[index] = torch.corrcoef(ranks)[0, 1]
    return correlations


def average_ranks(values: Tensor) -> Tensor:
    """Ranks ``(N,)`` from 1, float64; equal values share the mean of their ranks."""
    _, places, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    ranks: Tensor = last - (counts - 1).double() / 2
    return ranks[places]
