"""Work that is stopped, by hand or by SIGTERM, ends with one line, which says what is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn


class Stopped(Exception):  # noqa: N818 - no error: the user asked for it.
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
    """SIGTERM stops work as Ctrl-C does, at once; a second one of either ends the process.

    By itself SIGTERM would end Python where it stands, with files half written; and Lightning,
    which takes it over, looks for it between steps of a training, and nowhere while it predicts. An
    exception raised by a second signal would occur where the first one is handled, and be printed
    with its traceback.
    """
    process = os.getpid()
    is_stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        if os.getpid() != process:
            _stop_fork(number, frame)
        elif is_stopping:
            end_at_once(128 + number)
        is_stopping = True
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    with _handled_by(stop):
        yield


@contextmanager
def importing() -> Iterator[None]:
    """End the process at once when a signal comes while libraries are imported.

    An exception that is raised in the middle of torch's own C++ code ends Python with an abort.
    """

    def leave(number: int, _: FrameType | None) -> None:
        sys.stderr.write("neurovis: stopped before it began\n")
        end_at_once(128 + number)

    with _handled_by(leave):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle Ctrl-C and SIGTERM in another way inside; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        # Lightning ignores SIGINT after the first one.
        for number, previous in before.items():
            signal.signal(number, previous or signal.SIG_DFL)


def _stop_fork(number: int, frame: FrameType | None) -> None:
    """Stop a forked process, which is not to do again what its parent does."""
    if number == signal.SIGINT:
        signal.default_int_handler(number, frame)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def end_at_once(status: int) -> NoReturn:
    """End the process without waiting for anything; files appear whole or not at all anyway."""
    for stream in (sys.stdout, sys.stderr):
        # A signal may arrive in the middle of a write.
        with suppress(OSError, RuntimeError, ValueError):
            stream.flush()
    os._exit(status)


@contextmanager
def stoppable(kept: Callable[[], str]) -> Iterator[None]:
    """Around long work.

    Args:
        kept: Says, when work was stopped, how far it was and which results exist.

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
