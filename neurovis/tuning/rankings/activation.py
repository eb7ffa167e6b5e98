"""Ranks kernels by how strongly they respond to images."""

from __future__ import annotations

from typing_extensions import override

from neurovis.tuning.metrics import ResponseRange
from neurovis.tuning.rankings.base import ImageRanking, ImageResponses, Scores
from neurovis.tuning.responses import RankedLayer


class ActivationRanking(ImageRanking):
    """Mean response over the images; the highest is beside it."""

    name = "activation"
    score_name = "mean activation"
    scale = "in the layer's own unit"

    @override
    def metric(self, kernels: int, classes: int) -> ResponseRange:
        return ResponseRange(kernels)

    @override
    def score(self, responses: ImageResponses, layer: RankedLayer) -> Scores:
        mean, lowest, highest = responses.values.unbind(1)
        dead = lowest == highest
        return Scores(
            mean.masked_fill(dead, float("nan")), dead, values={"max_activation": highest}
        )
