"""``neurovis demo``: everything at a small scale, offline, in about two minutes."""

from __future__ import annotations

from pathlib import Path

from neurovis.cli.demo_options import DemoOptions
from neurovis.cli.stopping import importing, stoppable
from neurovis.run_folder import next_version


def run(options: DemoOptions) -> None:
    """Train with monitors, maximize activations, and report the results.

    Args:
        options: Length of the demo, and where it runs.
    """
    # These import Lightning, which --help does without.
    with importing():
        from neurovis.cli import demo_runs

    demo_runs.check(options)
    folder = next_version(Path(options.folder))
    with stoppable(lambda: f"before the demo was done; {_so_far(folder)}"):
        demo_runs.show(options, folder)


def _so_far(folder: Path) -> str:
    return f"what there is so far is in {folder}" if folder.exists() else "nothing was written"
