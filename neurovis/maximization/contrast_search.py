"""The gain and shift of an image's logits that give it a contrast and a mean, however far away."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Smallest and largest gain of standardized logits that are tried, as logarithms: from where
#: contrast is proportional to the gain, as it is below, to all but black and white.
_LOG_GAINS = (-3.0, 5.0)
_TRIED = 24
#: The gain is sought on this number of an image's values.
_SAMPLE = 2048
_STEPS_OF_SHIFT = 24


def straight_guess(logits: Tensor, mean: Tensor, contrast: float | None) -> Tensor:
    """Return gain and shift ``(2, B)`` that would be right if the sigmoid were straight.

    Args:
        logits: ``(B, N)``, about 0 each image's.
        mean: ``(B,)`` the wanted mean of their sigmoid.
        contrast: Its wanted standard deviation; None for a gain of 1.
    """
    gain = torch.ones_like(mean)
    if contrast is not None:
        spread = logits.square().mean(1).add(1e-12).sqrt()
        gain = contrast / (mean * (1 - mean)) / spread
    return torch.stack([gain, torch.logit(mean)])


def searched(logits: Tensor, mean: Tensor, contrast: float | None) -> Tensor:
    """Return gain and shift ``(2, B)`` near to the right ones; arguments as above.

    The mean is right. Where a contrast is out of reach, the gain is the largest.
    """
    gain = straight_guess(logits, mean, contrast)[0]
    if contrast is not None:
        spread = logits.square().mean(1).add(1e-12).sqrt()
        log_gain = _log_gain_for(sample_of(logits) / spread[:, None], mean, contrast)
        # Images of one value have no solution: a gain as for little contrast leads away from there.
        gain = torch.where(spread < 2e-6, gain, log_gain.exp() / spread)
    return torch.stack([gain, _shift_for(logits * gain[:, None], mean)])


def sample_of(values: Tensor) -> Tensor:
    """Values ``(B, N)`` at places that no pattern of the image falls in with, 2048 at most."""
    count = values.shape[1]
    if count <= _SAMPLE:
        return values
    places = torch.arange(_SAMPLE, device=values.device) * 611953 % count
    return values[:, places]


def _log_gain_for(values: Tensor, mean: Tensor, contrast: float) -> Tensor:
    """The logarithm ``(B,)`` of the gain that gives values ``(B, N)`` a contrast, at their mean."""
    tried = torch.linspace(*_LOG_GAINS, _TRIED, dtype=values.dtype, device=values.device)
    scaled = values[:, None] * tried.exp()[:, None]
    shift = _shift_for(scaled, mean[:, None].expand(-1, _TRIED))
    # At a constant mean, contrast rises with the gain.
    contrasts = torch.sigmoid(scaled + shift[..., None]).std(-1, correction=0).clamp(min=1e-6)
    above = (contrasts < contrast).sum(1, keepdim=True).clamp(1, _TRIED - 1)
    low, high = (contrasts.gather(1, place)[:, 0].log() for place in (above - 1, above))
    part = (math.log(contrast) - low) / (high - low).clamp(min=1e-6)
    ends = tried[above[:, 0] - 1], tried[above[:, 0]]
    return torch.lerp(*ends, part.clamp(max=1))


def _shift_for(scaled: Tensor, mean: Tensor) -> Tensor:
    """The shift ``(...)`` of logits ``(..., N)`` that gives their sigmoid a mean ``(...)``.

    Newton's method, kept within a shrinking bracket.
    """
    low, high = (torch.logit(mean) - limit for limit in (scaled.amax(-1), scaled.amin(-1)))
    shift = torch.logit(mean) - scaled.mean(-1)
    for _ in range(_STEPS_OF_SHIFT):
        matched = torch.sigmoid(scaled + shift[..., None])
        missing = mean - matched.mean(-1)
        low = torch.where(missing > 0, shift, low)
        high = torch.where(missing > 0, high, shift)
        moved = shift + missing / (matched * (1 - matched)).mean(-1).clamp(min=1e-12)
        shift = torch.where((low < moved) & (moved < high), moved, (low + high) / 2)
    return shift
