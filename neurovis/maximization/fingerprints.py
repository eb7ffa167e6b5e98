"""Describe tensors, networks and options by what differs where they do, for the record of a run."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def tensor_fingerprint(tensor: Tensor) -> str:
    """Type, shape and a hash of a tensor's values, whatever its device and its strides.

    Example:
        >>> tensor_fingerprint(torch.zeros(3, 2))
        '<float32 (3, 2) 9d908ecfb6b256de>'
    """
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    digest = sha256(values.numpy().tobytes())[:16]
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"<{kind} {tuple(tensor.shape)} {digest}>"


def network_digest(network: nn.Module) -> str:
    """SHA-256 of a network's structure, as it prints itself, and of all its weights and buffers."""
    digest = hashlib.sha256(repr(network).encode())
    for tensors in (network.named_parameters(), network.named_buffers()):
        for name, tensor in tensors:
            digest.update(f"{name} {tensor_fingerprint(tensor)}".encode())
    return digest.hexdigest()


def described(value: object) -> Any:
    """Any option as what JSON can say: the same for the same value in another process.

    Tensors are described by a digest, functions by their module, their name, and their source where
    it is found, with what they read: closures, defaults and constants of their module.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return tensor_fingerprint(value)
    if isinstance(value, nn.Module):
        return {"module": type(value).__name__, "sha256": network_digest(value)}
    if is_dataclass(value) and not isinstance(value, type):
        own = {
            field.name: described(getattr(value, field.name))
            for field in fields(value)
            if not field.name.startswith("_")
        }
        return {"type": type(value).__name__, **own}
    if isinstance(value, Mapping):
        return {str(key): described(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {sha256(value.tobytes())[:16]}"
    if isinstance(value, (set, frozenset)):
        return sorted(repr(described(part)) for part in value)
    if isinstance(value, (list, tuple, range)):
        return [described(part) for part in value]
    if callable(value):
        return _described_function(value)
    # An address in memory is another one in another process.
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _described_function(function: Callable[..., object]) -> dict[str, Any]:
    if isinstance(function, functools.partial):
        given = described([function.args, function.keywords])
        return {"partial": described(function.func), "given": given}
    named = function if hasattr(function, "__qualname__") else type(function)
    owner = function.__self__ if inspect.ismethod(function) else function
    known: dict[str, Any] = {
        "function": f"{named.__module__}.{named.__qualname__}",
        "state": described(dict(getattr(owner, "__dict__", {}))),
    }
    plain = getattr(function, "__func__", function)
    if not inspect.isfunction(plain):
        return known
    variables = inspect.getclosurevars(plain)
    constants = (bool, int, float, str, Tensor, np.ndarray)
    try:
        source = sha256(inspect.getsource(plain).encode())
    except OSError:  # Typed into an interpreter, say.
        source = None
    return {
        **known,
        "source": source,
        "closure": described(variables.nonlocals),
        # Other functions of its module go by their names.
        "globals": described(
            {name: one for name, one in variables.globals.items() if isinstance(one, constants)}
        ),
        "defaults": described([plain.__defaults__, plain.__kwdefaults__]),
    }


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
