"""Pictures of the user's own as stimuli, each in several versions."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.stimuli.base import Conditions


class PictureVersions(Conditions):
    """Pictures that are each shown in several versions, and mid gray.

    Args:
        spec: What the network is shown.
        pictures: Items begin with an image ``(C, H, W)`` in [0, 1].
        numbers: Which of them are shown.

    Attributes:
        names: Names of the versions.
    """

    names: Sequence[str]

    def __init__(self, spec: InputSpec, pictures: Dataset[Any], numbers: Sequence[int]) -> None:
        super().__init__(spec)
        self._pictures, self._numbers = pictures, numbers
        self._last: tuple[int, Tensor] | None = None

    @property
    @override
    def shape(self) -> tuple[int, int]:
        """Numbers of pictures and of versions."""
        return len(self._numbers), len(self.names)

    @abstractmethod
    def versions(self, image: Tensor, number: int) -> Tensor:
        """Return all versions of an image, ``(V, C, H, W)``.

        Args:
            image: ``(C, H, W)`` in [0, 1].
            number: Its number, the seed of random versions.
        """

    @override
    def draw(self, *places: Tensor) -> Tensor:
        shown = zip(*(place.tolist() for place in places), strict=True)
        return torch.stack(
            [self._versions_of(self._numbers[picture])[version] for picture, version in shown]
        )

    def _versions_of(self, number: int) -> Tensor:
        # The versions of a picture follow each other.
        if self._last is None or self._last[0] != number:
            self._last = number, self.versions(self._pictures[number][0], number).clamp(0, 1)
        return self._last[1]


class ScrambledPictures(PictureVersions):
    """Pictures and their phase-scrambled twins, alike in color, contrast and spectrum.

    Both are periodic and shifted at random, so that a unit's place in the picture does not matter,
    have a mean of mid gray, and the highest contrast that keeps both in [0, 1]. The twin has random
    phases, the same in all channels (Galerne, Gousseau & Morel 2011).
    """

    names = ("picture", "scrambled")

    @override
    def versions(self, image: Tensor, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        size = self.spec.size
        down, across = (int(torch.randint(side, (), generator=generator)) for side in size)
        picture = periodic_part(image).roll((down, across), (1, 2))
        noise = torch.randn(size, generator=generator)
        # The phases of real noise are those of a real image.
        phases = torch.fft.rfft2(noise).sgn()
        twin = torch.fft.irfft2(torch.fft.rfft2(picture) * phases, s=size)
        pair = torch.stack([picture, twin])
        pair -= pair.mean((2, 3), keepdim=True)
        return 0.5 + pair * (0.5 / pair.abs().max().clamp(min=1e-6))


def periodic_part(image: Tensor) -> Tensor:
    """Return an image ``(C, H, W)`` without its jumps between opposite sides (Moisan 2011).

    What is taken away is smooth inside the image; the mean stays.
    """
    jumps = torch.zeros_like(image)
    across, down = image[:, :, -1] - image[:, :, 0], image[:, -1] - image[:, 0]
    jumps[:, :, 0] += across
    jumps[:, :, -1] -= across
    jumps[:, 0] += down
    jumps[:, -1] -= down
    rows, columns = (
        2 * torch.cos(2 * math.pi * torch.arange(side) / side) for side in image.shape[1:]
    )
    laplacian = rows[:, None] + columns[: image.shape[2] // 2 + 1] - 4
    laplacian[0, 0] = 1
    spectrum = torch.fft.rfft2(jumps) / laplacian
    spectrum[:, 0, 0] = 0
    smooth: Tensor = torch.fft.irfft2(spectrum, s=image.shape[1:])
    return image - smooth


class MovedPictures(PictureVersions):
    """Pictures as they are, shifted, scaled and turned about the image's center.

    Shifts are parts of the image's shorter side. What comes into the image is mirrored.
    """

    #: Kind of each movement, what its versions are called, and (right, down, scale, degrees).
    MOVES: Sequence[tuple[str, str, tuple[float, float, float, float]]] = (
        *(
            ("shift", f"1/{part} {way}", (x / part, y / part, 1, 0))
            for part in (32, 16, 8, 4)
            for way, x, y in (("right", 1, 0), ("down", 0, 1))
        ),
        *(("size", f"scale {scale}", (0, 0, scale, 0)) for scale in (0.5, 0.71, 1.4, 2)),
        *(("rotation", f"{angle}°", (0, 0, 1, angle)) for angle in (15, 30, 45, 90)),
    )
    names = ("as it is", *(name for _, name, _ in MOVES))

    @override
    def versions(self, image: Tensor, number: int) -> Tensor:
        moves = [move for _, _, move in self.MOVES]
        return torch.stack([image, *(moved(image, *move) for move in moves)])


def moved(image: Tensor, right: float, down: float, scale: float, degrees: float) -> Tensor:
    """Return an image ``(C, H, W)`` shifted, scaled and turned; what is beyond it is mirrored.

    Args:
        image: The image.
        right: Shift, in parts of the shorter side; of whole pixels, as is the other.
        down: The same downwards.
        scale: Above 1 it gets larger.
        degrees: Counter-clockwise, about the center.
    """
    height, width = image.shape[1:]
    right, down = (round(part * min(height, width)) for part in (right, down))
    angle = math.radians(degrees)
    # From a place in the result to that in the image, in pixels from the center.
    cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
    turn = torch.tensor([[cosine, -sine], [sine, cosine]])
    sides = torch.tensor([width / 2, height / 2])
    offset = -(turn @ torch.tensor([float(right), float(down)])) / sides
    transform = torch.cat([turn * sides / sides[:, None], offset[:, None]], dim=1)
    grid = functional.affine_grid(transform[None], [1, *image.shape], align_corners=False)
    pixels = image[None]
    if scale < 1:
        size = [max(1, round(scale * side)) for side in (height, width)]
        pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
    sampled: Tensor = functional.grid_sample(
        pixels, grid, padding_mode="reflection", align_corners=False
    )
    return sampled[0]
