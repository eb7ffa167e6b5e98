"""Compare the first kernels' preferred images with the gratings that they prefer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from neurovis.analysis.grating_preferences import PreferredGratings, preferred_gratings
from neurovis.class_names import class_label
from neurovis.figures import grating_preference_figure
from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization, AscentProgress, MaximizationResults
from neurovis.receptive_fields import Box
from neurovis.result import Result, first_of
from neurovis.summaries import picture_path
from neurovis.tuning.measures import orientation_difference
from neurovis.tuning.results import Rankings
from neurovis.tuning.spectrum import spectrum_peak
from neurovis.tuning.units import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAME = "preferred_images"
#: The side in pixels of a field that one pixel of jitter blurs, at most.
_BLURRED = 24


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Preferred images and preferred gratings of the first ``N`` kernels of a ranking.

    Attributes:
        gratings: The gratings.
        images: ``(N, C, H, W)`` in [0, 1].
        crops: ``(N, C, h, w)``, the part of them that the kernels' units see.
        image_orientation: ``(N,)``, of the bars that are strongest in that part, in degrees.
        image_spatial_frequency: ``(N,)``, theirs, in cycles per pixel.
        activation: ``(N,)``, to the images.
        noise_activation: ``(N,)``, to noise.
    """

    TABLE: ClassVar[str] = f"{_NAME}.csv"
    DESCRIPTIONS: ClassVar[dict[str, str]] = {
        _NAME: "**Each kernel's preferred image beside the grating that it prefers.** Where both "
        "tell the truth, orientation (degrees) and spatial frequency (cycles per pixel) agree; the "
        "label says how far apart the orientations are.",
    }

    gratings: PreferredGratings
    images: Tensor
    crops: Tensor
    image_orientation: Tensor
    image_spatial_frequency: Tensor
    activation: Tensor
    noise_activation: Tensor

    @property
    def orientation_difference(self) -> Tensor:
        """``(N,)`` in degrees, 0 to 90."""
        return orientation_difference(self.image_orientation, self.gratings.orientation)

    @property
    def octaves(self) -> Tensor:
        """``(N,)``, by how much the image's spatial frequency is the higher."""
        return (self.image_spatial_frequency / self.gratings.spatial_frequency).log2()

    @property
    def key(self) -> tuple[str, str]:
        """The ranking's layer and name."""
        return self.gratings.ranking.layer, self.gratings.ranking.by

    @property
    def pictures(self) -> Tensor:
        """``(K, C, h, w)``, image that each unit sees; NaN for kernels of the layer without one."""
        pictures = torch.full((len(self.gratings.ranking), *self.crops.shape[1:]), torch.nan)
        pictures[self.gratings.kernels] = self.crops
        return pictures

    def rows(self) -> Iterable[dict[str, object]]:
        """One row of ``preferred_images.csv`` for each kernel; NaN is undefined."""
        return self.gratings.rows(
            {
                "preferred_orientation": self.gratings.orientation,
                "image_orientation": self.image_orientation,
                "orientation_difference": self.orientation_difference,
                "preferred_spatial_frequency": self.gratings.spatial_frequency,
                "image_spatial_frequency": self.image_spatial_frequency,
                "octaves": self.octaves,
                "activation": self.activation,
                "noise_activation": self.noise_activation,
                "selectivity": self.gratings.selectivity,
                "at_range_end": self.gratings.at_range_end,
            }
        )

    def figures(self) -> dict[str, Figure]:
        """Draw each image beside its kernel's grating; the figure by its name."""
        gratings, ranking = self.gratings, self.gratings.ranking
        apart = self.orientation_difference.tolist()
        names = [class_label(ranking.class_names, kernel) for kernel in gratings.kernels]
        labels = [
            f"{name}: {'-' if degrees != degrees else f'{degrees:.0f}° apart'}"
            for name, degrees in zip(names, apart, strict=True)
        ]
        height, width = self.crops.shape[-2:]
        figure = grating_preference_figure(
            self.crops,
            ranking.spec,
            gratings.orientation,
            gratings.spatial_frequency,
            self.image_orientation,
            self.image_spatial_frequency,
            labels,
            f"{ranking.layer}: preferred images and gratings, first by {ranking.by}",
            notes=[f"Images: the {height} x {width} px that the central unit sees"],
        )
        return {_NAME: figure}

    def _summary(self) -> str:
        layer, by = self.key
        apart = [
            f"kernel {kernel} {degrees:.0f}°"
            for kernel, degrees in zip(
                self.gratings.kernels, self.orientation_difference.tolist(), strict=True
            )
        ]
        return (
            f"{len(apart)} kernels of {layer}, first by {by}; orientations of image and grating "
            f"apart: {first_of(apart)}"
        )

    def _pictures(self) -> Iterable[Figure]:
        return self.figures().values()


