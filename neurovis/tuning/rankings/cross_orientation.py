"""Ranks kernels by how far a grating at a right angle to the best one suppresses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.rankings.base import AdaptiveRanking, Scores
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Variation
from neurovis.tuning.varied_responses import VariedResponses

#: Phases of the mask: to a half-wave rectified kernel the mean is within 4 % of that over all.
_MASK_PHASES = 4


class CrossOrientationRanking(AdaptiveRanking):
    """1 - R(best grating with mask) / R(best grating) (Morrone, Burr & Maffei 1982).

    The mask is the grating at a right angle, both at half of the contrast. Responses are means over
    the phases of the mask, so that what it adds to a linear kernel is no modulation.
    """

    name = "cross_orientation"
    score_name = "cross-orientation suppression"
    scale = "0 where the mask does nothing, 1 where it silences, negative where it drives"
    is_signed = True

    @override
    def variations(self, spec: InputSpec, settings: RankingSettings) -> Sequence[Variation]:
        half, window = settings.contrast / 2, settings.aperture
        phases = [number * (360 / _MASK_PHASES) for number in range(_MASK_PHASES)]
        return [
            Variation(half, diameter=window),
            *(Variation(half, diameter=window, mask=half, mask_phase=one) for one in phases),
        ]

    @override
    def score(self, responses: VariedResponses, layer: RankedLayer) -> Scores:
        table = responses.table
        table = torch.stack([table[:, 0], table[:, 1:].mean(1)], dim=1)
        curves = replace(responses, table=table).tuning
        alone, masked = curves.unbind(1)
        return Scores(
            # What float32 rounds is no difference between linear kernels.
            (1 - masked / alone).where(alone > 0, torch.nan).round(decimals=4) + 0.0,
            responses.dead,
            curve=curves,
            curve_over=["alone", "with the mask"],
        )
