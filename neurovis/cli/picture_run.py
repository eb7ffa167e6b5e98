"""Common parts of commands on your own pictures: find and read them, and keep results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from neurovis.analysis import ExplainedPicture, FeatureMaps, RandomizedPicture, ResultFiles
from neurovis.cli.commands import PicturePaths
from neurovis.cli.own_images import CommandImages, own_pictures
from neurovis.cli.printing import print_written
from neurovis.cli.trainers import build_trainer, check_float32, check_one_device
from neurovis.files import check_writable
from neurovis.first_forward import IncompatibleInputError, checked_forward
from neurovis.inputs import InputSpec
from neurovis.maximization.progress import progress_bar
from neurovis.run_folder import new_run_folder
from neurovis.tables import Row, TableWriter, open_table

PictureResult = FeatureMaps | ExplainedPicture | RandomizedPicture

_REMEDY = "give what it was made for, see --input.size and --input.modalities"


@dataclass(frozen=True)
class PictureOptions:
    """Pictures of your own.

    Args:
        images: Pictures, or folders of them: PNG, JPEG, TIFF, or .npy (C, H, W) in [0, 1]. Of an
            RGB-D image any file finds its partner: X_RGB.png and X_depth.tiff. Where names do not
            tell: rgb=photo.png depth=scan.tiff. 0 to 255 of an 8-bit file is a modality's whole
            range; only 16-bit and float files have a unit. All are stretched to the network's size.
        patterns: Names of each modality's files in a folder, * being what the files of an image
            share: --patterns.rgb "*_RGB.png" --patterns.depth "*_perfect_depth.tiff".
        batch_size: Pictures read at a time.
    """

    images: PicturePaths
    patterns: dict[str, str] | None = None
    batch_size: PositiveInt = 16


@contextmanager
def checked_options(network: nn.Module, spec: InputSpec) -> Iterator[None]:
    """Around the first forwards of a network, which may not be made for such images.

    Raises:
        IncompatibleInputError: If it cannot take them; the message gives their shape and the
            options that change it.
    """
    try:
        with checked_forward(network, spec):
            yield
    except IncompatibleInputError as error:
        raise IncompatibleInputError(f"{error}; {_REMEDY}") from error


class PictureRun:
    """Pictures of a run, and the folder for their results.

    Nothing is written before the first result. Pictures that cannot be read are left out; the
    others keep their index.

    Args:
        options: The pictures.
        trainer_options: Options of the Trainer, which gives a device and loggers.
        spec: What the network is shown.

    Raises:
        OSError: If a picture does not exist, or the folder for results cannot be written to.
        ValueError: If pictures cannot be told apart, or the Trainer is to do what it cannot here.
    """

    def __init__(
        self, options: PictureOptions, trainer_options: Mapping[str, Any], spec: InputSpec
    ) -> None:
        # Before a folder of thousands of pictures is looked through.
        check_writable(trainer_options["default_root_dir"] or Path.cwd())
        self._batch_size = options.batch_size
        self._pictures, notes = own_pictures(options.images, options.patterns, spec)
        self._images = CommandImages(self._pictures, notes)
        self._trainer = _trainer(trainer_options)
        self.device = self._trainer.strategy.root_device
        self._figures, self._is_done = 0, False

    @property
    def number(self) -> int:
        """Number of pictures, without those that turned out to be unreadable."""
        return len(self._pictures) - len(self._pictures.left_out)

    @cached_property
    def files(self) -> ResultFiles:
        """Folder for results, which no other run has, and loggers."""
        return ResultFiles(new_run_folder(self._trainer), self._trainer.loggers)

    @property
    def kept(self) -> str:
        """Text about the results that exist when the run is stopped."""
        if not self._figures:
            return "before the first figure; there are no results yet"
        kept = f"{self._figures} figures and their arrays are in {self.files.folder}"
        if self._is_done:
            return f"when all pictures were done; {kept}"
        return f"before all pictures were done; {kept}, without the tables"

    def first_image(self) -> Tensor:
        """The first readable picture ``(1, C, H, W)`` in [0, 1], to try things with.

        Raises:
            ValueError: If there is none; what is wrong with the first.
        """
        return self._pictures.first_readable()[1][None]

    def batches(self, size: int | None = None) -> Iterator[tuple[list[int], Tensor]]:
        """The readable pictures ``(B, C, H, W)`` in [0, 1] with their numbers, some at a time.

        Args:
            size: Most pictures in a batch; by default the batch size that was asked for.
        """
        size = min(size or self._batch_size, self._batch_size)
        number = len(self._pictures)
        is_shown = self._trainer.progress_bar_callback is not None
        with progress_bar("pictures", number, is_shown=is_shown) as bar:
            for start in range(0, number, size):
                indices = range(start, min(start + size, number))
                read = {index: self._pictures.try_image(index) for index in indices}
                images = {index: image for index, image in read.items() if image is not None}
                if images:
                    yield list(images), torch.stack(list(images.values()))
                bar.update(len(indices))
        self._is_done = True

    def save(self, result: PictureResult, index: int, count: int) -> list[Row]:
        """Write the figure of at most ``count`` kernels, log it, and write the arrays.

        Args:
            result: Result of a picture.
            index: Number of the picture, and its step in the logs.
            count: Maximum number of kernels in the figure.

        Returns:
            The rows of the result, with columns that say which picture it is.
        """
        picture = self._pictures.pictures[index]
        name = f"{result.tag}/{index:04d}_{picture.name}"
        figure = result.figure(picture.name, count)
        self.files.save_figure(name, figure, result.tag, index, result.DESCRIPTION)
        self._figures += 1
        self.files.save_arrays(name, picture=picture.name, **result.arrays())
        columns = {"index": index, "picture": picture.name, "file": picture.printable_file}
        return [{**columns, **row} for row in result.rows()]

    def table(self, name: str) -> AbstractContextManager[TableWriter]:
        """Write a table row by row; it appears when it is complete."""
        return open_table(self.files.folder / name)

    def finish(self) -> None:
        """Close the logs, and print what there is to know and where the results are.

        Raises:
            ValueError: At the end, if pictures could not be read; how many, and why the first.
        """
        for logger in self._trainer.loggers:
            logger.finalize("success")
        self._images.print_notes()
        print_written(self.files.folder, self._trainer.loggers)
        self._images.raise_if_incomplete()


def _trainer(options: Mapping[str, Any]) -> pl.Trainer:
    """The Trainer, for its device and loggers."""
    check_float32(options, "pictures are shown in")
    trainer = build_trainer(options)
    check_one_device(trainer, "pictures are shown to one network on")
    return trainer
