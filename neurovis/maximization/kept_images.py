"""Finished images as they are kept, in few bytes and without any loss, and their files.

An image is rounded first and its activation is measured afterwards, so that all that is reported
belongs to exactly the image that is kept. Color has 8 bits, as in pictures; a modality that is not
color, or of which something exact is asked (a contrast, a luminance, a spectrum), has 16. Frozen
modalities are neither rounded nor kept, and the start of an ascent follows from the seed. RGB of 8
bits is a PNG file, which is what people look at too; everything else is in an ``.npz`` file beside
it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from neurovis.files import check_readable, whole_file, write_arrays
from neurovis.inputs import InputSpec
from neurovis.maximization.field_crop import FieldCrop
from neurovis.maximization.jobs import Job
from neurovis.maximization.optimized_region import OptimizedRegion
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.maximization.settings import AscentSettings

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
    write_arrays(path, arrays)


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


_ARRAYS = (
    *("member_activations", "member_noise_activations", "target_map", "resulting_map", "curve"),
)
#: Names of what is kept as words and numbers.
_PLAIN_FIELDS = {field.name for field in fields(PreferredImage)} - {
    *("image", "start", "evidence", "remark", *_ARRAYS)
}


def highest_levels(spec: InputSpec, settings: AscentSettings) -> dict[str, int]:
    """The whole number that stands for 1, by modality: 255 or 65535; 0 for what is not rounded."""
    constraints = settings.constraints
    levels = {}
    for modality in spec.modalities:
        is_free = settings.resolved_parametrization.is_free and not constraints.sets(modality.name)
        levels[modality.name] = 255 if modality.is_rgb and is_free else 65535
        if modality.name in (settings.frozen or {}):
            levels[modality.name] = 0
    return levels


class ImageKeeper:
    """Rounds images, and brings finished ones into the form they are kept in, and back.

    Args:
        spec: Modalities and size of whole images.
        settings: How the ascent is done.
    """

    def __init__(self, spec: InputSpec, settings: AscentSettings) -> None:
        self._spec = spec
        self._settings = settings
        self._highest = highest_levels(spec, settings)

    def rounded(self, images: Tensor) -> Tensor:
        """Images ``(..., C, h, w)`` in [0, 1] of the nearest values that are kept.

        The values are the same on every device: they are looked up, not divided.
        """
        parts = []
        for name, part in self._spec.split(images).items():
            highest = self._highest[name]
            if highest:
                # What is not finite stays so, to be reported.
                values = _values(highest).to(part.device)[_levels(part, highest)]
                part = torch.where(part.isfinite(), values, part)
            parts.append(part)
        return torch.cat(parts, dim=-3)

    def kept(self, image: PreferredImage) -> KeptImage:
        """Return the kept form of an image that was rounded."""
        arrays = {name: getattr(image, name).numpy() for name in _ARRAYS}
        for name, part in self._spec.split(image.seen(image.image)).items():
            highest = self._highest[name]
            if highest:
                levels = _levels(part, highest).numpy()
                arrays[f"{LEVELS}{name}"] = levels.astype("uint8" if highest == 255 else "uint16")
        return KeptImage({name: getattr(image, name) for name in sorted(_PLAIN_FIELDS)}, arrays)

    def is_whole(self, image: KeptImage) -> bool:
        """Return True if an image that was read from files is complete."""
        if not image.fields.keys() >= _PLAIN_FIELDS or not set(_ARRAYS) <= image.arrays.keys():
            return False
        top, left, bottom, right = image.fields["box"] or (0, 0, *self._spec.size)
        return all(
            f"{LEVELS}{modality.name}" in image.arrays
            and image.arrays[f"{LEVELS}{modality.name}"].shape
            == (modality.channels, bottom - top, right - left)
            for modality in self._spec.modalities
            if self._highest[modality.name]
        )

    def restored(self, job: Job, images: Sequence[KeptImage]) -> list[PreferredImage]:
        """The images of a job, bit for bit."""
        starts = None
        restored = []
        for one in images:
            known: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in one.fields.items()
            }
            crop, box = known["crop"], known["box"]
            if starts is None:
                field_crop = None if crop is None else FieldCrop(self._spec, crop, box)
                region = OptimizedRegion(self._spec, self._settings, field_crop)
                starts = region.initial_images(job.target.kernels[0])
            known |= {name: torch.from_numpy(one.arrays[name]) for name in _ARRAYS}
            known |= {"index": job.index, "image": self._image(one, box)}
            restored.append(PreferredImage(start=starts[known["variant"]], **known))
        return restored

    def _image(self, one: KeptImage, box: tuple[int, int, int, int] | None) -> Tensor:
        top, left, bottom, right = box or (0, 0, *self._spec.size)
        frozen = self._settings.constraints.prepared(self._spec).frozen or {}
        parts = []
        for modality in self._spec.modalities:
            highest = self._highest[modality.name]
            if highest:
                levels = torch.from_numpy(one.arrays[f"{LEVELS}{modality.name}"].astype("int64"))
                parts.append(_values(highest)[levels])
            else:
                # Nothing is cropped where something is frozen.
                parts.append(torch.as_tensor(frozen[modality.name], dtype=torch.float32))
        image = torch.full(self._spec.shape, 0.5)
        image[:, top:bottom, left:right] = torch.cat(parts)
        return image


def _levels(images: Tensor, highest: int) -> Tensor:
    """The nearest whole numbers, 0 for what is not finite, of values in [0, 1]."""
    return (images * highest).nan_to_num(0, 0, 0).round().long()


@cache
def _values(highest: int) -> Tensor:
    """The values in [0, 1] of whole numbers, on the CPU."""
    return torch.arange(highest + 1, dtype=torch.float32) / highest
