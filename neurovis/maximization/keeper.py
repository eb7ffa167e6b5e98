"""Round pixels, and keep finished images in few bytes without any loss.

An image is rounded first and its activation is measured afterwards, so that all that is reported
belongs to exactly the image that is kept. Color has 8 bits, as in pictures; a modality that is not
color, or of which something exact is asked (a contrast, a luminance, a spectrum), has 16. Frozen
modalities are neither rounded nor kept, and the start of an ascent follows from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.field_crop import FieldCrop
from neurovis.maximization.jobs import Job
from neurovis.maximization.kept_image import LEVELS, KeptImage
from neurovis.maximization.optimized_region import OptimizedRegion
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.maximization.settings import AscentSettings

_NUMBERS = (
    *("member_activations", "member_noise_activations", "target_map", "resulting_map", "curve"),
)
#: Names of what is kept as words and numbers.
_FIELDS = {field.name for field in fields(PreferredImage)} - {"image", "start", *_NUMBERS}


def highest_levels(spec: InputSpec, settings: AscentSettings) -> dict[str, int]:
    """The whole number that stands for 1, by modality: 255 or 65535; 0 for what is not rounded."""
    constraints = settings.constraints
    levels = {}
    for modality in spec.modalities:
        is_free = settings.image_parameters.is_free and not constraints.sets(modality.name)
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
        arrays = {name: getattr(image, name).numpy() for name in _NUMBERS}
        for name, part in self._spec.split(image.seen(image.image)).items():
            highest = self._highest[name]
            if highest:
                levels = _levels(part, highest).numpy()
                arrays[f"{LEVELS}{name}"] = levels.astype("uint8" if highest == 255 else "uint16")
        return KeptImage({name: getattr(image, name) for name in sorted(_FIELDS)}, arrays)

    def is_whole(self, image: KeptImage) -> bool:
        """Return True if an image that was read from files is complete."""
        if not image.fields.keys() >= _FIELDS or not set(_NUMBERS) <= image.arrays.keys():
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
        starts: dict[Any, Tensor] = {}
        restored = []
        for one in images:
            known: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in one.fields.items()
            }
            crop, box = known["crop"], known["box"]
            if crop not in starts:
                starts[crop] = self._starts(job, crop, box)
            known |= {name: torch.from_numpy(one.arrays[name]) for name in _NUMBERS}
            known |= {"index": job.index, "image": self._image(one, box)}
            restored.append(PreferredImage(start=starts[crop][known["variant"]], **known))
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

    def _starts(self, job: Job, crop: Any, box: Any) -> Tensor:
        cropped = None
        if crop is not None:
            top, left, bottom, right = crop
            size = (bottom - top, right - left)
            cropped = FieldCrop(self._spec.resized(size), self._spec.size, (top, left), box)
        region = OptimizedRegion(self._spec, self._settings, cropped)
        return region.initial_images(job.target.kernels[0])


def _levels(images: Tensor, highest: int) -> Tensor:
    """The nearest whole numbers, 0 for what is not finite, of values in [0, 1]."""
    return (images * highest).nan_to_num(0, 0, 0).round().long()


@cache
def _values(highest: int) -> Tensor:
    """The values in [0, 1] of whole numbers, on the CPU."""
    return torch.arange(highest + 1, dtype=torch.float32) / highest
