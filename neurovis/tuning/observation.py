"""What a ranking has to say in a log: pictures, scalars and histograms by tag."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.functional import kendall_rank_corrcoef

from neurovis.figures import render
from neurovis.summaries import Histogram, Observation
from neurovis.tuning.results import KernelRanking


def ranking_observation(
    ranking: KernelRanking,
    previous: KernelRanking | None = None,
    pictures: Tensor | None = None,
    step: int | None = None,
    count: int = 24,
) -> Observation:
    """A ranking as it is logged, under ``kernel_ranking/<by>/<layer>``.

    Scalars are the median score; of the kernels with a score the fraction above the null's 95th
    percentile, and, where low scores are selective too, below its 5th; the fraction of dead
    kernels; and Kendall's tau against a previous ranking. What is undefined is left out. Pictures
    are the kernels in their order, the histogram with the null over it, and the map of preferred
    orientations if there are such. Histograms are of the scores and of the null's.

    Args:
        ranking: One that applies to its layer; others are nothing to see.
        previous: Of the same layer by the same question, at an earlier time.
        pictures: ``(K, C, H, W)`` in [0, 1] to be drawn in place of the weights.
        step: Of training, for the titles.
        count: At most so many kernels are drawn.
    """
    seen = Observation()
    if ranking.reason is not None:
        return seen
    tag = f"kernel_ranking/{ranking.by}/{ranking.layer}"
    seen.pictures[tag] = render(ranking.figure(count, pictures, step=step))
    known = ranking.score[ranking.score.isfinite()]
    seen.scalars[f"{tag}/dead"] = ranking.dead.double().mean().item()
    if len(known):
        seen.scalars[f"{tag}/median"] = known.quantile(0.5).item()
        seen.histograms[f"{tag}/scores"] = Histogram.of(known)
        seen.pictures[f"{tag}/histogram"] = render(ranking.histogram(step=step))
    if "preferred_orientation" in ranking.values:
        seen.pictures[f"{tag}/orientation_map"] = render(ranking.orientation_map(step))
    if len(ranking.null_score):
        scored = ranking.null_percentile.isfinite()
        if scored.any():
            above = ranking.above_null()[scored].double().mean().item()
            seen.scalars[f"{tag}/above_null"] = above
        if scored.any() and ranking.is_signed:
            below = ranking.below_null()[scored].double().mean().item()
            seen.scalars[f"{tag}/below_null"] = below
        seen.histograms[f"{tag}/null_scores"] = Histogram.of(ranking.null_score)
    if previous is not None:
        tau = kendall_tau(previous, ranking)
        if tau == tau:
            seen.scalars[f"{tag}/kendall_tau"] = tau
    return seen


def kendall_tau(first: KernelRanking, second: KernelRanking) -> float:
    """How alike two rankings of the same kernels are: Kendall's tau-b, in [-1, 1].

    Kernels that have no score in one of them are left out; NaN if fewer than two are left.
    """
    known = first.score.isfinite() & second.score.isfinite()
    if known.sum() < 2:
        return float("nan")
    one, other = first.score[known], second.score[known]
    if any(bool((scores == scores[0]).all()) for scores in (one, other)):
        return float("nan")
    tau = kendall_rank_corrcoef(one, other, variant="b")
    return float(tau[0] if isinstance(tau, tuple) else tau)
