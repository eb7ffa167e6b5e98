"""However people train: with monitors a run ends bitwise as without, or a warning says why not.

As a script, it prints the table: ``python tests/callbacks/test_trainings.py [--slow] [name ...]``.
"""

from __future__ import annotations

import io
import logging
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from careless import Backward, Careless, DrawsNoise, EvalThenTrain, ForwardInTrainMode
from left_behind import differences
from promise import KINDS
from two_processes import train_with_two_processes
from ways import WAYS, Outcome, Way, monitors, outcome_of

ALONE = [found for found in WAYS.values() if found.processes == 1]


@dataclass(frozen=True)
class Row:
    """A way to train, and what came of it without monitors, with all four, and again without.

    The last is left out where time counts: it only tells why the first two differ.
    """

    way: Way
    plain: Outcome
    watched: Outcome
    again: Outcome | None = None

    @property
    def is_repeatable(self) -> bool:
        """True unless the way ends otherwise without monitors from time to time."""
        return self.again is None or differences(self.plain.left, self.again.left) == []

    @property
    def warned(self) -> list[str]:
        """Warnings that there are with monitors only."""
        return [said for said in self.watched.warnings if said not in self.plain.warnings]

    @property
    def unexpected(self) -> list[str]:
        """Warnings that the way does not foresee, and those it foresees that are missing."""
        left = list(self.warned)
        missing = []
        for kind, pattern in self.way.warnings.items():
            said = [line for line in left if line.startswith(kind) and re.search(pattern, line)]
            left = [line for line in left if line not in said[:1]]
            missing += [] if said else [f"no warning of {kind} matches {pattern}"]
        return left + missing

    def check(self) -> None:
        assert re.search(self.way.ends or "^$", self.plain.left["exception"])
        assert self.is_repeatable
        assert differences(self.plain.left, self.watched.left) == []
        assert self.unexpected == []
        silent = {kind.__name__ for kind in KINDS} - set(self.way.warnings)
        assert silent <= self.watched.observed.keys()

    def __str__(self) -> str:
        different = differences(self.plain.left, self.watched.left)
        if not self.is_repeatable:
            verdict = "NOT REPEATABLE without monitors"
        elif different:
            verdict = f"DIFFERS in {len(different)} values, such as {different[0]}"
        else:
            verdict = f"bitwise equal ({len(self.plain.left)} values)"
        said = "".join(f"\n{'':50}warning: {' '.join(line.split())}" for line in self.warned)
        return f"{self.way.name.replace('_', ' '):50}{verdict}{said}"


def row_of(found: Way, folder: Path, again: bool = True) -> Row:
    """Train in one way, with and without monitors."""
    watching = partial(monitors, found.layer)
    return Row(
        found,
        outcome_of(found, folder / "plain"),
        outcome_of(found, folder / "watched", watching),
        outcome_of(found, folder / "again") if again else None,
    )


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(found, id=found.name, marks=pytest.mark.slow if found.is_slow else ())
        for found in ALONE
    ],
)
def test_watching_changes_nothing(found: Way, tmp_path: Path) -> None:
    row_of(found, tmp_path, again=found.is_slow).check()


@pytest.mark.parametrize(
    ("careless", "name"),
    [
        (ForwardInTrainMode, "plain"),
        (ForwardInTrainMode, "spectral_norm"),
        (EvalThenTrain, "plain"),
        (EvalThenTrain, "torchmetrics_in_forward"),
        (DrawsNoise, "plain"),
        (DrawsNoise, "random_augmentation_in_the_dataset"),
        (Backward, "accumulated_gradients"),
        (Backward, "accumulated_gradients_by_hand"),
    ],
)
def test_careless_monitors_are_found_out(
    careless: type[Careless], name: str, tmp_path: Path
) -> None:
    plain = outcome_of(WAYS[name], tmp_path / "plain")
    watched = outcome_of(WAYS[name], tmp_path / "watched", lambda: [careless()])
    assert "0.weights.conv1.weight" in differences(plain.left, watched.left)


def rows_of_two_processes(folder: Path, what: str) -> dict[str, list[Row]]:
    """Each of the "quick" or "slow" ways with two processes, as either process saw it."""
    first, second = train_with_two_processes(folder, what, forked=what == "quick")
    return {name: [Row(WAYS[name], *of[name]) for of in (first, second)] for name in first}


def check_two_processes(rows: Mapping[str, list[Row]]) -> None:
    assert rows
    for first, second in rows.values():
        first.check()
        assert differences(second.plain.left, second.watched.left) == []
        assert not second.warned


def test_watching_two_processes_changes_nothing(tmp_path: Path) -> None:
    rows = rows_of_two_processes(tmp_path, "quick")
    check_two_processes(rows)
    first, second = (row.plain.left for row in rows["two_processes"])
    trained = {name for name in differences(first, second) if ".weights." in name}
    # They trained together: all but the statistics of what each of them was shown is the same.
    assert all("norm.running" in name for name in trained)


@pytest.mark.slow
def test_watching_two_processes_in_other_ways_changes_nothing(tmp_path: Path) -> None:
    check_two_processes(rows_of_two_processes(tmp_path, "slow"))


def main(arguments: Sequence[str]) -> None:
    """Print the table, or the rows that are named."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    names = [argument for argument in arguments if argument != "--slow"]
    with tempfile.TemporaryDirectory() as folder:
        for found in ALONE:
            if found.name in names or (not names and (not found.is_slow or "--slow" in arguments)):
                with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                    row = row_of(found, Path(folder) / found.name)
                sys.stdout.write(f"{row}\n")
        for what in ("quick", "slow") if "--slow" in arguments else ("quick",):
            if not names:
                for first, _ in rows_of_two_processes(Path(folder), what).values():
                    sys.stdout.write(f"{first}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
