"""``python -m neurovis`` is the ``neurovis`` command."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command, which takes seconds to import, and return its exit status."""
    interrupts = signal.signal(signal.SIGINT, _leave)
    from neurovis.cli import main as run

    signal.signal(signal.SIGINT, interrupts)
    status = run()
    # All is done; what is left to do is to let go of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once and without words of Python: nothing has been begun."""
    del frame
    sys.stderr.write("neurovis: stopped before it began\n")
    sys.stderr.flush()
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
