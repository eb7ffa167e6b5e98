"""From one file to the numbers in it, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

#: Pillow opens more, and runs other programs for some of it (EPS).
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP")
#: Pillow's modes of one channel of more than 8 bits.
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_GREY_MODES = frozenset({"1", "L", "LA", "La"})
#: As many as the largest colour picture has that Pillow opens.
_MOST_VALUES = 2**29


@dataclass(frozen=True)
class Decoded:
    """What a file holds.

    Attributes:
        values: ``(channels, H, W)`` float32.
        in_unit: Whether they are in the modality's own unit, rather than in [0, 1].
    """

    values: Tensor
    in_unit: bool


def decode_picture(path: Path) -> Decoded:
    """Decode a picture, upright: grey ``(1, H, W)`` or colour ``(3, H, W)``.

    Grey pictures of 16 or 32 bits come in their own numbers. Others come in [0, 1], also colour of
    16 bits a channel, which is read to 8; transparency is left out, and so are all pages but the
    first.

    Raises:
        ValueError: If it is not a picture that can be read.
        OSError: If the file cannot be opened.
    """
    Image.init()  # Else Pillow knows only some formats until it meets another.
    with open(path, "rb") as file:
        try:
            with Image.open(file, formats=_FORMATS) as picture:
                return _decoded(ImageOps.exif_transpose(picture))
        except UnidentifiedImageError as error:
            kind = _kind(path)
            raise ValueError(f'"{path}" is not a picture that can be read: {kind}') from error
        except Image.DecompressionBombError as error:
            raise ValueError(f'"{path}" has more pixels than can be meant: {error}') from error
        except Exception as error:  # Decoders raise anything for files that are damaged.
            raise ValueError(f'"{path}" is not a picture that can be read: {error}') from error


def _kind(path: Path) -> str:
    """What a file is that is no picture."""
    if not path.stat().st_size:
        return "it is empty"
    return f"it is no {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"


def _decoded(picture: Image.Image) -> Decoded:
    if picture.mode in _DEEP_MODES:
        return Decoded(torch.from_numpy(np.array(picture, dtype=np.float32))[None], in_unit=True)
    is_grey = picture.mode in _GREY_MODES
    levels = torch.from_numpy(np.array(picture.convert("L" if is_grey else "RGB")))
    levels = levels[None] if is_grey else levels.permute(2, 0, 1)
    return Decoded(levels.float() / 255, in_unit=False)


def decode_array(path: Path) -> Tensor:
    """Read a NumPy file ``.npy`` of numbers as float32, in whatever shape it has.

    Raises:
        ValueError: If it is no such file.
        OSError: If the file cannot be opened.
    """
    try:
        # Mapped, not read: a header may claim more than there is.
        array = np.lib.format.open_memmap(path, mode="r")
        if array.dtype.kind not in "biuf":
            raise ValueError(f"its type is {array.dtype}")
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f'"{path}" is not a NumPy file of numbers: {error}') from error
    except OSError as error:
        if error.filename is None:  # There is no room for the map of it.
            raise ValueError(f'"{path}" cannot be read: {error.strerror}') from error
        raise
    if array.size > _MOST_VALUES:
        raise ValueError(
            f'"{path}" has more values than can be meant: {array.size}, of shape {array.shape}; '
            f"at most {_MOST_VALUES} are read"
        )
    return torch.from_numpy(np.array(array, dtype=np.float32))
