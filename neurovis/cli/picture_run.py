"""What commands on a person's own pictures share: finding and reading them, a place for results."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from rich.progress import Progress
from rich.text import Text
from torch import Tensor

from neurovis.cli.options import add_model_arguments
from neurovis.cli.report import console, tensorboard_command
from neurovis.figures import render, save_png
from neurovis.files import check_writable, whole_file
from neurovis.inputs import InputSpec
from neurovis.pictures import PictureFiles, find_pictures, read_picture
from neurovis.summaries import log_picture, picture_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: So many notes are printed in full.
_MOST_NOTES = 3

Row = Mapping[str, object]


def add_picture_arguments(parser: ArgumentParser) -> None:
    """Options: the network, its input, the pictures and the Trainer."""
    add_model_arguments(parser)
    # Without a type, a name is a name: no YAML is read in "a: b.png" or "1".
    parser.add_argument(
        "--images",
        nargs="+",
        required=True,
        metavar="PATH",
        help="Pictures, or folders of them: PNG, JPEG, TIFF, or .npy (C, H, W) in [0, 1]. Of an "
        "RGB-D image any file finds its partner: X_RGB.png and X_depth.tiff. Where names do not "
        "tell: rgb=photo.png depth=scan.tiff.",
    )
    parser.add_argument(
        "--patterns",
        type=dict[str, str] | None,
        default=None,
        help="Names of each modality's files in a folder, * being what the files of an image "
        'share: --patterns.rgb "*_RGB.png" --patterns.depth "*_perfect_depth.tiff".',
    )
    parser.add_argument("--batch_size", type=int, default=16, help="Pictures read at a time.")
    parser.add_class_arguments(pl.Trainer, "trainer", instantiate=False)
    parser.set_defaults(
        {
            "trainer.devices": 1,
            "trainer.enable_checkpointing": False,
            "trainer.enable_model_summary": False,
        }
    )


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
    """The pictures of a run, and the place for what comes of them.

    Nothing is written before the first result.

    Args:
        options: Of :func:`add_picture_arguments`.
        spec: What the network is shown.

    Raises:
        OSError: If a picture does not exist, or the folder for results cannot be written to.
        ValueError: If pictures cannot be told apart, or the Trainer is to do what it cannot here.
    """

    def __init__(self, options: Namespace, spec: InputSpec) -> None:
        if options.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {options.batch_size}")
        check_writable(options.trainer.default_root_dir or Path.cwd())
        self.spec = spec
        self.batch_size: int = options.batch_size
        self._notes: dict[str, None] = {}
        with self._noting():
            paths = _paths(options.images, spec)
            self._pictures = find_pictures(paths, spec, options.patterns)
        trainer = _trainer(options.trainer)
        self.device = trainer.strategy.root_device
        self.folder = Path(trainer.log_dir or trainer.default_root_dir)
        check_writable(self.folder)
        self._loggers = trainer.loggers
        self._shows_progress = trainer.progress_bar_callback is not None and sys.stdout.isatty()

    def __len__(self) -> int:
        return len(self._pictures)

    def first_image(self) -> Tensor:
        """The first picture ``(1, C, H, W)`` in [0, 1], to try things with."""
        return self._read(self._pictures[:1])

    def batches(self, size: int | None = None) -> Iterator[tuple[list[Numbered], Tensor]]:
        """The pictures ``(B, C, H, W)`` in [0, 1], some at a time.

        Args:
            size: At most so many; by default the batch size that was asked for.
        """
        size = min(size or self.batch_size, self.batch_size)
        with Progress(disable=not self._shows_progress, transient=True) as progress:
            task = progress.add_task("pictures", total=len(self))
            for start in range(0, len(self), size):
                files = self._pictures[start : start + size]
                numbered = [
                    Numbered(index, one.name, _printable(next(iter(one.files.values()))))
                    for index, one in enumerate(files, start)
                ]
                yield numbered, self._read(files)
                progress.advance(task, len(files))

    def save_figure(self, tag: str, picture: Numbered, figure: Figure) -> None:
        """Write a figure under its tag, and log it with the picture's index as the step."""
        pixels = render(figure)
        save_png(self._path(tag, picture, ".png"), pixels)
        log_picture(self._loggers, tag, pixels, picture.index, None)

    def save_arrays(self, tag: str, picture: Numbered, arrays: Mapping[str, Any]) -> None:
        """Write arrays beside the figure, as ``.npz``."""
        path = self._path(tag, picture, ".npz")
        with whole_file(path) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, **{"picture": np.array(picture.name), **arrays})

    @contextmanager
    def table(self, name: str, columns: Sequence[str]) -> Iterator[csv.DictWriter[str]]:
        """Write a table row by row; it appears when it is complete.

        Args:
            name: Of the file.
            columns: After those of the picture.
        """
        names = ["index", "picture", "file", *columns]
        with (
            whole_file(self.folder / name) as partial,
            open(partial, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            yield writer

    def finish(self) -> None:
        """Close the logs, and print what there is to know and where the results are."""
        for logger in self._loggers:
            logger.finalize("success")
        output = console()
        for note in list(self._notes)[:_MOST_NOTES]:
            output.print(Text(f"note: {note}"), soft_wrap=True)
        if len(self._notes) > _MOST_NOTES:
            output.print(f"… and {len(self._notes) - _MOST_NOTES} more notes of this kind")
        output.print(Text(f"Written to {self.folder}"), soft_wrap=True)
        if self._loggers:
            command = tensorboard_command(self.folder)
            output.print(Text(f"See it with: {command}"), soft_wrap=True)

    def _read(self, pictures: Sequence[PictureFiles]) -> Tensor:
        with self._noting():
            return torch.stack([read_picture(picture, self.spec) for picture in pictures])

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep warnings for the end, each once: of a thousand pictures there may be a thousand."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        self._notes.update(dict.fromkeys(str(warning.message) for warning in caught))

    def _path(self, tag: str, picture: Numbered, suffix: str) -> Path:
        # The path of a tag is safe whatever the picture is called.
        safe = picture_path(f"{tag}/{picture.index:04d}_{picture.name}", 0).parent
        return self.folder / safe.with_name(f"{safe.name}{suffix}")


def _paths(images: object, spec: InputSpec) -> list[str] | dict[str, str]:
    """Paths as the command line or a config has them."""
    if isinstance(images, Mapping):
        return {str(name): str(path) for name, path in images.items()}
    listed = [
        path for path in (images if isinstance(images, list) else [images]) if isinstance(path, str)
    ]
    if isinstance(images, list) and len(listed) < len(images):
        raise ValueError(f"images must be paths, or a path for each modality; got {images!r}")
    names = {modality.name for modality in spec.modalities}
    named = [path.partition("=") for path in listed]
    if all(name in names and path for name, _, path in named):
        return {name: path for name, _, path in named}
    return listed


def _trainer(arguments: Namespace) -> pl.Trainer:
    """The Trainer, for its device and loggers."""
    trainer = pl.Trainer(**arguments)
    devices = trainer.num_devices * trainer.num_nodes
    if devices > 1:
        raise ValueError(
            f"pictures are shown to one network on one device; got {devices}: --trainer.devices 1"
        )
    if trainer.precision != "32-true":
        raise ValueError(
            f"pictures are shown in float32; got --trainer.precision {trainer.precision}"
        )
    return trainer


def _printable(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()
