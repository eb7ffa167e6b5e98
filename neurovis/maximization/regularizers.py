"""Penalties that keep preferred images readable, one number for each image."""

from __future__ import annotations

from torch import Tensor


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, ``(B, C, H, W)`` to ``(B,)``.

    Anisotropic: the mean over horizontal pairs plus that over vertical pairs (Rudin, Osher &
    Fatemi 1992; for preferred images Mahendran & Vedaldi 2015).
    """
    vertical = (images[..., 1:, :] - images[..., :-1, :]).abs()
    horizontal = (images[..., :, 1:] - images[..., :, :-1]).abs()
    return sum(
        (pairs.flatten(1).mean(1) for pairs in (vertical, horizontal) if pairs.numel()),
        images.new_zeros(len(images)),
    )


def lp_contrast(images: Tensor, order: float) -> Tensor:
    """Mean of ``|image - mid grey| ** order`` over pixels, ``(B, C, H, W)`` to ``(B,)``.

    Order 2 bounds the contrast energy; higher orders forbid extreme pixels and leave the others
    alone (Simonyan et al. 2014; Mahendran & Vedaldi 2015).
    """
    return (images - 0.5).abs().pow(order).flatten(1).mean(1)
