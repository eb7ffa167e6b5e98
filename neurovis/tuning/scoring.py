"""From scores to a ranking with its evidence: the null's percentile, and the halves' agreement."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurovis.rank_correlation import rank_correlations
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.rankings import AnyRanking, Scores, WeightRanking
from neurovis.tuning.rankings.base import Column
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.results import KernelRanking
from neurovis.tuning.selectivity import spearman_brown
from neurovis.tuning.varied_responses import VariedResponses

#: With fewer kernels, the agreement of two orders means little.
_FEWEST_TO_CORRELATE = 3
#: The ranks of fewer points are nearly always in order, or in reverse.
_FEWEST_POINTS = 5


def rank_layer(
    layer: RankedLayer,
    ranking: AnyRanking,
    responses: Any,
    of_null: Any | None,
    halves: tuple[Any, Any] | None,
) -> KernelRanking:
    """Rank a layer's kernels.

    Args:
        layer: Layer of the kernels.
        ranking: The ranking.
        responses: Responses or weights of the kernels, as the ranking takes them.
        of_null: Responses or weights of the random kernels; None if there are none.
        halves: Responses of the kernels to two halves of the stimuli; None if there are none.
    """
    scores = ranking.score(responses, layer)
    _check(scores, ranking, layer)
    score = scores.score.double().masked_fill(scores.dead, torch.nan)
    null_scores = None if of_null is None else ranking.score(of_null, layer)
    null = torch.empty(0) if null_scores is None else null_scores.score
    null = null.double()
    in_halves = None if halves is None else _scored_halves(ranking, halves, layer)
    rank_reliability = _rank_reliability(score, in_halves)
    return KernelRanking(
        layer=layer.name,
        measure=ranking,
        score=score,
        dead=scores.dead,
        null_score=null,
        null_percentile=null_percentiles(score, null),
        reliability=_reliability(score, scores, in_halves, rank_reliability),
        rank_reliability=rank_reliability,
        values=_with_peak(scores, responses),
        notes=_notes(layer, ranking, responses, score, scores.dead),
        spec=layer.spec,
        class_names=layer.class_names,
        grating_responses=responses if isinstance(responses, GratingResponses) else None,
        weights=layer.weights if layer.is_first else None,
        curve=scores.curve,
        curve_over=scores.curve_over,
        null_values={} if null_scores is None else null_scores.values,
    )


def not_applicable(layer: RankedLayer, ranking: AnyRanking, reason: str) -> KernelRanking:
    """Return a ranking without scores, for a layer that the ranking does not apply to.

    Args:
        layer: Layer whose kernels all get no score.
        ranking: Ranking that does not apply.
        reason: Reason, as it will be printed.
    """
    nothing = torch.full((layer.kernels,), torch.nan, dtype=torch.float64)
    return KernelRanking(
        layer=layer.name,
        measure=ranking,
        score=nothing,
        dead=torch.zeros(layer.kernels, dtype=torch.bool),
        null_score=nothing[:0],
        null_percentile=nothing,
        reliability=nothing,
        rank_reliability=float("nan"),
        values={},
        notes=(),
        spec=layer.spec,
        class_names=layer.class_names,
        reason=reason,
    )


def _scored_halves(
    ranking: AnyRanking, halves: tuple[Any, Any], layer: RankedLayer
) -> list[Scores] | None:
    """Score both halves; None where one is too small, such as images of one class alone."""
    try:
        return [ranking.score(half, layer) for half in halves]
    except ValueError:
        return None


def null_percentiles(score: Tensor, null: Tensor) -> Tensor:
    """Return the percentage of null scores below each score, ``(K,)``; NaN where undefined.

    Example:
        >>> null_percentiles(torch.tensor([0.3, torch.nan]), torch.tensor([0.1, 0.2, 0.4, 0.5]))
        tensor([50., nan], dtype=torch.float64)
    """
    known = null[~null.isnan()].double().sort().values
    if not len(known):
        return torch.full(score.shape, torch.nan, dtype=torch.float64)
    below = torch.searchsorted(known, score.double().nan_to_num()).double()
    return (100 * below / len(known)).masked_fill(score.isnan(), torch.nan)


def _with_peak(scores: Scores, responses: Any) -> dict[str, Column]:
    """Return the ranking's own columns, with what else there is to say of gratings."""
    if isinstance(responses, VariedResponses):
        return {
            **scores.values,
            "shown_orientation": responses.orientation,
            "shown_spatial_frequency": responses.spatial_frequency,
        }
    if not isinstance(responses, GratingResponses):
        return dict(scores.values)
    further = {"peak_response": responses.tuning.flatten(1).amax(1)}
    if responses.is_rectified:
        further["suppressed"] = responses.suppression
    return {**scores.values, **further}


def _notes(
    layer: RankedLayer, ranking: AnyRanking, responses: Any, score: Tensor, dead: Tensor
) -> tuple[str, ...]:
    if isinstance(ranking, WeightRanking):
        return ()
    notes = (layer.grating_note, *layer.notes) if ranking.shows_gratings else layer.notes
    if not isinstance(responses, (GratingResponses, VariedResponses)):
        return notes
    undriven = int((score.isnan() & ~dead & responses.undriven).sum())
    if undriven:
        subject = (
            "1 kernel that is not dead has"
            if undriven == 1
            else (f"{undriven} kernels that are not dead have")
        )
        notes += (f"{ranking.name}: {subject} no score: no grating drives it more than gray does",)
    return notes


def _check(scores: Scores, ranking: AnyRanking, layer: RankedLayer) -> None:
    """Check that a ranking, which may be custom, gives a value for each kernel."""
    for name, column in {"score": scores.score, "dead": scores.dead, **scores.values}.items():
        if len(column) != layer.kernels:
            raise ValueError(
                f'ranking "{ranking.name}" gives {len(column)} values of {name} for the '
                f'{layer.kernels} kernels of layer "{layer.name}"'
            )


def _reliability(
    score: Tensor, scores: Scores, halves: list[Scores] | None, rank_reliability: float
) -> Tensor:
    """``(K,)``: how well the halves agree on each kernel's own curve; else on the order of all."""
    if halves is None or scores.curve is None:
        reliability = torch.full(score.shape, rank_reliability, dtype=torch.float64)
    else:
        first, second = (half.curve for half in halves)
        if first is None or second is None:
            raise ValueError("a ranking that gives a curve must give one for half of the stimuli")
        # One of the halves may have no image of a rare class.
        shown = first.isfinite().any(0) & second.isfinite().any(0)
        if shown.sum() < _FEWEST_POINTS:
            reliability = torch.full(score.shape, rank_reliability, dtype=torch.float64)
        else:
            reliability = _stepped_up(rank_correlations(first[:, shown], second[:, shown]))
    return reliability.masked_fill(score.isnan(), torch.nan)


def _rank_reliability(score: Tensor, halves: list[Scores] | None) -> float:
    """Spearman's correlation over kernels of the two halves' scores, stepped up to full length."""
    if halves is None:
        return float("nan")
    pair = torch.stack([half.score.double() for half in halves])
    known = pair[:, pair.isfinite().all(0) & score.isfinite()]
    if known.shape[1] < _FEWEST_TO_CORRELATE:
        return float("nan")
    return _stepped_up(rank_correlations(known[:1], known[1:])).item()


def _stepped_up(correlations: Tensor) -> Tensor:
    """Extrapolate correlations of halves to all stimuli; negative ones stay as they are."""
    return torch.where(correlations > 0, spearman_brown(correlations), correlations)
