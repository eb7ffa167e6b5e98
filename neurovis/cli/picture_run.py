"""Common parts of commands on your own pictures: find and read them, and keep results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor, nn

from neurovis.cli.counting import counted
from neurovis.cli.notes import Notes, print_notes
from neurovis.cli.options import add_images_arguments, add_model_arguments, picture_paths
from neurovis.cli.printing import print_written
from neurovis.cli.trainers import add_trainer_arguments, build_trainer, check_float32
from neurovis.figures import render, save_png
from neurovis.files import check_writable, whole_file
from neurovis.first_forward import IncompatibleInputError, checked_forward
from neurovis.inputs import InputSpec
from neurovis.pictures import find_pictures, read_picture
from neurovis.run_folder import new_run_folder
from neurovis.summaries import log_picture, picture_path
from neurovis.tables import TableWriter, open_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_REMEDY = "give what it was made for, see --input.size and --input.modalities"


def add_picture_arguments(parser: ArgumentParser) -> None:
    """Options: the network, its input, the pictures and the Trainer."""
    add_model_arguments(parser)
    add_images_arguments(
        parser,
        "Pictures, or folders of them: PNG, JPEG, TIFF, or .npy (C, H, W) in [0, 1]. Of an RGB-D "
        "image any file finds its partner: X_RGB.png and X_depth.tiff. Where names do not tell: "
        "rgb=photo.png depth=scan.tiff. 0 to 255 of an 8-bit file is a modality's whole range; "
        "only 16-bit and float files have a unit. All are stretched to the network's size.",
    )
    parser.add_argument("--batch_size", type=int, default=16, help="Pictures read at a time.")
    add_trainer_arguments(parser, devices=1)


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


@dataclass(frozen=True)
class Numbered:
    """A picture of a run.

    Attributes:
        index: Its place among the pictures, and its step in the logs.
        name: What results call it.
        file: Its first modality's file, fit to be printed.
    """

    index: int
    name: str
    file: str

    @property
    def columns(self) -> dict[str, object]:
        """The columns of results that say which picture it is."""
        return {"index": self.index, "picture": self.name, "file": self.file}


class PictureRun:
    """Pictures of a run, and the folder for their results.

    Nothing is written before the first result. Pictures that cannot be read are left out; the
    others keep their index.

    Args:
        options: Those of :func:`add_picture_arguments`.
        spec: What the network is shown.

    Raises:
        OSError: If a picture does not exist, or the folder for results cannot be written to.
        ValueError: If pictures cannot be told apart, or the Trainer is to do what it cannot here.
    """

    def __init__(self, options: Namespace, spec: InputSpec) -> None:
        if options.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {options.batch_size}")
        # Before a folder of thousands of pictures is looked through.
        check_writable(options.trainer.default_root_dir or Path.cwd())
        self.spec = spec
        self.batch_size: int = options.batch_size
        self._notes = Notes()
        self._unreadable: dict[int, str] = {}
        self._explained: set[str] = set()
        self._first: dict[int, Tensor] = {}
        with self._notes.taken():
            paths = picture_paths(options.images, spec)
            self._pictures = find_pictures(paths, spec, options.patterns)
        trainer = _trainer(options.trainer)
        self.device = trainer.strategy.root_device
        self._trainer = trainer
        self._loggers = trainer.loggers
        self._shows_progress = trainer.progress_bar_callback is not None
        self._figures, self._is_done = 0, False

    @property
    def number(self) -> int:
        """Number of pictures, without those that turned out to be unreadable."""
        return len(self._pictures) - len(self._unreadable)

    @cached_property
    def folder(self) -> Path:
        """The folder for results, which no other run has."""
        return new_run_folder(self._trainer)

    @property
    def kept(self) -> str:
        """Text about the results that exist when the run is stopped."""
        if not self._figures:
            return "before the first figure; there are no results yet"
        kept = f"{self._figures} figures and their arrays are in {self.folder}"
        if self._is_done:
            return f"when all pictures were done; {kept}"
        return f"before all pictures were done; {kept}, without the tables"

    def first_image(self) -> Tensor:
        """The first readable picture ``(1, C, H, W)`` in [0, 1], to try things with.

        Raises:
            ValueError: If there is none; what is wrong with the first.
        """
        for index in range(len(self._pictures)):
            image = self._read(index)
            if image is not None:
                self._first = {index: image}
                return image[None]
        raise ValueError(self._unreadable[0])

    def batches(self, size: int | None = None) -> Iterator[tuple[list[Numbered], Tensor]]:
        """The readable pictures ``(B, C, H, W)`` in [0, 1], some at a time.

        Args:
            size: Most pictures in a batch; by default the batch size that was asked for.
        """
        size = min(size or self.batch_size, self.batch_size)
        number = len(self._pictures)
        with counted("pictures", number, self._shows_progress) as count:
            for start in range(0, number, size):
                indices = range(start, min(start + size, number))
                read = {index: self._read(index) for index in indices}
                images = {index: image for index, image in read.items() if image is not None}
                if images:
                    numbered = [self._numbered(index) for index in images]
                    yield numbered, torch.stack(list(images.values()))
                count(len(indices))
        self._is_done = True

    def save_figure(self, tag: str, picture: Numbered, figure: Figure, words: str) -> None:
        """Write a figure under its tag, and log it with the picture's index as the step.

        What it shows is said in a log's words once for a tag.
        """
        pixels = render(figure)
        save_png(self._path(tag, picture, ".png"), pixels)
        fresh = "" if tag in self._explained else words
        log_picture(self._loggers, tag, pixels, picture.index, None, fresh)
        self._explained.add(tag)
        self._figures += 1

    def save_arrays(self, tag: str, picture: Numbered, arrays: Mapping[str, Any]) -> None:
        """Write arrays beside the figure, as ``.npz``."""
        path = self._path(tag, picture, ".npz")
        with whole_file(path) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, **{"picture": np.array(picture.name), **arrays})

    def table(self, name: str, columns: Sequence[str]) -> AbstractContextManager[TableWriter]:
        """Write a table row by row; it appears when it is complete.

        Args:
            name: Name of the file.
            columns: After those of the picture.
        """
        names = ["index", "picture", "file", *columns]
        return open_table(self.folder / name, names)

    def finish(self) -> None:
        """Close the logs, and print what there is to know and where the results are.

        Raises:
            ValueError: At the end, if pictures could not be read; how many, and why the first.
        """
        for logger in self._loggers:
            logger.finalize("success")
        print_notes([f"left out: {' '.join(why.split())}" for why in self._unreadable.values()])
        self._notes.print()
        print_written(self.folder, self._loggers)
        if self._unreadable:
            raise ValueError(
                f"left out {len(self._unreadable)} of {len(self._pictures)} pictures that could "
                f"not be read; the first: {next(iter(self._unreadable.values()))}"
            )

    def _numbered(self, index: int) -> Numbered:
        picture = self._pictures[index]
        return Numbered(index, picture.name, _printable(next(iter(picture.files.values()))))

    def _read(self, index: int) -> Tensor | None:
        """A picture ``(C, H, W)``; None for one that cannot be read, which is tried once.

        The first, which was read to try things with, is not read again.
        """
        if index in self._unreadable:
            return None
        if index in self._first:
            return self._first.pop(index)
        with self._notes.taken():
            try:
                return read_picture(self._pictures[index], self.spec)
            except (ValueError, OSError) as error:
                # The message alone: an error holds on to what was read.
                self._unreadable[index] = str(error)
                return None

    def _path(self, tag: str, picture: Numbered, suffix: str) -> Path:
        # The path of a tag is safe whatever the picture is called.
        safe = picture_path(f"{tag}/{picture.index:04d}_{picture.name}", 0).parent
        return self.folder / safe.with_name(f"{safe.name}{suffix}")


def _trainer(arguments: Namespace) -> pl.Trainer:
    """The Trainer, for its device and loggers."""
    check_float32(vars(arguments), "pictures are shown in")
    trainer = build_trainer(vars(arguments))
    devices = trainer.num_devices * trainer.num_nodes
    if devices > 1:
        raise ValueError(
            f"pictures are shown to one network on one device; got {devices}: --trainer.devices 1"
        )
    return trainer


def _printable(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()
