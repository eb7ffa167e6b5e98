"""Ranks kernels by how much more they respond to pictures than to phase-scrambled ones."""

from __future__ import annotations

from typing_extensions import override

from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.rankings.base import Scores
from neurovis.tuning.rankings.conditions import PictureRanking
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import contrast_index
from neurovis.tuning.stimuli import ScrambledPictures


class TextureRanking(PictureRanking):
    """(t - n) / (t + n), of pictures and their phase-scrambled twins (Freeman et al. 2013).

    t and n are mean responses over pictures and over twins; of layers that can be negative the
    root mean square of the difference from gray's response. Any linear unit has 0, and so has its
    energy, but for the choice of the pictures.
    """

    name = "texture"
    score_name = "texture modulation"
    scale = "0 where scrambled pictures do as much, 1 where they do nothing"
    is_signed = True
    versions = ScrambledPictures
    most_pictures = 256

    @override
    def score(self, responses: ConditionResponses, layer: RankedLayer) -> Scores:
        table = responses.table
        if layer.is_rectified:
            driven = table.clamp(min=0).mean(1)
        else:
            driven = (table - responses.blank[:, None, None]).square().mean(1).sqrt()
        pictures, scrambled = driven.unbind(1)
        return Scores(
            contrast_index(pictures, scrambled),
            responses.dead,
            values={"picture_response": pictures, "scrambled_response": scrambled},
        )
