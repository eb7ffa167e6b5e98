"""Cells of the table of networks: a part by default, and all of them in the slow suite."""

from __future__ import annotations

import pytest

from zoo.case import Case
from zoo.columns import COLUMNS
from zoo.networks import CASES
from zoo.table import fill, title

#: Cells of the default suite by their columns, each of which is costly in its own way.
_QUICK = {"layers", "features", "scores"}


def _cells() -> list[object]:
    return [
        pytest.param(
            case,
            column,
            id=f"{title(case)}, {column}",
            marks=[] if case.is_quick and column in _QUICK else pytest.mark.slow,
        )
        for case in CASES
        for column in COLUMNS
    ]


@pytest.mark.parametrize(("case", "column"), _cells())
def test_cell(case: Case, column: str) -> None:
    if case.library not in ("torch", "torchvision"):
        pytest.importorskip(case.library)
    fill(case, column)