def compare_preferred_images(
    network: nn.Module,
    rankings: Rankings,
    count: int = 8,
    *,
    accelerator: str = "auto",
    devices: int | str | list[int] = "auto",
    folder: str | Path | None = None,
    show_progress: bool = False,
) -> list[Comparison]:
    """Generate the preferred images of the first kernels, and compare them with their gratings.

    Images are of the layer's central unit. A kernel that is among the first of several rankings has
    one image.

    Args:
        network: The network, which is left as it was found.
        rankings: Rankings of the network's kernels; only those by gratings are used.
        count: Maximum number of kernels of each ranking.
        accelerator: As in Lightning's Trainer.
        devices: As in Lightning's Trainer; only one makes sense here.
        folder: Folder for the images and the files of their ascents, in which an interrupted run
            is resumed; by default they are not kept.
        show_progress: True to show a progress bar.

    Returns:
        One for each ranking by gratings that has kernels with a score.

    Raises:
        ValueError: If ``count`` is less than 1, or the network cannot take such images.
        OSError: If the folder cannot be written.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    gratings = list(preferred_gratings(rankings, count))
    comparisons = []
    for layer in dict.fromkeys(one.ranking.layer for one in gratings):
        of_layer = [one for one in gratings if one.ranking.layer == layer]
        kernels = list(dict.fromkeys(kernel for one in of_layer for kernel in one.kernels))
        spec = of_layer[0].ranking.spec
        box = Units(network, layer, kernels, spec).clipped_box
        module = _ascents(network, layer, kernels, spec, box)
        own = None if folder is None else Path(folder, picture_path(f"{_NAME}/{layer}", 0).parent)
        results = run_ascents(
            module,
            accelerator=accelerator,
            devices=devices,
            folder=own,
            show_progress=show_progress,
        )
        comparisons += [_compare(one, results, box) for one in of_layer]
    return comparisons


def run_ascents(
    module: ActivationMaximization,
    *,
    accelerator: str = "auto",
    devices: int | str | list[int] = 1,
    folder: Path | None = None,
    show_progress: bool = False,
) -> MaximizationResults:
    """Run the ascents of one layer without logs, and return their results.

    Arguments are those of :func:`compare_preferred_images`.
    """
    with TemporaryDirectory() as temporary:
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=show_progress,
            callbacks=[AscentProgress()] if show_progress else [],
            default_root_dir=folder or temporary,
        )
        trainer.fit(module)
        return module.results


def _ascents(
    network: nn.Module, layer: str, kernels: list[int], spec: InputSpec, box: Box
) -> ActivationMaximization:
    # Views that turn and scale, or shift by much, blur what a small field is tuned to.
    return ActivationMaximization(
        network,
        layer,
        kernels,
        spec,
        style="maximal",
        objective="center",
        batch_size=16,
        jitter=1 if min(box[2] - box[0], box[3] - box[1]) > _BLURRED else 0,
        scale=(1, 1),
        rotate=0,
    )


def _compare(gratings: PreferredGratings, results: MaximizationResults, box: Box) -> Comparison:
    places = [results.kernels.index(kernel) for kernel in gratings.kernels]
    top, left, bottom, right = box
    images = results.images[places].float()
    crops = images[..., top:bottom, left:right]
    peak = spectrum_peak(crops, window=True)
    return Comparison(
        gratings,
        images,
        crops,
        peak.orientation,
        peak.spatial_frequency,
        results.activations[places],
        results.noise_activations[places],
    )
