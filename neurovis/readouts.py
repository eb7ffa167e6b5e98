"""Readouts of activations: a map for each kernel, and from a map one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

#: From activations ``(B, K, ...)`` to one number for each image and kernel, ``(B, K)``.
Readout = Callable[[Tensor], Tensor]


def spatial_mean(activation: Tensor) -> Tensor:
    """Mean over positions: ``(B, K, ...)`` to ``(B, K)``. A vector is its own mean."""
    return activation.flatten(2).mean(-1) if activation.ndim > 2 else activation


def center_unit(activation: Tensor) -> Tensor:
    """The unit in the middle of each map, ``(B, K, ...)`` to ``(B, K)``: at ``size // 2``."""
    return unit_at(activation, center_place(activation.shape[2:]))


def center_place(map_size: Sequence[int]) -> tuple[int, ...]:
    """Place of the unit in the middle of a map: row and column of one that has two dimensions."""
    return tuple(size // 2 for size in map_size)


def unit_at(activation: Tensor, unit: Sequence[int]) -> Tensor:
    """One unit of each map, ``(B, K, ...)`` to ``(B, K)``, by its place in all its dimensions."""
    for index in unit:
        activation = activation.select(2, index)
    return activation


def spatial_max(activation: Tensor) -> Tensor:
    """The most active unit of each map: ``(B, K, ...)`` to ``(B, K)``."""
    return activation.flatten(2).amax(-1) if activation.ndim > 2 else activation


#: Names of the readouts.
ReadoutName = Literal["center", "mean", "max"]
READOUTS: dict[str, Readout] = {
    "mean": spatial_mean,
    "center": center_unit,
    "max": spatial_max,
}


def as_maps(layer: str, activation: Tensor) -> Tensor:
    """Activations ``(B, K, ...)`` with the two spatial dimensions that a picture has.

    Args:
        layer: Its name, for messages.
        activation: ``(B, K)``, ``(B, K, L)``, ``(B, K, H', W')`` or ``(B, K, T, H', W')``, kernels
            second.

    Returns:
        ``(B, K, H', W')``; vectors have maps of one unit, sequences of one row. Frames of videos
        stand side by side.

    Raises:
        ValueError: If there are more dimensions.
    """
    if activation.ndim == 2:
        return activation[:, :, None, None]
    if activation.ndim == 3:
        return activation[:, :, None, :]
    if activation.ndim == 4:
        return activation
    if activation.ndim == 5:
        return activation.movedim(2, -2).flatten(-2)
    raise ValueError(
        f'layer "{layer}" has {activation.ndim}-dimensional activations; feature maps can be drawn '
        "of 2 to 5: (B, K), (B, K, L), (B, K, H, W) or (B, K, frames, H, W)"
    )


def are_constant(responses: Tensor) -> Tensor:
    """True for kernels whose response ``(K, ...)`` is the same everywhere, ``(K,)``."""
    flat = responses.flatten(1)
    return (flat == flat[:, :1]).all(1)
