"""Ranks kernels by how much they prefer the images of one class."""

from __future__ import annotations

from typing_extensions import override

from neurovis.readouts import are_constant
from neurovis.tuning.metrics import ConditionMeans
from neurovis.tuning.rankings.base import ImageRanking, ImageResponses, Scores, chosen_names
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.selectivity import class_selectivity


class ClassRanking(ImageRanking):
    """(highest class mean - mean of the others) / their sum (Morcos et al. 2018)."""

    name = "class"
    score_name = "class selectivity"
    needs_rectifier = True
    needs_labels = True

    @override
    def metric(self, kernels: int, classes: int) -> ConditionMeans:
        return ConditionMeans(kernels, classes)

    @override
    def score(self, responses: ImageResponses, layer: RankedLayer) -> Scores:
        # Classes without an image have no mean, and are left out.
        shown = ~responses.values.isnan().all(0)
        means = responses.values[:, shown]
        names = [name for name, was in zip(responses.classes, shown.tolist(), strict=True) if was]
        if len(names) < 2:
            raise ValueError(
                f"ranking by class compares classes, and all images are of {names or 'none'}"
            )
        score, dead = class_selectivity(means), are_constant(means)
        preferred = chosen_names(names, means.nan_to_num().argmax(1), score.isnan() | dead)
        return Scores(
            score,
            dead=dead,
            curve=responses.values,
            values={"preferred_class": preferred},
            curve_over=responses.classes,
        )
