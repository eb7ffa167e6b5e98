"""Images brought to a given contrast and mean luminance, exactly and differentiably.

Among the images whose logits are ``gain * logits + shift`` there is one with the wanted mean and
standard deviation. Newton's method finds it; the gradient is that of the implicit function.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurovis.maximization.contrast_search import sample_of, searched, straight_guess

#: Beyond this, logits say nothing more about a float32 image.
_LOGIT_EPSILON = 1e-6
#: From where an image was a step ago; each step squares what is missing.
_STEPS = 3
#: From nowhere, first on a part of the values, where steps cost little.
_STEPS_ON_SAMPLE = 8
#: Distance from the wanted mean and contrast at which Newton's method has found its solution, after
#: one more step.
_NEAR = 1e-4
#: Fraction of the largest contrast that a mean luminance allows (half black, half white). Closer to
#: the largest, a contrast is out of reach of nearly all images: a free mean moves until it fits.
MOST_OF_CONTRAST = 0.95


class ContrastMemory:
    """Gains and shifts of the images of the last step, from which those of the next are near.

    What is found for an image depends on it and on its own last one alone.

    Attributes:
        asks: Whether to look at once which images are too far from their last ones, and search
            again for them, for which the host waits; :attr:`sure` tells in either case.
        sure: By modality ``(B,)`` bool, the images of this step whose levels are right.
    """

    def __init__(self) -> None:
        self.asks = True
        self.sure: dict[str, Tensor] = {}
        self._last: dict[str, Tensor] = {}
        self._found: dict[str, Tensor] = {}

    def last(self, modality: str) -> Tensor | None:
        """Gain and shift ``(2, B)`` of the last step."""
        return self._last.get(modality)

    def note(self, modality: str, found: Tensor, sure: Tensor) -> None:
        """Note what was found at this step, which may be tried again before it is kept."""
        self._found[modality] = found
        self.sure[modality] = sure

    def keep(self) -> None:
        """Make what was found the last step's."""
        self._last.update(self._found)

    def forget(self, rows: list[int]) -> None:
        """Forget the gains and shifts in these rows, since other images take their place."""
        self.asks = True
        for found in self._last.values():
            found[:, rows] = torch.nan


def match_contrast_and_luminance(
    images: Tensor,
    contrast: float | None,
    luminance: float | None,
    memory: ContrastMemory | None = None,
    modality: str = "",
) -> Tensor:
    """Images with a given standard deviation and mean over all values, each on its own.

    Args:
        images: ``(B, C, H, W)`` in [0, 1].
        contrast: The standard deviation, in (0, 0.475]; None leaves the logits' scale.
        luminance: The mean, in (0, 1); None keeps each image's own, unless it is too close to
            black or white for the contrast.
        memory: Gains and shifts of the images' last step.
        modality: What they are called in it.

    Returns:
        ``(B, C, H, W)`` in (0, 1). Images of one value have no contrast, whatever is wanted.
    """
    with torch.autocast(images.device.type, enabled=False):
        flat = (images if images.dtype == torch.float64 else images.float()).flatten(1)
        matched: Tensor = _Matched.apply(flat, contrast, luminance, memory, modality)
    return matched.reshape(images.shape).to(images.dtype)


