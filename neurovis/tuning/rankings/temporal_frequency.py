"""Ranks kernels of networks of video by how selective they are for the speed of a drift."""

from __future__ import annotations

import torch
from typing_extensions import override

from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.rankings.base import Scores
from neurovis.tuning.rankings.conditions import MotionRanking
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import lifetime_sparseness
from neurovis.tuning.stimuli import DriftingGratings


class TemporalFrequencyRanking(MotionRanking):
    """Sparseness of the tuning over temporal frequencies, gratings that stand still among them.

    At the best spatial frequency and direction. The measure is Vinje & Gallant's (2000).
    """

    name = "temporal_frequency"
    score_name = "temporal frequency selectivity"
    scale = "from 0, the same response to all frequencies, to 1, to one alone"
    curve_axis = "temporal frequency (cycles/frame)"

    @override
    def score(self, responses: ConditionResponses, layer: RankedLayer) -> Scores:
        curve = self.curves(responses, layer, axis=3)
        frequencies = DriftingGratings(layer.spec).temporal_frequencies
        score = lifetime_sparseness(curve)
        best = frequencies[curve.nan_to_num().argmax(1)]
        return Scores(
            score,
            responses.dead,
            curve=curve,
            values={"preferred_temporal_frequency": best.masked_fill(score.isnan(), torch.nan)},
            curve_over=frequencies,
        )
