"""The gain and shift of an image's logits that give it a contrast and a mean, however far away.

Newton's method from a guess, on a part of the values and then on all; where that fails, bisection.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Smallest and largest gain of standardized logits, as logarithms: from all but gray to all but
#: black and white.
_LOG_GAINS = (-10.0, 5.0)
#: The solution is first sought on this number of an image's values, where steps cost little.
_SAMPLE = 2048
_STEPS_ON_SAMPLE = 8
_STEPS_ON_ALL = 3
#: Where that fails, bisection is slow and sure.
_BISECTIONS = 14
_STEPS_OF_SHIFT = 24
#: Distance from the wanted mean and contrast at which Newton's method has found its solution, after
#: one more step.
NEAR = 1e-4


def searched(logits: Tensor, mean: Tensor, contrast: float | None) -> Tensor:
    """Return gain and shift ``(2, B)`` of logits, near to those of a mean and a contrast.

    Where a contrast is out of reach, the gain is the largest, and the mean is right.

    Args:
        logits: ``(B, N)``, about 0 each image's.
        mean: ``(B,)`` the wanted mean of their sigmoid.
        contrast: Its wanted standard deviation; None for a gain of 1.
    """
    if contrast is None:
        shift = _searched(logits, mean, None)[1]
        return torch.stack([torch.ones_like(shift), shift])
    spread = logits.square().mean(1).add(1e-12).sqrt()
    log_gain, shift = _searched(logits / spread[:, None], mean, contrast)
    return torch.stack([log_gain.exp() / spread, shift])


def _searched(values: Tensor, mean: Tensor, contrast: float | None) -> Tensor:
    """Log gain and shift ``(2, B)``; images for which Newton's method fails are bisected."""
    sample = _sampled(values)
    guess = _straight_guess(sample, mean, contrast)
    guess, _ = _refined(sample, guess, mean, contrast, _STEPS_ON_SAMPLE)
    found, missing = _refined(values, guess, mean, contrast, _STEPS_ON_ALL)
    far = ~_is_near(missing)
    # Images of one value have no solution: a gain as for little contrast leads away from there.
    far &= values.square().mean(1) > 0.1
    if far.any():
        rows, wanted = far.nonzero().flatten(), mean[far]
        guess = _bisected(sample[rows], wanted, contrast)
        better, missing = _refined(values[rows], guess, wanted, contrast, _STEPS_ON_ALL)
        # Where the contrast is out of reach, at least the mean is right.
        mean_alone, _ = _refined(values[rows], guess, wanted, None, _STEPS_ON_ALL)
        found[:, rows] = torch.where(_is_near(missing), better, mean_alone)
    return found


def _straight_guess(values: Tensor, mean: Tensor, contrast: float | None) -> Tensor:
    """Log gain and shift ``(2, B)`` that would be right if the sigmoid were straight."""
    if contrast is None:
        return torch.stack([torch.zeros_like(mean), torch.logit(mean) - values.mean(1)])
    return torch.stack([torch.log(contrast / (mean * (1 - mean))), torch.logit(mean)])


def _refined(
    values: Tensor, guess: Tensor, mean: Tensor, contrast: float | None, steps: int
) -> tuple[Tensor, Tensor]:
    """Newton steps from a guess ``(2, B)``: the best point of each image, and what is missing."""
    place, best = guess, guess
    least = torch.full_like(best, torch.inf)
    for step in range(steps + 1):
        missing = torch.stack(_missing(*_statistics(values, *place), mean, contrast))
        better = missing.abs().amax(0) < least.abs().amax(0)
        best, least = torch.where(better, place, best), torch.where(better, missing, least)
        if step < steps:
            change = _newton_step(values, *best, *least, with_gain=contrast is not None)
            place = best + change.clamp(-1.0, 1.0)
            place[0].clamp_(*_LOG_GAINS)
    return best, least


def _is_near(missing: Sequence[Tensor] | Tensor) -> Tensor:
    """Return True where mean and contrast ``(B,)`` are as set, or one step from it."""
    return (missing[0].detach().abs() < NEAR) & (missing[1].detach().abs() < NEAR)


