"""Options of rankings, shared by the function, the command and the monitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError
from neurovis.readouts import READOUTS, ReadoutName
from neurovis.tuning.stimuli import Gratings, Modulation, default_spatial_frequencies

#: Largest values; larger ones are mistakes, or exceed the memory.
_MAXIMA = {"orientations": 1800, "phases": 360, "null_kernels": 100_000, "batch_size": 1_000_000}


class RankingOptions(TypedDict, total=False):
    """Arguments of :class:`RankingSettings`, all optional."""

    orientations: int
    spatial_frequencies: Sequence[float] | None
    phases: int
    contrast: float
    aperture: float | None
    readout: ReadoutName
    rectify: bool
    null_kernels: int
    batch_size: int
    seed: int


@dataclass(frozen=True)
class RankingSettings:
    """Options for ranking kernels: gratings, readout, null kernels and batches.

    Args:
        orientations: Number of orientations of the gratings, evenly spaced over 180 degrees.
        spatial_frequencies: Cycles per pixel, at most 0.35; by default half-octave steps down
            from there, at most eight and none below one cycle per image.
        phases: Number of phases of each grating, evenly spaced over a cycle.
        contrast: Contrast of the gratings, in (0, 1].
        aperture: Diameter in pixels of the gratings' window; by default they fill the image,
            surround included.
        readout: What a kernel's response is: its unit in the center of the map, or the mean or
            max over the map (slower: the null kernels then have whole maps too).
        rectify: Pass the responses of layers that can be negative through a ReLU first, as where
            a network calls one as a function.
        null_kernels: How many random kernels of the same shape each layer is compared with.
        batch_size: Stimuli in a forward.
        seed: Seed of the random kernels.

    Raises:
        ValueError: If an option is out of its range.
        TypeError: If an option is no number, or not a list of them.
    """

    orientations: int = 16
    spatial_frequencies: Sequence[float] | None = None
    phases: int = 8
    contrast: float = 1.0
    aperture: float | None = None
    readout: ReadoutName = "center"
    rectify: bool = False
    null_kernels: int = 200
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("orientations", "phases", "null_kernels", "batch_size", "seed"):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{option} must be an integer; got {value!r}")
        frequencies = self.spatial_frequencies
        if frequencies is not None and (
            isinstance(frequencies, str) or not isinstance(frequencies, Sequence)
        ):
            raise TypeError(f"spatial_frequencies must be a list of numbers; got {frequencies!r}")
        if self.orientations < 4:
            raise ValueError(
                f"orientations must be at least 4, and 8 for sharp tuning; got {self.orientations}"
            )
        if self.phases < 3:
            raise ValueError(f"phases must be at least 3, to tell F1; got {self.phases}")
        if self.readout not in READOUTS:
            raise ValueError(f'readout must be "center", "mean" or "max"; got {self.readout!r}')
        if self.null_kernels < 0:
            raise ValueError(f"null_kernels must be at least 0; got {self.null_kernels}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {self.batch_size}")
        for option, most in _MAXIMA.items():
            if getattr(self, option) > most:
                raise ValueError(f"{option} must be at most {most}; got {getattr(self, option)}")

    def gratings(
        self, spec: InputSpec, modulations: Sequence[Modulation] | None = None
    ) -> Gratings:
        """Return gratings with these settings.

        Args:
            spec: What the network is shown.
            modulations: Which channels are driven; by default all alike. With several, whose sums
                over all gratings are compared, there are fewer gratings of each.

        Raises:
            ArgumentError: If the settings are wrong in themselves, or a spatial frequency is less
                than one cycle in the image.
            ValueError: If the image is too small for gratings.
        """
        frequencies = self.spatial_frequencies
        if frequencies is None:
            frequencies = default_spatial_frequencies(spec)
        lowest = 1 / min(spec.size)
        if frequencies and 0 < min(frequencies) < lowest * (1 - 1e-6):
            raise ArgumentError(
                f"spatial_frequencies: {min(frequencies):g} cycles/pixel are less than one cycle "
                f"in an image of {min(spec.size)} px, whose mean would change with the phase; give "
                f"at least {lowest:.3g}"
            )
        orientations, phases = self.orientations, self.phases
        if modulations is not None:
            orientations, phases = max(4, orientations // 4 * 2), min(phases, 4)
            frequencies = list(frequencies)[-1::-2][::-1]
        return Gratings(
            spec,
            orientations,
            frequencies,
            phases,
            [self.contrast],
            modulations,
            aperture=self.aperture,
        )
