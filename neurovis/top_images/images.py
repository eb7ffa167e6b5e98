"""The images of the pass: whatever they come from, each with its number, some at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from neurovis.inputs import InputSpec, check_values
from neurovis.pictures import PictureDataset, PictureFiles, stretched

#: Paths of pictures and folders; images ``(N, C, H, W)``; or a data set or any other iterable of
#: ``(C, H, W)``, each alone or first in a tuple. In [0, 1].
ImageSource = (
    str | Path | Sequence[str | Path] | Mapping[str, str | Path] | Tensor | Dataset[Any]
) | Iterable[Any]

#: Images ``(B, C, H, W)``, their numbers ``(B,)``, and the numbers of those that cannot be read.
ImageBatch = tuple[Tensor, Tensor, Tensor]


@runtime_checkable
class _Indexed(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class NumberedImages(Dataset[tuple[Tensor | None, int]]):
    """Images that can be asked for by their number, which comes with them.

    Args:
        images: Any that have a length.
        spec: What the network is shown; images of another size are stretched.
    """

    def __init__(self, images: _Indexed, spec: InputSpec) -> None:
        self._images = images
        self._spec = spec

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor | None, int]:
        if not isinstance(self._images, PictureDataset):
            return self.image(index), index
        try:
            return self.image(index), index
        except (ValueError, OSError):
            return None, index

    def image(self, index: int) -> Tensor:
        """An image ``(C, H, W)`` in [0, 1] of the network's size.

        Raises:
            ValueError: If it is no such image, or a picture that cannot be read.
            OSError: If its file cannot be read.
        """
        return as_image(self._images[index], index, self._spec)


class NumberedStream(IterableDataset[tuple[Tensor, int]]):
    """Images that only come one after the other.

    Those that are among the top ones are kept as long as they are.

    Args:
        images: Iterated over once.
        spec: What the network is shown; images of another size are stretched.
    """

    def __init__(self, images: Iterable[Any], spec: InputSpec) -> None:
        self._images = images
        self._spec = spec
        self._kept: dict[int, Tensor] = {}

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for number, item in enumerate(self._images):
            yield as_image(item, number, self._spec), number

    def image(self, index: int) -> Tensor:
        """An image ``(C, H, W)`` that was kept."""
        return self._kept[index]

    def keep(self, images: Tensor, numbers: Tensor, wanted: Tensor) -> None:
        """Keep those of the images ``(B, C, H, W)`` that are wanted, and forget all others."""
        known = set(wanted.tolist())
        self._kept = {number: one for number, one in self._kept.items() if number in known}
        for image, number in zip(images, numbers.tolist(), strict=True):
            if number in known:
                self._kept[number] = image.detach().cpu().clone()


@dataclass(frozen=True)
class Shown:
    """Images to show, with their names in results.

    Attributes:
        images: With their numbers.
        pictures: Their files, where they come from files.
    """

    images: NumberedImages | NumberedStream
    pictures: Sequence[PictureFiles] = ()

    @property
    def number(self) -> int | None:
        """Number of images; None where that is only known at the end."""
        return len(self.images) if isinstance(self.images, NumberedImages) else None

    def loader(self, batch_size: int, workers: int = 0) -> DataLoader[ImageBatch]:
        """Batches; any sampler may share the images out among processes."""
        is_stream = isinstance(self.images, NumberedStream)
        return DataLoader(
            cast(Any, self.images),
            batch_size=batch_size,
            collate_fn=_collated,
            # Each worker would go through all of a stream.
            num_workers=0 if is_stream else workers,
        )

    def name(self, index: int) -> str:
        """Return the name of an image in results: its file's name, or its number."""
        return self.pictures[index].name if self.pictures else str(index)

    def file(self, index: int) -> str:
        """An image's first file, fit to be printed; empty if there is none."""
        return self.pictures[index].printable_file if self.pictures else ""


def number_images(images: ImageSource, spec: InputSpec) -> Shown:
    """Return images with their numbers and pictures, from all that may hold images.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If there is no image.
        TypeError: If it is nothing that holds images.
    """
    chosen: Any = images
    if isinstance(chosen, (str, Path, Mapping)) or _are_paths(chosen):
        chosen = PictureDataset.find(chosen, spec)
    if isinstance(chosen, DataLoader):
        raise TypeError(
            "images must come one by one, not in batches; give the DataLoader's data set"
        )
    if isinstance(chosen, _Indexed) and not isinstance(chosen, IterableDataset):
        if not len(chosen):
            raise ValueError("images needs at least one image; got none")
        pictures = chosen.pictures if isinstance(chosen, PictureDataset) else ()
        return Shown(NumberedImages(chosen, spec), pictures)
    if not isinstance(chosen, Iterable):
        raise TypeError(
            "images must be a folder, a tensor (N, C, H, W), a data set or an iterable of images; "
            f"got {type(images).__name__}"
        )
    return Shown(NumberedStream(chosen, spec))


def _are_paths(images: object) -> bool:
    return (
        isinstance(images, Sequence)
        and len(images) > 0
        and all(isinstance(one, (str, Path)) for one in images)
    )


def as_image(item: Any, number: int, spec: InputSpec) -> Tensor:
    """Return a data set's item as an image ``(C, H, W)`` in [0, 1] of the network's size.

    Args:
        item: The image, or a tuple that it is first in.
        number: Number of the image, for messages.
        spec: What the network is shown.

    Raises:
        ValueError: If it is no such image.
    """
    image = item[0] if isinstance(item, (tuple, list)) and item else item
    if not isinstance(image, Tensor) or image.ndim != 3 or len(image) != spec.channels:
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(
            f"images must be tensors ({spec.channels}, H, W) as the input_spec says; image "
            f"{number} is {got}"
        )
    check_values(image, number)
    image = image.detach().float()
    if image.shape[1:] == spec.size:
        return image
    return stretched(image, spec)


def _collated(items: Sequence[tuple[Tensor | None, int]]) -> ImageBatch:
    """Make a batch of what could be read."""
    read = [image for image, _ in items if image is not None]
    images = torch.stack(read) if read else torch.empty(0)
    known, unreadable = (
        torch.tensor([n for image, n in items if (image is None) == missing], dtype=torch.int64)
        for missing in (False, True)
    )
    return images, known, unreadable


def why_unreadable(shown: Shown, index: int) -> str:
    """Return the reason that a picture could not be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shown.images.image(index)
    except (ValueError, OSError) as error:
        return " ".join(str(error).split())
    return f'"{shown.file(index)}" could not be read at first'
