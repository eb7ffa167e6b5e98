"""Ranks kernels by whether pictures keep their order when they are shifted, scaled or turned."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.rankings.base import Scores
from neurovis.tuning.rankings.conditions import PictureRanking
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.stimuli import MovedPictures


class ToleranceRanking(PictureRanking):
    """Rank correlation of responses to pictures, and to the same moved (Zoccolan et al. 2007).

    The mean of Spearman's correlation over shifts, sizes and rotations, each kind with equal
    weight. A kernel that responds alike to all moved pictures has lost the order: 0.
    """

    name = "tolerance"
    score_name = "tolerance"
    scale = "1 where pictures keep their order when they are moved, 0 where nothing of it is left"
    curve_name = "rank correlation"
    versions = MovedPictures
    most_pictures = 64

    @override
    def score(self, responses: ConditionResponses, layer: RankedLayer) -> Scores:
        as_it_is, *moved = responses.table.unbind(2)
        reference = _centered_ranks(as_it_is)
        curve = torch.stack([_correlations(reference, _centered_ranks(one)) for one in moved], 1)
        curve = curve.masked_fill(responses.dead[:, None], torch.nan)
        kinds = [kind for kind, _, _ in MovedPictures.MOVES]
        by_kind = {
            f"{kind}_tolerance": curve[:, [other == kind for other in kinds]].mean(1)
            for kind in dict.fromkeys(kinds)
        }
        return Scores(
            torch.stack(list(by_kind.values())).mean(0),
            responses.dead,
            curve=curve,
            values=by_kind,
            curve_over=MovedPictures.names[1:],
        )


def _centered_ranks(responses: Tensor) -> Tensor:
    """Return twice the ranks of each row of ``(K, n)``, less their mean; ties share theirs.

    NaN for rows that are not finite.
    """
    ranks = (responses[:, :, None] - responses[:, None, :]).sign().sum(2)
    return ranks.where(responses.isfinite().all(1, keepdim=True), torch.nan)


def _correlations(reference: Tensor, other: Tensor) -> Tensor:
    """Return the correlation ``(K,)`` of centered rows; 0 where the other is constant."""
    products = (reference * other).sum(1)
    norms = reference.norm(dim=1) * other.norm(dim=1)
    return torch.where(other.norm(dim=1) == 0, 0.0, products / norms)
