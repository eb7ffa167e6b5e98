"""Responses of kernels to their best gratings, shown in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from neurovis.tuning.grating_responses import PHASES_TO_SPLIT, significant_without_phase
from neurovis.tuning.stimuli import Variation


@dataclass(frozen=True)
class VariedResponses:
    """The responses of ``K`` kernels, each to its own best grating in ``V`` variations.

    Attributes:
        table: ``(K, V, P)``, over phases; NaN for kernels that no grating drives.
        blank: ``(K,)``, the responses to mid gray.
        is_rectified: Whether they are cut off at 0.
        dead: ``(K,)``, which kernels respond to nothing.
        orientation: ``(K,)`` in degrees, of the best grating.
        spatial_frequency: ``(K,)`` in cycles per pixel.
        variations: How the gratings were shown.
    """

    table: Tensor
    blank: Tensor
    is_rectified: bool
    dead: Tensor
    orientation: Tensor
    spatial_frequency: Tensor
    variations: Sequence[Variation]

    @cached_property
    def tuning(self) -> Tensor:
        """The responses without phase, non-negative, ``(K, V)``, as those to all gratings are."""
        return significant_without_phase(self.table, self.blank, self.is_rectified)

    @property
    def undriven(self) -> Tensor:
        """True for kernels that nothing shown drives further than gray does, ``(K,)``."""
        return ~(self.tuning.amax(1) > 0) & self.blank.isfinite()

    def of(self, variations: Sequence[Variation]) -> VariedResponses:
        """Return the responses to some of the variations, in their order."""
        places = [self.variations.index(one) for one in variations]
        return replace(self, table=self.table[:, places], variations=variations)

    def kernels(self, rows: slice) -> VariedResponses:
        """Return the responses of some of the kernels."""
        names = ("table", "blank", "dead", "orientation", "spatial_frequency")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def half(self, number: int) -> VariedResponses | None:
        """Return the responses to every second phase, from 0 or 1 on; None if there are too few."""
        if self.table.shape[-1] < PHASES_TO_SPLIT:
            return None
        return replace(self, table=self.table[..., number::2])
