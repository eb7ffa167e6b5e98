"""The top images of a person's own pictures beside preferred images, for ``neurovis am``."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
from torch import nn

from neurovis.analysis.kernel_facets import LEAST_FOR_FACETS
from neurovis.analysis.picture_prediction import LEAST_PICTURES
from neurovis.cli.evidence_options import ASKING, TopImagesOptions
from neurovis.cli.own_images import DemoScenes, choose_images
from neurovis.cli.printing import MOST_ROWS, print_table
from neurovis.maximization import ActivationMaximization
from neurovis.pictures import PictureDataset
from neurovis.top_images import TopImages, TopImagesProbe
from neurovis.top_images.reading import AnyObjective

_DEFAULT_NUMBER = 9


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
            asking = next(name for name in ASKING if getattr(options, name))
            raise ValueError(f"{asking} needs images: give --images, pictures or folders of them")
        kernels: dict[str, list[int]] = {layer: [] for layer in module.layers}
        for job in module.jobs:
            if job.sign > 0:
                kernels[job.layer] += job.target.kernels
        self._images, self._module, self._trainer = images, module, trainer
        self.found: dict[str, TopImages] = {}
        needed = dict.fromkeys(("predictability", "path_similarity"), LEAST_PICTURES)
        for name, least in {**needed, "facets": LEAST_FOR_FACETS}.items():
            if getattr(options, name) and len(images.dataset) < least:
                raise ValueError(
                    f"{name} needs at least {least} pictures; --images has {len(images.dataset)}"
                )
        reads = module.settings.resolved_objective
        for name in ASKING[1:]:
            if getattr(options, name) and reads.noun != "kernel":
                raise ValueError(f"{name} asks about kernels; the objective reads a {reads.noun}")
        if options.path_similarity and not reads.fits_any_size:
            raise ValueError(
                "path_similarity compares means of maps, which says little of images for other "
                "objectives; give --objective mean"
            )
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
                found.save(module.folder_of(layer, folder), trainer.loggers)
                _print(found)
            self._images.notes.print()

    def raise_if_incomplete(self) -> None:
        """Say in the end what was left out.

        Raises:
            ValueError: If pictures could not be read; how many, and why the first.
        """
        for found in self._probe.results.values():
            if found.notes:  # All layers have the same.
                raise ValueError(found.notes[0])


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
