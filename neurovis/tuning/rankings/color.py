"""Ranks kernels by how much of their response color makes."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.rankings.base import GratingRanking, Scores, chosen_names
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import color_selectivity
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Gratings, color_modulations


class ColorRanking(GratingRanking):
    """1 - R(gray) / R(rgb), of saturated gratings and the same made gray.

    The colors are those of RGB pixels (red-cyan, green-magenta, blue-yellow), gray is the mean of
    R, G and B: this says nothing of cones. After Rafegas & Vanrell (2018).
    """

    name = "color"
    score_name = "color selectivity (RGB)"
    scale = "0 where gray gratings do as much as colored ones, 1 where color alone counts"
    set_name = "color gratings"

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> Gratings:
        return settings.gratings(spec, color_modulations(spec))

    @override
    def score(self, responses: GratingResponses, layer: RankedLayer) -> Scores:
        tuning = responses.tuning.flatten(2)
        gray = responses.modulations.index("gray")
        names = [name for name in responses.modulations if name != "gray"]
        colors = tuning[:, [index for index in range(tuning.shape[1]) if index != gray]]
        # Each color has the same gray.
        score = color_selectivity(tuning[:, gray] * len(names), colors.sum(1))
        preferred = chosen_names(names, colors.sum(2).nan_to_num().argmax(1), score.isnan())
        return Scores(
            score, responses.dead, curve=tuning.flatten(1), values={"preferred_color": preferred}
        )
