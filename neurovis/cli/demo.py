"""``neurovis demo``: everything at a small scale, offline, in about two minutes."""

from __future__ import annotations

from pathlib import Path

from neurovis.cli.stopping import importing, stoppable
from neurovis.run_folder import next_version


def run(
    folder: str = "lightning_logs/demo",
    seconds: int = 60,
    epochs: int = 3,
    steps: int = 128,
    layer: str = "relu3",
    accelerator: str = "auto",
) -> None:
    """Train with monitors, maximize activations, and report the results.

    Args:
        folder: Runs are written to its next free version_N.
        seconds: The training is ended after so long; 0 leaves it out.
        epochs: Passes over the training scenes.
        steps: Ascent steps for each preferred image.
        layer: Layer of the shipped network whose kernels are shown.
        accelerator: Where to run, as in the Trainer: cpu, gpu, auto.
    """
    # These import Lightning, which --help does without.
    with importing():
        from neurovis.cli.demo_runs import Demo

    demo = Demo(folder, seconds, epochs, steps, layer, accelerator)
    demo.check()
    version = next_version(Path(folder))
    with stoppable(lambda: f"before the demo was done; {_so_far(version)}"):
        demo.show(version)


def _so_far(folder: Path) -> str:
    return f"what there is so far is in {folder}" if folder.exists() else "nothing was written"
