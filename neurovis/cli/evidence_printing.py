"""Write and print what pictures tell of preferred images, and the evidence for these in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurovis.analysis import Facets, PathSimilarity, Predictability
from neurovis.analysis.compared_paths import OTHER_WAY
from neurovis.cli.printing import MOST_ROWS, print_table
from neurovis.figures import save_png
from neurovis.maximization import MaximizationResults
from neurovis.tables import Row, write_table


def save_measurement(
    found: Predictability | PathSimilarity | Facets, folder: Path, name: str
) -> list[dict[str, object]]:
    """Write a measurement as a table and a figure, and return the table's rows."""
    rows = list(found.rows())
    write_table(folder / f"{name}.csv", rows)
    save_png(folder / f"{name}.png", found.figure(), colors=256)
    return rows


def print_predictability(found: Predictability, rows: Sequence[Row]) -> None:
    """Print scores of kernels beside the null."""
    shown = [_cells(row, "predictability", "null", "percentile") for row in rows[:MOST_ROWS]]
    title = f"{found.layer}: predictability of {found.pictures} pictures"
    print_table(title, shown, number=len(rows), file="predictability.csv")


def print_paths(found: PathSimilarity, rows: Sequence[Row]) -> None:
    """Print similarities in the last layer before the kernels'."""
    last = [row for row in rows if row["before"] == found.layers[-1]]
    shown = [
        _cells(row, "correlation", "null", "among_pictures", "similarity")
        | {"": OTHER_WAY if row["kernel"] in found.flagged else ""}
        for row in last[:MOST_ROWS]
    ]
    title = f"{found.layer}: path similarity in {found.layers[-1]}"
    print_table(title, shown, [""], number=len(last), file="path_similarity.csv")


def print_facets(found: Facets, rows: Sequence[Row]) -> None:
    """Print the facets of kernels, one a row."""
    shown = [
        {
            "kernel": str(row["kernel"]),
            "facet": f"{row['facet']} of {row['facets']}",
            "p": f"{row['p']:.2g}",
            "pictures": str(len(item.pictures)),
            "activation": f"{row['activation']:.4g}",
        }
        for row, item in zip(rows[:MOST_ROWS], found.items, strict=False)
    ]
    title = f"{found.layer}: facets by {found.space}"
    print_table(title, shown, number=len(rows), file="facets.csv")


def print_evidence(results: MaximizationResults) -> None:
    """Print the evidence in words."""
    rows = [
        {"image": results.label(item), "evidence": item.remark}
        for item in results.items
        if item.remark
    ]
    title = f"{results.layer}: evidence"
    print_table(title, rows[:MOST_ROWS], ["image", "evidence"], number=len(rows))


def _cells(row: Row, *names: str) -> dict[str, str]:
    return {"kernel": str(row["kernel"]), **{name: f"{row[name]:.3g}" for name in names}}
