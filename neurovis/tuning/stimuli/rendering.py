"""Render gratings as images: sinusoids, round windows, and their sum with mid gray.

sin(a + b) over rows and columns makes a grating two outer products, so that thousands of images
cost seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError

#: Cycles per pixel. Towards 0.5 a sampled grating's amplitude swings with its phase.
MAX_SPATIAL_FREQUENCY = 0.35

#: Width of an aperture's raised cosine edge, as a fraction of its diameter.
APERTURE_EDGE = 0.2

# For values that went through float32.
_RANGE_TOLERANCE = 1 + 1e-6


def render_gratings(
    spec: InputSpec,
    orientation: Tensor,
    spatial_frequency: Tensor,
    phase: Tensor,
    contrast: Tensor,
    gains: Tensor,
    aperture: Tensor | None = None,
    center: tuple[float, float] | None = None,
) -> Tensor:
    """Compute gratings, each with its own parameters, which :class:`Gratings` defines.

    Args:
        spec: What the network is shown.
        orientation: Orientation of the bars, in degrees, ``(B,)``.
        spatial_frequency: Cycles per pixel, in (0, 0.35], ``(B,)``.
        phase: Degrees, ``(B,)``.
        contrast: In [0, 1], ``(B,)``; 0 is the blank.
        gains: ``(B, C)``, one for each channel.
        aperture: Diameters in pixels, ``(B,)``; None for gratings that fill the image.
        center: ``(row, column)`` in pixels; by default the image's center.

    Returns:
        Images ``(B, C, H, W)`` in [0, 1], float32, on the CPU.

    Raises:
        ValueError: If a shape or value is not as described, or contrast times gain exceeds 1.
    """
    count = len(orientation)
    named = {"spatial_frequency": spatial_frequency, "phase": phase, "contrast": contrast}
    named |= {"orientation": orientation} | ({} if aperture is None else {"aperture": aperture})
    for name, values in named.items():
        if values.shape != (count,) or not bool(values.isfinite().all()):
            raise ValueError(
                f"{name} must be finite, one for each of {count} gratings; "
                f"got shape {tuple(values.shape)}: {values}"
            )
    if gains.shape != (count, spec.channels):
        raise ValueError(f"gains must be {(count, spec.channels)}; got {tuple(gains.shape)}")
    check_frequencies(spatial_frequency.tolist())
    amplitude = (contrast[:, None] * gains).to("cpu", torch.float32)
    in_range = (contrast >= 0).all() & (contrast <= 1).all()
    # Written so that a gain that is NaN is refused too.
    if not in_range or not (amplitude.abs() <= _RANGE_TOLERANCE).all():
        raise ValueError(
            "contrast must be in [0, 1] and contrast times gain within [-1, 1]; got contrasts "
            f"{float(contrast.min()):g} to {float(contrast.max()):g} and products "
            f"{float(amplitude.min()):g} to {float(amplitude.max()):g}"
        )
    center = center_of(spec, center)
    window = None
    if aperture is not None:
        diameters = aperture.to("cpu", torch.float64)
        check_diameters(diameters)
        window = aperture_windows(spec.size, diameters, center)
    grating = sinusoids(spec.size, orientation, spatial_frequency, phase, center)
    return compose(grating, amplitude, window)


def sinusoids(
    size: tuple[int, int],
    orientation: Tensor,
    spatial_frequency: Tensor,
    phase: Tensor,
    center: tuple[float, float],
) -> Tensor:
    """Gratings in [-1, 1], float32 ``(B, H, W)``."""
    angle = torch.deg2rad(orientation.to("cpu", torch.float64))
    frequency = 2 * math.pi * spatial_frequency.to("cpu", torch.float64)
    rows = torch.arange(size[0], dtype=torch.float64) - center[0]
    columns = torch.arange(size[1], dtype=torch.float64) - center[1]
    along_rows = (-frequency * angle.cos())[:, None] * rows
    along_rows += torch.deg2rad(phase.to("cpu", torch.float64))[:, None]
    along_columns = (-frequency * angle.sin())[:, None] * columns
    # Not a matrix product: its precision is a global setting that a training run may lower.
    grating = along_rows.sin().float()[:, :, None] * along_columns.cos().float()[:, None, :]
    return grating.addcmul_(
        along_rows.cos().float()[:, :, None], along_columns.sin().float()[:, None, :]
    )


def compose(grating: Tensor, amplitude: Tensor, window: Tensor | None) -> Tensor:
    """Images ``(B, C, H, W)`` of gratings ``(B, H, W)`` with amplitudes ``(B, C)`` around gray."""
    if window is not None:
        grating = grating * window
    images = grating[:, None] * (0.5 * amplitude)[:, :, None, None]
    # Half a unit in the last place beyond 1 is still beyond 1.
    return images.add_(0.5).clamp_(0.0, 1.0)


def aperture_windows(
    size: tuple[int, int], diameters: Tensor, center: tuple[float, float]
) -> Tensor:
    """Round windows with a raised cosine edge, float32 ``(B, H, W)``; diameters float64 ``(B,)``.

    The edge is at least a pixel wide, so that a small aperture grows smoothly with its diameter.
    """
    different, which = diameters.unique(return_inverse=True)
    rows, columns = _places(size, center)
    return _faded(torch.hypot(rows, columns).expand(len(different), -1, -1), different)[which]


def bar_windows(
    size: tuple[int, int],
    orientation: Tensor,
    lengths: Tensor,
    widths: Tensor,
    center: tuple[float, float],
) -> Tensor:
    """Rectangular windows along gratings' bars, with the edges of round ones, ``(B, H, W)``.

    Args:
        size: Rows and columns of the image.
        orientation: Orientation of the bars, in degrees, ``(B,)``.
        lengths: Along the bars, in pixels at half height, float64 ``(B,)``.
        widths: Across them, float64 ``(B,)``.
        center: ``(row, column)`` in pixels.
    """
    angle = torch.deg2rad(orientation)[:, None, None]
    rows, columns = _places(size, center)
    along = (angle.cos() * columns - angle.sin() * rows).float()
    across = (angle.sin() * columns + angle.cos() * rows).float()
    return _faded(along.abs(), lengths) * _faded(across.abs(), widths)


def _places(size: tuple[int, int], center: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Rows ``(H, 1)`` and columns ``(1, W)`` from a center, in pixels."""
    rows = (torch.arange(size[0]) - center[0]).float()
    columns = (torch.arange(size[1]) - center[1]).float()
    return rows[:, None], columns[None, :]


