"""Fill the cells of the table, and print it."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from zoo.case import Case
from zoo.columns import COLUMNS, DEFAULT
from zoo.networks import CASES


@dataclass(frozen=True)
class Cell:
    """What came of one thing that was done to a network.

    Attributes:
        refusals: The messages by which layers, or all of them, were refused, by the part of each
            that is stated in the case.
        is_right: Whether something was compared.
    """

    refusals: Mapping[str, str]
    is_right: bool


def fill(case: Case, column: str, network: nn.Module | None = None) -> Cell:
    """Do one thing to a network, and compare.

    Raises:
        AssertionError: If something is wrong, or refused without being stated in the case.
    """
    network = network if network is not None else case.network()
    subjects = _subjects(case, column)
    stated = {name: fragment for name in subjects if (fragment := case.fragment(column, name))}
    right = [name for name in subjects if name not in stated]
    refusals = {}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        attempt = partial(COLUMNS[column], case, network)
        if right:
            message = _refusal(partial(attempt, right, Path(folder)))
            assert message is None, f"refused: {message}"
        for name, fragment in stated.items():
            message = _refusal(partial(attempt, [name], Path(folder)))
            assert message is not None, f"{name} is no longer refused"
            assert fragment in message, message
            refusals[fragment] = message
    return Cell(refusals, bool(right))


def _subjects(case: Case, column: str) -> list[str]:
    """The layers that something is done to, or the outputs."""
    if column == "scores":
        return [DEFAULT] if case.output is None else [DEFAULT, case.output]
    if column == "monitors":
        return [min(case.layers, key=lambda name: name in case.refused)]
    if column == "layers":
        # Layers that are refused everywhere are listed without kernels, or with several calls.
        return [name for name in case.layers if name not in case.refused] or list(case.layers)
    return list(case.layers)


def _refusal(attempt: Callable[[], None]) -> str | None:
    """The line by which an attempt is refused; None if it is right."""
    try:
        attempt()
    except (ValueError, TypeError) as error:
        message = str(error)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    else:
        return None
    assert "\n" not in message, message
    return message


def main(names: Sequence[str] = ()) -> int:
    """Print the table as Markdown, and return the number of cells that are wrong.

    Args:
        names: Only networks whose ``"library: name"`` contains one of these.
    """
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    results: list[tuple[Case, list[Cell | str]]] = []
    for case in CASES:
        if names and not any(name in title(case) for name in names):
            continue
        if find_spec(case.library) is None:
            print(f"{case.library} is not installed: {case.name} is left out", file=sys.stderr)
            continue
        print(title(case), file=sys.stderr)
        results.append((case, fill_row(case)))
    print("\n".join(rendered(results)))
    return sum(isinstance(cell, str) for _, cells in results for cell in cells)


def title(case: Case) -> str:
    """The library and the name of a network."""
    return f"{case.library}: {case.name}"


def fill_row(case: Case) -> list[Cell | str]:
    """The cells of a network; what is wrong with those that are."""
    network, cells = case.network(), []
    for column in COLUMNS:
        try:
            cells.append(fill(case, column, network))
        except AssertionError as error:
            cells.append(f"{title(case)}, {column}: {error}")
    return cells


def rendered(results: Sequence[tuple[Case, Sequence[Cell | str]]]) -> list[str]:
    """The lines of the table, of its footnotes, and of what is wrong."""
    notes: dict[str, str] = {}
    lines = [f"| network | library | {' | '.join(COLUMNS)} |", "|---" * (2 + len(COLUMNS)) + "|"]
    wrong = []
    for case, cells in results:
        texts = []
        for cell in cells:
            if isinstance(cell, str):
                texts.append("FAILED")
                wrong.append(f"FAILED {cell}")
                continue
            for fragment, message in cell.refusals.items():
                notes.setdefault(fragment, message)
            numbers = [str(list(notes).index(fragment) + 1) for fragment in cell.refusals]
            marks = f" <sup>{', '.join(numbers)}</sup>" if numbers else ""
            texts.append(f"{'right' if cell.is_right else 'refused'}{marks}")
        lines.append(f"| {case.name} | {case.library} | {' | '.join(texts)} |")
    lines += ["", *(f"{number}. {message}" for number, message in enumerate(notes.values(), 1))]
    return [*lines, *wrong]
