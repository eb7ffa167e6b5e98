"""Responses of kernels to gratings as a table, and the tuning curves in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from neurovis.tuning.measures import first_harmonic
from neurovis.tuning.stimuli import Conditions, Gratings

#: Dead kernels vary less than this fraction of the range of the layer's most responsive kernel.
_SILENCE = 1e-6
_PEAK_TOLERANCE = 1e-5
#: With fewer phases F1 cannot be told from half of them.
PHASES_TO_SPLIT = 6


@dataclass(frozen=True)
class GratingResponses:
    """The responses of ``K`` kernels to ``M`` modulations of gratings.

    Attributes:
        table: ``(K, M, O, F, P)``, modulations x orientations x spatial frequencies x phases.
        blank: ``(K,)``, the responses to mid gray.
        is_rectified: Whether they are cut off at 0.
        orientations: ``(O,)`` in degrees.
        spatial_frequencies: ``(F,)`` in cycles per pixel.
        modulations: Names of the channels that gratings modulate, ``M``.
        split: The axis that :meth:`half` takes every second value of: ``"orientation"`` or
            ``"spatial_frequency"``.
        split_phases: Whether it leaves out every second phase too, if there are enough.
    """

    table: Tensor
    blank: Tensor
    is_rectified: bool
    orientations: Tensor
    spatial_frequencies: Tensor
    modulations: Sequence[str]
    split: str = "orientation"
    split_phases: bool = True

    @classmethod
    def to_gratings(
        cls,
        gratings: Conditions,
        means: Tensor,
        is_rectified: bool,
        split: str = "orientation",
        split_phases: bool = True,
    ) -> GratingResponses:
        """Arrange mean responses to gratings as a table.

        Args:
            gratings: What was shown.
            means: ``(K, n)``, responses to each, the blank last.
            is_rectified: Whether they are cut off at 0.
            split: As the attribute.
            split_phases: As the attribute.

        Raises:
            TypeError: If these are no gratings.
        """
        if not isinstance(gratings, Gratings):
            raise TypeError(
                f"the stimuli of a GratingRanking must be Gratings; got {type(gratings).__name__}"
            )
        return cls(
            # The highest contrast; there is one.
            means[:, :-1].unflatten(1, gratings.shape)[:, :, :, :, -1],
            means[:, -1],
            is_rectified,
            gratings.orientations,
            gratings.spatial_frequencies,
            [modulation.name for modulation in gratings.modulations],
            split,
            split_phases,
        )

    @cached_property
    def tuning(self) -> Tensor:
        """The responses without phase, non-negative, ``(K, M, O, F)``.

        The amplitude of the modulation with phase, or, for rectified responses, the mean over
        phases above the response to the blank, 0 where it is below.
        """
        return significant_without_phase(self.table, self.blank, self.is_rectified)

    @property
    def response_name(self) -> str:
        """Name of the responses in :attr:`tuning`."""
        return "response above the blank's" if self.is_rectified else "F1 amplitude"

    @cached_property
    def best_modulation(self) -> Tensor:
        """Index ``(K,)`` of the modulation that each kernel responds to most."""
        return self.tuning.flatten(2).sum(2).nan_to_num(-torch.inf).argmax(1)

    @property
    def undriven(self) -> Tensor:
        """True for kernels that no grating drives further than gray does, ``(K,)``."""
        return self.tuning.flatten(1).amax(1) == 0

    @property
    def suppression(self) -> Tensor:
        """Fraction ``(K,)`` of the gratings that a kernel responds to less than to the blank."""
        below = self.blank.view(-1, 1, 1, 1) - self.table.mean(-1)
        share = (significant(below, self.table, self.blank) > 0).double().flatten(1).mean(1)
        return share.where(self.tuning.flatten(1).isfinite().all(1), torch.nan)

    @property
    def dead(self) -> Tensor:
        """True for kernels with the same response to all stimuli, the blank included, ``(K,)``."""
        return are_dead(torch.cat([self.table.flatten(1), self.blank[:, None]], dim=1))

    def kernels(self, rows: slice) -> GratingResponses:
        """Return the responses of some of the kernels."""
        return replace(self, table=self.table[rows], blank=self.blank[rows])

    def half(self, number: int) -> GratingResponses | None:
        """Return half 0 or 1 of the stimuli; None if there is too little along the axis."""
        orientations, frequencies, phases = self.table.shape[2:]
        taken = slice(number, None, 2)
        parts = replace(
            self,
            table=self.table[..., taken]
            if self.split_phases and phases >= PHASES_TO_SPLIT
            else self.table,
        )
        if self.split == "orientation":
            if orientations < 4 or orientations % 2:
                return None
            return replace(
                parts, table=parts.table[:, :, taken], orientations=self.orientations[taken]
            )
        if frequencies < 2:
            return None
        # As many on both sides.
        taken = slice(number, frequencies - frequencies % 2, 2)
        return replace(
            parts,
            table=parts.table[:, :, :, taken],
            spatial_frequencies=self.spatial_frequencies[taken],
        )


def are_dead(responses: Tensor) -> Tensor:
    """True for kernels with the same response ``(K, n)`` to all stimuli, but for rounding."""
    spread = responses.amax(1) - responses.amin(1)
    # Kernels whose responses are not finite are not dead.
    largest = spread[spread.isfinite()].amax() if spread.isfinite().any() else torch.nan
    return spread <= _SILENCE * largest


def without_phase(table: Tensor, blank: Tensor, is_rectified: bool) -> Tensor:
    """Return non-negative responses ``(K, ...)`` to gratings of all phases.

    Args:
        table: ``(K, ..., P)``, over phases.
        blank: ``(K,)``, the responses to mid gray.
        is_rectified: Whether they are cut off at 0: they are means above the blank's then, else
            amplitudes of the modulation with phase.
    """
    if is_rectified:
        return (table.mean(-1) - blank.view(-1, *[1] * (table.ndim - 2))).clamp(min=0)
    return first_harmonic(table)


def significant_without_phase(table: Tensor, blank: Tensor, is_rectified: bool) -> Tensor:
    """Return the responses :func:`without_phase`, those within float32's rounding as 0."""
    return significant(without_phase(table, blank, is_rectified), table, blank)