def _bisected(values: Tensor, mean: Tensor, contrast: float | None) -> Tensor:
    """Log gain and shift ``(2, B)``: at a constant mean, contrast rises with the gain."""
    log_gain = torch.zeros_like(mean)
    if contrast is not None:
        low, high = (torch.full_like(mean, limit) for limit in _LOG_GAINS)
        for _ in range(_BISECTIONS):
            log_gain = (low + high) / 2
            _, spread = _statistics(values, log_gain, _shift_for(values, log_gain, mean))
            low = torch.where(spread < contrast, log_gain, low)
            high = torch.where(spread < contrast, high, log_gain)
    return torch.stack([log_gain, _shift_for(values, log_gain, mean)])


def _shift_for(values: Tensor, log_gain: Tensor, mean: Tensor) -> Tensor:
    """The shift ``(B,)`` that gives the mean: Newton's method, kept within a shrinking bracket."""
    scaled = log_gain.exp()[:, None] * values
    low, high = (torch.logit(mean) - limit for limit in (scaled.amax(1), scaled.amin(1)))
    shift = torch.logit(mean) - scaled.mean(1)
    for _ in range(_STEPS_OF_SHIFT):
        matched = torch.sigmoid(scaled + shift[:, None])
        missing = mean - matched.mean(1)
        low = torch.where(missing > 0, shift, low)
        high = torch.where(missing > 0, high, shift)
        moved = shift + missing / (matched * (1 - matched)).mean(1).clamp(min=1e-12)
        shift = torch.where((low < moved) & (moved < high), moved, (low + high) / 2)
    return shift


def _sampled(values: Tensor) -> Tensor:
    """Values ``(B, N)`` at places that no pattern of the image falls in with."""
    count = values.shape[1]
    if count <= _SAMPLE:
        return values
    places = torch.arange(_SAMPLE, device=values.device) * 611953 % count
    return values[:, places]


def _statistics(values: Tensor, log_gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(B,)`` of the matched values."""
    matched = torch.sigmoid(log_gain.exp()[:, None] * values + shift[:, None])
    mean = matched.mean(1)
    variance = (matched - mean[:, None]).square().mean(1)
    return mean, variance.clamp(min=1e-20).sqrt()


def _missing(
    mean: Tensor, spread: Tensor, wanted: Tensor, contrast: float | None
) -> tuple[Tensor, Tensor]:
    """Return the distance of mean and contrast ``(B,)`` from what is set."""
    return mean - wanted, torch.zeros_like(spread) if contrast is None else spread - contrast


def _newton_step(
    values: Tensor,
    log_gain: Tensor,
    shift: Tensor,
    mean: Tensor,
    spread: Tensor,
    *,
    with_gain: bool,
) -> Tensor:
    """Change ``(2, B)`` of log gain and shift that would make up for what is missing."""
    gain = log_gain.exp()[:, None]
    with torch.no_grad():
        matched = torch.sigmoid(gain * values + shift[:, None])
        slope = matched * (1 - matched)
        scaled = slope * values * gain
        centered = matched - matched.mean(1, keepdim=True)
        length = centered.square().mean(1).clamp(min=1e-20).sqrt()
        mean_of_gain, mean_of_shift = scaled.mean(1), slope.mean(1).clamp(min=1e-12)
        spread_of_gain = (centered * scaled).mean(1) / length
        spread_of_shift = (centered * slope).mean(1) / length
        determinant = mean_of_gain * spread_of_shift - mean_of_shift * spread_of_gain
        solvable = determinant.abs() > 1e-9
        safe = torch.where(solvable, determinant, torch.ones_like(determinant))
    shift_alone = torch.stack([torch.zeros_like(mean), -mean / mean_of_shift])
    if not with_gain:
        return shift_alone
    both = torch.stack(
        [
            (mean_of_shift * spread - spread_of_shift * mean) / safe,
            (spread_of_gain * mean - mean_of_gain * spread) / safe,
        ]
    )
    return torch.where(solvable, both, shift_alone)
