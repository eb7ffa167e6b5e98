"""Gratings that kernels prefer, each shown in several ways: fainter, smaller, or with a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.tuning.stimuli.base import Stimuli, check_contrast, check_gains
from neurovis.tuning.stimuli.modulations import Modulation, uniform_modulation
from neurovis.tuning.stimuli.rendering import (
    aperture_windows,
    bar_windows,
    center_of,
    check_diameters,
    check_frequencies,
    compose,
    sinusoids,
)

#: With less there is no grating left in a window.
_SMALLEST_EXTENT = 3.0


def default_extents(spec: InputSpec) -> list[float]:
    """Diameters or lengths of windows in half-octave steps, up to the image's smaller side.

    Returns:
        Increasing, in pixels, from at least 3 on.

    Raises:
        ValueError: If the image is too small for two.
    """
    largest = min(spec.size)
    count = int(2 * math.log2(largest / _SMALLEST_EXTENT) + 1e-9) + 1
    if count < 2:
        raise ValueError(
            f"images of size {spec.size} are too small for gratings of different diameters"
        )
    return [largest * 2 ** (-step / 2) for step in reversed(range(count))]


@dataclass(frozen=True)
class Variation:
    """A way to show a grating.

    Attributes:
        contrast: Contrast of the grating, in (0, 1].
        diameter: Diameter in pixels of a round window; None for gratings without one.
        length: Length in pixels, along the bars, of a window that is one cycle wide; None for
            gratings without one.
        mask: Contrast of a grating at a right angle, added to it; 0 for none.
        mask_phase: Phase of the mask, in degrees.
    """

    contrast: float = 1.0
    diameter: float | None = None
    length: float | None = None
    mask: float = 0.0
    mask_phase: float = 0.0


class VariedGratings(Stimuli):
    """Given gratings in every variation, at all phases; :class:`Gratings` defines a grating.

    Args:
        spec: What the network is shown.
        orientations: Orientation of each grating's bars, in degrees, ``(G,)``.
        spatial_frequencies: Cycles per pixel, at most 0.35, ``(G,)``.
        variations: The ways to show each of them, ``V``.
        phases: Number of phases ``P``, evenly spaced over 360 degrees.
        modulation: Which channels are driven; by default all alike.
        center: ``(row, column)`` in pixels of phase 0 and of all windows; by default the image's
            center.

    Attributes:
        shape: ``(G, V, P)``.
        variations: The variations.

    Raises:
        ValueError: If an argument is out of its range, or a contrast times a gain leaves [0, 1].
    """

    def __init__(
        self,
        spec: InputSpec,
        orientations: Tensor,
        spatial_frequencies: Tensor,
        variations: Sequence[Variation],
        phases: int,
        modulation: Modulation | None = None,
        center: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(spec)
        check_frequencies(spatial_frequencies.tolist())
        modulation = modulation or uniform_modulation(spec)
        for one in variations:
            check_contrast("contrast", one.contrast)
            check_gains(spec, [modulation], one.contrast + one.mask)
            extents = [extent for extent in (one.diameter, one.length) if extent is not None]
            check_diameters(torch.tensor(extents))
        self.variations = list(variations)
        self.shape = len(orientations), len(self.variations), phases
        self._orientations = orientations.double()
        self._frequencies = spatial_frequencies.double()
        self._gains = torch.tensor([modulation.gains])
        self._center = center_of(spec, center)

    def __len__(self) -> int:
        gratings, variations, phases = self.shape
        return gratings * variations * phases

    def _render(self, indices: Tensor) -> Tensor:
        grating, variation, phase = torch.unravel_index(indices, self.shape)
        orientation, frequency = self._orientations[grating], self._frequencies[grating]
        shown = [self.variations[place] for place in variation.tolist()]
        size, center = self.spec.size, self._center
        turn = phase * (360 / self.shape[2])
        images = sinusoids(size, orientation, frequency, turn, center)
        images *= torch.tensor([one.contrast for one in shown])[:, None, None]
        if any(one.mask for one in shown):
            turn = torch.tensor([one.mask_phase for one in shown])
            mask = sinusoids(size, orientation + 90, frequency, turn, center)
            images += mask * torch.tensor([one.mask for one in shown])[:, None, None]
        return compose(images, self._gains.expand(len(shown), -1), self._windows(indices))

    def _windows(self, indices: Tensor) -> Tensor | None:
        """``(B, H, W)``, each computed once for all phases; None where nothing has a window."""
        kinds, which = (indices // self.shape[2]).unique(return_inverse=True)
        shown = [self.variations[kind % self.shape[1]] for kind in kinds.tolist()]
        orientation = self._orientations[kinds // self.shape[1]]
        cycle = 1 / self._frequencies[kinds // self.shape[1]]
        windows = torch.ones(len(shown), *self.spec.size)
        round_ones = [one.diameter is not None for one in shown]
        if any(round_ones):
            diameters = [one.diameter for one in shown if one.diameter is not None]
            extents = torch.tensor(diameters, dtype=torch.float64)
            windows[torch.tensor(round_ones)] = aperture_windows(
                self.spec.size, extents, self._center
            )
        bars = torch.tensor([one.length is not None for one in shown])
        if bars.any():
            lengths = [one.length for one in shown if one.length is not None]
            windows[bars] *= bar_windows(
                self.spec.size,
                orientation[bars],
                torch.tensor(lengths, dtype=torch.float64),
                cycle[bars],
                self._center,
            )
        return windows[which] if any(round_ones) or bars.any() else None
