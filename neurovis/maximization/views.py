"""Random views of an image: jitter, scale and rotation, drawn for each image on its own.

A preferred image should drive its kernel also when it is moved a little; what only works at one
exact placement is adversarial noise. After Mordvintsev, Olah & Tyka (2015) and Olah et al. (2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from neurovis.maximization.seeding import Stream, image_generator


@dataclass(frozen=True)
class ViewRange:
    """How far views may stray from the image.

    Args:
        jitter: Largest shift in pixels, in either direction along either axis.
        scale: Smallest and largest magnification.
        rotate: Largest rotation in degrees, either way.
    """

    jitter: float
    scale: tuple[float, float]
    rotate: float

    @property
    def is_still(self) -> bool:
        """Whether every view is the image itself."""
        return self.jitter == 0 and self.scale == (1, 1) and self.rotate == 0


def draw_views(
    size: tuple[int, int], views: ViewRange, seed: int, kernels: Sequence[int], steps: int
) -> Tensor:
    """Affine maps ``(steps, B, 2, 3)`` for :func:`look`, one row of steps for each kernel.

    The map of an image at a step depends on ``(seed, kernel, step)`` alone.
    """
    uniform = torch.stack(
        [
            torch.rand(steps, 4, generator=image_generator(seed, kernel, Stream.VIEWS))
            for kernel in kernels
        ],
        dim=1,
    )
    height, width = size
    low, high = views.scale
    angle = math.radians(views.rotate) * (2 * uniform[..., 0] - 1)
    zoom = low + (high - low) * uniform[..., 1]
    shift = views.jitter * (2 * uniform[..., 2:] - 1)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    # Coordinates run from -1 to 1 along either axis, so rotation must know the aspect ratio.
    return torch.stack(
        [
            torch.stack([cos, -sin * height / width, 2 * shift[..., 0] / width], dim=-1),
            torch.stack([sin * width / height, cos, 2 * shift[..., 1] / height], dim=-1),
        ],
        dim=-2,
    )


def look(images: Tensor, maps: Tensor) -> Tensor:
    """Views ``(B, C, H, W)`` of images under affine maps ``(B, 2, 3)``; edges are mirrored."""
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
