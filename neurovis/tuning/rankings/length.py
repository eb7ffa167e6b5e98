"""Ranks kernels by how far bars longer than the preferred length suppress them: end-stopping."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.rankings.base import AdaptiveRanking, Scores
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import preferred_size, surround_suppression
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Variation, default_extents
from neurovis.tuning.varied_responses import VariedResponses


class LengthRanking(AdaptiveRanking):
    """(peak - response to the longest bars) / peak: end-stopping (Hubel & Wiesel 1965).

    The bars are one cycle of the kernel's best grating: a light and a dark one.
    """

    name = "length"
    score_name = "end-stopping"
    scale = "from 0, where longer bars do no less, to 1, where the longest do nothing"
    curve_axis = "length of bars (pixels)"
    is_windowed = True

    @override
    def variations(self, spec: InputSpec, settings: RankingSettings) -> Sequence[Variation]:
        return [Variation(settings.contrast, length=one) for one in default_extents(spec)]

    @override
    def score(self, responses: VariedResponses, layer: RankedLayer) -> Scores:
        curves = responses.tuning
        lengths = torch.tensor([one.length for one in responses.variations]).to(curves)
        return Scores(
            surround_suppression(curves),
            responses.dead,
            curve=curves,
            values={"preferred_length": preferred_size(curves, lengths)},
            curve_over=lengths,
        )
