"""Checks of what measures and maps are given, with the same messages for all."""

from __future__ import annotations

import torch
from torch import Tensor


def check_responses(
    name: str, responses: Tensor, least: int, of: str, *, non_negative: bool = True
) -> None:
    """Refuse responses that a measure is not defined for.

    NaN passes: it marks an undefined response, and results that depend on it are undefined too.

    Args:
        name: What the caller calls the argument.
        responses: ``(..., N)``.
        least: The smallest N.
        of: What the last dimension counts, such as ``"orientations"``.
        non_negative: Whether there may be none below zero.

    Raises:
        TypeError: If they are not a float32 or float64 tensor.
        ValueError: If there are too few, or some are negative.
    """
    if not isinstance(responses, Tensor):
        raise TypeError(f"{name} must be a tensor; got {type(responses).__name__}")
    if responses.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} must be float32 or float64; got {responses.dtype}. Convert with .float()"
        )
    if responses.ndim == 0 or responses.shape[-1] < least:
        raise ValueError(
            f"{name} must have at least {least} {of} in the last dimension; "
            f"got shape {tuple(responses.shape)}"
        )
    if non_negative and (responses < 0).any():
        raise ValueError(
            f"{name} must be non-negative; got {responses[responses < 0].min():g}. After a ReLU "
            "subtract the blank and clamp at 0; before one take the first harmonic over phases"
        )


def check_same_shape(name: str, responses: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse responses that are not to the same stimuli.

    Raises:
        ValueError: If the shapes differ.
    """
    if responses.shape != other.shape:
        raise ValueError(
            f"{name} and {other_name} must have the same shape; "
            f"got {tuple(responses.shape)} and {tuple(other.shape)}"
        )


def check_axis(name: str, axis: Tensor, count: int, unit: str) -> None:
    """Refuse an axis that does not increase, or that does not match the responses.

    Raises:
        ValueError: If it is not ``(count,)``, positive, finite and increasing.
    """
    if axis.shape != (count,):
        raise ValueError(
            f"{name} must have shape {(count,)}, one for each response in the last dimension; "
            f"got {tuple(axis.shape)}"
        )
    if not (axis > 0).all() or not axis.isfinite().all() or not (axis.diff() > 0).all():
        raise ValueError(f"{name} must be positive {unit} and increase; got {axis.tolist()}")


def check_batch_size(batch_size: int) -> None:
    """Refuse a number of images in a forward that is below 1."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
