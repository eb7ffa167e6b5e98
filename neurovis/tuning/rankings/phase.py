"""Ranks kernels by how much their response follows the phase of gratings: simple before complex."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.measures import modulation_ratio
from neurovis.tuning.rankings.base import GratingRanking, Scores
from neurovis.tuning.responses import RankedLayer


class PhaseRanking(GratingRanking):
    """F1/F0 for the best grating: above 1 simple, below 1 complex (Skottun et al. 1991)."""

    name = "phase"
    score_name = "F1/F0"
    scale = "below 1 for complex kernels, above 1 for simple ones"
    #: Simple cells are above it, complex cells below.
    boundary = 1.0
    # F1/F0 needs more than F1 alone.
    least_phases = 8
    needs_rectifier = True
    # F1 over F0 of half of the phases depends on where they start.
    split_phases = False

    @override
    def score(self, responses: GratingResponses, layer: RankedLayer) -> Scores:
        curves = _best_phase_curves(responses)
        is_driven = responses.tuning[:, 0].flatten(1).amax(1) > 0
        ratio = modulation_ratio(curves).where(is_driven, torch.nan)
        words = ["" if r.isnan() else "simple" if r > 1 else "complex" for r in ratio]
        return Scores(
            score=ratio,
            dead=responses.dead,
            curve=responses.tuning[:, 0].mean(1),
            values={
                "cell_type": words,
                "preferred_phase": _preferred_phase(curves, ratio),
                # F0 of recordings counts from 0 spikes, not from the spontaneous rate.
                "f1_f0_with_blank": modulation_ratio(curves + responses.blank[:, None]).where(
                    is_driven, torch.nan
                ),
            },
        )


def _best_phase_curves(responses: GratingResponses) -> Tensor:
    """Responses above the blank's over phases, ``(K, P)``, for each kernel's best grating."""
    tuning = responses.tuning[:, 0].flatten(1)
    best = tuning.nan_to_num(-torch.inf).argmax(1)
    table = responses.table[:, 0].flatten(1, 2)
    return table[torch.arange(len(table)), best] - responses.blank[:, None]


def _preferred_phase(curves: Tensor, ratio: Tensor) -> Tensor:
    """Phase of the grating, in degrees, that drives a kernel most; NaN where F1/F0 is."""
    angles = torch.arange(curves.shape[1], dtype=curves.dtype) * (2 * torch.pi / curves.shape[1])
    phase = torch.atan2(curves @ angles.sin(), curves @ angles.cos()).rad2deg() % 360
    return phase.masked_fill(ratio.isnan(), torch.nan)
