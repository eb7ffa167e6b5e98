"""Ranks kernels by whether arcs drive them more than straight lines do."""

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
from neurovis.tuning.selectivity import contrast_index
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Arcs


class CurvatureRanking(ConditionRanking):
    """(arc - line) / (arc + line), of the best arc and line (after Pasupathy & Connor 1999).

    Each is the best over directions, lengths, bright and dark, and five positions: a kernel that
    wants a straight line beside the center does not count as one that wants a curve.
    """

    name = "curvature"
    score_name = "curvature preference"
    scale = "from -1, straight lines alone, to 1, arcs alone"
    curve_axis = "turn of the arc (degrees)"
    is_signed = True

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> Arcs:
        return Arcs(spec)

    @override
    def score(self, responses: ConditionResponses, layer: RankedLayer) -> Scores:
        table, blank = responses.table, responses.blank
        driven = significant(table - blank.view(-1, *[1] * (table.ndim - 1)), table, blank)
        by_shape = driven.flatten(3).amax(3)  # Directions x turns.
        curve = by_shape.amax(1)
        turn = curve.nan_to_num().argmax(1)
        best = by_shape.nan_to_num()[torch.arange(len(turn)), :, turn].argmax(1)
        undriven = ~(curve.amax(1) > 0)
        return Scores(
            contrast_index(curve[:, 1:].amax(1), curve[:, 0]),
            responses.dead,
            curve=curve,
            values={
                "preferred_turn": Arcs.turns[turn].masked_fill(undriven, torch.nan),
                "preferred_direction": Arcs.directions[responses.first[best]].masked_fill(
                    undriven | (turn == 0), torch.nan
                ),
            },
            curve_over=Arcs.turns,
        )
