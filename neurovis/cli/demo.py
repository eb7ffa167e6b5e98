"""``neurovis demo``: everything at a small scale, offline, in about two minutes."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from neurovis.cli.demo_options import DemoOptions
from neurovis.cli.stopping import importing, stoppable
from neurovis.run_folder import next_version


def add_arguments(parser: ArgumentParser) -> None:
    """Options: how long, and where to."""
    parser.add_class_arguments(DemoOptions)


def run(options: Namespace) -> None:
    """Train with monitors, maximize activations, and report the results."""
    # These import Lightning, which --help does without.
    with importing():
        from neurovis.cli.demo_runs import check, show

    demo = DemoOptions(**{name: options[name] for name in vars(DemoOptions())})
    check(demo)
    folder = next_version(Path(demo.folder))
    with stoppable(lambda: f"before the demo was done; {_so_far(folder)}"):
        show(demo, folder)


def _so_far(folder: Path) -> str:
    return f"what there is so far is in {folder}" if folder.exists() else "nothing was written"
