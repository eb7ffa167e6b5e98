"""Penalty on the similarity of one target's images, as the layer sees them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Keeps activations of zero from being divided by.
_LEAST = 1e-30


def diversity_penalty(activation: Tensor, variants: int) -> Tensor:
    """Mean pairwise cosine similarity of the Gram matrices of each target's images.

    The Gram matrix of an image has the products of every two kernels, summed over positions: which
    features come together, wherever they are. Images that differ in it are different images, and
    not one that is shifted (Olah et al. 2017; Lucid sums over the others, here it is their mean).

    Args:
        activation: ``(S * D, K, ...)``, the D images of one target behind each other.
        variants: D, at least 1.

    Returns:
        ``(S,)`` in [0, 1]: 1 where all D images have the same Gram matrix up to its size, 0 for one
        image alone.

    Raises:
        ValueError: If the number of images is no multiple of ``variants``, or that is below 1.
    """
    if variants < 1 or len(activation) % variants:
        raise ValueError(
            f"variants must be at least 1 and divide the {len(activation)} images; got {variants}"
        )
    targets = len(activation) // variants
    if variants == 1:
        return activation.new_zeros(targets)
    with torch.autocast(activation.device.type, enabled=False):
        flat = (
            activation.float().flatten(2) if activation.ndim > 2 else activation.float()[..., None]
        )
        # Cosines do not depend on sizes, but squares of faint activations would vanish.
        flat = flat / flat.detach().abs().amax((1, 2), keepdim=True).clamp(min=_LEAST)
        grams = torch.bmm(flat, flat.transpose(1, 2)).reshape(targets, variants, -1)
        grams = functional.normalize(grams, dim=-1)
        cosines = torch.bmm(grams, grams.transpose(1, 2))
        others = 1 - torch.eye(variants, device=cosines.device)
        return (cosines * others).sum((1, 2)) / (variants * (variants - 1))
