"""Orientation and spatial frequency of pictures, without showing anything to a network.

For kernels' weights and for preferred images, to compare with what gratings say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.arithmetic import has_float64

#: The frequency grid is this many times finer than the pictures' own, and has at least this many
#: frequencies: fine enough that the search for the peak starts on the right slope.
_FINER = 4
_FEWEST_FREQUENCIES = 64
#: The search covers this many frequencies to each side, four to a step of the search before.
_SEARCH = 4
_ROUNDS = 5
#: Number of frequencies of all channels that are searched together: about 130 MB of spectrum.
_VALUES_TRANSFORMED_AT_ONCE = 2**24


@dataclass(frozen=True)
class SpectrumPeak:
    """Peak of the Fourier energy of pictures; NaN for a picture without any.

    Attributes:
        orientation: ``(N,)`` of the bars, in degrees counter-clockwise from horizontal, in
            [0, 180).
        spatial_frequency: ``(N,)`` cycles per pixel, at most 0.5.
        selectivity: ``(N,)`` in [0, 1]: one minus the circular variance of the energy's
            orientation, over all spatial frequencies. That of a Gabor of wavelength l and circular
            envelope s is ``1 - (1 - exp(-k)) / k``, ``k = (2 pi s / l)^2``, divided by
            ``1 + exp(-k)`` for even phase and by ``1 - exp(-k)`` for odd.
    """

    orientation: Tensor
    spatial_frequency: Tensor
    selectivity: Tensor


def spectrum_peak(pictures: Tensor, window: bool) -> SpectrumPeak:
    """The strongest orientation and spatial frequency of pictures.

    Each channel's mean is removed and the channels' energies are added, at spatial frequencies of
    up to half a cycle per pixel in every direction.

    For sampled Gabors with two cycles or more in the picture and an envelope of at least 0.4
    wavelengths the orientation is right to 0.5 degrees and the frequency to 0.05 octaves. With
    fewer cycles the mean cannot be told from the bars: the frequency comes out too high, and
    diagonal bars turn towards others by up to tens of degrees.

    Args:
        pictures: ``(N, C, H, W)``, float32 or float64, such as the weights of a convolution.
        window: Whether to fade the pictures out towards their borders (a Hann window), whose edges
            would count as orientations. For preferred images yes; for kernels no.

    Returns:
        Tensors of the pictures' dtype and on their device.

    Raises:
        TypeError, ValueError: If the pictures are not such.

    Example:
        >>> rows = torch.arange(32.0)[:, None].expand(32, 32)
        >>> peak = spectrum_peak(torch.sin(rows * (2 * math.pi / 8))[None, None], window=True)
        >>> peak.orientation.item(), round(peak.spatial_frequency.item(), 3)
        (0.0, 0.125)
    """
    _check(pictures)
    if len(pictures) == 0:  # MKL refuses to transform nothing.
        return SpectrumPeak(*pictures.detach().new_empty(3, 0))
    source = pictures.detach()
    source = source if has_float64(source.device) else source.cpu()
    side = max(_FEWEST_FREQUENCIES, _FINER * max(pictures.shape[-2:]))
    channels = min(pictures.shape[1], pictures.shape[2] * pictures.shape[3])
    chunk = max(1, _VALUES_TRANSFORMED_AT_ONCE // (channels * side * side))
    found = [_peaks(_centered(part, window), side) for part in source.split(chunk)]
    return SpectrumPeak(*(torch.cat(parts).to(pictures) for parts in zip(*found, strict=True)))


def _check(pictures: Tensor) -> None:
    if not isinstance(pictures, Tensor):
        raise TypeError(f"pictures must be a tensor; got {type(pictures).__name__}")
    if pictures.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"pictures must be float32 or float64; got {pictures.dtype}. Convert with .float()"
        )
    if pictures.ndim != 4 or 0 in pictures.shape[1:]:
        raise ValueError(f"pictures must be (N, C, H, W); got shape {tuple(pictures.shape)}")


def _centered(pictures: Tensor, window: bool) -> Tensor:
    """In double precision, windowed, each channel summing to zero; a constant is exactly zero.

    Fewer channels may be returned, which have the same energy.
    """
    pictures = pictures.double()
    pictures = pictures - pictures[..., :1, :1]
    rows, columns = (
        # Not zero at the borders.
        torch.hann_window(size + 2, periodic=False, dtype=torch.float64)[1:-1]
        if window
        else torch.ones(size, dtype=torch.float64)
        for size in pictures.shape[-2:]
    )
    weights = torch.outer(rows, columns).to(pictures.device)
    mean = (pictures * weights).sum((-2, -1), keepdim=True) / weights.sum()
    centered = (pictures - mean) * weights
    count, channels, height, width = centered.shape
    if channels <= height * width:
        return centered
    # The triangular factor of the channels, of no more rows than there are pixels, has their sum of
    # squares at any frequency: deep layers' kernels have hundreds of channels of nine pixels.
    factor: Tensor = torch.linalg.qr(centered.flatten(2), mode="r").R
    return factor.view(count, -1, height, width)


def _peaks(pictures: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Orientation, spatial frequency and selectivity, each ``(N,)``."""
    energy = torch.fft.rfft2(pictures, s=(side, side)).abs().square().sum(1)
    vertical = torch.fft.fftfreq(side, dtype=energy.dtype, device=energy.device)
    horizontal = torch.fft.rfftfreq(side, dtype=energy.dtype, device=energy.device)
    radius = torch.hypot(vertical[:, None], horizontal)
    energy = energy * (radius <= 0.5)
    strongest = energy.flatten(1).argmax(1)
    columns = len(horizontal)
    vertical_peak, horizontal_peak = _searched(
        pictures, vertical[strongest // columns], horizontal[strongest % columns], 1 / side
    )
    # Bars run at a right angle to their frequency, and rows are counted downwards.
    bars = torch.atan2(horizontal, vertical[:, None])
    # All but the first and last column stand for their mirror images too.
    both = torch.full_like(horizontal, 2)
    both[[0, -1]] = 1
    energy = energy * both
    total = energy.sum((1, 2))
    resultant = torch.hypot(
        (energy * torch.cos(2 * bars)).sum((1, 2)), (energy * torch.sin(2 * bars)).sum((1, 2))
    )
    orientation = torch.rad2deg(torch.atan2(horizontal_peak, vertical_peak)).remainder(180)
    orientation = torch.where(orientation.float() >= 180, 0, orientation)
    frequency = torch.hypot(vertical_peak, horizontal_peak)
    return (
        orientation.where(total > 0, math.nan),
        frequency.where(total > 0, math.nan),
        (resultant / total).clamp(max=1),
    )


def _searched(
    pictures: Tensor, vertical: Tensor, horizontal: Tensor, step: float
) -> tuple[Tensor, Tensor]:
    """The frequencies ``(N,)`` of the strongest energy within a step of those given."""
    rows, columns = (
        torch.arange(size, dtype=pictures.dtype, device=pictures.device)
        for size in pictures.shape[-2:]
    )
    offsets = torch.arange(-_SEARCH, _SEARCH + 1, device=pictures.device) / _SEARCH
    for _ in range(_ROUNDS):
        down, right = (one[:, None] + offsets * step for one in (vertical, horizontal))
        by_row = torch.exp(-2j * math.pi * down[:, :, None] * rows)
        by_column = torch.exp(-2j * math.pi * columns[:, None] * right[:, None, :])
        amplitude = by_row[:, None] @ pictures.to(by_row.dtype) @ by_column[:, None]
        energy = amplitude.abs().square().sum(1)
        energy = energy * (torch.hypot(down[:, :, None], right[:, None, :]) <= 0.5)
        strongest = energy.flatten(1).argmax(1, keepdim=True)
        vertical = down.gather(1, strongest // len(offsets)).squeeze(1)
        horizontal = right.gather(1, strongest % len(offsets)).squeeze(1)
        step /= _SEARCH
    return vertical, horizontal
