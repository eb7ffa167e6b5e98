"""Work that is stopped by hand ends with one line, which says what is kept."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn


class Stopped(Exception):  # noqa: N818 - no error: somebody wanted it.
    """Work was stopped by hand.

    Attributes:
        status: For the shell, 128 and the signal's number.
    """

    def __init__(self, kept: str, status: int = 128 + signal.SIGINT) -> None:
        super().__init__(kept)
        self.status = status


@contextmanager
def stoppable(kept: Callable[[], str]) -> Iterator[None]:
    """Around long work.

    Args:
        kept: Says, when work was stopped, how far it was and what there is of it.

    Raises:
        Stopped: After Ctrl-C, or after SIGTERM where Lightning is at work.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Stopped(kept()) from stop
    except SystemExit as stop:
        _from_lightning(kept, stop)


def _from_lightning(kept: Callable[[], str], stop: SystemExit) -> NoReturn:
    """Lightning ends with status 1 after Ctrl-C; after SIGTERM with 0, as if all were there."""
    if isinstance(stop.__context__, KeyboardInterrupt):
        raise Stopped(kept()) from stop
    status = stop.code if isinstance(stop.code, int) and stop.code else 128 + signal.SIGTERM
    raise Stopped(kept(), status) from stop
