"""A finished image as it is kept: its numbers, and its pixels as whole numbers, in files.

RGB of 8 bits is a PNG file, which is what people look at too; everything else is in an ``.npz``
file beside it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from neurovis.files import check_readable, whole_file

Array = npt.NDArray[Any]

#: Prefix of the names of pixel arrays; the modality follows.
LEVELS = "levels_"
_RGB = f"{LEVELS}rgb"


@dataclass(frozen=True)
class KeptImage:
    """Kept form of a finished image.

    Attributes:
        fields: Words and numbers, as JSON can say them.
        arrays: By name; ``levels_rgb`` and so on are the pixels ``(channels, h, w)`` of what was
            optimized, from 0 to 255 or 65535.
    """

    fields: dict[str, Any]
    arrays: dict[str, Array]


def kept_picture_path(path: Path, variant: int) -> Path:
    """The PNG file beside an ``.npz`` file, of one of its images."""
    return path.with_name(f"{path.stem}_{variant + 1}.png" if variant else f"{path.stem}.png")


def save_kept(path: Path, images: Sequence[KeptImage], fingerprint: str) -> None:
    """Write the images of one target, each file whole or not at all, the ``.npz`` file last.

    Args:
        path: Path of the ``.npz`` file.
        images: Its variants, most often one image.
        fingerprint: Fingerprint of the network and settings that made them.

    Raises:
        OSError: If a file cannot be written.
    """
    arrays: dict[str, Any] = {}
    sums: list[int | None] = []
    for variant, image in enumerate(images):
        own = dict(image.arrays)
        if _is_picture(own.get(_RGB)):
            pixels = np.ascontiguousarray(own.pop(_RGB).transpose(1, 2, 0))
            with whole_file(kept_picture_path(path, variant)) as partial:
                Image.fromarray(pixels).save(partial, format="png", compress_level=9)
            sums.append(zlib.crc32(pixels.tobytes()))
        else:
            sums.append(None)
        arrays |= {f"{name}_{variant}": array for name, array in own.items()}
    record = {"fingerprint": fingerprint, "images": [one.fields for one in images], "sums": sums}
    arrays["record"] = np.array(json.dumps(record))
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_kept(path: Path, fingerprint: str) -> list[KeptImage] | None:
    """The images of a file; None where it is missing, damaged, or of another fingerprint."""
    try:
        check_readable(path)
        with np.load(path) as arrays:
            record = json.loads(str(arrays["record"]))
            if record["fingerprint"] != fingerprint:
                return None
            return [
                _loaded(path, variant, fields, record["sums"][variant], arrays)
                for variant, fields in enumerate(record["images"])
            ]
    except Exception:  # Damaged files may raise anything, and are made again.
        return None


def _loaded(
    path: Path, variant: int, fields: dict[str, Any], crc: int | None, arrays: Any
) -> KeptImage:
    end = f"_{variant}"
    own = {name.removesuffix(end): arrays[name] for name in arrays.files if name.endswith(end)}
    if crc is not None:
        check_readable(kept_picture_path(path, variant))
        with Image.open(kept_picture_path(path, variant), formats=["PNG"]) as picture:
            pixels = np.array(picture)  # A copy: torch warns of arrays that are read-only.
        if zlib.crc32(pixels.tobytes()) != crc:
            raise ValueError("it is another picture")
        own[_RGB] = pixels.transpose(2, 0, 1)
    return KeptImage(fields, own)


def _is_picture(levels: Array | None) -> bool:
    return levels is not None and levels.dtype == np.uint8 and levels.shape[0] == 3
