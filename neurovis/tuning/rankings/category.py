"""Ranks kernels by how well their response tells the images of one class from all others."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.tuning.metrics import ConditionSums
from neurovis.tuning.rankings.base import ImageRanking, ImageResponses, Scores, chosen_names
from neurovis.tuning.responses import RankedLayer

#: Rounding of sums leaves this fraction of the mean square in place of a variance of 0.
_NO_VARIANCE = 1e-12


class CategoryRanking(ImageRanking):
    """d' of the class that differs most from all other images (Afraz et al. 2006).

    The mean response to the class, less the mean response to the others, in standard deviations:
    the root of the mean of both variances. Responses may be negative.
    """

    name = "category"
    score_name = "d′"
    scale = "0 where the class drives it as the others do, in standard deviations"
    needs_labels = True
    curve_name = "d′"

    @override
    def metric(self, kernels: int, classes: int) -> ConditionSums:
        return ConditionSums(kernels, classes)

    @override
    def score(self, responses: ImageResponses, layer: RankedLayer) -> Scores:
        sums = responses.values
        count, total, squares = sums.sum(1).unbind(1)
        dead = squares / count - (total / count).square() <= _NO_VARIANCE * squares / count
        # A class of a single image has no variance, and is left out.
        enough = (sums[0, :, 0] >= 2).tolist()
        if sum(enough) < 2:
            names = [name for name, has in zip(responses.classes, enough, strict=True) if has]
            raise ValueError(
                "ranking by category compares two or more classes of two or more images; there are "
                f"{names or 'none'}"
            )
        curve = _d_prime(sums, sums.sum(1, keepdim=True) - sums)
        score, best = curve.nan_to_num(nan=-torch.inf).max(1)
        undefined = dead | score.isinf()
        preferred = chosen_names(responses.classes, best, undefined)
        return Scores(
            score.masked_fill(undefined, torch.nan),
            dead,
            curve=curve,
            values={"preferred_class": preferred},
            curve_over=responses.classes,
        )


def _d_prime(one: Tensor, others: Tensor) -> Tensor:
    """Return d' ``(...)`` of responses with these counts, sums and sums of squares ``(..., 3)``."""
    (mean, variance), (other_mean, other_variance) = map(_mean_and_variance, (one, others))
    return (mean - other_mean) / ((variance + other_variance) / 2).sqrt()


def _mean_and_variance(sums: Tensor) -> tuple[Tensor, Tensor]:
    count, total, squares = sums.unbind(-1)
    mean = total / count
    return mean, ((squares - total * mean) / (count - 1)).clamp(min=0)
