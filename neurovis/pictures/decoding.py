"""From one file to the numbers in it, whatever its format, a few rows at a time.

A file of a few megabytes may hold hundreds of millions of pixels. They are kept as the decoder
gives them, 8 bits a channel as a rule; as floats there are never more than a strip.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

#: Pillow opens more, and runs other programs for some formats (EPS).
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP")
#: Pillow's names of what is JPEG; the second may hold more pictures, as those of telephones do.
_JPEG = frozenset({"JPEG", "MPO"})
#: Second byte of what marks the beginning of a scan in JPEG.
_SCAN = 0xDA
#: Pillow's modes of one channel of more than 8 bits.
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_GRAY_MODES = frozenset({"1", "L", "LA", "La"})
#: As many as the largest color picture has that Pillow opens.
_MOST_PICTURE_VALUES = 2**29
#: Pixels on a side; with fewer on the other, a picture is no smaller when it is shrunk.
_MOST_SIDE = 2**16
#: Bytes that decoding may take: those of the largest color picture that Pillow opens.
_MOST_BYTES = 4 * _MOST_PICTURE_VALUES // 3
#: Values of a strip.
_STRIP_VALUES = 2**20

#: By what EXIF says, from a picture ``(C, H, W)`` as it is stored to the same upright.
_TURNS: dict[int, Callable[[Tensor], Tensor]] = {
    2: lambda image: image.flip(2),
    3: lambda image: image.flip(1, 2),
    4: lambda image: image.flip(1),
    5: lambda image: image.transpose(1, 2),
    6: lambda image: image.rot90(-1, (1, 2)),
    7: lambda image: image.transpose(1, 2).flip(1, 2),
    8: lambda image: image.rot90(1, (1, 2)),
}
#: These exchange height and width.
_QUARTER_TURNS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class Decoded:
    """Content of a picture file, read in strips of rows.

    Attributes:
        channels: Gray has 1, color 3; a NumPy file may have any number.
        stored_size: Height and width as it is stored.
        rows: ``(channels, n, W)`` float32, from a first row up to another.
        in_unit: Whether values are in the modality's own unit, rather than in [0, 1].
        orientation: As EXIF counts; 1 is upright.
    """

    channels: int
    stored_size: tuple[int, int]
    rows: Callable[[int, int], Tensor]
    in_unit: bool = False
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright picture."""
        return self.turned_size(self.stored_size)

    def turned_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of a stored picture from that of the upright one, and the other way round."""
        return (size[1], size[0]) if self.orientation in _QUARTER_TURNS else size

    def upright(self, image: Tensor) -> Tensor:
        """Turn a picture ``(C, H, W)`` as it is stored."""
        turn = _TURNS.get(self.orientation)
        return image if turn is None else turn(image)

    def strips(self) -> Iterator[Tensor]:
        """The picture as it is stored, some rows at a time: ``(channels, n, W)``."""
        height, width = self.stored_size
        step = max(1, _STRIP_VALUES // (width * self.channels))
        for start in range(0, height, step):
            yield self.rows(start, min(start + step, height))


def decode_picture(path: Path) -> Decoded:
    """Decode a picture: gray of one channel, or color of three.

    Gray pictures of 16 or 32 bits come in their own numbers. Others come in [0, 1], also color of
    16 bits a channel, which is read to 8; transparency is left out, and so are all pages but the
    first.

    Raises:
        ValueError: If it is not a picture that can be read.
        OSError: If the file cannot be opened.
    """
    Image.init()  # Else Pillow knows only some formats until it meets another.
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings():
                # Its pixels are few enough.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                picture = Image.open(file, formats=_FORMATS)
            too_large = max(picture.size) > _MOST_SIDE
            needed = _bytes_per_pixel(picture, file) * picture.width * picture.height
            if not too_large and needed <= _MOST_BYTES:
                picture.load()
                # Loading has turned a TIFF file, and removed this.
                orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
                _rows(picture, 0, 1)  # Not all kinds of color can be made red, green and blue.
        except UnidentifiedImageError as error:
            kind = _kind(path)
            raise ValueError(f'"{path}" is not a picture that can be read: {kind}') from error
        except Image.DecompressionBombError as error:
            raise ValueError(f'"{path}" has more pixels than can be meant: {error}') from error
        except Exception as error:  # Decoders raise anything for files that are damaged.
            said = " ".join(str(error).split())
            raise ValueError(f'"{path}" is not a picture that can be read: {said}') from error
    if too_large:
        raise ValueError(
            f'"{path}" has more pixels than can be meant: {picture.width} x {picture.height}; at '
            f"most {_MOST_SIDE} on a side are read"
        )
    if needed > _MOST_BYTES:
        raise ValueError(
            f'"{path}" has more pixels than can be meant: {picture.width} x {picture.height} of '
            f"this kind of {picture.format} take {needed / 2**30:.1f} GB to decode; save it as PNG"
        )
    in_unit = picture.mode in _DEEP_MODES
    channels = 1 if in_unit or picture.mode in _GRAY_MODES else 3
    size = (picture.height, picture.width)
    return Decoded(channels, size, lambda *rows: _rows(picture, *rows), in_unit, orientation)


def _bytes_per_pixel(picture: Image.Image, file: BinaryIO) -> int:
    """Return the memory that decoding takes, at most.

    Pillow keeps 4 bytes of color. WebP's decoder has three pictures more, and that of JPEG the
    coefficients of all, unless each part of the file holds all of a part of the picture.
    """
    if picture.format == "WEBP":
        return 16
    if picture.format not in _JPEG:
        return 4
    channels = len(picture.getbands())
    is_in_parts = not picture.info.get("progressive") and _channels_of_scan(file) == channels
    return 4 if is_in_parts else 4 + 2 * channels


def _channels_of_scan(file: BinaryIO) -> int:
    """Return how many channels the first scan of a JPEG file has; 0 if that is not found."""
    file.seek(2)
    while (head := file.read(4)).startswith(b"\xff"):
        length = int.from_bytes(head[2:], "big")
        if head[1] == _SCAN or length < 2:
            return int.from_bytes(file.read(1), "big") if length > 2 else 0
        file.seek(length - 2, os.SEEK_CUR)
    return 0


def _kind(path: Path) -> str:
    """Return the reason why a file is not a picture."""
    if not path.stat().st_size:
        return "it is empty"
    return f"it is no {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"


def _rows(picture: Image.Image, start: int, stop: int) -> Tensor:
    strip = picture.crop((0, start, picture.width, stop))
    if picture.mode in _DEEP_MODES:
        return torch.from_numpy(np.array(strip, dtype=np.float32))[None]
    is_gray = picture.mode in _GRAY_MODES
    levels = torch.from_numpy(np.array(strip.convert("L" if is_gray else "RGB")))
    levels = levels[None] if is_gray else levels.permute(2, 0, 1)
    return levels.float() / 255


def decode_array_picture(path: Path) -> Decoded:
    """Open a NumPy file ``.npy`` of numbers ``(C, H, W)``.

    Raises:
        ValueError: If it is no such file.
        OSError: If the file cannot be opened.
    """
    array = _opened(path)
    if array.ndim != 3 or not array.size:
        raise ValueError(f'"{path}" has shape {array.shape}; expected (channels, H, W)')
    channels, height, width = array.shape

    def rows(start: int, stop: int) -> Tensor:
        return torch.from_numpy(np.array(array[:, start:stop], dtype=np.float32))

    return Decoded(channels, (height, width), rows)


def decode_array(path: Path) -> Tensor:
    """Read a NumPy file ``.npy`` of numbers as float32, in whatever shape it has.

    Raises:
        ValueError: If it is no such file.
        OSError: If the file cannot be opened.
    """
    return torch.from_numpy(np.array(_opened(path), dtype=np.float32))


def _opened(path: Path) -> np.ndarray:
    """The array of a NumPy file, mapped, not read: a header may claim more than there is."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        if array.dtype.kind not in "biuf":
            raise ValueError(f"its type is {array.dtype}")
    except OSError as error:
        if error.filename is None:  # There is no room for the map of it.
            raise ValueError(f'"{path}" cannot be read: {error.strerror}') from error
        raise
    except Exception as error:  # A header is read as Python, which raises anything.
        said = " ".join(str(error).split())
        raise ValueError(f'"{path}" is not a NumPy file of numbers: {said}') from error
    if array.size > _MOST_PICTURE_VALUES:
        raise ValueError(
            f'"{path}" has more values than can be meant: {array.size}, of shape {array.shape}; '
            f"at most {_MOST_PICTURE_VALUES} are read"
        )
    return array
