"""Write the figures and arrays of rankings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from neurovis.analysis.preferred_images import Comparison
from neurovis.analysis.ranked_fields import RankedFields
from neurovis.result_files import ResultFiles
from neurovis.tables import write_table
from neurovis.tuning.ranking_observation import ranking_observation, reference_observation
from neurovis.tuning.reference_scores import ReferenceScores
from neurovis.tuning.results import KernelRanking

#: Results of the first kernels of a ranking.
FirstKernels = TypeVar("FirstKernels", Comparison, RankedFields)

_SHEETS = (
    "**What one kernel is tuned to**: its response to gratings of all orientations and spatial "
    "frequencies (cycles per pixel of the input), in the layer's own unit. The slider goes through "
    "the kernels, from the first of the ranking on; their numbers are in the titles."
)


def save_ranking(
    ranking: KernelRanking,
    files: ResultFiles,
    *,
    top: int = 24,
    sheets: int = 4,
    pictures: Tensor | None = None,
) -> None:
    """Write the figures of a ranking, and log them with the scores.

    Args:
        ranking: Ranking that applies to its layer.
        files: Folder and loggers to write to.
        top: Maximum number of kernels in a figure.
        sheets: First kernels of a ranking by gratings that get a figure of their own.
        pictures: Preferred images ``(K, C, H, W)`` in [0, 1], NaN for kernels without one, drawn
            where the ranking has no weights.

    Raises:
        OSError: If a file cannot be written.
    """
    # The weights of a layer over the image say more.
    images = None if ranking.weights is not None else pictures
    observation = ranking_observation(ranking, pictures=images, count=top)
    names = {tag: tag.replace(f"{ranking.tag}/", f"{ranking.tag}_") for tag in observation.pictures}
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
    for place, kernel in enumerate(ranking.first(count)):
        # A rank is no part of a tag.
        name = f"{ranking.tag}/kernel_{kernel:04d}"
        files.save_figure(name, ranking.sheet(kernel), f"{ranking.tag}/sheets", place, _SHEETS)


def save_reference_scores(scores: ReferenceScores, files: ResultFiles) -> None:
    """Write the table and figures of scores against a reference, and log figures and scores.

    Args:
        scores: From :func:`~neurovis.tuning.score_against_reference`.
        files: Folder and loggers to write to.

    Raises:
        OSError: If a file cannot be written.
    """
    scores.to_csv(files.folder / "reference_scores.csv")
    observation = replace(reference_observation(scores), charts={})
    files.save_observation(observation, {tag: tag for tag in observation.pictures})


def save_first_kernels(results: Iterable[FirstKernels], files: ResultFiles) -> list[FirstKernels]:
    """Write the figures of each result as it comes, and a table of all in the end.

    Args:
        results: From :func:`~neurovis.analysis.compare_preferred_images` or
            :func:`~neurovis.analysis.map_ranked_fields`.
        files: Folder and loggers to write to.

    Returns:
        The results.

    Raises:
        OSError: If a file cannot be written.
    """
    saved = []
    for result in results:
        tag = result.gratings.ranking.tag
        for name, figure in result.figures().items():
            words = result.DESCRIPTIONS[name]
            files.save_figure(f"{tag}_{name}", figure, f"{tag}/{name}", 0, words)
        saved.append(result)
    if saved:
        rows = [row for result in saved for row in result.rows()]
        write_table(files.folder / saved[0].TABLE, rows, digits=6)
    return saved
