"""Notes on pictures, kept for the end and cut short: a thousand pictures may give as many."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.text import Text

from neurovis.cli.printing import console
from neurovis.pictures import StretchedWarning, ZeroDepthWarning

#: Most notes of a kind that are printed.
_MOST_NOTES = 3
#: Kinds of which one is printed: what it says holds for a whole folder, as a rule.
_SAID_ONCE = (StretchedWarning, ZeroDepthWarning)


class Notes:
    """Warnings by their kind, each once."""

    def __init__(self) -> None:
        self._kinds: dict[type[Warning], dict[str, None]] = {}

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep the warnings of what is done inside."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            self._kinds.setdefault(warning.category, {})[str(warning.message)] = None

    def print(self) -> None:
        """Print the first of each kind, and how many more there are."""
        for kind, notes in self._kinds.items():
            print_notes(list(notes), 1 if issubclass(kind, _SAID_ONCE) else _MOST_NOTES)


def print_notes(notes: Sequence[str], most: int = _MOST_NOTES) -> None:
    """Print notes of one kind, at most ``most``."""
    output = console()
    for note in notes[:most]:
        output.print(Text(f"note: {note}"), soft_wrap=True)
    if len(notes) > most:
        number = len(notes) - most
        output.print(f"… and {number} more note{'s' if number > 1 else ''} of this kind")
