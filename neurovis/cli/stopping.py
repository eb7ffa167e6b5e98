"""Work that is stopped, by hand or by SIGTERM, ends with one line, which says what is kept."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Stopped(Exception):  # noqa: N818 - no error: somebody wanted it.
    """Work was stopped by hand.

    Attributes:
        status: For the shell, 128 and the signal's number.
    """

    def __init__(self, kept: str, status: int = 128 + signal.SIGINT) -> None:
        super().__init__(kept)
        self.status = status


class Terminated(KeyboardInterrupt):
    """SIGTERM came; whatever ends well after Ctrl-C does so after this."""


def status_of(stop: BaseException | None) -> int:
    """For the shell, 128 and the number of the signal that stopped the work."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM stops work as Ctrl-C does, at once.

    By itself it would end Python where it stands, with files half written; and Lightning, which
    takes it over, looks for it between steps of a training, and nowhere while it predicts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def terminate(number: int, _: FrameType | None) -> None:
        if os.getpid() == process:
            raise Terminated
        # A forked process is not to do again what its parent does.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def stoppable(kept: Callable[[], str]) -> Iterator[None]:
    """Around long work.

    Args:
        kept: Says, when work was stopped, how far it was and what there is of it.

    Raises:
        Stopped: After Ctrl-C or SIGTERM.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Stopped(kept(), status_of(stop)) from stop
    except SystemExit as stop:
        _from_lightning(kept, stop)


def _from_lightning(kept: Callable[[], str], stop: SystemExit) -> NoReturn:
    """Lightning ends with status 1 after Ctrl-C; where it found SIGTERM itself, with 0."""
    if isinstance(stop.__context__, KeyboardInterrupt):
        raise Stopped(kept(), status_of(stop.__context__)) from stop
    status = stop.code if isinstance(stop.code, int) and stop.code else 128 + signal.SIGTERM
    raise Stopped(kept(), status) from stop
