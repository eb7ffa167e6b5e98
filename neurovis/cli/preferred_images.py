"""``neurovis rank --preferred_images``: do kernels' preferred images look like their gratings?"""

from __future__ import annotations

from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from rich.table import Table
from torch import Tensor

from neurovis.cli.preferences import PreferredGratings, RankedNetwork, preferred_gratings
from neurovis.cli.printing import console
from neurovis.cli.rank_results import RankingFiles, number
from neurovis.figures import grating_preference_figure, render
from neurovis.maximization import ActivationMaximization, AscentProgress, MaximizationResults
from neurovis.receptive_fields import Box
from neurovis.summaries import picture_path
from neurovis.tuning.measures import orientation_difference
from neurovis.tuning.results import Rankings
from neurovis.tuning.spectrum import spectrum_peak
from neurovis.tuning.units import Units

_COLUMNS = (
    *("layer", "kernel", "by", "preferred_orientation", "image_orientation"),
    *("orientation_difference", "preferred_spatial_frequency", "image_spatial_frequency"),
    *("octaves", "activation", "noise_activation", "selectivity", "at_range_end"),
)
_NAME = "preferred_images"
#: The side in pixels of a field that one pixel of jitter blurs, at most.
_BLURRED = 24


@dataclass(frozen=True)
class Comparison:
    """Preferred images and preferred gratings of the first ``N`` kernels of a ranking.

    Attributes:
        gratings: The gratings.
        images: ``(N, C, H, W)`` in [0, 1].
        seen: ``(N, C, h, w)``, the part of them that the kernels' units see.
        image_orientation: ``(N,)``, of the bars that are strongest in that part, in degrees.
        image_spatial_frequency: ``(N,)``, theirs, in cycles per pixel.
        activation: ``(N,)``, to the images.
        noise_activation: ``(N,)``, to noise.
    """

    gratings: PreferredGratings
    images: Tensor
    seen: Tensor
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

    def rows(self) -> list[dict[str, object]]:
        """Rows of the table."""
        ranking = self.gratings.ranking
        numbers = {
            "preferred_orientation": self.gratings.orientation,
            "image_orientation": self.image_orientation,
            "orientation_difference": self.orientation_difference,
            "preferred_spatial_frequency": self.gratings.spatial_frequency,
            "image_spatial_frequency": self.image_spatial_frequency,
            "octaves": self.octaves,
            "activation": self.activation,
            "noise_activation": self.noise_activation,
            "selectivity": self.gratings.selectivity,
        }
        return [
            {
                **{"layer": ranking.layer, "kernel": kernel, "by": ranking.by},
                **{name: values[place].item() for name, values in numbers.items()},
                "at_range_end": bool(self.gratings.at_range_end[place]),
            }
            for place, kernel in enumerate(self.gratings.kernels)
        ]

    @property
    def key(self) -> tuple[str, str]:
        """The ranking's layer and name."""
        return self.gratings.ranking.layer, self.gratings.ranking.by

    @property
    def pictures(self) -> Tensor:
        """Image that each unit sees, by kernel of the whole layer; NaN for those without one."""
        pictures = torch.full((len(self.gratings.ranking), *self.seen.shape[1:]), torch.nan)
        pictures[self.gratings.kernels] = self.seen
        return pictures


def compare(ranked: RankedNetwork, rankings: Rankings, files: RankingFiles) -> list[Comparison]:
    """Generate the preferred images, compare them with the gratings, and write the results.

    A kernel that is among the first of several rankings has one image.
    """
    gratings = list(preferred_gratings(rankings, ranked.options.preferred_images))
    comparisons = []
    for layer in dict.fromkeys(one.ranking.layer for one in gratings):
        of_layer = [one for one in gratings if one.ranking.layer == layer]
        kernels = list(dict.fromkeys(kernel for one in of_layer for kernel in one.kernels))
        box = Units(ranked.network, layer, kernels, ranked.spec).clipped_box
        results = _maximize(ranked, layer, kernels, box)
        comparisons += [_compare(one, results, box) for one in of_layer]
    files.save_table(
        f"{_NAME}.csv", _COLUMNS, [row for comparison in comparisons for row in comparison.rows()]
    )
    for comparison in comparisons:
        _save_figure(ranked, comparison, files)
    return comparisons


