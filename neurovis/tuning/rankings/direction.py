"""Ranks kernels of networks of video by how selective they are for the direction of motion."""

from __future__ import annotations

import torch
from typing_extensions import override

from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.rankings.base import Scores
from neurovis.tuning.rankings.conditions import MotionRanking
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import contrast_index
from neurovis.tuning.stimuli import DriftingGratings


class DirectionRanking(MotionRanking):
    """(preferred - opposite) / (preferred + opposite) (after DeAngelis, Ohzawa & Freeman 1993).

    Of gratings that drift at the kernel's best spatial and temporal frequency.
    """

    name = "direction"
    score_name = "direction selectivity"
    scale = "from 0, the same response to motion back and forth, to 1, to one direction alone"
    curve_axis = "direction (degrees)"

    @override
    def score(self, responses: ConditionResponses, layer: RankedLayer) -> Scores:
        curve = self.curves(responses, layer, axis=2, first=1)
        rows, count = torch.arange(len(curve)), curve.shape[1]
        best = curve.nan_to_num().argmax(1)
        opposite = curve[rows, (best + count // 2) % count]
        radians = torch.deg2rad(DriftingGratings.directions).to(curve)
        across, up = (curve * radians.cos()).sum(1), (curve * radians.sin()).sum(1)
        direction = torch.rad2deg(torch.atan2(up, across)) % 360
        score = contrast_index(curve[rows, best], opposite)
        return Scores(
            score,
            responses.dead,
            curve=curve,
            values={"preferred_direction": direction.masked_fill(score.isnan(), torch.nan)},
            curve_over=DriftingGratings.directions,
        )
