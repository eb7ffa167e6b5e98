"""Ranks kernels by how few images they respond to."""

from __future__ import annotations

from typing_extensions import override

from neurovis.tuning.metrics import LifetimeSparseness
from neurovis.tuning.rankings.base import ImageRanking, ImageResponses, Scores
from neurovis.tuning.responses import RankedLayer

#: Equal responses have a sparseness of 0, but for rounding.
_SPARSENESS_TOLERANCE = 1e-9


class SparsenessRanking(ImageRanking):
    """Lifetime sparseness over the images: 0 alike to all, 1 to one only (Vinje & Gallant 2000)."""

    name = "sparseness"
    score_name = "lifetime sparseness"
    scale = "from 0, the same response to all images, to 1, to one alone"
    needs_rectifier = True

    @override
    def metric(self, kernels: int, classes: int) -> LifetimeSparseness:
        return LifetimeSparseness(kernels)

    @override
    def score(self, responses: ImageResponses, layer: RankedLayer) -> Scores:
        # Kernels that never responded have NaN, and those with equal responses have about 0.
        return Scores(responses.values, dead=~(responses.values > _SPARSENESS_TOLERANCE))
