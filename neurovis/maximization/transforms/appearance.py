"""Transforms that change how an image looks and leave everything in its place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from neurovis.maximization.option_checks import check_number, checked_range
from neurovis.maximization.transforms.base import Transform
from neurovis.transfer import sent

_LARGEST_SEED = 2**62


@dataclass(frozen=True)
class GaussianNoise(Transform):
    """Adds white noise, on the images' own device; images may leave [0, 1].

    Args:
        std: Standard deviation, in units of image values.

    Raises:
        ValueError: If ``std`` is negative.
    """

    std: float = 0.02

    def __post_init__(self) -> None:
        check_number("std", self.std)

    @property
    def is_still(self) -> bool:
        """True if the transform is the identity."""
        return self.std == 0

    def draw(self, generator: torch.Generator, steps: int, size: tuple[int, int]) -> Tensor:
        """A seed ``(steps, 1)`` for each step; noise is made from it when it is wanted."""
        del size
        return torch.randint(_LARGEST_SEED, (steps, 1), generator=generator)

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """The noisy images."""
        generator = torch.Generator(images.device)
        noise = torch.empty_like(images, memory_format=torch.contiguous_format)
        for own, (seed,) in zip(noise, drawn.tolist(), strict=True):
            own.normal_(0, self.std, generator=generator.manual_seed(seed))
        return images + noise


@dataclass(frozen=True)
class GaussianBlur(Transform):
    """Blurs, with mirrored edges.

    Args:
        sigma: Smallest and largest standard deviation of the Gaussian, in pixels; 0 is no blur.

    Raises:
        ValueError: If ``sigma`` is out of its range.
    """

    sigma: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", checked_range("sigma", self.sigma))

    @property
    def is_still(self) -> bool:
        """True if the transform is the identity."""
        return self.sigma == (0, 0)

    def draw(self, generator: torch.Generator, steps: int, size: tuple[int, int]) -> Tensor:
        """Standard deviations ``(steps, 1)``."""
        del size
        low, high = self.sigma
        return low + (high - low) * torch.rand(steps, 1, generator=generator)

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """The blurred images."""
        for axis in (2, 3):
            radius = min(self._radius, images.shape[axis])
            distances = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
            sigma = sent(drawn.to(images.dtype), images.device)
            sigma = sigma.clamp(min=torch.finfo(images.dtype).eps)
            kernels = torch.softmax(-(distances / sigma).square() / 2, dim=1)
            images = _filtered(images, kernels, axis)
        return images

    def reach(self, extent: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
        """Farther by where the Gaussian is cut off."""
        del size
        return extent[0] + self._radius, extent[1] + self._radius

    @property
    def _radius(self) -> int:
        return math.ceil(3 * self.sigma[1])


@dataclass(frozen=True)
class Lighting(Transform):
    """Changes brightness, and contrast around mid gray, of all channels alike.

    Images may leave [0, 1].

    Args:
        brightness: Largest change in units of image values, either way.
        contrast: Smallest and largest factor of the distance from mid gray.

    Raises:
        ValueError: If an option is out of its range.
    """

    brightness: float = 0.1
    contrast: tuple[float, float] = (0.8, 1.2)

    def __post_init__(self) -> None:
        check_number("brightness", self.brightness)
        object.__setattr__(self, "contrast", checked_range("contrast", self.contrast))

    @property
    def is_still(self) -> bool:
        """True if the transform is the identity."""
        return self.brightness == 0 and self.contrast == (1, 1)

    def draw(self, generator: torch.Generator, steps: int, size: tuple[int, int]) -> Tensor:
        """Factors and offsets ``(steps, 2)``."""
        del size
        low, high = self.contrast
        uniform = torch.rand(steps, 2, generator=generator)
        factor = low + (high - low) * uniform[:, 0]
        change = self.brightness * (2 * uniform[:, 1] - 1)
        return torch.stack([factor, 0.5 - 0.5 * factor + change], dim=1)

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """The images in another light."""
        lights = sent(drawn.to(images.dtype), images.device)
        factor, offset = lights[:, :, None, None, None].unbind(1)
        return images * factor + offset


def _filtered(images: Tensor, kernels: Tensor, axis: int) -> Tensor:
    """Images ``(B, C, H, W)``, each filtered along an axis by its own kernel of ``(B, 2r + 1)``."""
    batch, channels = images.shape[:2]
    radius = kernels.shape[1] // 2
    first = images.narrow(axis, 0, radius).flip(axis)
    last = images.narrow(axis, images.shape[axis] - radius, radius).flip(axis)
    mirrored = torch.cat([first, images, last], axis).flatten(0, 1)[None]
    weights = kernels.repeat_interleave(channels, dim=0).view(batch * channels, 1, 1, -1)
    weights = weights.transpose(2, 3) if axis == 2 else weights
    filtered = F.conv2d(mirrored, weights, groups=batch * channels)[0]
    return filtered.view(batch, channels, *filtered.shape[1:])
