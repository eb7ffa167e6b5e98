"""Write the figures and arrays of rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from neurovis.analysis.preferred_gratings import ranking_tag
from neurovis.analysis.progress import Progress, without_progress
from neurovis.analysis.result_files import ResultFiles
from neurovis.tuning.observation import ranking_observation
from neurovis.tuning.results import KernelRanking, Rankings

_SHEETS = (
    "**What one kernel is tuned to**: its response to gratings of all orientations and spatial "
    "frequencies (cycles per pixel of the input), in the layer's own unit. The slider goes through "
    "the kernels, from the first of the ranking on; their numbers are in the titles."
)


def save_ranking_arrays(rankings: Rankings, files: ResultFiles) -> None:
    """Write the arrays of each ranking beside where its figure will be.

    Args:
        rankings: Rankings; those that do not apply to their layer are left out.
        files: Folder and loggers to write to.

    Raises:
        OSError: If a file cannot be written.
    """
    for ranking in rankings:
        if ranking.reason is None:
            ranking.to_npz(files.path(ranking_tag(ranking), ".npz"))


def save_ranking_figures(
    rankings: Rankings,
    files: ResultFiles,
    *,
    top: int = 24,
    sheets: int = 4,
    pictures: Mapping[tuple[str, str], Tensor] | None = None,
    progress: Progress = without_progress,
) -> None:
    """Write the figures of rankings, and log them with the scores.

    Args:
        rankings: Rankings; those that do not apply to their layer are left out.
        files: Folder and loggers to write to.
        top: Maximum number of kernels in a figure.
        sheets: First kernels of a ranking by gratings that get a figure of their own.
        pictures: By layer and ranking, preferred images ``(K, C, H, W)`` in [0, 1], NaN for
            kernels without one; drawn where a ranking has no weights.
        progress: Shows how many rankings are drawn.

    Raises:
        OSError: If a file cannot be written.
    """
    applicable = [ranking for ranking in rankings if ranking.reason is None]
    for ranking in progress(applicable, "rankings drawn"):
        images = (pictures or {}).get((ranking.layer, ranking.by))
        # The weights of a layer over the image say more.
        observation = ranking_observation(
            ranking, pictures=None if ranking.weights is not None else images, count=top
        )
        tag = ranking_tag(ranking)
        names = {one: one.replace(f"{tag}/", f"{tag}_") for one in observation.pictures}
        # At a single step there are no curves to be put into charts.
        files.save_observation(replace(observation, charts={}), names)
        save_sheets(ranking, files, sheets)


def save_sheets(ranking: KernelRanking, files: ResultFiles, count: int = 4) -> None:
    """Write a figure of the tuning of each of the first kernels of a ranking by gratings.

    Raises:
        OSError: If a file cannot be written.
    """
    if ranking.grating_responses is None:
        return
    tag = ranking_tag(ranking)
    for place, kernel in enumerate(ranking.first(count)):
        # A rank is no part of a tag.
        name, figure = f"{tag}/kernel_{kernel:04d}", ranking.sheet(kernel)
        files.save_figure(name, figure, f"{tag}/sheets", place, _SHEETS)
