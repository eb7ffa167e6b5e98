"""Rankings as NumPy arrays, for further analysis of the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurovis.files import write_arrays
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.ranking_data import RankingData
from neurovis.tuning.rankings.base import Column

#: Arguments of the function that writes them.
_NOT_FOR_ARRAYS = ("file", "allow_pickle")


def save_arrays(path: str | Path, ranking: RankingData) -> None:
    """Write the arrays of :meth:`RankingData.to_npz`; the file is written whole or not at all.

    Args:
        path: Path of the file.
        ranking: Ranking that applies to its layer.

    Raises:
        OSError: If the file cannot be written.
    """
    arrays = _arrays(ranking)
    if ranking.grating_responses is not None:
        arrays |= _of_gratings(ranking.grating_responses)
    taken = {*arrays, *_NOT_FOR_ARRAYS}
    for name, column in ranking.values.items():
        # Custom rankings may give their columns any names.
        arrays[f"value_{name}" if name in taken else name] = _array(column)
    write_arrays(path, arrays)


def _arrays(ranking: RankingData) -> dict[str, Any]:
    """Return the arrays that every ranking has, by name."""
    arrays: dict[str, Any] = {
        "layer": np.array(ranking.layer),
        "by": np.array(ranking.by),
        "score_name": np.array(ranking.score_name),
        "notes": np.array(ranking.notes, dtype=np.str_),
        "score": _array(ranking.score),
        "ranks": _array(ranking.ranks),
        "null_percentile": _array(ranking.null_percentile),
        "reliability": _array(ranking.reliability),
        "dead": _array(ranking.dead),
        "null_score": _array(ranking.null_score),
        "rank_reliability": np.array(ranking.rank_reliability),
    }
    if ranking.curve is not None:
        arrays["curve"] = _array(ranking.curve)
    if len(ranking.curve_over):
        arrays["curve_over"] = _array(ranking.curve_over)
    return arrays


def _of_gratings(responses: GratingResponses) -> dict[str, Any]:
    return {
        "tuning": _array(responses.tuning),
        "modulations": _array(responses.modulations),
        "orientations": _array(responses.orientations),
        "spatial_frequencies": _array(responses.spatial_frequencies),
        "blank": _array(responses.blank),
        "is_rectified": np.array(responses.is_rectified),
    }


def _array(column: Column) -> Any:
    """Return a column as an array; words get a fixed length, so that no pickles are needed."""
    if not isinstance(column, Tensor):
        return np.array(list(column), dtype=np.str_)
    # NumPy has no bfloat16.
    values = column.float() if column.dtype == torch.bfloat16 else column
    return values.detach().cpu().numpy()
