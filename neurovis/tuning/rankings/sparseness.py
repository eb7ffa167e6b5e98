"""Ranks kernels by how few images they respond to."""

from __future__ import annotations

from typing_extensions import override

from neurovis.tuning.metrics import ConditionSums
from neurovis.tuning.rankings.base import ImageRanking, ImageResponses, Scores
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import lifetime_sparseness_of_sums

#: Equal responses have a sparseness of 0, but for rounding.
_SPARSENESS_TOLERANCE = 1e-9


class SparsenessRanking(ImageRanking):
    """Lifetime sparseness over the images: 0 alike to all, 1 to one only (Vinje & Gallant 2000)."""

    name = "sparseness"
    score_name = "lifetime sparseness"
    scale = "from 0, the same response to all images, to 1, to one alone"
    needs_rectifier = True

    @override
    def metric(self, kernels: int, classes: int) -> ConditionSums:
        return ConditionSums(kernels, conditions=1)

    @override
    def score(self, responses: ImageResponses, layer: RankedLayer) -> Scores:
        count, total, squares = responses.values[:, 0].unbind(1)
        score = lifetime_sparseness_of_sums(total, squares, count)
        # Kernels that never responded have NaN, and those with equal responses have about 0.
        return Scores(score, dead=~(score > _SPARSENESS_TOLERANCE))
