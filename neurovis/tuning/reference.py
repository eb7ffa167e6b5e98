"""Distributions of neurons that kernels are compared with: published counts, or your recordings."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: Properties in degrees of visual angle or cycles per degree, which are counted in octaves, and the
#: power of pixels per degree that makes them of pixels.
IN_DEGREES = {"preferred_spatial_frequency": 1, "preferred_size": -1, "surround_diameter": -1}
#: Repeats after 180 degrees.
_ORIENTATION = "preferred_orientation"
#: Columns that a table of counts is told by; any other table has a row for each cell.
_OF_COUNTS = ("property", "count")


@dataclass(frozen=True)
class Distribution:
    """Neurons counted by one property.

    Attributes:
        name: The property: a column of a ranking's table, or the name of its score.
        edges: ``(bins + 1,)``, rising.
        counts: ``(bins,)``.
        source: Where the counts are from.
    """

    name: str
    edges: Numbers
    counts: Counts
    source: str

    def __post_init__(self) -> None:
        if len(self.counts) < 2 or not (np.diff(self.edges) > 0).all():
            raise ValueError(
                f"{self.name} needs 2 or more bins with rising edges; got {self.edges.tolist()}"
            )
        if (self.counts < 0).any() or not self.counts.sum():
            raise ValueError(
                f"counts of {self.name} must be 0 or more, and one of them more; "
                f"got {self.counts.tolist()}"
            )
        if self.name == _ORIENTATION and not np.isclose(self.edges[-1] - self.edges[0], 180):
            raise ValueError(
                f"bins of {self.name} must span 180 degrees, after which it repeats; "
                f"got {self.edges[0]:g} to {self.edges[-1]:g}"
            )

    def has_any(self, values: Numbers) -> bool:
        """True if one or more of the values ``(n,)`` are not beyond the outermost bins."""
        is_inside = (values >= self.edges[0]) & (values <= self.edges[-1])
        return self.name == _ORIENTATION or bool(is_inside.any())

    def bins(self, values: Numbers) -> Counts:
        """Return the bin of each value ``(n,)``, the first or last for those beyond; -1 for NaN."""
        if self.name == _ORIENTATION:
            values = (values - self.edges[0]) % 180 + self.edges[0]
        return np.where(np.isfinite(values), np.digitize(values, self.edges[1:-1]), -1)


@dataclass(frozen=True)
class Reference:
    """Distributions of neurons to compare kernels with.

    Attributes:
        name: What tables and figures call it.
        distributions: By property.
    """

    name: str
    distributions: Mapping[str, Distribution]


def load_reference(reference: str | Path) -> Reference:
    """Read the distributions of a reference.

    Args:
        reference: ``"macaque_v1"``, or the path of a CSV file: a row for each cell, with its
            properties in the columns (empty where unknown); or a row for each bin of a
            distribution, with the columns ``property,low,high,count`` and, if given, ``source``.
            Properties are named as in a ranking's table or as its score (``gOSI``, ``F1/F0``);
            spatial frequencies are in cycles per degree, sizes in degrees. Columns without a
            number, such as names, or with the same one throughout are ignored.

    Raises:
        ValueError: If there is no such reference, or the file is not such a table.
    """
    folder = files("neurovis.tuning") / "references"
    known = sorted(item.name.removesuffix(".csv") for item in folder.iterdir())
    name = str(reference)
    if name in known:
        return _parsed(name, (folder / f"{name}.csv").read_text(encoding="utf-8"))
    path = Path(reference)
    if not path.is_file():
        near = get_close_matches(name, known, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"give {', '.join(known)}, or a CSV file"
        raise ValueError(f'reference "{name}" not found; {hint}')
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"reference {name} is not a text file in UTF-8") from error
    return _parsed(path.stem, text)


def checked_reference(
    reference: Reference | str | Path, pixels_per_degree: float | None
) -> Reference:
    """Return a reference, loaded if need be.

    Raises:
        ValueError: If there is no such reference, or the pixels per degree are not positive.
    """
    if pixels_per_degree is not None and not 0 < pixels_per_degree < float("inf"):
        raise ValueError(f"pixels_per_degree must be a positive number; got {pixels_per_degree}")
    return reference if isinstance(reference, Reference) else load_reference(reference)


def optional_reference(
    reference: str | Path | None, pixels_per_degree: float | None
) -> Reference | None:
    """Return a reference that may not be asked for, loaded.

    Raises:
        ValueError: As of :func:`checked_reference`, or if there are pixels per degree without one.
    """
    if reference is not None:
        return checked_reference(reference, pixels_per_degree)
    if pixels_per_degree is not None:
        raise ValueError(
            "pixels_per_degree is for the comparison with neurons; give a reference too, such as "
            "macaque_v1"
        )
    return None


def _parsed(name: str, text: str) -> Reference:
    # Spreadsheets end in rows of commas.
    lines = csv.reader(line for line in text.splitlines() if line.strip(", "))
    columns = [column.strip() for column in next(lines, [])]
    repeated = [column for column in columns if column and columns.count(column) > 1]
    if repeated:
        raise ValueError(f"reference {name} has two columns {repeated[0]}; leave one of them out")
    rows = [_row(name, columns, line) for line in lines]
    if set(_OF_COUNTS) <= set(columns):
        found = _from_counts(rows)
    else:
        found = [_from_cells(column, rows, name) for column in columns if _varies(column, rows)]
    if not found:
        raise ValueError(
            f"reference {name} has no column of different numbers under a name; it must be a table "
            "with commas between the columns and their names in the first row"
        )
    return Reference(name, {one.name: one for one in found})


def _row(name: str, columns: Sequence[str], line: Sequence[str]) -> Mapping[str, str]:
    if any(text.strip() for text in line[len(columns) :]):
        raise ValueError(
            f"a row of reference {name} has more cells than the {len(columns)} names of columns: "
            f"{', '.join(line)}; write numbers with decimal points"
        )
    return dict(zip(columns, line, strict=False))


def _from_counts(rows: Sequence[Mapping[str, str]]) -> list[Distribution]:
    found = []
    for name in dict.fromkeys(row["property"] for row in rows):
        own = [row for row in rows if row["property"] == name]
        low, high, count = (
            np.array([_number(row.get(column, ""), column, name) for row in own])
            for column in ("low", "high", "count")
        )
        if (low[1:] != high[:-1]).any() or (count % 1).any():
            raise ValueError(
                f"bins of {name} must each begin where the one before ends, with whole counts; "
                f"got {low.tolist()} to {high.tolist()} with {count.tolist()}"
            )
        source = own[0].get("source") or ""
        found.append(Distribution(name, np.append(low, high[-1]), count.astype(np.int64), source))
    return found


def _from_cells(name: str, rows: Sequence[Mapping[str, str]], source: str) -> Distribution:
    """Count cells in as many bins as Sturges' rule gives."""
    texts = [row.get(name, "") for row in rows]
    values = np.array([_number(text, "a cell", name) for text in texts if text.strip()])
    if len(np.unique(values)) < 2:
        raise ValueError(f"{name} of reference {source} must have two or more different values")
    if name == _ORIENTATION:
        edges = np.histogram_bin_edges(values % 180, "sturges", (0.0, 180.0))
        values = values % 180
    elif name in IN_DEGREES:
        if (values <= 0).any():
            raise ValueError(f"{name} must be positive; got {values.min():g}")
        edges = np.exp2(np.histogram_bin_edges(np.log2(values), "sturges"))
    else:
        edges = np.histogram_bin_edges(values, "sturges")
    inner = np.digitize(values, edges[1:-1])
    return Distribution(name, edges, np.bincount(inner, minlength=len(edges) - 1), source)


def _varies(name: str, rows: Sequence[Mapping[str, str]]) -> bool:
    texts = {row.get(name, "").strip() for row in rows} - {""}
    return bool(name) and len(texts) > 1 and any(_is_number(text) for text in texts)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _number(text: str, what: str, name: str) -> float:
    if not _is_number(text):
        raise ValueError(f"{what} of {name} must be a number, or empty where unknown; got {text!r}")
    return float(text)
