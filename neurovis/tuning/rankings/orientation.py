"""Ranks kernels by how selective they are for the orientation of gratings."""

from __future__ import annotations

from typing_extensions import override

from neurovis.tuning.grating_responses import GratingResponses, frequency_curves, orientation_curves
from neurovis.tuning.measures import (
    global_orientation_selectivity,
    orientation_bandwidth,
    preferred_orientation,
    preferred_spatial_frequency,
)
from neurovis.tuning.rankings.base import GratingRanking, Scores
from neurovis.tuning.responses import RankedLayer


class OrientationRanking(GratingRanking):
    """gOSI, 1 - circular variance, at the best spatial frequency (Ringach et al. 2002)."""

    name = "orientation"
    score_name = "gOSI"
    scale = "from 0, the same response to all orientations, to 1, to one alone"
    split = "spatial_frequency"

    @override
    def score(self, responses: GratingResponses, layer: RankedLayer) -> Scores:
        tuning = responses.tuning[:, 0]
        curves = orientation_curves(tuning)
        return Scores(
            score=global_orientation_selectivity(curves),
            dead=responses.dead,
            curve=curves,
            values={
                "preferred_orientation": preferred_orientation(curves),
                "orientation_bandwidth": orientation_bandwidth(curves),
                "preferred_spatial_frequency": preferred_spatial_frequency(
                    frequency_curves(tuning), responses.spatial_frequencies.to(tuning)
                ),
            },
        )
