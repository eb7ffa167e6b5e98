"""Rankings as tables: a row for each kernel, in the order of their ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from neurovis.tables import write_table
from neurovis.tuning.ranking_data import RankingData

#: Columns of every table, in their order; those of the rankings follow.
_RANKING_COLUMNS = (
    "layer",
    "kernel",
    "by",
    "score",
    "rank",
    "null_percentile",
    "reliability",
    "dead",
)
#: The rankings' own columns that come first in a table.
_LEADING = ("class_name", "preferred_orientation", "preferred_spatial_frequency")


def ranking_rows(ranking: RankingData) -> Iterator[dict[str, object]]:
    """A row for each kernel, in the order of their ranks; NaN is undefined."""
    ranks = ranking.ranks
    for kernel in ranking.order:
        row: dict[str, object] = {
            "layer": ranking.layer,
            "kernel": kernel,
            "by": ranking.by,
            "score": _cell(ranking.score[kernel]),
            "rank": int(ranks[kernel]),
            "null_percentile": _cell(ranking.null_percentile[kernel]),
            "reliability": _cell(ranking.reliability[kernel]),
            "dead": bool(ranking.dead[kernel]),
        }
        if ranking.class_names:
            row["class_name"] = ranking.class_names[kernel]
        row |= {name: _cell(column[kernel]) for name, column in ranking.values.items()}
        if ranking.reason is not None:
            row |= {"rank": "", "dead": "", "note": f"not applicable: {ranking.reason}"}
        else:
            row["note"] = "; ".join(ranking.notes)
        yield row


def save_table(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of one or several rankings; the file appears whole or not at all.

    Args:
        path: Path of the file.
        rows: As :func:`ranking_rows` gives them; those of one ranking may have columns that others
            do not have.

    Raises:
        OSError: If the file cannot be written.
    """
    further = dict.fromkeys(name for row in rows for name in row if name not in _RANKING_COLUMNS)
    further.pop("note", None)
    leading = [name for name in _LEADING if name in further]
    columns = [*_RANKING_COLUMNS, *dict.fromkeys([*leading, *further]), "note"]
    write_table(path, rows, columns, digits=6)


def _cell(value: Tensor | str) -> float | str:
    return value if isinstance(value, str) else float(value)