def _maximize(
    ranked: RankedNetwork, layer: str, kernels: list[int], box: Box
) -> MaximizationResults:
    # Views that turn and scale, or shift by much, blur what a small field is tuned to.
    module = ActivationMaximization(
        ranked.network,
        layer,
        kernels,
        ranked.spec,
        objective="center",
        batch_size=16,
        jitter=1 if min(box[2] - box[0], box[3] - box[1]) > _BLURRED else 0,
        scale=(1, 1),
        rotate=0,
    )
    options = ranked.options.trainer
    is_shown = options.enable_progress_bar is not False
    trainer = pl.Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=is_shown,
        callbacks=[AscentProgress()] if is_shown else [],
        default_root_dir=ranked.folder / picture_path(f"{_NAME}/{layer}", 0).parent,
    )
    trainer.fit(module)
    return module.results


def _compare(gratings: PreferredGratings, results: MaximizationResults, box: Box) -> Comparison:
    places = [results.kernels.index(kernel) for kernel in gratings.kernels]
    top, left, bottom, right = box
    images = results.images[places].float()
    seen = images[..., top:bottom, left:right]
    peak = spectrum_peak(seen, window=True)
    return Comparison(
        gratings,
        images,
        seen,
        peak.orientation,
        peak.spatial_frequency,
        results.activations[places],
        results.noise_activations[places],
    )


def _save_figure(ranked: RankedNetwork, comparison: Comparison, files: RankingFiles) -> None:
    gratings, ranking = comparison.gratings, comparison.gratings.ranking
    labels = [
        f"kernel {kernel}: {number(difference, '{:.0f}° apart')}"
        for kernel, difference in zip(
            gratings.kernels, comparison.orientation_difference.tolist(), strict=True
        )
    ]
    height, width = comparison.seen.shape[-2:]
    figure = grating_preference_figure(
        comparison.seen,
        ranked.spec,
        gratings.orientation,
        gratings.spatial_frequency,
        comparison.image_orientation,
        comparison.image_spatial_frequency,
        labels,
        f"{ranking.layer}: preferred images and gratings, first by {ranking.by}",
        notes=[f"Images: the {height} x {width} px that the central unit sees"],
    )
    files.save_picture(f"kernel_ranking/{ranking.by}/{ranking.layer}/{_NAME}", render(figure))


def print_comparisons(comparisons: list[Comparison]) -> None:
    """Print how far apart preferred images and gratings are."""
    table = Table(
        title="Preferred images against preferred gratings (medians; angles and frequencies of "
        "kernels tuned to orientation, frequencies not of those at the end of the range)"
    )
    for heading in ("layer", "ranking"):
        table.add_column(heading, overflow="fold")
    for heading in (
        "images",
        "tuned",
        "orientations apart",
        "image's frequency",
        "activation",
        "of noise",
    ):
        table.add_column(heading, justify="right")
    for one in comparisons:
        table.add_row(
            one.gratings.ranking.layer,
            one.gratings.ranking.by,
            str(len(one.images)),
            str(int(one.gratings.is_tuned.sum())),
            number(_median(one.orientation_difference[one.gratings.is_tuned]), "{:.1f}°"),
            number(
                _median(one.octaves[one.gratings.is_tuned & ~one.gratings.at_range_end]),
                "{:+.2f} octaves",
            ),
            f"{one.activation.quantile(0.5).item():.4g}",
            f"{one.noise_activation.quantile(0.5).item():.4g}",
        )
    console().print(table)


def _median(values: Tensor) -> float | None:
    return values.nanquantile(0.5).item() if len(values) else None
