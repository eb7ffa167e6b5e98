"""Ctrl-C stops work at once, or where Python drops it, before the next piece."""

from __future__ import annotations

import signal
import weakref

import pytest

from neurovis.cli.counting import counted
from neurovis.cli.stopping import Stopped, check_interrupted, stoppable


class Thing:
    """Something that is taken apart."""


def _interrupt(_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def _work(done: list[int], is_shown: bool) -> None:
    with stoppable(lambda: f"after {len(done)}"), counted("pieces", 5, is_shown) as count:
        for piece in range(5):
            done.append(piece)
            if piece == 1:
                thing = Thing()
                kept = weakref.ref(thing, _interrupt)
                del thing  # What is raised here is dropped.
                assert kept() is None
            count(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_shown", [True, False])
def test_a_ctrl_c_that_python_drops_stops_before_the_next_piece(is_shown: bool) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match="after 2") as stopped:
        _work([], is_shown)
    assert stopped.value.status == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_work_after_it_is_not_stopped() -> None:
    with pytest.raises(Stopped), stoppable(lambda: ""):
        signal.raise_signal(signal.SIGINT)
    check_interrupted()
    with stoppable(lambda: ""), counted("pieces", 1) as count:
        count(1)