def _faded(distances: Tensor, extents: Tensor) -> Tensor:
    """Windows of extents ``(B,)`` by distances ``(B, H, W)`` from the center: 1, then 0 beyond."""
    edge = (APERTURE_EDGE * extents).clamp(min=1.0).minimum(extents)
    # 0 where the edge begins and 1 where it ends, at half an extent plus or minus half an edge.
    beyond = distances - (extents / 2).float()[:, None, None]
    beyond = beyond / edge.float()[:, None, None] + 0.5
    return 0.5 + 0.5 * torch.cos(math.pi * beyond.clamp_(0.0, 1.0))


def check_frequencies(frequencies: Sequence[float]) -> None:
    """Refuse spatial frequencies that are not in (0, 0.35] cycles per pixel."""
    for frequency in frequencies:
        if not 0 < frequency <= MAX_SPATIAL_FREQUENCY * _RANGE_TOLERANCE:
            raise ArgumentError(
                f"spatial frequency must be above 0 and at most {MAX_SPATIAL_FREQUENCY} "
                f"cycles/pixel; got {frequency:g}. Towards 0.5, two pixels per cycle, the "
                "amplitude of a sampled grating swings with its phase"
            )


def check_diameters(diameters: Tensor) -> None:
    """Refuse diameters of apertures that are not positive and finite."""
    for diameter in diameters.tolist():
        if not (diameter > 0 and math.isfinite(diameter)):
            raise ArgumentError(f"aperture is a diameter in pixels, above 0; got {diameter:g}")


def center_of(spec: InputSpec, center: tuple[float, float] | None) -> tuple[float, float]:
    """A ``(row, column)`` inside the image; the image's center where none is given."""
    height, width = spec.size
    if center is None:
        return (height - 1) / 2, (width - 1) / 2
    row, column = center
    if not (-0.5 <= row <= height - 0.5 and -0.5 <= column <= width - 0.5):
        raise ValueError(
            f"center must be a (row, column) inside the image of size {spec.size}; got {center}"
        )
    return float(row), float(column)
