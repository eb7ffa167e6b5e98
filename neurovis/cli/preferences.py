"""The gratings that ranked kernels prefer, for what else is asked of the first kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
from jsonargparse import Namespace
from torch import Tensor, nn

from neurovis.inputs import InputSpec
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
class RankedNetwork:
    """A network whose kernels were ranked.

    Args:
        network: As it was loaded, perhaps on another device by now.
        spec: What it is shown.
        options: The command's options.
        trainer: That showed the stimuli.
        folder: For results.
    """

    network: nn.Module
    spec: InputSpec
    options: Namespace
    trainer: pl.Trainer
    folder: Path


@dataclass(frozen=True)
class PreferredGratings:
    """Those of the first ``N`` kernels of a ranking by gratings.

    Attributes:
        ranking: The ranking.
        kernels: The kernels, best first.
        orientation: ``(N,)`` of the bars, in degrees; NaN where undefined.
        spatial_frequency: ``(N,)`` in cycles per pixel.
        selectivity: ``(N,)``, gOSI: without it an orientation means little.
        at_range_end: ``(N,)``, whether the preferred frequency is the highest or lowest that was
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
        """``(N,)``, which kernels are more selective than nearly all random ones."""
        return self.selectivity >= _TUNED


def preferred_gratings(rankings: Rankings, count: int) -> Iterator[PreferredGratings]:
    """Yield the gratings that the first kernels of each applicable ranking prefer.

    Where gratings differ in color or modality too, they count together.
    """
    for ranking in rankings:
        kernels = first_kernels(ranking, count)
        if ranking.seen is None or not kernels:
            continue
        tuning = ranking.seen.tuning[kernels].sum(1)
        frequencies = ranking.seen.spatial_frequencies.to(tuning)
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


def first_kernels(ranking: KernelRanking, count: int) -> list[int]:
    """The first kernels of a ranking, at most as many as have a score; none if it has none."""
    scored = int(ranking.score.isfinite().sum())
    return ranking.order[: min(count, scored)]
