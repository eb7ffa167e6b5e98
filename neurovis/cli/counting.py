"""Show the progress of long work, and the time that it still takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import MofNCompleteColumn

from neurovis.maximization.progress import duration, per_time, progress_bar

#: Seconds between two lines where there is no terminal.
_EVERY_LINE = 30.0


@contextmanager
def counted(noun: str, total: int, is_shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show how many of some things are done: on a terminal a bar, elsewhere a line now and then.

    Args:
        noun: What they are, in the plural.
        total: How many there are.
        is_shown: Whether anything is shown at all.

    Yields:
        A function to be called with how many more are done.
    """
    if not is_shown:
        yield lambda _: None
    elif sys.stderr.isatty():
        with progress_bar(MofNCompleteColumn()) as bar:
            task = bar.add_task(noun, total=total)
            yield lambda number: bar.advance(task, number)
    else:
        yield _Lines(noun, total).advance


class _Lines:
    """A line for a log, half a minute after the one before.

    Args:
        noun: What is counted.
        total: How many there are.
    """

    def __init__(self, noun: str, total: int) -> None:
        self._noun, self._total = noun, total
        self._done = 0
        self._begun = self._said = time.monotonic()

    def advance(self, number: int) -> None:
        """Count some more."""
        self._done += number
        now = time.monotonic()
        if now - self._said < _EVERY_LINE:
            return
        self._said = now
        rate = self._done / (now - self._begun)
        left = f", about {duration((self._total - self._done) / rate)} left" if rate else ""
        sys.stderr.write(f"{self._done} of {self._total} {self._noun}, {per_time(rate)}{left}\n")
        sys.stderr.flush()
