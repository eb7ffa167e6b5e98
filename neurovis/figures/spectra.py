"""Comparison of a kernel's preferred image with its preferred grating, in the image's spectrum.

Bars at an angle have their spectral peaks at right angles to it: a picture of horizontal bars
changes from row to row, so that its peaks lie above and below the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurovis.figures.cells import Grid
from neurovis.figures.colors import colored
from neurovis.figures.output import Pixels, to_pixels
from neurovis.figures.page import GAP, INK, Page, Points, page_figure
from neurovis.figures.pictures import fitted, modality_rows
from neurovis.figures.plots import Values, as_values, circle
from neurovis.figures.text import LABEL, line_height, wrapped
from neurovis.inputs import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Size of images and spectra, the distance between cells, and the least width, in pixels.
_SPECTRUM_SIZE, _CELLS_APART, _LEAST_WIDTH = 144, 20, 520
#: Amplitudes below this fraction of the largest, 40 decibels, have the darkest color.
_LEAST_AMPLITUDE = 0.01
_RING, _CROSS = "#ffffff", "#ff8c2e"


def grating_preference_figure(
    pictures: Tensor,
    spec: InputSpec,
    preferred_orientation: Tensor,
    preferred_spatial_frequency: Tensor,
    image_orientation: Tensor,
    image_spatial_frequency: Tensor,
    labels: Sequence[str],
    title: str,
    *,
    notes: Sequence[str] = (),
    window: bool = False,
) -> Figure:
    """Preferred images beside their Fourier amplitudes, marked where kernel and image peak.

    The amplitude is that of all channels together, in decibels, with frequency 0 in the middle and
    half a cycle per pixel at the border. Crosses: the grating that the kernel prefers. Rings: the
    image's own peak. Either is drawn twice, since a spectrum is symmetric.

    Args:
        pictures: ``(N, C, H, W)`` in [0, 1].
        spec: Their modalities, see :func:`modality_rows`.
        preferred_orientation: ``(N,)`` of the grating's bars, in degrees counter-clockwise from
            horizontal.
        preferred_spatial_frequency: ``(N,)`` in cycles per pixel.
        image_orientation: ``(N,)``, the same of the image.
        image_spatial_frequency: ``(N,)``, the same of the image.
        labels: One for each picture.
        title: Stands over the figure.
        notes: Lines under the title.
        window: Whether images are faded towards their borders (Hann) before the transform, without
            which borders that do not match make a bright upright cross.

    Returns:
        The figure. What is not finite is not marked, and "not defined" in words.

    Raises:
        ValueError: If there is no picture, or the rest is not the pictures'.
    """
    number = len(labels)
    if pictures.ndim != 4 or len(pictures) != number or not pictures.numel():
        raise ValueError(
            f"needs pictures (N, C, H, W), N > 0, and one label for each; got "
            f"{tuple(pictures.shape)} and {number} labels"
        )
    peaks = {
        "preferred_orientation": preferred_orientation,
        "preferred_spatial_frequency": preferred_spatial_frequency,
        "image_orientation": image_orientation,
        "image_spatial_frequency": image_spatial_frequency,
    }
    for name, values in peaks.items():
        if values.shape != (number,):
            raise ValueError(f"{name} must be ({number},); got {tuple(values.shape)}")
    images = pictures.detach().float().cpu()
    rows = [
        to_pixels(fitted(one, _SPECTRUM_SIZE, _SPECTRUM_SIZE))
        for one in modality_rows(images, spec).values()
    ]
    angles, cycles, own_angles, own_cycles = (as_values(values) for values in peaks.values())
    grating = np.stack([angles, cycles], axis=1)
    own = np.stack([own_angles, own_cycles], axis=1)
    height, width = images.shape[-2:]
    grid = _Grid(rows, _spectra(images, window), grating, own, labels, (height, width))
    said = (
        "Spectra: amplitude of the image, 40 dB from violet to yellow, 0 in the middle, 0.5 "
        "cycles/pixel at the border. Cross: preferred grating; ring: the image's own peak "
        "(at right angles to the bars)"
    )
    return page_figure(grid, title, [*notes, said], _LEAST_WIDTH)


def frequency_place(
    orientation: float, spatial_frequency: float, size: tuple[int, int]
) -> tuple[float, float]:
    """Return one of the two peaks of bars in a spectrum of ``size`` bins down and across.

    Frequency 0 is in the middle of bin ``size // 2``, as ``fftshift`` leaves it.

    Returns:
        Bins down from the upper edge and to the right of the left one.
    """
    angle = math.radians(orientation)
    down, right = spatial_frequency * math.cos(angle), spatial_frequency * math.sin(angle)
    height, width = size
    return height // 2 + 0.5 + down * height, width // 2 + 0.5 + right * width


def _spectra(images: Tensor, window: bool) -> Pixels:
    """Amplitudes of all channels together, as pictures of one size."""
    images = images.nan_to_num(0.5, 0.5, 0.5)
    mean = images.mean((-2, -1), keepdim=True)
    height, width = images.shape[-2:]
    fade = torch.hann_window(height)[:, None] * torch.hann_window(width) if window else 1.0
    energy = torch.fft.fft2((images - mean) * fade).abs().square().sum(1)
    amplitude = torch.fft.fftshift(energy, dim=(-2, -1)).sqrt()
    largest = amplitude.amax((-2, -1), keepdim=True)
    part = torch.where(largest > 0, amplitude / largest, 0).clamp(min=_LEAST_AMPLITUDE)
    levels = 1 - part.log10() / math.log10(_LEAST_AMPLITUDE)
    if max(height, width) > _SPECTRUM_SIZE:
        # Shrunk by the largest, since the mean would hide a peak of one bin.
        factor = _SPECTRUM_SIZE / max(height, width)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        levels = functional.adaptive_max_pool2d(levels, size)
    return to_pixels(
        fitted(colored(levels, torch.ones(len(levels)), False), _SPECTRUM_SIZE, _SPECTRUM_SIZE)
    )


class _Grid:
    """Cells of an image beside its spectrum, under a label and both peaks in words."""

    def __init__(
        self,
        rows: Sequence[Pixels],
        spectra: Pixels,
        grating: Values,
        own: Values,
        labels: Sequence[str],
        bins: tuple[int, int],
    ) -> None:
        self._rows, self._spectra, self._bins = rows, spectra, bins
        self._peaks = list(zip(grating, own, strict=True))
        self._wide = rows[0].shape[2]
        self._cell = self._wide + GAP + spectra.shape[2]
        self._texts = [
            [
                *wrapped(label, self._cell),
                *wrapped(f"\N{MULTIPLICATION SIGN} {_peak_text(*one)}", self._cell),
                *wrapped(f"\N{WHITE CIRCLE} {_peak_text(*other)}", self._cell),
            ]
            for label, one, other in zip(labels, grating, own, strict=True)
        ]
        self._lines = max(map(len, self._texts)) * line_height(LABEL) + 4
        stack = sum(row.shape[1] + 3 for row in rows) - 3
        high = self._lines + stack
        self._grid = Grid(len(labels), (self._cell, high), _CELLS_APART, landscape=1.3)
        self.width, self.height = self._grid.width + 2, self._grid.height + 2

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        for index, lines in enumerate(self._texts):
            across, down = self._grid.place(index)
            left, top = x + 1 + across, y + down
            page.text(left, top, lines)
            top += self._lines
            page.stack(left, top, [pictures[index] for pictures in self._rows])
            at = left + self._wide + GAP
            page.picture(at, top, self._spectra[index])
            self._draw_peaks(page, index, at, top)

    def _draw_peaks(self, page: Page, index: int, x: int, y: int) -> None:
        height, width = self._spectra.shape[1:3]
        scale = np.array([width / self._bins[1], height / self._bins[0]])
        (angle, cycles), (own_angle, own_cycles) = self._peaks[index]
        for place in self._pair(own_angle, own_cycles):
            _outlined(page, circle(np.array([x, y]) + place * scale, 7, 24), _RING)
        for place in self._pair(angle, cycles):
            middle = np.array([x, y]) + place * scale
            for arm in ([5, 5], [5, -5]):
                _outlined(page, np.stack([middle - arm, middle + arm]), _CROSS)

    def _pair(self, orientation: float, cycles: float) -> list[Values]:
        """Both places ``(x, y)`` in bins; none if not finite or beyond the spectrum."""
        if not (math.isfinite(orientation) and math.isfinite(cycles)):
            return []
        places = [
            np.array(frequency_place(orientation, sign * cycles, self._bins)[::-1])
            for sign in (1, -1)
        ]
        limit = np.array(self._bins[::-1])
        return [place for place in places if ((place >= 0) & (place <= limit)).all()]


def _outlined(page: Page, points: Points, color: str) -> None:
    """A line that is seen on any color."""
    page.line(points, INK, 4)
    page.line(points, color, 2)


def _peak_text(orientation: float, cycles: float) -> str:
    if not (math.isfinite(orientation) and math.isfinite(cycles)):
        return "not defined"
    return f"{orientation % 180:.1f}°, {cycles:.3f} cycles/pixel"
