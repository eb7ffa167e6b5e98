"""Transforms that move what an image shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from neurovis.layers import ArgumentError
from neurovis.maximization.option_checks import check_number, checked_range, is_number
from neurovis.maximization.transforms.base import Transform
from neurovis.maximization.transforms.sampling import sampled
from neurovis.transfer import sent

#: Images shift by at most this part of their shorter side where no jitter is given.
DEFAULT_JITTER = 1 / 28
#: Beyond these (pixels, degrees, magnifications) nothing of an image is left to be seen, and
#: coordinates overflow at last, which torch's sampling does not survive.
MOST_JITTER, MOST_ROTATE, SCALES = 1e6, 360.0, (1e-3, 1e3)

#: Color of what lies around an image: mid gray, or one number in [0, 1] for each channel.
Border = Literal["gray"] | tuple[float, ...]


@dataclass(frozen=True)
class Affine(Transform):
    """Shifts, magnifies and turns, with bilinear interpolation.

    Args:
        jitter: Largest shift in pixels, either way along either axis; by default 1/28 of the
            shorter side.
        scale: Smallest and largest magnification.
        rotate: Largest rotation in degrees, either way.
        border: What is seen beyond the image: itself, mirrored (``mirror``), mid ``gray``, or a
            color, one number in [0, 1] for each channel.

    Raises:
        ValueError: If an option is out of its range.
    """

    jitter: float | None = None
    scale: tuple[float, float] = (0.9, 1.1)
    rotate: float = 10.0
    border: Literal["mirror"] | Border = "mirror"

    def __post_init__(self) -> None:
        if self.jitter is not None:
            check_number("jitter", self.jitter, at_most=MOST_JITTER)
        check_number("rotate", self.rotate, at_most=MOST_ROTATE)
        object.__setattr__(self, "scale", checked_range("scale", self.scale, *SCALES))
        if self.border not in ("mirror", "gray"):
            object.__setattr__(self, "border", _checked_color('"mirror", "gray"', self.border))

    @property
    def is_still(self) -> bool:
        """True if the transform is the identity."""
        return self.jitter == 0 and self.scale == (1, 1) and self.rotate == 0

    def draw(self, generator: torch.Generator, steps: int, size: tuple[int, int]) -> Tensor:
        """Affine maps ``(steps, 6)``, the rows of their 2 x 3 matrices."""
        uniform = torch.rand(steps, 4, generator=generator)
        height, width = size
        low, high = self.scale
        angle = math.radians(self.rotate) * (2 * uniform[:, 0] - 1)
        zoom = low + (high - low) * uniform[:, 1]
        shift = self._pixels(size) * (2 * uniform[:, 2:] - 1)
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        # Coordinates run from -1 to 1 along either axis, so rotation must know the aspect ratio.
        return torch.stack(
            [
                *(cos, -sin * height / width, 2 * shift[:, 0] / width),
                *(sin * width / height, cos, 2 * shift[:, 1] / height),
            ],
            dim=-1,
        )

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Images under the maps."""
        maps = drawn.view(-1, 2, 3)
        if self.border == "mirror":
            return sampled(images, maps)
        return sampled(images, maps, _color(self.border, images))

    def reach(self, extent: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
        """The farthest that a corner of the extent turns, at the smallest magnification."""
        down, across = extent
        jitter = self._pixels(size)
        return self._turned(down, across) + jitter, self._turned(across, down) + jitter

    def _pixels(self, size: tuple[int, int]) -> float:
        return min(size) * DEFAULT_JITTER if self.jitter is None else self.jitter

    def _turned(self, along: float, beside: float) -> float:
        angle = min(math.radians(self.rotate), math.atan2(beside, along))
        return (along * math.cos(angle) + beside * math.sin(angle)) / self.scale[0]


@dataclass(frozen=True)
class Pad(Transform):
    """Puts a border around images, so that what they gain at the edges of a map is not theirs.

    The network is shown larger images than without.

    Args:
        pixels: Its width.
        border: Mid ``gray``, or a color, one number in [0, 1] for each channel.

    Raises:
        ValueError: If an option is out of its range.
    """

    pixels: int
    border: Border = "gray"

    def __post_init__(self) -> None:
        _check_whole("pixels", self.pixels)
        if self.border != "gray":
            object.__setattr__(self, "border", _checked_color('"gray"', self.border))

    @property
    def is_still(self) -> bool:
        """True if there is no border."""
        return self.pixels == 0

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:  # noqa: ARG002
        """The images in their borders, ``(B, C, H + 2 pixels, W + 2 pixels)``."""
        height, width = images.shape[2:]
        size = self.output_size((height, width))
        padded = _color(self.border, images).expand(*images.shape[:2], *size).clone()
        padded[..., self.pixels :, self.pixels :][..., :height, :width] = images
        return padded

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Larger by the border on either side."""
        return size[0] + 2 * self.pixels, size[1] + 2 * self.pixels


@dataclass(frozen=True)
class Jitter(Transform):
    """Shifts by whole pixels, with mirrored edges: blurs nothing, and costs next to nothing.

    Args:
        pixels: Largest shift, either way along either axis; by default 1/28 of the shorter side.
            No image shifts by more than its own side.

    Raises:
        ValueError: If ``pixels`` is negative or no whole number.
    """

    pixels: int | None = None

    def __post_init__(self) -> None:
        if self.pixels is not None:
            _check_whole("pixels", self.pixels)

    @property
    def is_still(self) -> bool:
        """True if the transform is the identity."""
        return self.pixels == 0

    def draw(self, generator: torch.Generator, steps: int, size: tuple[int, int]) -> Tensor:
        """Whole shifts ``(steps, 2)``, down and across: a pixel shows what lies so far from it."""
        limits = torch.tensor([self._limit(side, size) for side in size])
        uniform = torch.rand(steps, 2, generator=generator, dtype=torch.float64)
        return (uniform * (2 * limits + 1)).long() - limits

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """The shifted images."""
        return torch.stack(
            [
                _shifted(_shifted(image, down, axis=1), across, axis=2)
                for image, (down, across) in zip(images, drawn.tolist(), strict=True)
            ]
        )

    def reach(self, extent: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
        """Return the extent, larger by the largest shift."""
        down, across = (
            one + self._limit(side, size) for one, side in zip(extent, size, strict=True)
        )
        return down, across

    def _limit(self, side: int, size: tuple[int, int]) -> int:
        pixels = round(min(size) * DEFAULT_JITTER) if self.pixels is None else int(self.pixels)
        return min(pixels, side)


def _checked_color(names: str, border: str | tuple[float, ...]) -> tuple[float, ...]:
    """A border's color as a tuple; ``names`` are what it may be instead."""
    numbers = border if isinstance(border, (tuple, list)) else ()
    if not numbers or not all(is_number(one) and 0 <= one <= 1 for one in numbers):
        raise ValueError(
            f"border must be {names} or a color, one number in [0, 1] for each channel; "
            f"got {border!r}"
        )
    return tuple(float(one) for one in numbers)


def _color(border: str | tuple[float, ...], images: Tensor) -> Tensor:
    """The color ``(C, 1, 1)`` of a border around images ``(B, C, H, W)``, on their device."""
    channels = images.shape[1]
    numbers = (0.5,) * channels if isinstance(border, str) else border
    if len(numbers) != channels:
        raise ArgumentError(
            f"a border needs one number for each of {channels} channels; got {numbers}"
        )
    color = torch.tensor(numbers, dtype=images.dtype)[:, None, None]
    return sent(color, images.device)


def _check_whole(option: str, value: float) -> None:
    check_number(option, value)
    if value != int(value):
        raise ValueError(f"{option} must be a whole number; got {value}")


def _shifted(image: Tensor, shift: int, axis: int) -> Tensor:
    """An image whose pixel ``i`` shows ``i + shift``; what lies beyond an edge is mirrored."""
    side = image.shape[axis]
    if shift == 0:
        return image
    if shift > 0:
        seen = image.narrow(axis, shift, side - shift)
        return torch.cat([seen, image.narrow(axis, side - shift, shift).flip(axis)], axis)
    seen = image.narrow(axis, 0, side + shift)
    return torch.cat([image.narrow(axis, 0, -shift).flip(axis), seen], axis)
