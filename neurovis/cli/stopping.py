"""Work that is stopped by hand ends with one line, which says what is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Python drops what is raised while an object is taken apart, and with it a Ctrl-C.
_interrupted = threading.Event()


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
        with _remembered():
            yield
    except KeyboardInterrupt as stop:
        raise Stopped(kept()) from stop
    except SystemExit as stop:
        _from_lightning(kept, stop)


def check_interrupted() -> None:
    """Stop now if Ctrl-C was pressed and went unnoticed; for between two pieces of work.

    Raises:
        KeyboardInterrupt: If so.
    """
    if _interrupted.is_set():
        _interrupted.clear()
        raise KeyboardInterrupt


@contextmanager
def _remembered() -> Iterator[None]:
    """Remember a Ctrl-C for :func:`check_interrupted`."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler or not _is_main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        # Lightning lets no second one through, and has its own reasons.
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, handler)
        _interrupted.clear()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _from_lightning(kept: Callable[[], str], stop: SystemExit) -> NoReturn:
    """Lightning ends with status 1 after Ctrl-C; after SIGTERM with 0, as if all were there."""
    if isinstance(stop.__context__, KeyboardInterrupt):
        raise Stopped(kept()) from stop
    status = stop.code if isinstance(stop.code, int) and stop.code else 128 + signal.SIGTERM
    raise Stopped(kept(), status) from stop
