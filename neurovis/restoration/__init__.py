"""Restore what a forward changes in a network, wherever the network keeps it.

A forward in evaluation mode may still count, draw random numbers, or update statistics, and keep
them in buffers, parameters, attributes, lists, or objects of its own. Each of these, left changed,
would change what comes of a training.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from operator import is_
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from neurovis.restoration.hooks import own_hooks_only

__all__ = ["held_by", "own_hooks_only", "same_flags", "same_random_state", "same_state"]

#: Parameters, and tensors that are not a module's own, are copied up to this many values; of larger
#: ones it is noticed if they are changed.
_LARGEST = 2**20
#: How far objects are followed from a module, and in how large collections.
_DEEPEST, _MOST_ITEMS = 6, 1000
#: Objects of these libraries are left alone: a LightningModule refers to its Trainer.
_LIBRARIES = {"builtins", "lightning", "lightning_fabric", "pytorch_lightning", "torch"}
_CODE = (type, FunctionType, MethodType, ModuleType)

_PutBack = Callable[[], object]


@contextmanager
def same_state(module: nn.Module) -> Iterator[None]:
    """The same state afterwards as before, also after an exception.

    Buffers, tensors, arrays, random generators (of torch, NumPy and Python), and the attributes and
    items of modules, lists, dictionaries, sets and plain objects, as far as they can be reached
    from the module's attributes. Parameters with more than a million values are not put back if a
    forward changes them in place: there is a warning then.
    """
    own = {
        id(tensor)
        for part in module.modules()
        for tensor in (*part._buffers.values(), *vars(part).values())
        if isinstance(tensor, Tensor)
    }
    with ExitStack() as stack:
        for value in held_by(module):
            put_back = _memory_of(value, copied=id(value) in own)
            if put_back is not None:
                stack.callback(put_back)
        yield


@contextmanager
def same_flags(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and frozen parameters inside; each flag and gradient as found afterwards."""
    training = [(part, part.training) for part in module.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in module.parameters()]
    try:
        # The attributes are set directly: a user's own train() or eval() may do more than that.
        for part, _ in training:
            part.training = False
        for parameter, _, _ in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for part, was_training in training:
            part.training = was_training
        for parameter, required_grad, gradient in parameters:
            parameter.requires_grad_(required_grad)
            if parameter.grad is not gradient:
                parameter.grad = gradient


@contextmanager
def same_random_state() -> Iterator[None]:
    """The same global random state of Python, NumPy, the CPU and every GPU afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=list(gpus)):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def held_by(module: nn.Module) -> Iterator[Any]:
    """Yield what a module's attributes lead to, the module's parts included, each once."""
    queue: deque[tuple[Any, int]] = deque([(module, 0)])
    seen: set[int] = set()
    while queue:
        value, depth = queue.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        # Modules are nested as deep as they like.
        depth = 0 if isinstance(value, nn.Module) else depth
        if depth < _DEEPEST:
            queue.extend((part, depth + 1) for part in _parts(value))


def _parts(value: Any) -> list[Any]:
    """What a value holds, as far as a forward could change it."""
    if isinstance(value, nn.Module):
        return [vars(value)]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value) if len(value) <= _MOST_ITEMS else []
    library = type(value).__module__.partition(".")[0]
    if isinstance(value, (*_CODE, Tensor, np.ndarray)) or library in _LIBRARIES:
        return []
    return [vars(value)] if hasattr(value, "__dict__") else []


def _memory_of(value: Any, copied: bool) -> _PutBack | None:
    """A function that makes a value again what it is now; None for what has no state of its own."""
    if isinstance(value, Tensor):
        return _memory_of_tensor(value, copied)
    if isinstance(value, (dict, list, deque, set)):
        return _memory_of_collection(value)
    if isinstance(value, np.ndarray):
        return _memory_of_array(value)
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: value.set_state(state)
    if isinstance(value, random.Random):
        of_python = value.getstate()
        return lambda: value.setstate(of_python)
    if isinstance(value, np.random.RandomState):
        of_numpy = value.get_state()
        return lambda: value.set_state(of_numpy)
    if isinstance(value, np.random.Generator):
        bits = copy.deepcopy(value.bit_generator.state)
        return lambda: setattr(value.bit_generator, "state", bits)
    return None


def _memory_of_collection(items: Any) -> _PutBack:
    """One that did not change is not touched."""
    if isinstance(items, dict):
        entries = dict(items)

        def put_back() -> None:
            same = items.keys() == entries.keys()
            if not same or any(items[key] is not value for key, value in entries.items()):
                items.clear()
                items.update(entries)

        return put_back
    before = list(items)

    def put_items_back() -> None:
        if len(items) != len(before) or not all(map(is_, items, before)):
            items.clear()
            (items.update if isinstance(items, set) else items.extend)(before)

    return put_items_back


def _memory_of_array(array: Any) -> _PutBack | None:
    if array.size > _LARGEST or array.dtype.hasobject:
        return None
    before = array.copy()

    def put_back() -> None:
        if array.tobytes() != before.tobytes():
            array[...] = before

    return put_back


def _memory_of_tensor(tensor: Tensor, copied: bool) -> _PutBack | None:
    if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
        return None
    version = _version(tensor)
    if not copied and tensor.numel() > _LARGEST:

        def warn() -> None:
            if _version(tensor) != version:
                warnings.warn(
                    f"a forward changed a tensor of shape {tuple(tensor.shape)} in place, which is "
                    "too large to be put back: watching has changed the network",
                    stacklevel=2,
                )

        return warn
    before = tensor.detach().clone()

    def put_back() -> None:
        if _differs(tensor, before, version):
            with torch.no_grad():
                tensor.copy_(before)

    return put_back


def _differs(tensor: Tensor, before: Tensor, version: int | None) -> bool:
    try:
        return not torch.equal(tensor, before)
    except NotImplementedError:  # Sparse and nested tensors cannot be compared.
        return _version(tensor) != version


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was changed in place, where that is counted."""
    return None if tensor.is_inference() else tensor._version
