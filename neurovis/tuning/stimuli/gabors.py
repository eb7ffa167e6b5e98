"""Gabor functions, and stimuli that are gratings under a Gaussian window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.tuning.stimuli.gratings import Gratings
from neurovis.tuning.stimuli.modulations import Modulation


def gabor(
    size: int,
    wavelength: float,
    sigma: float,
    orientation: float,
    phase: float = 0.0,
    aspect: float = 1.0,
    center: tuple[float, float] | None = None,
) -> Tensor:
    """Sample a Gabor function (Daugman 1985; the parameters of Petkov & Kruizinga 1997).

    ::

        exp(-(across**2 + aspect**2 along**2) / (2 sigma**2)) cos(2 pi across / wavelength + phase)

    where ``across = -sin(orientation) x - cos(orientation) y`` is the distance from the central
    bar, ``along`` that along it, and ``y`` and ``x`` are row and column counted from ``center``.
    The grating that drives it most has the same orientation, frequency 1 / wavelength, and a phase
    that is 90 degrees larger, since a grating's phase is that of a sine.

    Args:
        size: Height and width in pixels.
        wavelength: Pixels per cycle.
        sigma: Standard deviation of the envelope across the bars, in pixels.
        orientation: Orientation of the bars, in degrees counter-clockwise from horizontal.
        phase: Degrees: 0 is even with a bright central bar, 90 and 270 are odd.
        aspect: The envelope along the bars has the standard deviation ``sigma / aspect``.
        center: ``(row, column)`` in pixels; by default the middle.

    Returns:
        Values in [-1, 1], float32 ``(size, size)``.

    Raises:
        ValueError: If size, wavelength, sigma or aspect is not positive and finite.

    Example:
        >>> gabor(5, wavelength=4, sigma=1.5, orientation=90)[2].tolist()[2]
        1.0
    """
    lengths = {"size": size, "wavelength": wavelength, "sigma": sigma, "aspect": aspect}
    for name, length in lengths.items():
        if not (length > 0 and math.isfinite(length)):
            raise ValueError(f"{name} must be above 0; got {length}")
    middle = (size - 1) / 2
    row, column = (middle, middle) if center is None else center
    angle = math.radians(orientation)
    y = (torch.arange(size, dtype=torch.float64) - row)[:, None]
    x = (torch.arange(size, dtype=torch.float64) - column)[None, :]
    across = -math.sin(angle) * x - math.cos(angle) * y
    along = math.cos(angle) * x - math.sin(angle) * y
    envelope = torch.exp(-(across**2 + aspect**2 * along**2) / (2 * sigma**2))
    carrier = torch.cos(2 * math.pi * across / wavelength + math.radians(phase))
    return (envelope * carrier).float()


class Gabors(Gratings):
    """Gabor patches of every combination of their parameters, and a blank.

    Gratings under a round Gaussian instead of a round aperture. A patch of phase 0 is even, with a
    bright bar on ``center``, as for :func:`gabor`.

    Args:
        spec: What the network is shown.
        sigma: Standard deviation of the Gaussian, in pixels.
        orientations: As for :class:`Gratings`, like all that follow.
        spatial_frequencies: Cycles per pixel.
        phases: Number of phases.
        contrasts: At the center of the Gaussian, where a bright bar lies.
        modulations: Which channels are driven.
        center: ``(row, column)`` in pixels; by default the image's center.

    Raises:
        ValueError: If an argument is out of its range, or a contrast times a gain leaves [0, 1].
    """

    # cos(a) = sin(a + 90 degrees)
    _phase_offset = 90.0

    def __init__(
        self,
        spec: InputSpec,
        sigma: float,
        orientations: int = 16,
        spatial_frequencies: Sequence[float] | None = None,
        phases: int = 8,
        contrasts: Sequence[float] = (1.0,),
        modulations: Sequence[Modulation] | None = None,
        center: tuple[float, float] | None = None,
    ) -> None:
        if not (sigma > 0 and math.isfinite(sigma)):
            raise ValueError(f"sigma must be above 0 pixels; got {sigma}")
        self.sigma = float(sigma)
        super().__init__(
            spec,
            orientations,
            spatial_frequencies,
            phases,
            contrasts,
            modulations,
            center=center,
        )

    def _make_window(self) -> Tensor:
        height, width = self.spec.size
        y = (torch.arange(height, dtype=torch.float64) - self.center[0])[:, None]
        x = (torch.arange(width, dtype=torch.float64) - self.center[1])[None, :]
        return torch.exp(-(x**2 + y**2) / (2 * self.sigma**2)).float()[None]
