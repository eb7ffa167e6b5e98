"""The top images of a person's own pictures beside preferred images, for ``neurovis am``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

import lightning.pytorch as pl
from torch import nn

from neurovis.analysis import (
    Facets,
    PathSimilarity,
    Predictability,
    facet_images,
    facets,
    path_similarity,
    predictability,
)
from neurovis.analysis.contributions import ContributionReader
from neurovis.analysis.facets import LEAST_FOR_FACETS
from neurovis.analysis.path_similarity import OTHER_WAY, PathReader
from neurovis.analysis.predictability import LEAST_PICTURES
from neurovis.cli.commands import Flag, Paths
from neurovis.cli.own_images import DemoScenes, choose_images
from neurovis.cli.printing import MOST_ROWS, print_notes, print_table
from neurovis.figures import save_png
from neurovis.maximization import ActivationMaximization, AscentOptions
from neurovis.pictures import PictureDataset
from neurovis.tables import write_table
from neurovis.top_images import TopImages, TopImagesProbe
from neurovis.top_images.reading import AnyObjective

_DEFAULT_NUMBER = 9
#: Options that ask for pictures.
_ASKING = ("top_images", "predictability", "path_similarity", "facets")


@dataclass(frozen=True)
class TopImagesOptions:
    """Pictures of your own that drive each kernel most.

    Args:
        images: Find the pictures that drive each kernel most, to stand beside its preferred image:
            pictures, or folders of them, as for neurovis features; of a folder of folders those in
            them. Any number; they are read one after the other.
        patterns: Names of each modality's files in a folder, * being what the files of an image
            share: --patterns.rgb "*_RGB.png" --patterns.depth "*_perfect_depth.tiff".
        top_images: Number of top images for each kernel: 9 if there are --images. With --model
            demo, of its own scenes by default.
        image_workers: Processes that read images, for each device; 0 reads them in between.
        predictability: Also measure whether a kernel's preferred image tells which of the pictures
            drive it: 1 if always, 0.5 by chance; 10 pictures at least.
        path_similarity: Also compare what a kernel's preferred image and its top pictures excite in
            the layers before, and flag images that take another way in; 10 pictures at least.
        facets: Also tell whether pictures drive a kernel in several ways, and make an image for
            each of them; 48 pictures at least.
    """

    images: Paths = None
    patterns: dict[str, str] | None = None
    top_images: int | None = None
    image_workers: int = 0
    predictability: Flag = False
    path_similarity: Flag = False
    facets: Flag = False

    def __post_init__(self) -> None:
        for name, least in (("top_images", 1), ("image_workers", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}; got {value}")

    @property
    def are_wanted(self) -> bool:
        """True if there are pictures to search."""
        return self.images is not None or any(getattr(self, name) for name in _ASKING)


class TopImagesRun:
    """Search for top images, checked before hours go into the ascent.

    Args:
        options: Pictures, and how many of them.
        model: Import path of the network.
        network: The network, as it was loaded.
        module: Ascents of the kernels, one for each image.
        trainer: The run's Trainer.
        objective: What images are compared by; by default what is maximized.

    Attributes:
        found: By layer, after the run.
        predicted: Predictability by layer, if it was asked for.
        paths: Path similarity by layer, if it was asked for.

    Raises:
        ValueError: If there is no picture that can be read, an option is out of its range, or the
            Trainer does not suit.
    """

    def __init__(
        self,
        options: TopImagesOptions,
        model: str,
        network: nn.Module,
        module: ActivationMaximization,
        trainer: pl.Trainer,
        objective: AnyObjective | None = None,
    ) -> None:
        spec = module.input_spec
        images = choose_images(model, options.images, options.patterns, spec)
        if images is None:
            asking = next(name for name in _ASKING if getattr(options, name))
            raise ValueError(f"{asking} needs images: give --images, pictures or folders of them")
        kernels: dict[str, list[int]] = {layer: [] for layer in module.layers}
        for job in module.jobs:
            if job.sign > 0:
                kernels[job.layer] += job.target.kernels
        self._images, self._module, self._trainer = images, module, trainer
        self._network, self._options, self._kernels = network, options, kernels
        self.found: dict[str, TopImages] = {}
        self.predicted: dict[str, Predictability] = {}
        self.paths: dict[str, PathSimilarity] = {}
        needed = dict.fromkeys(("predictability", "path_similarity"), LEAST_PICTURES)
        for name, least in {**needed, "facets": LEAST_FOR_FACETS}.items():
            if getattr(options, name) and len(images.dataset) < least:
                raise ValueError(
                    f"{name} needs at least {least} pictures; --images has {len(images.dataset)}"
                )
        reads = module.settings.resolved_objective
        for name in _ASKING[1:]:
            if getattr(options, name) and reads.noun != "kernel":
                raise ValueError(f"{name} asks about kernels; the objective reads a {reads.noun}")
        if options.path_similarity and not reads.fits_any_size:
            raise ValueError(
                "path_similarity compares means of maps, which says little of images for other "
                "objectives; give --objective mean"
            )
        for layer in module.layers if options.facets else ():
            ContributionReader(network, layer, spec)  # Raises if there is no layer below.
        for layer in module.layers if options.path_similarity else ():
            PathReader(network, layer, spec)  # Raises if nothing is before the layer.
        self._probe = TopImagesProbe(
            network,
            kernels,
            images.dataset,
            _DEFAULT_NUMBER if options.top_images is None else options.top_images,
            module.settings.objective if objective is None else objective,
            input_spec=spec,
            workers=options.image_workers,
        )
        self._probe.check_trainer(trainer)
        images.first()

    @property
    def dataset(self) -> PictureDataset | DemoScenes:
        """The pictures."""
        return self._images.dataset

    def run(self, folder: Path) -> None:
        """Find the top images of all kernels, write and print; every process must call.

        Args:
            folder: Folder of the run.

        Raises:
            OSError: If a folder cannot be written.
        """
        module, trainer = self._module, self._trainer
        self._probe.preferred = [module.results_of(layer) for layer in module.layers]
        trainer.predict(self._probe, return_predictions=False)
        if trainer.is_global_zero:
            self.found = self._probe.results
            for layer, found in self.found.items():
                own = module.folder_of(layer, folder)
                found.save(own, trainer.loggers)
                _print(found)
                if self._options.predictability:
                    self._predict(layer, own)
                if self._options.path_similarity:
                    self._compare_paths(layer, own)
                if self._options.facets:
                    self._find_facets(layer, own)
            self._images.notes.print()

    def _predict(self, layer: str, folder: Path) -> None:
        """Measure what a layer's preferred images tell of the pictures, write and print it."""
        found = predictability(
            self._network,
            layer,
            self._module.results_of(layer),
            self._images.dataset,
            input_spec=self._module.input_spec,
        )
        self.predicted[layer] = found
        rows = _saved(found, folder, "predictability")
        shown = [
            {"kernel": str(row["kernel"])}
            | {name: f"{row[name]:.3g}" for name in ("predictability", "null", "percentile")}
            for row in rows[:MOST_ROWS]
        ]
        title = f"{layer}: predictability of {found.pictures} pictures"
        print_table(title, shown, number=len(rows), file="predictability.csv")

    def _compare_paths(self, layer: str, folder: Path) -> None:
        """Compare the ways in of a layer's preferred images and top pictures, write and print."""
        found = path_similarity(
            self._network,
            layer,
            self._module.results_of(layer),
            self._images.dataset,
            input_spec=self._module.input_spec,
        )
        self.paths[layer] = found
        rows = _saved(found, folder, "path_similarity")
        last = [row for row in rows if row["before"] == found.layers[-1]]
        names = ("correlation", "null", "among_pictures", "similarity")
        shown = [
            {"kernel": str(row["kernel"]), **{name: f"{row[name]:.3g}" for name in names}}
            | {"": OTHER_WAY if row["kernel"] in found.flagged else ""}
            for row in last[:MOST_ROWS]
        ]
        title = f"{layer}: path similarity in {found.layers[-1]}"
        print_table(title, shown, [""], number=len(last), file="path_similarity.csv")

    def _find_facets(self, layer: str, folder: Path) -> None:
        """Find the facets of a layer's kernels, make their images, write and print them."""
        settings = self._module.settings
        options = {one.name: getattr(settings, one.name) for one in fields(settings)}
        kernels = self._kernels[layer]
        spec = self._module.input_spec
        found = facets(self._network, layer, kernels, self.dataset, input_spec=spec)
        if not found.items:
            print_notes([f"{layer}: no kernel below drives any of these kernels: no facets"])
            return
        accelerator = self._trainer.strategy.root_device.type
        # As contributions are counted.
        made = cast(AscentOptions, {**options, "variants": 1, "objective": "mean"})
        found = facet_images(self._network, found, accelerator=accelerator, **made)
        rows = _saved(found, folder, "facets")
        shown = [
            {
                "kernel": str(row["kernel"]),
                "facet": f"{row['facet']} of {row['facets']}",
                "p": f"{row['p']:.2g}",
                "pictures": str(len(item.pictures)),
                "activation": f"{row['activation']:.4g}",
            }
            for row, item in zip(rows[:MOST_ROWS], found.items, strict=False)
        ]
        title = f"{layer}: facets by {found.space}"
        print_table(title, shown, number=len(rows), file="facets.csv")

    def raise_if_incomplete(self) -> None:
        """Say in the end what was left out.

        Raises:
            ValueError: If pictures could not be read; how many, and why the first.
        """
        for found in self._probe.results.values():
            if found.notes:  # All layers have the same.
                raise ValueError(found.notes[0])


def _saved(
    found: Predictability | PathSimilarity | Facets, folder: Path, name: str
) -> list[dict[str, object]]:
    """Write a measurement as a table and a figure, and return the table's rows."""
    rows = list(found.rows())
    write_table(folder / f"{name}.csv", rows)
    save_png(folder / f"{name}.png", found.figure(), colors=256)
    return rows


def _print(found: TopImages) -> None:
    """Activations of top images against those of preferred images."""
    best = [row for row in found.rows() if row["rank"] == 1]
    headings = {
        "activation": "highest activation",
        "preferred_activation": "of the preferred image",
        "noise_activation": "of noise",
    }
    rows = []
    for row in best[:MOST_ROWS]:
        numbers = {
            heading: "" if row[name] == "" else f"{row[name]:.4g}"
            for name, heading in headings.items()
        }
        picture = "silent for all images" if row["activation"] == 0 else str(row["picture"])
        rows.append({"kernel": str(row["kernel"]), **numbers, "picture": picture})
    title = f"{found.layer}: top images of {found.number}"
    print_table(title, rows, ["picture"], number=len(best), file="top_images.csv")
