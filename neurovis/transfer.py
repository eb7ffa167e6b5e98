"""Send small tensors to a device without waiting for what it is doing."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Return values on a device; the host does not wait until they are there.

    Args:
        values: On the CPU; not to be changed in place afterwards.
        device: Where they are to be used, by operations of its current stream.
    """
    if device.type == "cuda" and not values.is_cuda:
        # From memory that is not pinned the host copies by itself, and may wait for it.
        values = values.pin_memory()
    # Metal reads from the host's memory when it gets to it, which may be freed by then.
    return values.to(device, non_blocking=device.type != "mps")