def significant(differences: Tensor, table: Tensor, blank: Tensor) -> Tensor:
    """Return differences of responses ``(K, ...)``, those within float32's rounding as 0.

    Args:
        differences: ``(K, ...)``; negative ones become 0 too.
        table: Responses ``(K, ...)`` that they are between.
        blank: ``(K,)``, the responses to mid gray.
    """
    largest = torch.cat([table.flatten(1), blank[:, None]], dim=1).abs().amax(1)
    rounding = _PEAK_TOLERANCE * largest.view(-1, *[1] * (differences.ndim - 1))
    return torch.where(differences > rounding, differences, differences * 0)


def best_grating(responses: GratingResponses) -> Tensor:
    """Number ``(K,)`` of each kernel's best grating, in the order orientations x frequencies.

    -1 for kernels that no grating drives, or whose responses are not finite.
    """
    tuning = responses.tuning[:, 0].flatten(1)
    is_driven = (tuning.amax(1) > 0) & tuning.isfinite().all(1)
    return _first_peak(tuning).masked_fill(~is_driven, -1)


def best_frequency(tuning: Tensor) -> Tensor:
    """Index ``(K,)`` of the spatial frequency with the highest response of ``(K, O, F)``."""
    return _first_peak(tuning.amax(1))


def best_orientation(tuning: Tensor) -> Tensor:
    """Index ``(K,)`` of the orientation with the highest response of ``(K, O, F)``."""
    return _first_peak(tuning.amax(2))


def _first_peak(responses: Tensor) -> Tensor:
    """Index ``(K,)`` of the first that is as good as the highest of ``(K, n)``."""
    responses = responses.nan_to_num(-torch.inf)
    near = responses >= responses.amax(1, keepdim=True) * (1 - _PEAK_TOLERANCE)
    return near.int().argmax(1)


def orientation_curves(tuning: Tensor) -> Tensor:
    """Responses ``(K, O)`` at each kernel's best spatial frequency, of ``(K, O, F)``."""
    best = best_frequency(tuning)
    return tuning[torch.arange(len(tuning)), :, best]


def frequency_curves(tuning: Tensor) -> Tensor:
    """Responses ``(K, F)`` at each kernel's best orientation, of ``(K, O, F)``."""
    best = best_orientation(tuning)
    return tuning[torch.arange(len(tuning)), best]
