"""The gain and shift of an image's logits that give it a contrast and a mean, however far away.

Newton's method from a guess, on a part of the values and then on all; where that fails, bisection.
"""

from __future__ import annotations

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
    # Right if the sigmoid were straight.
    if contrast is None:
        guess = torch.stack([torch.zeros_like(mean), torch.logit(mean) - sample.mean(1)])
    else:
        guess = torch.stack([torch.log(contrast / (mean * (1 - mean))), torch.logit(mean)])
    guess, _ = _refined(sample, guess, mean, contrast, _STEPS_ON_SAMPLE)
    found, is_near = _refined(values, guess, mean, contrast, _STEPS_ON_ALL)
    # Images of one value have no solution: a gain as for little contrast leads away from there.
    far = ~is_near & (values.square().mean(1) > 0.1)
    if far.any():
        rows, wanted = far.nonzero().flatten(), mean[far]
        guess = _bisected(sample[rows], wanted, contrast)
        better, is_near = _refined(values[rows], guess, wanted, contrast, _STEPS_ON_ALL)
        # Where the contrast is out of reach, at least the mean is right.
        mean_alone, _ = _refined(values[rows], guess, wanted, None, _STEPS_ON_ALL)
        found[:, rows] = torch.where(is_near, better, mean_alone)
    return found


def _refined(
    values: Tensor, guess: Tensor, mean: Tensor, contrast: float | None, steps: int
) -> tuple[Tensor, Tensor]:
    """Newton steps from a guess ``(2, B)``: each image's best point, and whether it is near."""
    place, best = guess, guess
    least = torch.full_like(best, torch.inf)
    for step in range(steps + 1):
        own_mean, spread = _statistics(values, *place)
        too_much = torch.zeros_like(spread) if contrast is None else spread - contrast
        missing = torch.stack([own_mean - mean, too_much])
        better = missing.abs().amax(0) < least.abs().amax(0)
        best, least = torch.where(better, place, best), torch.where(better, missing, least)
        if step < steps:
            change = _newton_step(values, best, least, with_gain=contrast is not None)
            place = best + change.clamp(-1.0, 1.0)
            place[0].clamp_(*_LOG_GAINS)
    return best, (least.abs() < NEAR).all(0)


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


def _newton_step(values: Tensor, place: Tensor, missing: Tensor, *, with_gain: bool) -> Tensor:
    """Change ``(2, B)`` of log gain and shift that would make up for what is missing."""
    (log_gain, shift), (mean, spread) = place, missing
    gain = log_gain.exp()[:, None]
    matched = torch.sigmoid(gain * values + shift[:, None])
    slope = matched * (1 - matched)
    mean_of_shift = slope.mean(1).clamp(min=1e-12)
    shift_alone = torch.stack([torch.zeros_like(mean), -mean / mean_of_shift])
    if not with_gain:
        return shift_alone
    scaled = slope * values * gain
    centered = matched - matched.mean(1, keepdim=True)
    length = centered.square().mean(1).clamp(min=1e-20).sqrt()
    mean_of_gain = scaled.mean(1)
    spread_of_gain = (centered * scaled).mean(1) / length
    spread_of_shift = (centered * slope).mean(1) / length
    determinant = mean_of_gain * spread_of_shift - mean_of_shift * spread_of_gain
    solvable = determinant.abs() > 1e-9
    safe = torch.where(solvable, determinant, torch.ones_like(determinant))
    both = torch.stack(
        [
            (mean_of_shift * spread - spread_of_shift * mean) / safe,
            (spread_of_gain * mean - mean_of_gain * spread) / safe,
        ]
    )
    return torch.where(solvable, both, shift_alone)
