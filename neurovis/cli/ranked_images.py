"""The images that kernels are ranked by: a person's own, in classes by folders, or the demo's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jsonargparse import Namespace
from torch import Tensor
from torch.utils.data import Dataset

from neurovis.cli.counting import counted
from neurovis.cli.first_process import is_first_process
from neurovis.cli.notes import Notes, print_notes
from neurovis.cli.options import picture_paths
from neurovis.demo import SHAPES, ShapeScenes
from neurovis.inputs import InputSpec
from neurovis.pictures import PICTURE_SUFFIXES, PictureFiles, find_pictures, read_picture
from neurovis.tuning.battery import Images
from neurovis.tuning.rankings import AnyRanking, ImageRanking

#: Number of the demo's scenes; each class as often.
_SCENES = 256
#: Scenes that the shipped network was not trained on.
_SCENES_SEED = 2000


class RankedPictures(Dataset[Tensor | tuple[Tensor, int]]):
    """Pictures that are read when they are asked for; each was read once to see that it can be.

    Args:
        pictures: Their files.
        labels: The class of each, or None.
        classes: The classes' names, or None.
        spec: What the network is shown.
        notes: Where warnings of pictures go.

    Attributes:
        classes: Names of the classes; None without any.
        unreadable: Why pictures were left out.

    Raises:
        ValueError: If no picture can be read; what is wrong with the first.
    """

    def __init__(
        self,
        pictures: Sequence[PictureFiles],
        labels: Sequence[int] | None,
        classes: list[str] | None,
        spec: InputSpec,
        notes: Notes,
    ) -> None:
        self.classes = classes
        self.unreadable: list[str] = []
        self.notes = notes
        self._spec = spec
        self._pictures: list[PictureFiles] = []
        self._labels: list[int] | None = None if labels is None else []
        with counted("pictures looked into", len(pictures), is_first_process()) as count:
            for index, picture in enumerate(pictures):
                count(1)
                try:
                    self._read(picture)
                except (ValueError, OSError) as error:
                    self.unreadable.append(str(error))
                    continue
                self._pictures.append(picture)
                if self._labels is not None and labels is not None:
                    self._labels.append(labels[index])
        if not self._pictures:
            raise ValueError(self.unreadable[0])

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Tensor | tuple[Tensor, int]:
        image = self._read(self._pictures[index])
        return image if self._labels is None else (image, self._labels[index])

    def print_notes(self) -> None:
        """Say what was left out, and what was done to pictures."""
        print_notes([f"left out: {' '.join(why.split())}" for why in self.unreadable])
        self.notes.print()

    def raise_if_incomplete(self) -> None:
        """At the end of a run, raise ValueError if pictures were left out, and why the first."""
        if self.unreadable:
            number = len(self.unreadable) + len(self)
            raise ValueError(
                f"left out {len(self.unreadable)} of {number} pictures that could not be read; the "
                f"first: {self.unreadable[0]}"
            )

    def _read(self, picture: PictureFiles) -> Tensor:
        with self.notes.taken():
            return read_picture(picture, self._spec)


class DemoScenes(ShapeScenes):
    """The demo's scenes with their classes' names.

    Args:
        spec: What the demo's network is shown.

    Raises:
        ValueError: If the scenes cannot have that shape.
    """

    classes: ClassVar[list[str]] = list(SHAPES)

    def __init__(self, spec: InputSpec) -> None:
        if spec.channels != 4 or spec.size[0] != spec.size[1]:
            raise ValueError(
                f"the demo's own scenes are square, of 4 channels; the input is {spec.shape}: give "
                "--images"
            )
        super().__init__(_SCENES, _SCENES_SEED, spec.size[0], cached=True)


def choose_pictures(
    options: Namespace, rankings: Sequence[AnyRanking], spec: InputSpec
) -> Images | None:
    """The images that rankings need, if any.

    Args:
        options: With ``model``, ``images`` and ``patterns``.
        rankings: What is asked.
        spec: What the network is shown.

    Raises:
        OSError: If a picture or folder does not exist.
        ValueError: If there are no images or classes, or pictures cannot be told apart.
    """
    by_image = [ranking for ranking in rankings if isinstance(ranking, ImageRanking)]
    if not by_image:
        if options.images is not None:
            raise ValueError(
                "--images are for rankings by images (sparseness, class, activation); none of "
                f"{', '.join(ranking.name for ranking in rankings)} is one"
            )
        return None
    labeled = [ranking.name for ranking in by_image if ranking.needs_labels]
    if options.images is None:
        if options.model == "demo":
            return DemoScenes(spec)
        raise ValueError(
            f"ranking by {by_image[0].name} needs images: give --images, "
            + ("a folder with one of each class in it" if labeled else "pictures or folders")
        )
    notes = Notes()
    with notes.taken():
        found = _find(options.images, options.patterns, spec, labeled)
    return RankedPictures(found.pictures, found.labels, found.classes, spec, notes)


@dataclass(frozen=True)
class _Found:
    pictures: list[PictureFiles]
    labels: list[int] | None = None
    classes: list[str] | None = None


def _find(
    images: object, patterns: Mapping[str, str] | None, spec: InputSpec, labeled: Sequence[str]
) -> _Found:
    """Pictures, with classes if a ranking needs them."""
    paths = picture_paths(images, spec)
    folders = [] if isinstance(paths, dict) else [Path(path) for path in paths]
    if labeled:
        return _in_classes(folders, patterns, spec, labeled[0])
    try:
        return _Found(find_pictures(paths, spec, patterns))
    except ValueError:
        # Nothing in the folders themselves: perhaps in those of classes.
        if not any(_subfolders(folder) for folder in folders):
            raise
        try:
            return _in_classes(folders, patterns, spec, "")
        except ValueError as error:
            del error
        raise


def _in_classes(
    folders: Sequence[Path], patterns: Mapping[str, str] | None, spec: InputSpec, by: str
) -> _Found:
    """The pictures of folders with one folder for each class in them."""
    for folder in folders:
        if not folder.exists():
            raise FileNotFoundError(f'there is no folder "{folder}"')
    flat = [str(folder) for folder in folders if not _subfolders(folder)]
    if flat or not folders:
        raise ValueError(
            f"ranking by {by} needs labels: give --images a folder with one folder of pictures for "
            f"each class in it; got {flat[0] if flat else 'one image'}"
        )
    parts = [part for folder in folders for part in _subfolders(folder)]
    _warn_of_pictures_beside(folders)
    classes = sorted({part.name for part in parts})
    found = [(part.name, one) for part in parts for one in find_pictures(part, spec, patterns)]
    return _Found([one for _, one in found], [classes.index(name) for name, _ in found], classes)


def _warn_of_pictures_beside(folders: Sequence[Path]) -> None:
    for folder in folders:
        beside = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
        if beside:
            warnings.warn(
                f'{len(beside)} pictures in "{folder}" are left out: no class has them',
                stacklevel=2,
            )


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name; hidden ones are left out."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
