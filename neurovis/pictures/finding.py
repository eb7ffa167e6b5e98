"""Find the files that are pictures, and match those that belong to one image."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurovis.inputs import InputSpec
from neurovis.pictures.naming import Frames, Naming

#: A NumPy file, which holds all modalities of an image.
ARRAY_SUFFIX = ".npy"
#: Suffixes, in lower case, of the files in a folder that are pictures.
PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".webp"}
    | {ARRAY_SUFFIX}
)

Paths = str | Path | Sequence[str | Path] | Mapping[str, str | Path]


@dataclass(frozen=True)
class PictureFiles:
    """The files of one image.

    Attributes:
        name: What its files' names share, fit to be printed.
        files: A file for each modality; a NumPy file stands for all of them.
    """

    name: str
    files: Mapping[str, Path]

    @property
    def printable_file(self) -> str:
        """The first of the files, fit to be printed."""
        path = next(iter(self.files.values()))
        return str(path).encode("utf-8", "backslashreplace").decode()


def find_pictures(
    paths: Paths, spec: InputSpec, patterns: Mapping[str, str] | None = None
) -> list[PictureFiles]:
    """Find pictures, and for several modalities the files that make up each image.

    For one modality every picture is an image. For several, files are told apart by how their names
    end before the suffix, in upper or lower case: ``X_RGB.png`` is ``rgb``, and ``depth`` is the
    file in the same folder that begins with the same ``X_`` and ends in depth, such as
    ``X_depth.png`` or ``X_perfect_depth.tiff``. A NumPy file ``.npy`` is an image by itself.

    Args:
        paths: A file; a folder, of which all pictures are taken, by name, without those in folders
            in it; or several of these. With several modalities any file of an image finds
            the others, and an image whose files are all listed is found once. Where names do not
            tell, a mapping from each modality to its file is one image.
        spec: The modalities.
        patterns: For each modality its files' names, such as ``{"rgb": "*_RGB.png", "depth":
            "*_perfect_depth.tiff"}`` or ``{"rgb": "rgb/*.png", "depth": "depth/*.png"}``, relative
            to a folder that is given; ``*`` is what the files of an image share. Other files are
            left out.

    Returns:
        The images in the order of the paths, each once.

    Warns:
        UserWarning: For pictures in a folder whose names match no modality; they are left out.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If there is no picture in a folder, or files of an image are missing or
            ambiguous.
    """
    if isinstance(paths, Mapping):
        return [_given(paths, spec)]
    listed = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not listed:
        raise ValueError("images needs at least one file or folder; got none")
    finder = _Finder(spec, patterns)
    found = [image for path in listed for image in finder.find(Path(path))]
    return list({tuple(image.files.values()): image for image in found}.values())


def find_picture(path: str | Path, spec: InputSpec) -> PictureFiles:
    """Find one picture, as :func:`find_pictures` does.

    Args:
        path: A file; with several modalities, any of an image's.
        spec: The modalities.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, or files of the image are missing or ambiguous.
    """
    if Path(path).is_dir():
        raise ValueError(f'"{path}" is a folder; give one picture')
    (image,) = _Finder(spec, None, may_have_patterns=False).find(Path(path))
    return image


def _given(files: Mapping[str, str | Path], spec: InputSpec) -> PictureFiles:
    names = [modality.name for modality in spec.modalities]
    if set(files) != set(names):
        raise ValueError(
            f"an image of {', '.join(names)} needs a file for each; got {', '.join(files)}"
        )
    paths = {name: Path(files[name]) for name in names}
    for path in paths.values():
        if not path.is_file():
            raise FileNotFoundError(f'there is no picture "{path}"')
    return _image(paths[names[0]].stem, paths)


class _Finder:
    """Finds images, and looks into each folder once.

    Args:
        spec: The modalities.
        patterns: As in :func:`find_pictures`.
        may_have_patterns: Whether there could be any.
    """

    def __init__(
        self,
        spec: InputSpec,
        patterns: Mapping[str, str] | None,
        may_have_patterns: bool = True,
    ) -> None:
        self._names = [modality.name for modality in spec.modalities]
        self._naming = Naming(self._names, patterns, may_have_patterns)
        self._is_by_name = patterns is not None or len(self._names) > 1
        self._frames: dict[Path, Frames] = {}

    def find(self, path: Path) -> list[PictureFiles]:
        """The images of a file or folder."""
        if path.is_dir():
            return self._in_folder(path)
        if not path.is_file():
            raise FileNotFoundError(f'there is no picture "{path}"')
        if path.suffix.lower() == ARRAY_SUFFIX or not self._is_by_name:
            return [self._whole(path)]
        frames = self._of_folder(self._naming.base(path))
        key, files = frames.complete(path)
        return [_image(key or path.stem, files)]

    def _in_folder(self, folder: Path) -> list[PictureFiles]:
        pictures = pictures_in(folder)
        if not self._is_by_name:
            images = [self._whole(path) for path in pictures]
        else:
            frames = self._of_folder(folder)
            images = [self._whole(path) for path in pictures if self._is_whole(path)]
            self._warn_of(frames.others(pictures), len(pictures), folder)
            images += [
                _image(key or files[self._names[0]].stem, files)
                for key, files in frames.all_complete()
            ]
        if not images:
            raise ValueError(
                f'there is no picture in "{folder}"; {self._naming.explanation}'
                if pictures
                else f'there is no picture in "{folder}": no PNG, JPEG, TIFF or .npy file'
            )
        return sorted(images, key=lambda image: image.files[self._names[0]])

    def _warn_of(self, others: list[Path], number: int, folder: Path) -> None:
        """Say which pictures are left out, unless patterns leave them out on purpose."""
        others = [path for path in others if not self._is_whole(path)]
        if others and not self._naming.is_by_pattern:
            warnings.warn(
                f'{len(others)} of {number} pictures in "{folder}" are left out, such as '
                f'"{others[0].name}": their names do not end in {" or ".join(self._names)}',
                stacklevel=2,
            )

    def _is_whole(self, path: Path) -> bool:
        return path.suffix.lower() == ARRAY_SUFFIX and not self._naming.is_by_pattern

    def _whole(self, path: Path) -> PictureFiles:
        return _image(path.stem, dict.fromkeys(self._names, path))

    def _of_folder(self, folder: Path) -> Frames:
        if folder not in self._frames:
            self._frames[folder] = self._naming.frames(folder, pictures_in)
        return self._frames[folder]


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder, by name; hidden ones are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def _image(name: str, files: Mapping[str, Path]) -> PictureFiles:
    printable = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name
    )
    return PictureFiles(printable, dict(files))
