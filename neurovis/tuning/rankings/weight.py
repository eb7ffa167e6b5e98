"""Ranks kernels by the size of their weights."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from neurovis.tuning.rankings.base import Column, Scores, WeightRanking
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.spectrum import spectrum_peak


class WeightNormRanking(WeightRanking):
    """L1 norm of the weights; in layers over the image also the orientation of their spectrum."""

    name = "weight"
    score_name = "L1 norm"
    scale = "the sum of the weights' magnitudes"

    @override
    def inapplicable_reason(self, layer: RankedLayer) -> str | None:
        if layer.weights is None:
            return f"{self.name} needs a convolution or a linear layer; this is neither"
        return None

    @override
    def score(self, weights: Tensor, layer: RankedLayer) -> Scores:
        norms = weights.flatten(1).norm(p=1, dim=1)
        dead = norms == 0
        values: dict[str, Column] = {}
        if layer.is_first:
            peak = spectrum_peak(weights, window=False)
            values = {
                "weight_orientation": peak.orientation,
                "weight_spatial_frequency": peak.spatial_frequency,
                "weight_selectivity": peak.selectivity,
            }
        return Scores(norms.masked_fill(dead, float("nan")), dead, values=values)
