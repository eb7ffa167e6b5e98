"""Find the gratings that the first kernels of a ranking prefer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from neurovis.tuning.grating_responses import frequency_curves, orientation_curves
from neurovis.tuning.measures import (
    global_orientation_selectivity,
    preferred_orientation,
    preferred_spatial_frequency,
)
from neurovis.tuning.results import KernelRanking, Rankings

#: gOSI; 95 % of random kernels over an image have less.
_TUNED = 0.4


@dataclass(frozen=True)
class PreferredGratings:
    """Preferred gratings of the first ``N`` kernels of a ranking.

    Attributes:
        ranking: The ranking, by responses to gratings.
        kernels: The kernels, best first.
        orientation: ``(N,)`` of the bars, in degrees; NaN where undefined.
        spatial_frequency: ``(N,)`` in cycles per pixel.
        selectivity: ``(N,)``, gOSI: without it an orientation means little.
        at_range_end: ``(N,)``, True where the preferred frequency is the highest or lowest that was
            shown, so that the true one may lie beyond.
    """

    ranking: KernelRanking
    kernels: list[int]
    orientation: Tensor
    spatial_frequency: Tensor
    selectivity: Tensor
    at_range_end: Tensor

    @property
    def is_tuned(self) -> Tensor:
        """``(N,)``, True for kernels that are more selective than nearly all random ones."""
        return self.selectivity >= _TUNED

    def rows(self, columns: Mapping[str, Tensor]) -> Iterator[dict[str, object]]:
        """One row of a table for each kernel.

        Args:
            columns: By name, ``(N,)`` each.
        """
        for place, kernel in enumerate(self.kernels):
            cells = {name: values[place].item() for name, values in columns.items()}
            yield {"layer": self.ranking.layer, "kernel": kernel, "by": self.ranking.by, **cells}


def preferred_gratings(rankings: Rankings, count: int) -> Iterator[PreferredGratings]:
    """Yield the gratings that the first kernels of each ranking prefer.

    Where gratings differ in color or modality too, they count together. Rankings by something other
    than gratings, and those in which no kernel has a score, are left out.

    Args:
        rankings: Rankings of any layers.
        count: Maximum number of kernels of each.
    """
    for ranking in rankings:
        kernels = ranking.first(count)
        if ranking.grating_responses is None or not kernels:
            continue
        tuning = ranking.grating_responses.tuning[kernels].sum(1)
        frequencies = ranking.grating_responses.spatial_frequencies.to(tuning)
        curves = orientation_curves(tuning)
        preferred = preferred_spatial_frequency(frequency_curves(tuning), frequencies)
        yield PreferredGratings(
            ranking,
            kernels,
            preferred_orientation(curves).float(),
            preferred.float(),
            global_orientation_selectivity(curves).float(),
            (preferred <= frequencies[0]) | (preferred >= frequencies[-1]),
        )
