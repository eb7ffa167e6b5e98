"""From a kernel's map to one number: its mean, its center unit, its maximum."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

#: From activations ``(B, K, ...)`` to one number for each image and kernel, ``(B, K)``.
Readout = Callable[[Tensor], Tensor]


def spatial_mean(activation: Tensor) -> Tensor:
    """Mean over positions: ``(B, K, ...)`` to ``(B, K)``. A vector is its own mean."""
    return activation.flatten(2).mean(-1) if activation.ndim > 2 else activation


def center_unit(activation: Tensor) -> Tensor:
    """The unit in the middle of each map, ``(B, K, ...)`` to ``(B, K)``: at ``size // 2``."""
    for size in activation.shape[2:]:
        activation = activation.select(2, size // 2)
    return activation


def spatial_max(activation: Tensor) -> Tensor:
    """The most active unit of each map: ``(B, K, ...)`` to ``(B, K)``."""
    return activation.flatten(2).amax(-1) if activation.ndim > 2 else activation


READOUTS: dict[str, Readout] = {
    "mean": spatial_mean,
    "center": center_unit,
    "max": spatial_max,
}
