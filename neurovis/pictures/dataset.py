"""Pictures in files as a torch data set, with or without classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from neurovis.inputs import InputSpec
from neurovis.pictures.finding import Paths, PictureFiles, find_pictures, pictures_in
from neurovis.pictures.reading import read_picture

#: Reads one picture as an image ``(C, H, W)``, as :func:`~neurovis.pictures.read_picture` does.
PictureReader = Callable[[PictureFiles, InputSpec], Tensor]


class PictureDataset(Dataset[Any]):
    """Pictures from files, read and stretched to the input's size when they are asked for.

    An item is an image ``(C, H, W)`` in [0, 1], or a pair of the image and its class.

    Args:
        pictures: The files of each, such as :func:`~neurovis.pictures.find_pictures` finds them.
        spec: What the network is shown.
        labels: The class of each; None without classes.
        classes: Names of the classes; None without any.
        read: Reads a picture.

    Attributes:
        pictures: The files of each.
        labels: The class of each; None without classes.
        classes: Names of the classes; None without any.
        left_out: Reasons why pictures could not be read, by their number.

    Raises:
        ValueError: If there is no picture, or labels are not one for each.
    """

    def __init__(
        self,
        pictures: Sequence[PictureFiles],
        spec: InputSpec,
        labels: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        read: PictureReader = read_picture,
    ) -> None:
        if not pictures:
            raise ValueError("pictures must be one or more; got none")
        if labels is not None and len(labels) != len(pictures):
            raise ValueError(
                f"labels must be one for each of {len(pictures)} pictures; got {len(labels)}"
            )
        self.pictures = list(pictures)
        self.labels = None if labels is None else list(labels)
        self.classes = None if classes is None else list(classes)
        self.left_out: dict[int, str] = {}
        self._spec = spec
        self._read = read

    @classmethod
    def find(
        cls,
        paths: Paths,
        spec: InputSpec,
        patterns: Mapping[str, str] | None = None,
        read: PictureReader = read_picture,
    ) -> PictureDataset:
        """Find pictures, also in folders of folders.

        Args:
            paths: As in :func:`~neurovis.pictures.find_pictures`; a folder that has no pictures,
                only folders, stands for all pictures in those.
            spec: What the network is shown.
            patterns: As in :func:`~neurovis.pictures.find_pictures`.
            read: Reads a picture.

        Raises:
            FileNotFoundError: If there is no such file or folder.
            ValueError: If there is no picture, or the files of one are missing or ambiguous.
        """
        listed: list[Any] = (
            list(paths) if isinstance(paths, Sequence) and not isinstance(paths, str) else [paths]
        )
        if not listed:
            raise ValueError("images needs at least one file or folder; got none")
        found = [one for path in listed for one in _pictures_below(path, spec, patterns)]
        # The files of one image may all be listed.
        found = list({tuple(one.files.values()): one for one in found}.values())
        return cls(found, spec, read=read)

    @classmethod
    def find_classes(
        cls,
        folders: Paths,
        spec: InputSpec,
        patterns: Mapping[str, str] | None = None,
        read: PictureReader = read_picture,
    ) -> PictureDataset:
        """Find the pictures of folders that have one folder for each class in them.

        Args:
            folders: One or several; folders in them that have the same name are one class.
            spec: What the network is shown.
            patterns: As in :func:`~neurovis.pictures.find_pictures`.
            read: Reads a picture.

        Warns:
            UserWarning: For pictures beside the folders, which are left out.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If a folder has no folders in it, or one of these has no picture.
        """
        if isinstance(folders, (str, Path)):
            folders = [folders]
        paths = [] if isinstance(folders, Mapping) else [Path(folder) for folder in folders]
        for path in paths:
            if not path.exists():
                raise FileNotFoundError(f'there is no folder "{path}"')
        flat = [path for path in paths if not _subfolders(path)]
        if flat or not paths:
            raise ValueError(
                "give a folder with one folder of pictures for each class in it; got "
                f"{flat[0] if flat else 'one image'}"
            )
        for path in paths:
            _warn_of_pictures_in(path)
        parts = [part for path in paths for part in _subfolders(path)]
        classes = sorted({part.name for part in parts})
        found = [(part.name, one) for part in parts for one in find_pictures(part, spec, patterns)]
        labels = [classes.index(name) for name, _ in found]
        return cls([one for _, one in found], spec, labels, classes, read)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor | tuple[Tensor, int]:
        image = self.image(index)
        return image if self.labels is None else (image, self.labels[index])

    def image(self, index: int) -> Tensor:
        """Return an image ``(C, H, W)`` in [0, 1].

        Args:
            index: Number of the picture.

        Raises:
            ValueError: If it is not a picture that can be read.
            OSError: If its file cannot be read.
        """
        return self._read(self.pictures[index], self._spec)

    def try_image(self, index: int) -> Tensor | None:
        """Return an image ``(C, H, W)``; None if it cannot be read, with the reason in `left_out`.

        Args:
            index: Number of the picture. One that could not be read is not tried again.
        """
        if index not in self.left_out:
            try:
                return self.image(index)
            except (ValueError, OSError) as error:
                # The message alone: an error holds on to what was read.
                self.left_out[index] = str(error)
        return None

    def first_readable(self) -> tuple[int, Tensor]:
        """Return the number of the first picture that can be read, and its image ``(C, H, W)``.

        Raises:
            ValueError: If there is none; why the first cannot be read.
        """
        for index in range(len(self)):
            image = self.try_image(index)
            if image is not None:
                return index, image
        raise ValueError(self.left_out[0])

    def subset(self, indices: Sequence[int]) -> PictureDataset:
        """Return some of the pictures.

        Args:
            indices: Their numbers.

        Raises:
            ValueError: If there are none.
        """
        return PictureDataset(
            [self.pictures[index] for index in indices],
            self._spec,
            None if self.labels is None else [self.labels[index] for index in indices],
            self.classes,
            self._read,
        )


def _pictures_below(
    path: str | Path | Mapping[str, str | Path], spec: InputSpec, patterns: Mapping[str, str] | None
) -> list[PictureFiles]:
    """Return the pictures of a path; for a folder of nothing but folders, those in them."""
    if isinstance(path, Mapping) or not Path(path).is_dir():
        return find_pictures(path, spec, patterns)
    try:
        return find_pictures(path, spec, patterns)
    except ValueError:
        folders = _subfolders(Path(path))
        if not folders or pictures_in(Path(path)):
            raise
    return [one for folder in folders for one in _pictures_below(folder, spec, patterns)]


def _warn_of_pictures_in(folder: Path) -> None:
    beside = pictures_in(folder)
    if beside:
        warnings.warn(
            f'{len(beside)} pictures in "{folder}" are left out: no class has them', stacklevel=3
        )


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name; hidden ones are left out."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
