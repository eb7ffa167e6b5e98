"""The top images of a person's own pictures beside preferred images, for ``neurovis am``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lightning.pytorch as pl
from jsonargparse import ArgumentParser, Namespace
from rich.table import Table
from rich.text import Text
from torch import nn

from neurovis.analysis import ResultFiles, save_top_images
from neurovis.cli.notes import Notes
from neurovis.cli.options import add_images_arguments, picture_paths
from neurovis.cli.own_images import DemoScenes, noted_reader
from neurovis.cli.printing import MOST_ROWS, console
from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization
from neurovis.pictures import PictureDataset
from neurovis.top_images import TopImages, TopImagesProbe
from neurovis.top_images.images import choose_images
from neurovis.top_images.probe import check_search_trainer
from neurovis.top_images.reading import AnyObjective

_DEFAULT_NUMBER = 9


def add_arguments(parser: ArgumentParser) -> None:
    """Options: the pictures, and how many of them for each kernel."""
    add_images_arguments(
        parser,
        "Find the pictures that drive each kernel most, to stand beside its preferred image: "
        "pictures, or folders of them, as for neurovis features; of a folder of folders those in "
        "them. Any number; they are read one after the other.",
        required=False,
    )
    parser.add_argument(
        "--top_images",
        type=int | None,
        default=None,
        help=f"So many of the images for each kernel: {_DEFAULT_NUMBER} if there are --images. "
        "With --model demo, of its own scenes by default.",
    )
    parser.add_argument(
        "--image_workers",
        type=int,
        default=0,
        help="Processes that read images, for each device; 0 reads them in between.",
    )


class TopImagesRun:
    """The pictures of a run, checked before hours go into the ascent.

    Args:
        images: Pictures, or the demo's scenes.
        k: Number of top images for each kernel.
        workers: Processes that read images.
        spec: What the network is shown.
        trainer: The run's Trainer.
        notes: Warnings about the pictures, printed in the end.

    Raises:
        OSError: If no file of a picture can be read.
        ValueError: If there is no picture that can be read, an option is out of its range, or the
            Trainer does not suit.
    """

    def __init__(
        self,
        images: PictureDataset | DemoScenes,
        k: int,
        workers: int,
        spec: InputSpec,
        trainer: pl.Trainer,
        notes: Notes,
    ) -> None:
        for name, value, least in (("top_images", k, 1), ("image_workers", workers, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}; got {value}")
        check_search_trainer(trainer, choose_images(images, spec))
        if isinstance(images, PictureDataset):
            images.first_readable()
        self._images, self._k, self._workers = images, k, workers
        self._spec, self._notes = spec, notes

    def run(
        self,
        network: nn.Module,
        module: ActivationMaximization,
        trainer: pl.Trainer,
        folder: Path,
        objective: AnyObjective | None = None,
        batch_size: int = 32,
    ) -> dict[str, TopImages]:
        """Find the top images of all kernels, write and print; every process must call.

        Args:
            network: As it was loaded.
            module: With the preferred images of each layer, one kernel to an image; no kernel is
                looked at twice.
            trainer: That made them; it has done its fit.
            folder: Folder of the run.
            objective: What pictures are compared by; by default what was maximized.
            batch_size: Images at a time, on each device.

        Returns:
            What was found, by layer.

        Raises:
            OSError: If a folder cannot be written.
        """
        results = [module.results_of(layer) for layer in module.layers]
        probe = TopImagesProbe(
            network,
            {one.layer: one.kernels for one in results},
            self._images,
            self._k,
            module.settings.objective if objective is None else objective,
            input_spec=self._spec,
            batch_size=batch_size,
            preferred=results,
            workers=self._workers,
        )
        trainer.predict(probe, return_predictions=False)
        if not trainer.is_global_zero:
            return probe.results
        for layer, found in probe.results.items():
            files = ResultFiles(module.folder_of(layer, folder), trainer.loggers)
            save_top_images(found, files)
            _print(found)
        self._notes.print()
        return probe.results


def raise_if_incomplete(found: Mapping[str, TopImages]) -> None:
    """Say in the end what was left out.

    Raises:
        ValueError: If pictures could not be read; how many, and why the first.
    """
    for one in found.values():
        if one.notes:  # All layers have the same.
            raise ValueError(one.notes[0])


def prepare(options: Namespace, spec: InputSpec, trainer: pl.Trainer) -> TopImagesRun | None:
    """The run of top images that the options ask for, if any; to be called before the ascent."""
    if options.images is None and options.top_images is None:
        return None
    notes = Notes()
    images = _choose_images(options.model, options.images, options.patterns, spec, notes)
    k = _DEFAULT_NUMBER if options.top_images is None else options.top_images
    return TopImagesRun(images, k, options.image_workers, spec, trainer, notes)


def _choose_images(
    model: str, images: object, patterns: Mapping[str, str] | None, spec: InputSpec, notes: Notes
) -> PictureDataset | DemoScenes:
    if images is not None:
        with notes.taken():
            paths = picture_paths(images, spec)
            return PictureDataset.find(paths, spec, patterns, noted_reader(notes))
    if model == "demo":
        return DemoScenes(spec)
    raise ValueError("top_images needs images: give --images, pictures or folders of them")


def _print(found: TopImages) -> None:
    """Activations of top images against those of preferred images."""
    table = Table(title=f"{found.layer}: top images of {found.number}")
    table.add_column("kernel", justify="right")
    for heading in ("highest activation", "of the preferred image", "of noise"):
        table.add_column(heading, justify="right")
    table.add_column("picture", overflow="fold")
    best = [row for row in found.rows() if row["rank"] == 1]
    for row in best[:MOST_ROWS]:
        numbers = [
            "" if row[name] == "" else f"{row[name]:.4g}"
            for name in ("activation", "preferred_activation", "noise_activation")
        ]
        silent = row["activation"] == 0
        picture = "silent for all images" if silent else str(row["picture"])
        table.add_row(str(row["kernel"]), *numbers, Text(picture))
    output = console()
    output.print(table)
    if len(best) > MOST_ROWS:
        output.print(f"… and {len(best) - MOST_ROWS} more in top_images.csv")
