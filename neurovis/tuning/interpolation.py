"""Interpolation of tuning curves between their few samples, for peaks and crossings of a height.

All take curves relative to their largest response, with any leading dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

#: Points of an interpolated orientation curve: every quarter of a degree.
_FINE_POINTS = 720
#: Responses below this fraction of the peak are nearly 0: their logarithms would dominate a fit.
_LEAST_RESPONSE = 1e-4


def around_the_circle(curves: Tensor, smoothing: float) -> Tensor:
    """Orientation curves at 720 or more orientations from the same first one, by Fourier series.

    Args:
        curves: ``(..., O)``, evenly spaced over 180 degrees without the endpoint.
        smoothing: Half-width at half height, in degrees, of the Hanning window to smooth with.

    Returns:
        ``(..., points)``.
    """
    count = curves.shape[-1]
    points = max(_FINE_POINTS, 4 * count)
    if curves.numel() == 0:  # MKL refuses to transform nothing.
        return curves.new_empty(*curves.shape[:-1], points)
    harmonics = torch.arange(count // 2 + 1, dtype=torch.float64)
    # A Hanning window of half-width s at half height ends at 2s; its transform is three sinc.
    u = 4 * smoothing * harmonics / 180
    gain = torch.sinc(u) + (torch.sinc(u - 1) + torch.sinc(u + 1)) / 2
    if count % 2 == 0:
        gain[-1] /= 2  # It stood for both signs of the highest frequency, which now come apart.
    spectrum = torch.fft.rfft(curves) * gain.to(curves)
    fine: Tensor = torch.fft.irfft(spectrum, n=points) * (points / count)
    return fine


def first_crossing(curves: Tensor, height: float) -> Tensor:
    """Return the steps after which curves ``(..., N)`` fall below a height; NaN if they do not.

    The curves begin above the height.
    """
    low = curves < height
    after = low.int().argmax(-1, keepdim=True)
    before = (after - 1).clamp(min=0)
    upper, lower = curves.gather(-1, before), curves.gather(-1, after)
    steps = before + (upper - height) / (upper - lower)
    return steps.squeeze(-1).where(low.any(-1), math.nan)


def frequency_peak(curves: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The peak of the parabola through the logarithms around the largest response.

    Through the responses themselves if a neighbor is all but silent: its logarithm says little.

    Args:
        curves: ``(..., F)``.
        frequencies: ``(F,)``, increasing.

    Returns:
        Where the largest response is, an index, and the peak's frequency and height, each
        ``(..., 1)``. At either end of the curve they are those of the response itself.
    """
    height, place = curves.max(dim=-1, keepdim=True)
    last = curves.shape[-1] - 1
    around = [(place + step).clamp(0, last) for step in (-1, 0, 1)]
    x = [frequencies[one] for one in around]
    y = [curves.gather(-1, one) for one in around]
    heard = torch.minimum(y[0], y[2]) >= _LEAST_RESPONSE
    vertex, top = _parabola(x, [one.clamp(min=_LEAST_RESPONSE).log() for one in y])
    plain_vertex, plain_top = _parabola(x, y)
    frequency, peak = vertex.where(heard, plain_vertex), top.exp().where(heard, plain_top)
    inside = (place > 0) & (place < last) & frequency.isfinite()
    return (
        place,
        frequency.where(inside, x[1]).where(height > 0, math.nan),
        peak.where(inside, height),
    )


def _parabola(x: Sequence[Tensor], y: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Place and height of the vertex through three points; not finite if they are level."""
    rise, fall = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    curvature = (fall - rise) / (x[2] - x[0])
    vertex = (x[0] + x[1]) / 2 - rise / (2 * curvature)
    return vertex, y[1] - curvature * (vertex - x[1]) ** 2


def height_crossings(curves: Tensor, frequencies: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Find the frequencies where curves fall to a fraction of :func:`frequency_peak`'s height.

    One is below the peak and one above it. Between samples each flank is that of a Gaussian.

    Args:
        curves: ``(..., F)``.
        frequencies: ``(F,)``, increasing.
        level: The fraction, in (0, 1).

    Returns:
        Two frequencies, ``(...)`` each; NaN where the curve does not fall so low on that side.
    """
    place, frequency, height = frequency_peak(curves, frequencies)
    last = curves.shape[-1] - 1
    index = torch.arange(last + 1, device=curves.device)
    low = curves < height * level
    above = index.where(low & (index > place), last + 1).amin(-1, keepdim=True)
    below = index.where(low & (index < place), -1).amax(-1, keepdim=True)
    # Along a Gaussian's flank the root of the logarithm is a straight line; negative beyond the
    # peak, for the largest response may be on the peak's other side.
    depth = (height / curves.clamp(min=_LEAST_RESPONSE)).log().clamp(min=0).sqrt()
    depth = depth * torch.sign(frequencies - frequency)
    target = math.sqrt(-math.log(level))

    def crossing(inner: Tensor, outer: Tensor, side: int) -> Tensor:
        inner_depth, outer_depth = (side * depth.gather(-1, one) for one in (inner, outer))
        along = ((target - inner_depth) / (outer_depth - inner_depth)).clamp(0, 1)
        return torch.lerp(frequencies[inner], frequencies[outer], along)

    lower = crossing(below + 1, below.clamp(min=0), -1).where(below >= 0, math.nan)
    higher = crossing(above - 1, above.clamp(max=last), 1).where(above <= last, math.nan)
    return lower.squeeze(-1), higher.squeeze(-1)
