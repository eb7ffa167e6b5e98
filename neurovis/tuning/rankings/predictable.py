"""Ranks kernels by how well a simple model predicts their responses to pictures."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.readouts import are_constant
from neurovis.tuning.predictions import Predictions, explained_variance, predict_responses
from neurovis.tuning.rankings.base import Scores, StimuliRanking, chosen_names
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Mixture


class PredictableRanking(StimuliRanking[Predictions, Mixture]):
    """R² of a linear filter, energy or normalization on pictures that it was not fitted to.

    Adelson & Bergen (1985) for energy; Heeger (1992) for normalization; Rust, Schwartz, Movshon &
    Simoncelli (2005) for the fit of several filters to the responses of one unit.
    """

    name = "predictable"
    score_name = "R²"
    scale = "1 where a simple model says all, 0 where it says no more than the mean"
    curve_name = "R²"
    needs_images = True
    #: Models are fitted to as many of the random kernels, at most.
    most_null_kernels = 50

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> Mixture:
        return Mixture(spec, images)

    @override
    def responses(self, stimuli: Mixture, means: Tensor, layer: RankedLayer) -> Predictions:
        shown = means[: layer.kernels + self.most_null_kernels]
        return predict_responses(stimuli, shown, layer.visible_box, layer.is_rectified)

    @override
    def note(self, stimuli: Mixture) -> str:
        return f"{self.name}: {stimuli.note}"

    @override
    def inapplicable_reason(self, layer: RankedLayer) -> str | None:
        if layer.readout != "center" and layer.unit:
            return f"{self.name} is of what one unit sees; use the readout center"
        top, left, bottom, right = layer.visible_box
        if top >= bottom or left >= right:
            return "its central unit sees nothing but padding"
        return super().inapplicable_reason(layer)

    @override
    def score(self, responses: Predictions, layer: RankedLayer) -> Scores:
        measured, predicted = responses.measured, responses.predicted
        explained = {name: explained_variance(measured, one) for name, one in predicted.items()}
        chosen = responses.chosen
        outputs = torch.stack(list(predicted.values()))[chosen, torch.arange(len(chosen))]
        score = explained_variance(measured, outputs)
        return Scores(
            score,
            dead=are_constant(measured),
            curve=torch.stack(list(explained.values()), 1),
            curve_over=list(explained),
            values={
                "model": chosen_names(list(predicted), chosen, score.isnan()),
                "r2_error": _standard_error(measured, outputs, responses.pictures),
                **{f"{name}_r2": one for name, one in explained.items()},
                "gray_r2": explained_variance(measured, responses.gray),
                "reverse_correlation_r2": explained_variance(
                    measured, responses.reverse_correlation
                ),
                "other_kernels_r2": _of_others(measured, outputs),
            },
        )


def _standard_error(measured: Tensor, predicted: Tensor, pictures: Tensor) -> Tensor:
    """Standard error of R² ``(K,)`` over pictures, as of a ratio of sums over them."""
    places = pictures.unique(return_inverse=True)[1]
    count = int(places.max()) + 1
    sums = measured.new_zeros(2, len(measured), count)
    sums[0].index_add_(1, places, (measured - predicted).square())
    sums[1].index_add_(1, places, (measured - measured.mean(1, keepdim=True)).square())
    errors, deviations = sums
    whole = deviations.sum(1, keepdim=True)
    differences = errors - errors.sum(1, keepdim=True) / whole * deviations
    scaled: Tensor = differences.norm(dim=1) / whole[:, 0]
    return scaled * math.sqrt(count / max(1, count - 1))


def _of_others(measured: Tensor, predicted: Tensor) -> Tensor:
    """Median squared correlation ``(K,)`` of responses with the predictions for other kernels."""
    if len(measured) < 2:
        return torch.full((len(measured),), torch.nan)
    measured, predicted = (part - part.mean(1, keepdim=True) for part in (measured, predicted))
    measured, predicted = (part / part.norm(dim=1, keepdim=True) for part in (measured, predicted))
    squares = (measured @ predicted.T).square()
    squares.fill_diagonal_(torch.nan)
    return squares.nanmedian(1).values
