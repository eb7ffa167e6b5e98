"""``python -m neurovis`` is the ``neurovis`` command."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Import and run the command, and return its exit status."""
    for number in _STOPPING:
        signal.signal(number, _leave)
    from neurovis.cli.main import load_command
    from neurovis.cli.main import main as run

    load_command()
    status = run()
    # All is done; only its resources are left to release.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _end(status))
    return status


def _end(status: int) -> None:
    """Release everything at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once and without words of Python: nothing has been begun."""
    del frame
    sys.stderr.write("neurovis: stopped before it began\n")
    sys.stderr.flush()
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
