"""Measures of tuning curves from neuroscience: orientation, spatial frequency and phase.

Plain functions of responses with any leading dimensions, such as one for each kernel. An
orientation curve holds responses at orientations that are evenly spaced over [0, 180) degrees,
without the endpoint: 0 and 180 are the same orientation. Responses are non-negative and count from
the blank's. NaN is a measure that is undefined, such as that of a kernel that never responds.

Selectivity for other properties is in :mod:`neurovis.tuning.selectivity`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurovis.tuning.checks import check_axis, check_responses
from neurovis.tuning.interpolation import (
    around_the_circle,
    first_crossing,
    frequency_peak,
    height_crossings,
)

#: The half-width of a tuning curve is measured at this fraction of its peak (Ringach et al. 2002).
_HALF_WIDTH_LEVEL = math.sqrt(0.5)


def global_orientation_selectivity(curves: Tensor) -> Tensor:
    r"""Compute gOSI, one minus the circular variance: the part of the response at one orientation.

    :math:`|\sum R e^{2i\theta}| / \sum R` (Ringach, Shapley, Hawken 2002).

    Args:
        curves: ``(..., O)``, non-negative, O of at least 3.

    Returns:
        ``(...)`` in [0, 1]; NaN where there is no response.

    Raises:
        TypeError, ValueError: If the curves are not such.

    Example:
        >>> flat, one_orientation, dead = torch.ones(8), torch.eye(8)[2], torch.zeros(8)
        >>> curves = torch.stack([flat, one_orientation, dead])
        >>> global_orientation_selectivity(curves).round(decimals=4).tolist()
        [0.0, 1.0, nan]
    """
    check_responses("curves", curves, 3, "orientations")
    return torch.hypot(*_resultant(curves)).clamp(max=1)


def orientation_selectivity_index(curves: Tensor) -> Tensor:
    r"""OSI: the preferred orientation against the one at a right angle to it.

    :math:`(R_{pref} - R_{orth}) / (R_{pref} + R_{orth})`. It saturates and uses two orientations
    only; Mazurek, Kager, Van Hooser 2014 advise
    :func:`global_orientation_selectivity` instead.

    Args:
        curves: ``(..., O)``, non-negative, O even.

    Returns:
        ``(...)`` in [0, 1]; NaN where there is no response.

    Raises:
        TypeError, ValueError: If the curves are not such.

    Example:
        >>> orientation_selectivity_index(torch.tensor([1.0, 3.0, 2.0, 1.0])).item()
        0.5
    """
    check_responses("curves", curves, 2, "orientations")
    count = curves.shape[-1]
    if count % 2:
        raise ValueError(
            f"curves must have an even number of orientations, so that each has one at a right "
            f"angle; got {count}. Take an even number, or global_orientation_selectivity"
        )
    peak, place = curves.max(dim=-1, keepdim=True)
    orthogonal = curves.gather(-1, (place + count // 2) % count)
    return ((peak - orthogonal) / (peak + orthogonal)).squeeze(-1)


def preferred_orientation(curves: Tensor, *, first: float = 0.0) -> Tensor:
    r"""The direction of the curve's mean vector: :math:`\frac12 \arg \sum R e^{2i\theta}`.

    It means little where :func:`global_orientation_selectivity` is small.

    Args:
        curves: ``(..., O)``, non-negative, O of at least 3.
        first: The orientation of the first response, in degrees.

    Returns:
        ``(...)`` degrees in [0, 180); NaN where there is no response, or all are the same.

    Raises:
        TypeError, ValueError: If the curves are not such.

    Example:
        >>> preferred_orientation(torch.eye(4)).tolist()
        [0.0, 45.0, 90.0, 135.0]
    """
    check_responses("curves", curves, 3, "orientations")
    real, imaginary = _resultant(curves)
    degrees = (torch.rad2deg(torch.atan2(imaginary, real)) / 2 + first).remainder(180)
    # The remainder of a tiny negative number rounds to the whole.
    degrees = torch.where(degrees >= 180, torch.zeros_like(degrees), degrees)
    # NaN, for no response, is not more either.
    directed = torch.hypot(real, imaginary) > 4 * torch.finfo(curves.dtype).eps
    return degrees.where(directed, math.nan)


def orientation_difference(first: Tensor, second: Tensor) -> Tensor:
    """Return the smaller of the two angles between orientations, which repeat after 180 degrees.

    Args:
        first: Degrees.
        second: Degrees, of a shape that broadcasts with the first's.

    Returns:
        Degrees in [0, 90].

    Example:
        >>> orientation_difference(torch.tensor([10.0, 0.0]), torch.tensor([170.0, 90.0])).tolist()
        [20.0, 90.0]
    """
    difference = (first - second).remainder(180)
    return torch.minimum(difference, 180 - difference)


def orientation_bandwidth(curves: Tensor, *, smoothing: float = 0.0) -> Tensor:
    r"""Half the width of the orientation curve at :math:`1/\sqrt2` of its peak.

    As Ringach, Shapley, Hawken 2002, on the Fourier interpolation of the curve around the circle of
    180 degrees. With 8 orientations a Gabor's half-width is right to half a degree above 19
    degrees, with 12 above 12, with 16 above 7.6.

    Args:
        curves: ``(..., O)``, non-negative, O of at least 3.
        smoothing: In [0, 45]: the curve is first smoothed with a Hanning window of this half-width
            at half height, in degrees. Ringach et al. took 13.5, for neurons' noise; it widens the
            curve.

    Returns:
        ``(...)`` degrees in (0, 90); NaN where the curve never falls so low, or there is none.

    Raises:
        TypeError, ValueError: If the curves or the smoothing are not such.

    Example:
        >>> theta = torch.deg2rad(torch.arange(0, 180, 15.0))
        >>> round(orientation_bandwidth(1 + torch.cos(2 * theta)).item(), 1)
        32.8
    """
    check_responses("curves", curves, 3, "orientations")
    if not 0 <= smoothing <= 45:
        raise ValueError(f"smoothing must be in [0, 45] degrees; got {smoothing}")
    fine = around_the_circle(curves / curves.amax(-1, keepdim=True), smoothing)
    points = fine.shape[-1]
    peak, place = fine.max(dim=-1, keepdim=True)
    steps = torch.arange(points, device=fine.device)
    # From the peak onwards, and backwards.
    forwards = fine.gather(-1, (place + steps) % points) / peak
    backwards = fine.gather(-1, (place - steps) % points) / peak
    width = first_crossing(forwards, _HALF_WIDTH_LEVEL) + first_crossing(
        backwards, _HALF_WIDTH_LEVEL
    )
    return width / 2 * (180 / points)


def preferred_spatial_frequency(curves: Tensor, spatial_frequencies: Tensor) -> Tensor:
    r"""The spatial frequency of the strongest response (De Valois, Albrecht, Thorell 1982).

    Between the samples by the parabola through the logarithms of the three responses around the
    largest. It goes over linear frequency, where it is the tuning of a Gabor,
    :math:`e^{-2 \pi^2 \sigma^2 (f - f_0)^2}`; through the responses themselves if one is all but
    zero. At either end of the curve, the end.

    Args:
        curves: ``(..., F)``, non-negative.
        spatial_frequencies: ``(F,)``, increasing, in cycles per pixel.

    Returns:
        ``(...)`` cycles per pixel; NaN where there is no response.

    Raises:
        TypeError, ValueError: If the curves or the frequencies are not such.

    Example:
        >>> frequencies = torch.tensor([0.0625, 0.125, 0.25])
        >>> preferred_spatial_frequency(torch.tensor([1.0, 2.0, 1.0]), frequencies).item()
        0.15625
    """
    frequencies = _checked_frequencies(curves, spatial_frequencies)
    return frequency_peak(curves / curves.amax(-1, keepdim=True), frequencies)[1].squeeze(-1)


def spatial_frequency_bandwidth(
    curves: Tensor, spatial_frequencies: Tensor, *, level: float = 0.5
) -> Tensor:
    r"""The full width of the spatial frequency curve at a part of its height, in octaves.

    :math:`\log_2 (f_{high} / f_{low})` (De Valois, Albrecht, Thorell 1982). The peak is that of
    :func:`preferred_spatial_frequency`, and between samples each flank is that of a Gaussian.

    Args:
        curves: ``(..., F)``, non-negative.
        spatial_frequencies: ``(F,)``, increasing, in cycles per pixel.
        level: The part of the height, in (0, 1).

    Returns:
        ``(...)`` octaves; NaN where the curve does not fall so low on both sides of its peak, or
        there is none.

    Raises:
        TypeError, ValueError: If the curves, the frequencies or the level are not such.

    Example:
        >>> frequencies = torch.tensor([0.05, 0.1, 0.15, 0.2, 0.25])
        >>> curve = torch.exp2(-(((frequencies - 0.15) / 0.05) ** 2))
        >>> round(spatial_frequency_bandwidth(curve, frequencies).item(), 4)  # 0.2 / 0.1
        1.0
    """
    frequencies = _checked_frequencies(curves, spatial_frequencies)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level}")
    curves = curves / curves.amax(-1, keepdim=True)
    low, high = height_crossings(curves, frequencies, level)
    return torch.log2(high / low)


def first_harmonic(responses: Tensor) -> Tensor:
    """F1: the amplitude of the response's modulation by a drifting grating, ``2 |FFT_1| / P``.

    Args:
        responses: ``(..., P)`` to P phases, evenly spaced over 360 degrees; 3 or more. They may be
            negative.

    Returns:
        ``(...)``, non-negative; exactly zero where the phase makes no difference.

    Raises:
        TypeError, ValueError: If the responses are not such.

    Example:
        >>> phases = torch.deg2rad(torch.arange(0, 360, 45.0))
        >>> first_harmonic(0.3 + 2 * torch.cos(phases + 1)).round(decimals=4).item()
        2.0
    """
    check_responses("responses", responses, 3, "phases", non_negative=False)
    # Against the first, so that a constant leaves no rounding error for a kernel to be tuned by.
    changes = responses - responses[..., :1]
    return torch.hypot(*_first_coefficient(changes)) * (2 / responses.shape[-1])


def modulation_ratio(responses: Tensor) -> Tensor:
    """F1/F0: above 1 a simple cell, below 1 a complex cell (Skottun et al. 1991).

    The first harmonic over the mean, for responses after a ReLU, less the blank's: before one the
    mean over phases says nothing. A half-wave rectified sinusoid has pi/2.

    Args:
        responses: ``(..., P)`` to P phases, evenly spaced over 360 degrees; 3 or more.

    Returns:
        ``(...)``, non-negative; NaN where the mean is not positive.

    Raises:
        TypeError, ValueError: If the responses are not such.

    Example:
        >>> modulation_ratio(torch.tensor([[0.0, 1.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]])).tolist()
        [2.0, 0.0]
    """
    harmonic = first_harmonic(responses)
    mean = responses.mean(-1)
    return (harmonic / mean).where(mean > 0, math.nan)


def _first_coefficient(values: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of ``sum_k values_k e^(2 pi i k / N)``, ``(...)`` each."""
    count = values.shape[-1]
    # Sums of products: a matrix product may be rounded to ten bits on a GPU.
    turn = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    cosine, sine = turn.cos().to(values), turn.sin().to(values)
    return (values * cosine).sum(-1), (values * sine).sum(-1)


def _resultant(curves: Tensor) -> tuple[Tensor, Tensor]:
    """Mean vector of orientation curves on the doubled circle; NaN where there is no response."""
    # Relative to the peak first: neither huge nor tiny responses leave the range of floats.
    curves = curves / curves.amax(-1, keepdim=True)
    return _first_coefficient(curves / curves.sum(-1, keepdim=True))


def _checked_frequencies(curves: Tensor, spatial_frequencies: Tensor) -> Tensor:
    check_responses("curves", curves, 1, "spatial frequencies")
    frequencies = torch.as_tensor(spatial_frequencies).to(curves)
    check_axis("spatial_frequencies", frequencies, curves.shape[-1], "cycles per pixel")
    return frequencies
