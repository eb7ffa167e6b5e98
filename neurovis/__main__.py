"""``python -m neurovis`` is the ``neurovis`` command."""

from __future__ import annotations

import signal
import sys

from neurovis.cli.stopping import end_at_once, importing


def main() -> int:
    """Import and run the command, and return its exit status."""
    with importing():
        from neurovis.cli.main import load_command
        from neurovis.cli.main import main as run

        load_command()
        status = run()
    # All is done; only its resources are left to release.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: end_at_once(status))
    return status


if __name__ == "__main__":
    sys.exit(main())
