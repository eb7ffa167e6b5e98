"""Ranks kernels by how their response grows with contrast: thresholds before saturation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.contrast_response import half_response_contrast, naka_rushton
from neurovis.tuning.rankings.base import AdaptiveRanking, Scores
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Variation
from neurovis.tuning.varied_responses import VariedResponses

#: Number of contrasts, half an octave apart.
_CONTRASTS = 8


class ContrastRanking(AdaptiveRanking):
    """Contrast of half the response to the highest, as a part of the highest contrast.

    Beside it are the parameters of Naka and Rushton's function (Albrecht & Hamilton 1982); the
    semisaturation contrast and the maximum are left out where the response does not saturate.
    """

    name = "contrast"
    score_name = "contrast of half response"
    scale = "0.5 if proportional to contrast, lower if it saturates, higher with a threshold"
    curve_axis = "contrast"
    is_signed = True

    @override
    def variations(self, spec: InputSpec, settings: RankingSettings) -> Sequence[Variation]:
        return [
            Variation(settings.contrast * 2 ** (-step / 2), diameter=settings.aperture)
            for step in reversed(range(_CONTRASTS))
        ]

    @override
    def score(self, responses: VariedResponses, layer: RankedLayer) -> Scores:
        curves = responses.tuning
        contrasts = torch.tensor([one.contrast for one in responses.variations]).to(curves)
        fit = naka_rushton(curves, contrasts)
        is_reached = (fit.c50 >= contrasts[0]) & (fit.c50 <= contrasts[-1])
        return Scores(
            # What float32 rounds is no difference between linear kernels.
            half_response_contrast(curves, contrasts).round(decimals=4),
            responses.dead,
            curve=curves,
            values={
                "c50": fit.c50.where(is_reached, torch.nan),
                "contrast_exponent": fit.exponent,
                "contrast_maximum": fit.maximum.where(is_reached, torch.nan),
                "contrast_fit": fit.explained,
            },
            curve_over=contrasts,
        )
