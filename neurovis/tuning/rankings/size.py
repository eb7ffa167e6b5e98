"""Ranks kernels by how far gratings beyond their preferred size suppress them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.rankings.base import AdaptiveRanking, Scores
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import preferred_size, surround_diameter, surround_suppression
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Variation, default_extents
from neurovis.tuning.varied_responses import VariedResponses

#: Cavanaugh et al. give sizes of cells that lose more than this part of their response.
_SUPPRESSED = 0.1


class SizeRanking(AdaptiveRanking):
    """(peak - response to the largest grating) / peak (Cavanaugh, Bair & Movshon 2002)."""

    name = "size"
    score_name = "surround suppression"
    scale = "from 0, where larger gratings do no less, to 1, where the largest does nothing"
    curve_axis = "diameter (pixels)"
    is_windowed = True

    @override
    def variations(self, spec: InputSpec, settings: RankingSettings) -> Sequence[Variation]:
        return [Variation(settings.contrast, diameter=one) for one in default_extents(spec)]

    @override
    def score(self, responses: VariedResponses, layer: RankedLayer) -> Scores:
        curves = responses.tuning
        diameters = torch.tensor([one.diameter for one in responses.variations]).to(curves)
        suppression = surround_suppression(curves)
        size, surround = (
            measure(curves, diameters).where(suppression > _SUPPRESSED, torch.nan)
            for measure in (preferred_size, surround_diameter)
        )
        return Scores(
            suppression,
            responses.dead,
            curve=curves,
            values={
                "surround_suppression": suppression,
                "preferred_size": size,
                "surround_diameter": surround,
                "surround_ratio": surround / size,
            },
            curve_over=diameters,
        )
