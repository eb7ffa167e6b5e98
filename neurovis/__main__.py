"""``python -m neurovis`` is the ``neurovis`` command."""

from __future__ import annotations

import signal
import sys

from neurovis.cli.stopping import importing


def main() -> int:
    """Import and run the command, and return its exit status."""
    with importing():
        from neurovis.cli.main import load_command
        from neurovis.cli.main import main as run

        load_command()
        status = run()
    # All is done. While Python releases what is left it would let a signal end the process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return status


if __name__ == "__main__":
    sys.exit(main())
