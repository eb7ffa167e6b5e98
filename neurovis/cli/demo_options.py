"""Options of the demo, which import nothing that takes time."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse.typing import NonNegativeInt, PositiveInt


@dataclass(frozen=True)
class DemoOptions:
    """Length of the demo, and where it runs.

    Args:
        folder: Runs are written to its next free version_N.
        seconds: The training is ended after so long; 0 leaves it out.
        epochs: Passes over the training scenes.
        steps: Ascent steps for each preferred image.
        layer: Layer of the shipped network whose kernels are shown.
        accelerator: Where to run, as in the Trainer: cpu, gpu, auto.
    """

    folder: str = "lightning_logs/demo"
    seconds: NonNegativeInt = 60
    epochs: PositiveInt = 3
    steps: int = 128
    layer: str = "relu3"
    accelerator: str = "auto"
