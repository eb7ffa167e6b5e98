"""Keep the global random state of Python, NumPy, the CPU and accelerators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def same_random_state() -> Iterator[None]:
    """Restore the global random state of Python, NumPy, the CPU and every accelerator.

    Accelerators are whatever torch has: CUDA, MPS, XPU, or a backend that is registered with it.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[], device_type="cuda"))
            for kind in accelerators():
                devices = range(torch.get_device_module(kind).device_count())
                stack.enter_context(torch.random.fork_rng(devices=devices, device_type=kind))
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def accelerators() -> set[str]:
    """Return the types of the devices other than the CPU that this process uses."""
    current = torch.accelerator.current_accelerator()
    kinds = {"cuda", *([current.type] if current is not None else [])}
    return {kind for kind in kinds if _is_in_use(kind)}


def _is_in_use(kind: str) -> bool:
    module = torch.get_device_module(kind)
    if hasattr(module, "is_initialized"):
        return bool(module.is_initialized())
    return torch.accelerator.is_available()
