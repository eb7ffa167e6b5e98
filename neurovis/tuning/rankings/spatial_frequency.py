"""Ranks kernels by how selective they are for the spatial frequency of gratings."""

from __future__ import annotations

import math
from typing import Any

import torch
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.grating_responses import GratingResponses, frequency_curves
from neurovis.tuning.measures import preferred_spatial_frequency, spatial_frequency_bandwidth
from neurovis.tuning.rankings.base import GratingRanking, Scores
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import lifetime_sparseness
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Gratings


class SpatialFrequencyRanking(GratingRanking):
    """Sparseness of the spatial frequency tuning at the best orientation: 0 flat, 1 one frequency.

    The measure is Vinje & Gallant's (2000), taken over frequencies.
    """

    name = "spatial_frequency"
    score_name = "frequency selectivity"
    scale = "from 0, the same response to all frequencies, to 1, to one alone"
    drawn_over = "spatial_frequency"

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> Gratings:
        gratings = super().stimuli(spec, settings, images)
        if len(gratings.spatial_frequencies) < 2:
            raise ValueError(
                f"ranking by {self.name} compares spatial_frequencies; give at least 2"
            )
        return gratings

    @override
    def score(self, responses: GratingResponses, layer: RankedLayer) -> Scores:
        curves = frequency_curves(responses.tuning[:, 0])
        frequencies = responses.spatial_frequencies.to(curves)
        octaves = spatial_frequency_bandwidth(curves, frequencies, level=math.sqrt(0.5))
        selective = octaves.isfinite().to(curves).where(curves.amax(1) > 0, torch.nan)
        return Scores(
            score=lifetime_sparseness(curves),
            dead=responses.dead,
            curve=curves,
            values={
                "preferred_spatial_frequency": preferred_spatial_frequency(curves, frequencies),
                "spatial_frequency_bandwidth": spatial_frequency_bandwidth(curves, frequencies),
                # As Schiller, Finlay & Volman (1976): 100 low / high at 1 / sqrt 2 of the peak.
                "spatial_frequency_ratio": 100 * torch.exp2(-octaves),
                "spatial_frequency_selective": selective,
            },
        )
