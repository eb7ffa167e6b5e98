"""Tensors in a few words that differ where the tensors do, for settings that are written down."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def tensor_fingerprint(tensor: Tensor) -> str:
    """Type, shape and a hash of a tensor's values, whatever its device and its strides.

    Example:
        >>> tensor_fingerprint(torch.zeros(3, 2))
        '<float32 (3, 2) 9d908ecfb6b256de>'
    """
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    digest = hashlib.sha256(values.numpy().tobytes()).hexdigest()[:16]
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"<{kind} {tuple(tensor.shape)} {digest}>"
