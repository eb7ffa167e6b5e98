"""Logged results of a ranking: pictures, scalars and histograms by tag."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.functional import kendall_rank_corrcoef

from neurovis.figures import render
from neurovis.observation import Histogram, Observation
from neurovis.tuning.drawing import draw_score_changes
from neurovis.tuning.reference_scores import ReferenceScores
from neurovis.tuning.results import KernelRanking

#: Descriptions in TensorBoard of a layer's logged results, by the ends of the tags; {score} is
#: the score's name with its meaning.
_RANKING_DESCRIPTIONS = {
    "": "**The kernels in the order of their ranks by {by}**, the first at the upper left: each "
    "with its weights or preferred image, its tuning and its score. The score is {score}; the "
    "caption sets it against random kernels.",
    "/histogram": "**All kernels' scores (bars) with those of random kernels over them "
    "(outline)**: {score}. Bars outside of the outline, beyond the dashed 95th "
    "percentile of chance, are the effect of training.",
    "/orientation_map": "**Preferred orientation of every kernel** as hue, that of the bars in "
    "degrees counter-clockwise from horizontal, in the order of the kernels' numbers. Brightness "
    "is the score: dark kernels have hardly any preference.",
    "/first_and_now": "**Every kernel's score when this fit began (across) against now (up)**: "
    "{score}. Kernels above the diagonal have gained; chance rarely gives scores beyond the orange "
    "lines.",
    "/median": "**Median score of the kernels**: {score}. Compare it with the random kernels' in "
    "the histogram, not with 0.",
    "/above_null": "**Fraction of kernels that score above the 95th percentile of random ones**, "
    "from 0 to 1. Chance gives 0.05.",
    "/below_null": "**Fraction of kernels that score below the 5th percentile of random ones**, "
    "from 0 to 1: as selective, for the opposite stimuli. Chance gives 0.05.",
    "/dead": "**Fraction of kernels that respond to none of the stimuli**, from 0 (none) to 1 "
    "(all). They have no score and are left out of all other curves.",
    "/kendall_tau": "**Similarity of the kernels' order to that of the time before**: Kendall's "
    "tau, 1 for the same order, 0 for an unrelated one, -1 for the reverse. It approaches 1 when "
    "the ranking settles.",
    "/scores": "**Distribution of the kernels' scores**: {score}. Compare with `null_scores`.",
    "/null_scores": "**Distribution of the scores of random kernels** of the same shape on the "
    "same input: {score}. This is what chance gives.",
}


#: The same of scores against a reference; {reference} is its name.
_REFERENCE_DESCRIPTIONS = {
    "": "**Likeness of each layer's kernels to {reference}**, property by property: 1 for the same "
    "distribution, 0 for one as far apart as can be. The lower color is that of random kernels.",
    **dict.fromkeys(
        ("/score", "/null_score"),
        "**Likeness to {reference}** in this property, or the mean over properties: 1 for the same "
        "distribution, 0 for one as far apart as can be. Compare the score with the null's, that "
        "of random kernels of the same shape.",
    ),
    "/histogram": "**All kernels by this property (blue) before {reference} (gray)**, with random "
    "kernels (dashed).",
}


def ranking_observation(
    ranking: KernelRanking,
    previous: KernelRanking | None = None,
    pictures: Tensor | None = None,
    step: int | None = None,
    count: int = 24,
    first: tuple[int, KernelRanking] | None = None,
) -> Observation:
    """A ranking as it is logged, under ``kernel_ranking/<by>/<layer>``.

    Scalars are the median score; of the kernels with a score the fraction above the null's 95th
    percentile, and, where low scores are selective too, below its 5th; the fraction of dead
    kernels; and Kendall's tau against a previous ranking. What is undefined is left out. Pictures
    are the kernels in their order, the histogram with the null over it, and the map of preferred
    orientations if there are such. Histograms are of the scores and of the null's.

    Args:
        ranking: Ranking that applies to its layer; for others nothing is logged.
        previous: Ranking of the same layer by the same measure, at an earlier time.
        pictures: ``(K, C, H, W)`` in [0, 1] to be drawn in place of the weights.
        step: Training step, for the titles.
        count: Maximum number of kernels that are drawn.
        first: Step of an earlier ranking to draw this one against, and that ranking.
    """
    observation = Observation()
    if ranking.reason is not None:
        return observation
    tag = ranking.tag
    observation.pictures[tag] = render(ranking.figure(count, pictures, step=step))
    known = ranking.score[ranking.score.isfinite()]
    observation.scalars[f"{tag}/dead"] = ranking.dead.double().mean().item()
    if len(known):
        observation.scalars[f"{tag}/median"] = known.quantile(0.5).item()
        observation.histograms[f"{tag}/scores"] = Histogram.of(known)
        observation.pictures[f"{tag}/histogram"] = render(ranking.histogram(step=step))
    if "preferred_orientation" in ranking.values:
        observation.pictures[f"{tag}/orientation_map"] = render(ranking.orientation_map(step))
    if len(ranking.null_score):
        scored = ranking.null_percentile.isfinite()
        if scored.any():
            above = ranking.above_null()[scored].double().mean().item()
            observation.scalars[f"{tag}/above_null"] = above
        if scored.any() and ranking.measure.is_signed:
            below = ranking.below_null()[scored].double().mean().item()
            observation.scalars[f"{tag}/below_null"] = below
        observation.histograms[f"{tag}/null_scores"] = Histogram.of(ranking.null_score)
    if previous is not None:
        tau = kendall_tau(previous, ranking)
        if tau == tau:
            observation.scalars[f"{tag}/kendall_tau"] = tau
    if first is not None and len(known):
        observation.pictures[f"{tag}/first_and_now"] = render(
            draw_score_changes(ranking, *first, step)
        )
    _explain(observation, ranking, tag)
    return observation


def reference_observation(scores: ReferenceScores, step: int | None = None) -> Observation:
    """Scores against a reference as they are logged.

    Tags begin with ``kernel_ranking/reference_scores/<reference>``. Pictures are all scores as
    colors, and of each property the histograms of all layers; scalars are the scores of each layer,
    and those of random kernels. Nothing, if nothing was compared.

    Args:
        scores: The scores.
        step: Training step, for the title.
    """
    observation = Observation()
    if not scores.items:
        return observation
    name = scores.reference.name
    root = f"kernel_ranking/reference_scores/{name}"
    observation.pictures[root] = render(scores.figure(step))
    tags = {root}
    for one in scores.properties:
        observation.pictures[f"{root}/{one}/histogram"] = render(scores.histogram(one))
        tags.add(f"{root}/{one}")
    for item in scores.items:
        tag = f"{root}/{item.name}/{item.layer}"
        tags.add(tag)
        observation.scalars[f"{tag}/score"] = item.score
        if item.null_score == item.null_score:
            observation.scalars[f"{tag}/null_score"] = item.null_score
        observation.add_to_chart(
            root, f"{item.layer}: {item.name}", f"{tag}/score", f"{tag}/null_score"
        )
    words = {end: text.format(reference=name) for end, text in _REFERENCE_DESCRIPTIONS.items()}
    for tag in tags:
        observation.describe(tag, words)
    return observation


def _explain(observation: Observation, ranking: KernelRanking, tag: str) -> None:
    """Add descriptions of the tags, and charts of scalars that belong together."""
    score = ", ".join(filter(None, [ranking.score_name, ranking.measure.scale]))
    observation.describe(
        tag,
        {
            end: text.format(score=score, by=ranking.by)
            for end, text in _RANKING_DESCRIPTIONS.items()
        },
    )
    category = f"kernel_ranking/{ranking.by}"
    compared = [f"{tag}/{name}" for name in ("median", "above_null", "below_null", "dead")]
    observation.add_to_chart(
        category, f"{ranking.layer}: median score, beyond chance, dead", *compared
    )
    observation.add_to_chart(
        category,
        "likeness of each layer's order to the time before (tau)",
        f"{category}/*/kendall_tau",
    )


def kendall_tau(first: KernelRanking, second: KernelRanking) -> float:
    """Return the similarity of two rankings of the same kernels: Kendall's tau-b, in [-1, 1].

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
