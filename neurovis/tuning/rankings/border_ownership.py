"""Ranks kernels by whether the side of an edge on which the figure is makes a difference."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.grating_responses import significant
from neurovis.tuning.rankings.base import Scores
from neurovis.tuning.rankings.conditions import ConditionRanking
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Squares


class BorderOwnershipRanking(ConditionRanking):
    """|R1 - R2| / (R1 + R2), of squares on either side of the same edge (Zhou et al. 2000).

    R1 and R2 are sums over both contrasts of the edge and over sizes, at each kernel's best
    orientation. Units that see the edge alone have 0, and so has any linear unit: with both
    contrasts, square and ground make an even gray.
    """

    name = "border_ownership"
    score_name = "border ownership"
    scale = "0 where the square's side makes no difference, 1 where it drives from one side alone"

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> Squares:
        return Squares(spec)

    @override
    def score(self, responses: ConditionResponses, layer: RankedLayer) -> Scores:
        table, blank = responses.table, responses.blank
        strength = (table - blank.view(-1, 1, 1, 1, 1)).abs()
        best = strength.flatten(2).sum(2).nan_to_num().argmax(1)
        rows = torch.arange(len(best))
        # Sizes are summed: the edge's contrasts x the square's sides.
        shown = table[rows, best].sum(1)
        first, second = shown.sum(1).unbind(1)
        difference = significant((first - second).abs(), shown, blank)
        total = strength[rows, best].flatten(1).sum(1)
        score = difference / total
        directions = Squares.directions[responses.first[best]]
        side = torch.where(first >= second, directions, directions + 180)
        return Scores(
            score,
            responses.dead,
            curve=(table[rows, best].mean(1) - blank.view(-1, 1, 1)).flatten(1),
            values={"preferred_direction": side.masked_fill(~(score > 0), torch.nan)},
            curve_over=[
                f"{edge} ({side} side)"
                for edge in ("edge", "reversed edge")
                for side in ("first", "second")
            ],
        )
