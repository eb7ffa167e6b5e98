"""Transforms that images are shown under, drawn afresh for each image and each step.

A preferred image should drive its kernel also when it is moved or changed a little; what only works
at one exact placement is adversarial noise. After Mordvintsev, Olah & Tyka (2015) and Olah,
Mordvintsev & Schubert (2017), "Feature Visualization".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.transforms.appearance import GaussianBlur, GaussianNoise, Lighting
from neurovis.maximization.transforms.base import FunctionTransform, Transform
from neurovis.maximization.transforms.geometry import Affine, Jitter, Pad

__all__ = [
    "Affine",
    "FunctionTransform",
    "GaussianBlur",
    "GaussianNoise",
    "Jitter",
    "Lighting",
    "Pad",
    "Transform",
    "apply_transforms",
    "as_transform",
    "draw_transforms",
]


def as_transform(value: Transform | Callable[[Tensor], Tensor]) -> Transform:
    """A transform as it is, a function as a transform.

    Raises:
        TypeError: If it is neither.
    """
    return value if isinstance(value, Transform) else FunctionTransform(value)


def draw_transforms(
    transforms: Sequence[Transform],
    size: tuple[int, int],
    seed: int,
    keys: Sequence[tuple[int, int]],
    steps: int,
) -> list[Tensor]:
    """Draw the transforms' parameters for the steps of some images.

    What is drawn for an image at a step depends on ``(seed, kernel, variant, step)`` and the
    transform and its place in the row alone.

    Args:
        transforms: In the order in which they are applied.
        size: Height and width of the images.
        seed: Seed of the run.
        keys: Kernel and variant of each of the ``B`` images.
        steps: How many; the first of a longer draw are those of a shorter one.

    Returns:
        ``(steps, B, P)`` on the CPU for each transform; its type and ``P`` are the transform's own.
    """
    drawn = []
    for place, transform in enumerate(transforms):
        of_images = []
        for kernel, variant in keys:
            generator = image_generator(seed, kernel, Stream.VIEWS, variant, place)
            of_images.append(transform.draw(generator, steps, size))
        drawn.append(torch.stack(of_images, dim=1))
        size = transform.output_size(size)
    return drawn


def apply_transforms(
    images: Tensor, transforms: Sequence[Transform], drawn: Sequence[Tensor]
) -> Tensor:
    """Images as they are shown at one step; in their own type, also under autocast.

    Args:
        images: ``(B, C, H, W)`` on any device.
        transforms: One after the other.
        drawn: ``(B, P)`` on the CPU for each transform, of :func:`draw_transforms`.
    """
    with torch.autocast(images.device.type, enabled=False):
        for transform, own in zip(transforms, drawn, strict=True):
            if not transform.is_still:
                images = transform(images, own)
    return images
