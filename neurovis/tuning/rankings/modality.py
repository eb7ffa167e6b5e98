"""Ranks kernels by which of two modalities drives them: depth before color, for RGB-D."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.rankings.base import Column, GratingRanking, Scores
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import modality_selectivity
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Gratings, modality_modulations


class ModalityRanking(GratingRanking):
    """(R(depth) - R(rgb)) / (R(depth) + R(rgb)) for gratings in one modality alone.

    With any two modalities the second stands for depth. Their gratings have the same amplitude
    in the network's own space. For layers over the image there is also the form in weights,
    ||W depth|| / (||W depth|| + ||W rgb||). Both are NeuroVis's own measures.
    """

    name = "modality"
    score_name = "modality selectivity"
    scale = "from -1, the first modality alone, to 1, the second alone"
    set_name = "modality gratings"
    is_signed = True

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> Gratings:
        names = [modality.name for modality in spec.modalities]
        if len(names) != 2:
            raise ValueError(
                f"ranking by modality compares two modalities; the input has {len(names)}: "
                f"{', '.join(names)}"
            )
        return settings.gratings(spec, modality_modulations(spec))

    @override
    def score(self, responses: GratingResponses, layer: RankedLayer) -> Scores:
        first, second = (responses.tuning[:, index].flatten(1).sum(1) for index in (0, 1))
        score = modality_selectivity(first, second)
        values: dict[str, Column] = {
            "preferred_modality": [
                "" if value.isnan() else responses.modulations[int(value > 0)] for value in score
            ]
        }
        weights = layer.weights
        if layer.is_first and weights is not None and len(weights) == len(score):
            channels = layer.spec.modalities[0].channels
            norms = [part.flatten(1).norm(dim=1) for part in weights.tensor_split([channels], 1)]
            values["modality_weight"] = norms[1] / torch.stack(norms).sum(0)
        return Scores(score, responses.dead, curve=responses.tuning.flatten(1), values=values)
