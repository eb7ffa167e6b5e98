"""Sinusoidal gratings: every combination of orientation, spatial frequency, contrast and phase.

Orientation is that of the bars, in degrees counter-clockwise from horizontal as seen on the screen:
0 is ``---``, 45 is ``/``, 90 is ``|``. Every grating is computed for its angle, never rotated or
resized.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError
from neurovis.tuning.stimuli.base import Conditions, check_contrast, check_gains
from neurovis.tuning.stimuli.modulations import Modulation, uniform_modulation
from neurovis.tuning.stimuli.rendering import (
    MAX_SPATIAL_FREQUENCY,
    aperture_windows,
    center_of,
    check_diameters,
    check_frequencies,
    compose,
    sinusoids,
)


def default_spatial_frequencies(spec: InputSpec) -> tuple[float, ...]:
    """At most 8 spatial frequencies in half-octave steps, up to 0.35 cycles per pixel.

    Returns:
        Increasing, in cycles per pixel; none has less than one cycle in the image's smaller side,
        since the mean of such a grating leaks into the response.

    Raises:
        ValueError: If not even the highest fits the image.
    """
    smallest = 1 / min(spec.size)
    steps = [MAX_SPATIAL_FREQUENCY * 2 ** (-step / 2) for step in range(8)]
    fitting = tuple(frequency for frequency in reversed(steps) if frequency >= smallest)
    if not fitting:
        raise ValueError(
            f"size {spec.size} is too small for a grating: one cycle at the highest spatial "
            f"frequency, {MAX_SPATIAL_FREQUENCY} cycles/pixel, takes 3 pixels; show a larger input"
        )
    return fitting


class Gratings(Conditions):
    """Static gratings of every combination of their parameters, and a blank.

    Channel ``c`` is ``0.5 + 0.5 * contrast * gain_c * window * grating`` with ::

        grating = sin(2 pi f (-sin(theta) x - cos(theta) y) + phase)

    where ``y`` and ``x`` are the row (growing downwards) and the column, counted from ``center``.

    Args:
        spec: What the network is shown.
        orientations: Number of orientations, evenly spaced over [0, 180) degrees from 0 on.
        spatial_frequencies: Cycles per pixel of the network's input, increasing, at most 0.35; by
            default :func:`default_spatial_frequencies`.
        phases: Number of phases, evenly spaced over [0, 360) degrees from 0 on.
        contrasts: In (0, 1], increasing.
        modulations: Which channels are driven; by default all alike.
        aperture: Diameter in pixels, at half height, of a round window with a raised cosine edge
            that is 0.2 diameters wide; by default the grating fills the image.
        center: ``(row, column)`` in pixels of the aperture and of phase 0; by default the image's
            center.

    Attributes:
        orientations: Degrees, float32 ``(O,)``.
        spatial_frequencies: Cycles per pixel, float32 ``(F,)``.
        contrasts: float32 ``(C,)``.
        phases: Degrees, float32 ``(P,)``.
        modulations: The M modulations.

    Raises:
        ValueError: If an argument is out of its range, or a contrast times a gain leaves [0, 1].

    Example:
        >>> gratings = Gratings(InputSpec.rgb(32), orientations=4, spatial_frequencies=[0.125])
        >>> gratings.shape, len(gratings)
        ((1, 4, 1, 1, 8), 33)
        >>> gratings.condition(8)["orientation"], gratings.condition(gratings.blank_index)
        (45.0, {'blank': True})
    """

    # Added to the phase of the sine, in degrees.
    _phase_offset = 0.0

    def __init__(
        self,
        spec: InputSpec,
        orientations: int = 16,
        spatial_frequencies: Sequence[float] | None = None,
        phases: int = 8,
        contrasts: Sequence[float] = (1.0,),
        modulations: Sequence[Modulation] | None = None,
        aperture: float | None = None,
        center: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(spec)
        if spatial_frequencies is None:
            spatial_frequencies = default_spatial_frequencies(spec)
        self._frequencies = _increasing("spatial_frequencies", spatial_frequencies)
        check_frequencies(self._frequencies)
        self._contrasts = _increasing("contrasts", contrasts)
        for contrast in self._contrasts:
            check_contrast("contrasts", contrast)
        if modulations is None:
            modulations = (uniform_modulation(spec),)
        self.modulations = check_gains(spec, modulations, max(self._contrasts))
        self.center = center_of(spec, center)
        self.aperture = aperture
        self.orientations = _evenly_spaced("orientations", orientations, 180.0)
        self.phases = _evenly_spaced("phases", phases, 360.0)
        self.spatial_frequencies = torch.tensor(self._frequencies, dtype=torch.float32)
        self.contrasts = torch.tensor(self._contrasts, dtype=torch.float32)
        self._gains = torch.tensor([modulation.gains for modulation in self.modulations])
        self._window = self._make_window()

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """``(M, O, F, C, P)``: modulations, orientations, frequencies, contrasts and phases."""
        return (
            len(self.modulations),
            len(self.orientations),
            len(self.spatial_frequencies),
            len(self.contrasts),
            len(self.phases),
        )

    def condition(self, index: int) -> dict[str, str | float | bool]:
        """Describe stimulus ``index`` in words and numbers: degrees, cycles per pixel.

        Returns:
            ``modulation``, ``orientation``, ``spatial_frequency``, ``contrast`` and ``phase``, or
            ``{"blank": True}``.

        Raises:
            IndexError: If there is no such stimulus.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"stimuli are 0 to {len(self) - 1}; got {index}")
        if index == self.blank_index:
            return {"blank": True}
        modulation, orientation, frequency, contrast, phase = (
            int(place) for place in torch.unravel_index(torch.tensor(index), self.shape)
        )
        return {
            "modulation": self.modulations[modulation].name,
            "orientation": float(self.orientations[orientation]),
            "spatial_frequency": self._frequencies[frequency],
            "contrast": self._contrasts[contrast],
            "phase": float(self.phases[phase]),
        }

    def _make_window(self) -> Tensor | None:
        """``(1, H, W)``, or None where the grating fills the image."""
        if self.aperture is None:
            return None
        diameters = torch.tensor([self.aperture], dtype=torch.float64)
        check_diameters(diameters)
        return aperture_windows(self.spec.size, diameters, self.center)

    @override
    def draw(self, *places: Tensor) -> Tensor:
        modulation, orientation, frequency, contrast, phase = places
        amplitude = self.contrasts[contrast, None] * self._gains[modulation]
        return compose(
            sinusoids(
                self.spec.size,
                self.orientations[orientation],
                self.spatial_frequencies[frequency],
                self.phases[phase] + self._phase_offset,
                self.center,
            ),
            amplitude,
            self._window,
        )


def _increasing(name: str, values: Sequence[float]) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not numbers or any(not later > earlier for earlier, later in itertools.pairwise(numbers)):
        raise ArgumentError(f"{name} must be one or more increasing numbers; got {numbers}")
    return numbers


def _evenly_spaced(name: str, count: int, period: float) -> Tensor:
    if count < 1:
        raise ValueError(f"{name} is a number of {name}, at least 1; got {count}")
    return (torch.arange(count, dtype=torch.float64) * (period / count)).float()
