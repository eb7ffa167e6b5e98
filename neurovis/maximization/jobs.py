"""Jobs of an ascent: one image, or several variants, for one target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neurovis.files import safe_name
from neurovis.maximization.objectives import Target
from neurovis.maximization.preferred_image import target_file_name

#: The folder of finished images in the folder of a run.
FINISHED = "finished"


@dataclass(frozen=True)
class Job:
    """Target of one image, or of several variants.

    Args:
        index: Its place among what is asked for of its layer.
        layer: Dotted name.
        target: The kernels to drive together.
        label: How files and figures call it, such as ``kernel 5``.
        asked: Short description of the target, the same in every run; by default of a lone kernel.
        weights: What was asked for each of the target's kernels, -1 for those that are suppressed;
            None where all count alike.
        unit: Unit of the numbers that are maximized; empty for the layer's own.
        sign: -1 for the image that drives a kernel least, whose target has that weight.
    """

    index: int
    layer: str
    target: Target
    label: str
    asked: str = ""
    weights: tuple[float, ...] | None = None
    unit: str = ""
    sign: int = 1

    def __post_init__(self) -> None:
        if not self.asked:
            object.__setattr__(self, "asked", f"{self.label}, {self.target.kernels}, mean")

    @property
    def identity(self) -> str:
        """Identity of the job among all others of a run."""
        return f"{self.layer}: {self.asked}"

    @property
    def path(self) -> Path:
        """Its file in the folder of finished images."""
        name = target_file_name(self.label, self.target.kernels, self.index, self.sign)
        return Path(safe_name(self.layer)) / f"{name}.npz"

    @property
    def record(self) -> dict[str, object]:
        """Description of the job in the manifest."""
        file = (Path(FINISHED) / self.path).as_posix()
        return {"layer": self.layer, "kernels": list(self.target.kernels), "file": file}
