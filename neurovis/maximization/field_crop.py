"""The part of a picture that its center unit sees, to optimize that alone.

On a large picture a small receptive field is lost: most of the work, and of what is shown, would be
of pixels that cannot change the unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from neurovis.inputs import InputSpec
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.transforms import Transform
from neurovis.readouts import center_unit
from neurovis.receptive_fields import Box, Field, clipped_box, receptive_fields

#: A crop of more than this part of the picture's pixels saves too little.
_LARGEST_PART = 0.75
_TRIAL_IMAGES = 3
#: How many sizes that a network refuses are tried, each some pixels larger than the one before.
_MOST_REFUSALS = 8
#: How far a unit on the crop may be from itself on the picture, relative to the largest response.
_CROP_TOLERANCE = 1e-4


@dataclass(frozen=True)
class FieldCrop:
    """A part of the picture in which the center unit sees what it sees in the whole.

    Args:
        whole_spec: Modalities and size of the whole picture.
        crop_box: The crop in the whole picture: top, left, bottom, right, the latter two exclusive.
        box: The same of the center unit's receptive field.
    """

    whole_spec: InputSpec
    crop_box: Box
    box: Box

    @cached_property
    def spec(self) -> InputSpec:
        """Modalities and size of what is optimized, the crop."""
        top, left, bottom, right = self.crop_box
        return self.whole_spec.resized((bottom - top, right - left))

    @property
    def own_box(self) -> Box:
        """The center unit's receptive field in the crop."""
        (top, left, *_), box = self.crop_box, self.box
        return box[0] - top, box[1] - left, box[2] - top, box[3] - left

    def paste(self, images: Tensor) -> Tensor:
        """Whole pictures ``(..., C, H, W)``, gray around the crops ``(..., C, h, w)``.

        Raises:
            ValueError: If the images are not of the crop's shape.
        """
        if images.shape[-3:] != self.spec.shape:
            raise ValueError(
                f"images to be pasted must be (..., C, h, w) of the crop's shape "
                f"{self.spec.shape}; got {tuple(images.shape)}"
            )
        (height, width), (top, left, bottom, right) = self.whole_spec.size, self.crop_box
        return F.pad(images, (left, width - right, top, height - bottom), value=0.5)

    def cropped(self, images: Tensor) -> Tensor:
        """The crops ``(..., C, h, w)`` of whole pictures ``(..., C, H, W)``.

        Raises:
            ValueError: If the images are not of the whole picture's size.
        """
        if images.shape[-2:] != self.whole_spec.size:
            raise ValueError(
                f"images to be cropped must be (..., C, H, W) of {self.whole_spec.size} pixels; "
                f"got {tuple(images.shape)}"
            )
        top, left, bottom, right = self.crop_box
        return images[..., top:bottom, left:right]


def find_field_crop(
    response: LayerResponse, margin: float = 0.0, transforms: Sequence[Transform] = ()
) -> FieldCrop | None:
    """The smallest part of the picture on which the center unit can be optimized alone.

    On it the unit at ``size // 2`` of the layer's map sees the same pixels as on the whole picture,
    and nothing of the borders, however the transforms move the image: only real pixels come into
    its field. (A custom function is assumed to move nothing.)

    Args:
        response: Response of the layer to whole pictures.
        margin: Pixels around the receptive field, at least, besides what transforms need.
        transforms: What images are shown under.

    Returns:
        None where the field is unknown, the crop would be most of the picture or lie beyond it,
        the network cannot take the smaller size, or the unit responds differently there.

    Raises:
        ValueError: If ``margin`` is negative.
    """
    if not 0 <= margin < math.inf:
        raise ValueError(f"margin must be a number of pixels of at least 0; got {margin}")
    device = response.inputs(noise_images(response.spec, count=1)).device
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        field = _moving_field(response)
        crop = None if field is None else _smallest_crop(response, field, margin, transforms)
        return crop if crop is not None and _sees_the_same(response, crop) else None


def _moving_field(response: LayerResponse) -> Field | None:
    """The layer's field, if it is known and its units see different places."""
    try:
        # On the whole picture first: a response learns there how often its layer is called.
        activation = response.checked(noise_images(response.spec, count=1))
        field = receptive_fields(response.network, response.spec.example()).get(response.layer)
    except ValueError:  # What comes after the layer may want images of another size.
        return None
    if field is None or field.extents is None or field.units != activation.shape[2:]:
        return None
    return field if all(extent.jump for extent in field.extents) else None


def _smallest_crop(
    response: LayerResponse, field: Field, margin: float, transforms: Sequence[Transform]
) -> FieldCrop | None:
    spec = response.spec
    box = field.pixels(field.center) if field.center is not None else None
    if box is None:
        return None
    height, width = box[2] - box[0], box[3] - box[1]
    largest = _LARGEST_PART * spec.size[0] * spec.size[1]
    refusals = 0
    while height * width <= largest and refusals < _MOST_REFUSALS:
        smaller = spec.resized((height, width))
        corner = _corner(response, smaller, field, box)
        if corner is None:  # The network may want a few pixels more.
            refusals += 1
            height, width = height + refusals, width + refusals
            continue
        top, left = corner
        crop = FieldCrop(spec, (top, left, top + height, left + width), box)
        lacks = _lacks(crop.own_box, smaller.size, margin, transforms)
        if not any(lacks):
            return crop if clipped_box(crop.crop_box, spec.size) == crop.crop_box else None
        height, width = height + lacks[0], width + lacks[1]
    return None


def _corner(
    response: LayerResponse, smaller: InputSpec, field: Field, box: Box
) -> tuple[int, int] | None:
    """Top and left of the crop whose center unit is the picture's; None if there is none."""
    try:
        activation = response.checked(noise_images(smaller, count=1))
    except ValueError:
        return None
    if activation.ndim != 4 or field.extents is None:
        return None
    corner = []
    for extent, units, first, last in zip(
        field.extents, activation.shape[2:], box[:2], box[2:], strict=True
    ):
        low, high = extent.unit(units // 2)
        if high - low != last - first - 1:
            return None
        corner.append(int(first - low))
    return corner[0], corner[1]


def _lacks(
    box: Box, size: tuple[int, int], margin: float, transforms: Sequence[Transform]
) -> tuple[bool, bool]:
    """Return True, down and across, if a crop is too small for the field at its ``box``."""
    # Up to the centers of the field's last pixels, from the center about which images are turned.
    extents = [
        max(side / 2 - first, last - side / 2) + margin - 0.5
        for side, first, last in zip(size, box[:2], box[2:], strict=True)
    ]
    reach = (extents[0], extents[1])
    for transform in reversed(transforms):
        reach = transform.reach(reach, size)
    return reach[0] > size[0] / 2 - 0.5, reach[1] > size[1] / 2 - 0.5


def _sees_the_same(response: LayerResponse, crop: FieldCrop) -> bool:
    """Return True if the center unit responds to crops as to the pictures, whatever lies around."""
    noise = noise_images(response.spec, _TRIAL_IMAGES)
    crops = crop.cropped(noise)
    expected = center_unit(response(torch.cat([noise, crop.paste(crops)]))).float()
    found = center_unit(response(crops)).float().repeat(2, 1)
    if expected.shape != found.shape or not (expected.isfinite().all() and expected.any()):
        return False
    parameter = next(response.network.parameters(), noise)
    precision = torch.finfo(parameter.dtype).eps if parameter.is_floating_point() else 0.0
    tolerance = max(_CROP_TOLERANCE, 4 * precision)
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())
