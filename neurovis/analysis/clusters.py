"""Number of clusters of points, with a null.

Source: Tibshirani, Walther & Hastie (2001), "Estimating the number of clusters in a data set via
the gap statistic". Null samples are even, which of all that has one peak is most like clusters.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_MOST_CLUSTERS = 4
_NULL_SAMPLES = 99
#: There are several clusters if fewer null samples are clustered as much.
_SIGNIFICANT = 0.01
_RESTARTS = 6
_ITERATIONS = 10


def clusters(points: Tensor) -> tuple[Tensor, float]:
    """Assign points ``(N, D)`` to clusters, of which there may be one.

    Some number of clusters is looked for in one principal component less, as many as it takes to
    tell them apart; null samples are spread as far along each component, but evenly.

    Returns:
        ``(N,)`` the number of each point's cluster, and the part of null samples of which some
        number of clusters explains as much.
    """
    left, sizes, _ = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    scores = (left * sizes)[:, : _MOST_CLUSTERS - 1]
    if not sizes[0] > 0:
        return torch.zeros(len(points), dtype=torch.long), 1.0
    generator = torch.Generator().manual_seed(0)
    null = torch.rand(_NULL_SAMPLES, *scores.shape, generator=generator, dtype=scores.dtype)
    null = null - null.mean(1, keepdim=True)
    null = null / null.std(1, keepdim=True) * scores.std(0)
    gaps, null_gaps, labels = [], [], []
    for number in range(2, scores.shape[1] + 2):
        own, found = _spread(scores[None, :, : number - 1], number, generator)
        others, _ = _spread(null[..., : number - 1], number, generator)
        gaps.append(float(others.mean() - own))
        null_gaps.append(others.mean() - others)
        labels.append(found[0])
    as_much = torch.stack(null_gaps).amax(0) >= max(gaps)
    p = (1 + int(as_much.sum())) / (_NULL_SAMPLES + 1)
    if p > _SIGNIFICANT:
        return torch.zeros(len(points), dtype=torch.long), p
    return labels[gaps.index(max(gaps))], p


def _spread(points: Tensor, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Log of the squared distances ``(B,)`` to the means of clusters, and clusters ``(B, N)``.

    By k-means, the best of several starts, of each sample of points ``(B, N, D)``.
    """
    samples, count, _ = points.shape
    repeated = points.repeat_interleave(_RESTARTS, 0)
    first = torch.rand(len(repeated), count, generator=generator).argsort(1)[:, :number]
    means = repeated.gather(1, first[..., None].expand(-1, -1, points.shape[2]))
    for _ in range(_ITERATIONS):
        labels = torch.cdist(repeated, means).argmin(2)
        members = functional.one_hot(labels, number).to(points).mT
        sizes = members.sum(2, keepdim=True)
        means = torch.where(sizes > 0, members @ repeated / sizes.clamp(min=1), means)
    distances, labels = torch.cdist(repeated, means).square().min(2)
    total = distances.sum(1).reshape(samples, _RESTARTS)
    best = total.argmin(1)
    chosen = labels.reshape(samples, _RESTARTS, count)[torch.arange(samples), best]
    return total.amin(1).clamp(min=torch.finfo(points.dtype).tiny).log(), chosen
