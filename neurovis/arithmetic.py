"""Precision that a device computes in: float32 without shortcuts, and float64 if it has any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import torch


@lru_cache
def has_float64(device: torch.device) -> bool:
    """Return False for a device without double precision, as Apple's GPUs."""
    try:
        torch.zeros((), dtype=torch.float64, device=device)
    except TypeError:
        return False
    return True


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 in all its 24 bits inside: neither TF32 nor bfloat16 stand in for it.

    GPUs convolve in TF32 by default, which has 11 bits; numbers that are reported or compared must
    not depend on that. All settings are afterwards what they were.
    """
    with ExitStack() as stack:
        settings = _settings()
        for setting in settings:
            stack.callback(setattr, setting, "fp32_precision", setting.fp32_precision)
        # Torch raises where the older names are read and contradict the newer: both are set.
        for read, write, exact in _legacy_settings():
            try:
                before = read()
            except RuntimeError:  # They contradict each other already.
                continue
            stack.callback(write, before)
            write(exact)
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield


def _settings() -> list[Any]:
    """All that have a precision of their own, so that none falls back on another's."""
    backends: Any = torch.backends
    cudnn, mkldnn = backends.cudnn, backends.mkldnn
    on_gpu = [cudnn, cudnn.conv, cudnn.rnn, backends.cuda.matmul]
    # Not `mkldnn` itself, whose setter writes the general one in torch 2.14.
    return [backends, *on_gpu, mkldnn.matmul, mkldnn.conv, mkldnn.rnn]


def _legacy_settings() -> list[tuple[Callable[[], Any], Callable[[Any], None], Any]]:
    """Return each setting's getter, its setter, and its value for exact arithmetic."""
    cudnn: Any = torch.backends.cudnn
    return [
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        (lambda: cudnn.allow_tf32, lambda allowed: setattr(cudnn, "allow_tf32", allowed), False),
    ]
