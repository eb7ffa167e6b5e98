"""Penalties that keep preferred images readable, one number for each image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.maximization.option_checks import check_number, check_positive


class Regularizer(ABC):
    """A penalty that is subtracted from what an image maximizes, in units of activation.

    Any function of the same signature does as well.
    """

    @abstractmethod
    def __call__(self, images: Tensor) -> Tensor:
        """Penalties ``(B,)`` of images ``(B, C, H, W)`` in [0, 1], their weight included.

        Each image's is its own, whatever the others are.
        """


@dataclass(frozen=True)
class TotalVariation(Regularizer):
    """Against noise: see :func:`total_variation`.

    Args:
        weight: In units of activation, for a mean difference of 1 between neighboring pixels.

    Raises:
        ValueError: If the weight is no number of at least 0.

    Example:
        >>> stripes = torch.tensor([[[[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]]])
        >>> TotalVariation(weight=2.0)(stripes).tolist()
        [2.0]
    """

    weight: float

    def __post_init__(self) -> None:
        check_number("weight", self.weight)

    def __call__(self, images: Tensor) -> Tensor:
        """Weighted total variation ``(B,)``."""
        return self.weight * total_variation(images)


@dataclass(frozen=True)
class LpContrast(Regularizer):
    """Against contrast: see :func:`lp_contrast`.

    Args:
        weight: In units of activation, for a mean of 1 (black and white are at 0.5 ** order).
        order: At least 1.

    Raises:
        ValueError: If a number is out of its range.

    Example:
        >>> LpContrast(weight=4.0)(torch.tensor([[[[0.0, 0.5]]]])).tolist()
        [0.5]
    """

    weight: float
    order: float = 2.0

    def __post_init__(self) -> None:
        check_number("weight", self.weight)
        check_number("order", self.order, at_least=1)

    def __call__(self, images: Tensor) -> Tensor:
        """Weighted contrast ``(B,)``."""
        return self.weight * lp_contrast(images, self.order)


@dataclass(frozen=True)
class HighFrequency(Regularizer):
    """Against what a blur takes away: see :func:`high_frequency`.

    Args:
        weight: In units of activation, for a mean squared difference of 1.
        sigma: Standard deviation of the blur in pixels: details finer than about ``6 * sigma`` are
            penalized.

    Raises:
        ValueError: If a number is out of its range.
    """

    weight: float
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_number("weight", self.weight)
        check_positive("sigma", self.sigma)

    def __call__(self, images: Tensor) -> Tensor:
        """Weighted high frequencies ``(B,)``."""
        return self.weight * high_frequency(images, self.sigma)


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighboring pixels, ``(B, C, H, W)`` to ``(B,)``.

    Anisotropic: the mean over horizontal pairs plus that over vertical pairs (Rudin, Osher &
    Fatemi 1992; for preferred images Mahendran & Vedaldi 2015).
    """
    vertical = (images[..., 1:, :] - images[..., :-1, :]).abs()
    horizontal = (images[..., :, 1:] - images[..., :, :-1]).abs()
    return sum(
        (pairs.flatten(1).mean(1) for pairs in (vertical, horizontal) if pairs.numel()),
        images.new_zeros(len(images)),
    )


def variation_across(images: Tensor) -> Tensor:
    """Total variation of a row and a column, on average, ``(B, C, H, W)`` to ``(B,)``.

    In images of any size, a line that goes from black to white and no further has 1.
    """
    height, width = images.shape[2:]
    return total_variation(images) * min(height, width)


def lp_contrast(images: Tensor, order: float) -> Tensor:
    """Mean of ``|image - mid gray| ** order`` over pixels, ``(B, C, H, W)`` to ``(B,)``.

    Order 2 bounds the contrast energy; higher orders forbid extreme pixels and leave the others
    alone (Simonyan et al. 2014; Mahendran & Vedaldi 2015).
    """
    return (images - 0.5).abs().pow(order).flatten(1).mean(1)


def high_frequency(images: Tensor, sigma: float) -> Tensor:
    """Mean squared difference of images and their Gaussian blur, ``(B, C, H, W)`` to ``(B,)``.

    After the penalty on high frequencies of Olah et al. (2017). A grating of f cycles per pixel
    keeps ``1 - exp(-2 * (pi * sigma * f) ** 2)`` of its amplitude, away from the borders.

    Args:
        images: In [0, 1].
        sigma: Standard deviation of the blur in pixels. At the borders the part of the Gaussian
            that lies within the image makes up for the rest.
    """
    return (images - blurred(images, sigma)).square().flatten(1).mean(1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Return the Gaussian blur of images ``(B, C, H, W)``; see :func:`high_frequency`."""
    # Products of matrices, unlike the gradients of convolutions, are the same each time.
    with torch.autocast(images.device.type, enabled=False):
        vertical, horizontal = (_blur_matrix(images, size, sigma) for size in images.shape[2:])
        return vertical @ images @ horizontal.mT


def _blur_matrix(images: Tensor, size: int, sigma: float) -> Tensor:
    """``(size, size)``: each row the weights of all pixels in one blurred pixel."""
    position = torch.arange(size, dtype=images.dtype, device=images.device)
    distance = (position[:, None] - position) / sigma
    return torch.softmax(-distance.square() / 2, dim=1)