class _Matched(torch.autograd.Function):
    """Values ``(B, N)`` with a mean and a standard deviation, and the gradient of the solution.

    Where a contrast is out of reach the gain is a constant, and the mean is right.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        contrast: float | None,
        luminance: float | None,
        memory: ContrastMemory | None,
        modality: str,
    ) -> Tensor:
        inside = values.clamp(_LOGIT_EPSILON, 1 - _LOGIT_EPSILON)
        # torch.logit rounds a value differently according to where in memory it lies.
        logits = (inside / (1 - inside)).log_()
        logits -= logits.mean(1, keepdim=True)
        ctx.follows_mean = luminance is None and contrast is not None
        if luminance is None and contrast is not None:
            mean = _with_room(values.mean(1), contrast)
        else:
            mean = values.new_full((len(values),), 0.5 if luminance is None else luminance)
        place, is_near = _solved(logits, mean, contrast, memory, modality)
        matched = _shown(logits, place)
        ctx.contrast = contrast
        ctx.save_for_backward(values, inside, logits, matched, mean, place[0], is_near)
        return matched

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        values, inside, logits, matched, mean, gain, is_near = ctx.saved_tensors
        planes = gradient.new_empty(6, *gradient.shape)
        missing = matched - mean[:, None]
        slope = torch.addcmul(matched, matched, matched, value=-1, out=planes[0])
        torch.mul(missing, slope, out=planes[1])
        torch.mul(gradient, slope, out=planes[2])
        torch.mul(planes[:3], logits, out=planes[3:])
        (shift_to_mean, shift_to_spread, of_shift), (gain_to_mean, gain_to_spread, of_gain) = (
            planes.mean(-1).view(2, 3, -1)
        )
        # How much the loss changes with the mean and with the spread that are to stay.
        with_mean = of_shift / shift_to_mean
        if ctx.contrast is None:
            passed = gradient - with_mean[:, None]
        else:
            determinant = _determinant(shift_to_mean, gain_to_spread, gain_to_mean, shift_to_spread)
            both = _determinant(gain_to_spread, of_shift, shift_to_spread, of_gain) / determinant
            with_spread = _determinant(shift_to_mean, of_gain, gain_to_mean, of_shift) / determinant
            with_mean = torch.where(is_near, both, with_mean)
            with_spread = with_spread.masked_fill(~is_near, 0)
            passed = (gradient - with_mean[:, None]).sub_(missing.mul_(with_spread[:, None]))
        passed.mul_(slope).mul_(gain[:, None]).div_(inside * (1 - inside))
        passed.masked_fill_(values != inside, 0)
        if ctx.follows_mean:
            own = values.mean(1)
            passed += with_mean.masked_fill(own != mean, 0)[:, None]
        return passed, None, None, None, None


def _with_room(means: Tensor, contrast: float) -> Tensor:
    """Return the means ``(B,)``, moved toward 0.5 where the contrast would be out of reach."""
    most = contrast / MOST_OF_CONTRAST
    reach = max(0.25 - most**2, 0.0) ** 0.5
    return means.clamp(0.5 - reach, 0.5 + reach)


def _shown(logits: Tensor, place: Tensor) -> Tensor:
    """The values of logits ``(B, N)`` at a gain and a shift ``(2, B)``."""
    gain, shift = place[..., None].unbind()
    return (logits * gain).add_(shift).sigmoid_()


def _solved(
    logits: Tensor,
    mean: Tensor,
    contrast: float | None,
    memory: ContrastMemory | None,
    modality: str,
) -> tuple[Tensor, Tensor]:
    """Gain and shift ``(2, B)`` of logits ``(B, N)``, and ``(B,)`` whether they are right."""
    last = None if memory is None else memory.last(modality)
    if last is None:
        place, is_near = _searched(logits, mean, contrast)
    else:
        place, is_near = _refined(logits, last, mean, contrast)
        if memory is not None and memory.asks and not is_near.all():
            rows = (~is_near).nonzero().flatten()
            place[:, rows], is_near[rows] = _searched(logits[rows], mean[rows], contrast)
    if memory is not None:
        memory.note(modality, place, is_near)
    return place, is_near


def _searched(logits: Tensor, mean: Tensor, contrast: float | None) -> tuple[Tensor, Tensor]:
    """As :func:`_solved`, from nowhere; the best there is where a contrast is out of reach."""
    guess = straight_guess(logits, mean, contrast)
    guess, _ = _refined(sample_of(logits), guess, mean, contrast, _STEPS_ON_SAMPLE)
    place, is_near = _refined(logits, guess, mean, contrast)
    if not is_near.all():
        rows = (~is_near).nonzero().flatten()
        guess = searched(logits[rows], mean[rows], contrast)
        found, is_found = _refined(logits[rows], guess, mean[rows], contrast)
        place[:, rows], is_near[rows] = torch.where(is_found, found, guess), is_found
    return place, is_near


def _refined(
    logits: Tensor, place: Tensor, mean: Tensor, contrast: float | None, steps: int = _STEPS
) -> tuple[Tensor, Tensor]:
    """Gain and shift ``(2, B)`` after some of Newton's steps from a place, and whether found.

    There is no guard: what does not converge is not near, also where it is NaN.
    """
    place = place.clone()
    planes = logits.new_empty(6, *logits.shape)
    for _ in range(steps):
        matched = _shown(logits, place)
        torch.sub(matched, mean[:, None], out=planes[0])
        torch.addcmul(matched, matched, matched, value=-1, out=planes[2])
        if contrast is None:
            missing, shift_to_mean = planes[:3:2].mean(-1)
            place[1].addcdiv_(missing, shift_to_mean, value=-1)
            continue
        torch.mul(planes[0], planes[0], out=planes[1])
        torch.mul(planes[0], planes[2], out=planes[3])
        torch.mul(planes[2:4], logits, out=planes[4:])
        means = planes.mean(-1)
        # About the wanted mean; the variance changes by twice the contrast with the spread.
        means[1].sub_(contrast**2).div_(2 * contrast)
        missing, (shift_to_mean, shift_to_spread, gain_to_mean, gain_to_spread) = (
            means[:2],
            means[2:],
        )
        determinant = _determinant(shift_to_mean, gain_to_spread, gain_to_mean, shift_to_spread)
        of_mean, of_spread = missing / determinant
        place[0].addcmul_(shift_to_spread, of_mean)
        place[0].addcmul_(shift_to_mean, of_spread, value=-contrast)
        place[1].addcmul_(gain_to_spread, of_mean, value=-1)
        place[1].addcmul_(gain_to_mean, of_spread, value=contrast)
    is_near = missing.abs() < _NEAR
    return place, is_near if contrast is None else is_near.all(0)


def _determinant(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """``a * b - c * d``."""
    return torch.addcmul(a * b, c, d, value=-1)
