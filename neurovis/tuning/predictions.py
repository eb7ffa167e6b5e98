"""Predict responses to held-out pictures by models that were fitted to other stimuli."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neurovis.receptive_fields import Box
from neurovis.tuning.noise_maps import row_correlations
from neurovis.tuning.response_models import decorrelated, fit_models
from neurovis.tuning.stimuli import Mixture
from neurovis.tuning.stimuli.mixture import Family, Purpose

#: Contrasts at which normalization halves the response, as parts of the median of pictures.
_HALVING_CONTRASTS = (0.1, 0.3, 1.0, 3.0)
#: Number of filters whose energy is summed.
_ENERGY_FILTERS = 2
#: A less simple model must explain more than this of the responses' variance in addition.
_LEAST_GAIN = 0.01
_TINY = 1e-12


@dataclass(frozen=True)
class Predictions:
    """Responses of ``K`` kernels to ``n`` held-out stimuli, and what models say they are.

    Attributes:
        measured: ``(K, n)``.
        predicted: ``(K, n)`` by the model's name, simplest first.
        chosen: ``(K,)``, each kernel's model, by its place in that order.
        gray: ``(K, n)``, predictions of the linear model alike in all channels of the image.
        reverse_correlation: ``(K, n)``, predictions of a filter found by reverse correlation with
            noise, and a nonlinearity.
        pictures: ``(n,)``, numbers of the pictures that the stimuli are views of.
    """

    measured: Tensor
    predicted: Mapping[str, Tensor]
    chosen: Tensor
    gray: Tensor
    reverse_correlation: Tensor
    pictures: Tensor

    def kernels(self, which: slice) -> Predictions:
        """Return the predictions for some of the kernels."""
        return self._part(which, slice(None))

    def half(self, number: int) -> Predictions:
        """Return the predictions for every second picture, from the first or the second."""
        places = self.pictures.unique(return_inverse=True)[1]
        return self._part(slice(None), (places % 2 == number).nonzero().flatten())

    def _part(self, which: slice, stimuli: slice | Tensor) -> Predictions:
        return replace(
            self,
            measured=self.measured[which][:, stimuli],
            predicted={name: part[which][:, stimuli] for name, part in self.predicted.items()},
            chosen=self.chosen[which],
            gray=self.gray[which][:, stimuli],
            reverse_correlation=self.reverse_correlation[which][:, stimuli],
            pictures=self.pictures[stimuli],
        )


def explained_variance(measured: Tensor, predicted: Tensor) -> Tensor:
    """R² ``(K,)`` of predictions ``(K, n)``: 1 - squared errors / squared deviations from the mean.

    Below 0 for predictions that are worse than the mean; NaN where the measured do not vary.

    Example:
        >>> measured = torch.tensor([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
        >>> explained_variance(measured, measured + torch.tensor([1.0, 0.0, 0.0]))
        tensor([0.5000,    nan])
    """
    deviations = (measured - measured.mean(1, keepdim=True)).square().sum(1)
    errors = (measured - predicted).square().sum(1)
    return 1 - errors / deviations.masked_fill(deviations == 0, torch.nan)


def predict_responses(
    stimuli: Mixture, responses: Tensor, visible: Box, is_rectified: bool
) -> Predictions:
    """Fit all models to kernels' responses, choose one for each, and predict what was held out.

    Args:
        stimuli: What was shown.
        responses: ``(K, n)``, the responses to it.
        visible: The part of the image that the units see.
        is_rectified: Whether responses are cut off at 0.
    """
    # Nothing is fitted to kernels with a response that is no number; they get no score.
    measured = responses.float()
    responses = torch.where(measured.isfinite().all(1, keepdim=True), measured, 0.0)
    pixels = stimuli.visible_pixels(visible)
    choosing, judging = stimuli.purpose == Purpose.CHOICE, stimuli.purpose == Purpose.SCORE
    pictures, are_pictures = stimuli.pictures, stimuli.family == Family.PICTURE
    weights = (stimuli.purpose == Purpose.FIT) * torch.where(are_pictures, 1.0, 0.1)

    def fitted(*inputs: Tensor, filters: int = 0) -> Tensor:
        every = [_outputs(one, responses, stimuli, filters, is_rectified) for one in inputs]
        return _best(responses, every, choosing)

    every_pixel = decorrelated(pixels.flatten(1), weights)
    # Simplest first.
    outputs = {
        "linear": fitted(every_pixel),
        "energy": fitted(every_pixel, filters=_ENERGY_FILTERS),
        "normalized": fitted(
            *(decorrelated(one, weights) for one in _normalized(pixels, are_pictures))
        ),
    }
    gray = fitted(decorrelated(pixels.mean(1), weights))
    by_noise = _reverse_correlation(pixels.flatten(1), responses, stimuli, is_rectified)
    return Predictions(
        measured=measured[:, judging],
        predicted={name: one[:, judging] for name, one in outputs.items()},
        chosen=_choose(
            responses[:, choosing],
            [one[:, choosing] for one in outputs.values()],
            pictures[choosing],
        ),
        gray=gray[:, judging],
        reverse_correlation=by_noise[:, judging],
        pictures=pictures[judging],
    )


def _normalized(pixels: Tensor, pictures: Tensor) -> Iterator[Tensor]:
    """Yield pixels ``(n, d)`` divided by the contrast of what is seen and a constant."""
    contrast = (pixels - pixels.mean(2, keepdim=True)).square().mean((1, 2)).sqrt()[:, None]
    usual = contrast[pictures].median().clamp(min=_TINY)
    for part in _HALVING_CONTRASTS:
        yield pixels.flatten(1) / (contrast / usual + part)


def _best(responses: Tensor, outputs: list[Tensor], choosing: Tensor) -> Tensor:
    """The outputs ``(K, n)`` that are nearest to each kernel's responses by which one chooses."""
    every = torch.stack(outputs)
    errors = (every - responses)[:, :, choosing].square().sum(2)
    return every[errors.argmin(0), torch.arange(len(responses))]


def _outputs(
    inputs: Tensor, responses: Tensor, stimuli: Mixture, filters: int, is_rectified: bool
) -> Tensor:
    """Responses ``(K, n)`` to all stimuli by a model that is fitted to its part of them."""
    fitted, choosing = stimuli.purpose == Purpose.FIT, stimuli.purpose == Purpose.CHOICE
    held_out = responses[:, choosing]

    def loss(outputs: Tensor) -> Tensor:
        outputs = outputs.clamp(min=0) if is_rectified else outputs
        return (outputs - held_out).square().sum(1)

    models = fit_models(
        inputs[fitted],
        responses[:, fitted],
        _weights(responses[:, fitted], stimuli.family[fitted]),
        filters=filters,
        is_rectified=is_rectified,
        loss=loss,
        held_out=inputs[choosing],
    )
    outputs = models.outputs(inputs)
    outputs = outputs.clamp(min=0) if is_rectified else outputs
    # Models that hardly hold beyond what they were fitted to say little more than the mean.
    chosen_by = outputs[:, choosing]
    mean, varying = held_out.mean(1, keepdim=True), chosen_by - chosen_by.mean(1, keepdim=True)
    gain = (varying * held_out).sum(1, keepdim=True) / varying.square().sum(1, keepdim=True).clamp(
        min=_TINY
    )
    return mean + gain.clamp(0, 1) * (outputs - chosen_by.mean(1, keepdim=True))


def _weights(responses: Tensor, family: Tensor) -> Tensor:
    """``(K, n)``: families of stimuli count alike, in units of the variance of their responses.

    Gratings and noise that hardly drive a kernel count as little as pictures would.
    """
    least = responses[:, family == Family.PICTURE].var(1)
    weights = torch.empty_like(responses)
    for number in family.unique():
        inside = family == number
        variance = torch.maximum(responses[:, inside].var(1), least).clamp(min=_TINY)
        weights[:, inside] = (1 / (variance * inside.sum()))[:, None]
    return weights / weights.sum(1, keepdim=True)


def _reverse_correlation(
    pixels: Tensor, responses: Tensor, stimuli: Mixture, is_rectified: bool
) -> Tensor:
    """Predictions ``(K, n)`` by a linear filter from noise alone, and a cubic from pictures."""
    noise, choosing = stimuli.family == Family.NOISE, stimuli.purpose == Purpose.CHOICE
    inputs = decorrelated(pixels, noise.float())
    weights = torch.full_like(responses[:, noise], 1 / int(noise.sum()))
    held_out = responses[:, choosing]
    models = fit_models(
        inputs[noise],
        responses[:, noise],
        weights,
        filters=0,
        is_rectified=False,
        loss=lambda outputs: -row_correlations(outputs, held_out),
        held_out=inputs[choosing],
    )
    drives = models.outputs(inputs)
    pictures = (stimuli.family == Family.PICTURE) & (stimuli.purpose == Purpose.FIT)
    known = drives[:, pictures]
    drives = torch.minimum(torch.maximum(drives, known.amin(1, True)), known.amax(1, True))
    drives = (drives - known.mean(1, True)) / known.std(1, keepdim=True).clamp(min=_TINY)
    powers = torch.stack([drives**power for power in range(4)], 2)
    found = torch.linalg.lstsq(powers[:, pictures], responses[:, pictures, None]).solution
    outputs: Tensor = (powers @ found)[..., 0]
    return outputs.clamp(min=0) if is_rectified else outputs


def _choose(measured: Tensor, predicted: list[Tensor], pictures: Tensor) -> Tensor:
    """The simplest model ``(K,)`` that no other is better than, by more than its standard error."""
    places = pictures.unique(return_inverse=True)[1]
    deviations = (measured - measured.mean(1, keepdim=True)).square().sum(1).clamp(min=_TINY)
    count = int(places.max()) + 1

    def errors(outputs: Tensor) -> Tensor:
        by_picture = outputs.new_zeros(len(outputs), count)
        by_picture.index_add_(1, places, (outputs - measured).square())
        return by_picture / deviations[:, None]

    least, chosen = errors(predicted[0]), torch.zeros(len(measured), dtype=torch.long)
    for place, outputs in enumerate(predicted[1:], 1):
        now = errors(outputs)
        gains = least - now
        spread = gains.std(1) * count**0.5
        is_better = gains.sum(1) > spread.clamp(min=_LEAST_GAIN)
        chosen[is_better] = place
        least = torch.where(is_better[:, None], now, least)
    return chosen
