"""Restore what a forward changes in a network, wherever the network keeps it.

A forward in evaluation mode may still count, draw random numbers, or update statistics, and keep
them in buffers, parameters, attributes, lists, objects of its own, closures or global variables.
Each of these, left changed, would change the results of a training.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from neurovis.restoration.hooks import own_hooks_only
from neurovis.restoration.objects import LARGEST_COPIED, Restore, memory_for, stand_in_for
from neurovis.restoration.random_state import accelerators, same_random_state
from neurovis.restoration.reachable import Place, held_by, is_iterator, reachable_objects
from neurovis.restoration.tensors import remember

__all__ = [
    "accelerators",
    "held_by",
    "own_hooks_only",
    "same_flags",
    "same_random_state",
    "same_state",
]

#: Number of values that are copied of tensors that are not a module's own.
_MOST_COPIED_VALUES = 2**26
_MOST_PLACES_NAMED = 5

#: A tensor, where it is kept, and whether it is copied.
_FoundTensor = tuple[Tensor, Place, bool]


@contextmanager
def same_state(module: nn.Module) -> Iterator[None]:
    """Restore the state that a module keeps, also after an exception.

    That is buffers, parameters and other tensors, arrays, random generators (of torch, NumPy and
    Python), counters, and the attributes and items of modules, collections and objects, as far as
    they can be reached from the module's attributes or are variables that the code of its classes
    refers to: closures, global variables and class attributes. Installed libraries' code is not
    searched for variables.

    Warns:
        UserWarning: If something was changed that cannot be restored, such as a generator function
            that was advanced, or a parameter with more than a million values.
    """
    memories: list[tuple[Restore, Place]] = []
    tensors = {id(tensor): (tensor, place, copied) for tensor, place, copied in _own(module)}
    restore_tensors: Callable[[], list[Tensor]] = list
    try:
        for memory in _memories(module, tensors):
            memories.append(memory)
        restore_tensors = remember((tensor, copied) for tensor, _, copied in tensors.values())
        yield
    finally:
        lost = [place for restore, place in reversed(memories) if _is_lost(restore)]
        lost += [tensors[id(tensor)][1] for tensor in restore_tensors()]
        if lost:
            _warn_of_lost_state(lost)


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
            parameter.grad = None  # A backward pass inside must not add to it.
        yield
    finally:
        for part, was_training in training:
            part.training = was_training
        for parameter, required_grad, gradient in parameters:
            parameter.requires_grad_(required_grad)
            if parameter.grad is not gradient:
                parameter.grad = gradient


def _own(module: nn.Module) -> Iterator[_FoundTensor]:
    """The tensors that modules hold themselves."""
    for name, part in module.named_modules():
        place = Place(None, ".".join(filter(None, [type(module).__name__, name])), None)
        for key, tensor in part._parameters.items():
            if tensor is not None:
                yield tensor, Place(part, key, place), tensor.numel() <= LARGEST_COPIED
        for key, value in (*part._buffers.items(), *vars(part).items()):
            if isinstance(value, Tensor):
                yield value, Place(part, key, place), True


def _memories(
    module: nn.Module, tensors: dict[int, _FoundTensor]
) -> Iterator[tuple[Restore, Place]]:
    """Functions that restore all that is no tensor; tensors that are found are added to others."""
    kinds: dict[type, tuple[bool, Callable[[Any], Restore | None] | None]] = {}
    stand_ins: dict[int, Any] = {}
    free = _MOST_COPIED_VALUES
    for value, place in reachable_objects(module):
        kind = type(value)
        if issubclass(kind, Tensor):
            if id(value) not in tensors:
                copied = value.numel() <= min(LARGEST_COPIED, free)
                free -= value.numel() if copied else 0
                tensors[id(value)] = value, place, copied
            continue
        if kind not in kinds:
            kinds[kind] = is_iterator(value), memory_for(kind)
        advances, remember_one = kinds[kind]
        if advances:
            restore = stand_in_for(value, place, stand_ins)
        else:
            restore = remember_one(value) if remember_one is not None else None
        if restore is not None:
            yield restore, place


def _is_lost(restore: Restore) -> bool:
    """Restore something; True if that cannot be done, since objects of users may raise anything."""
    try:
        return restore() is True
    except Exception:
        return True


def _warn_of_lost_state(lost: list[Place]) -> None:
    names = list(dict.fromkeys(str(place) for place in lost))
    more = f" and {len(names) - _MOST_PLACES_NAMED} more" if len(names) > _MOST_PLACES_NAMED else ""
    warnings.warn(
        "A forward that NeuroVis ran has changed state that cannot be restored: "
        f"{', '.join(names[:_MOST_PLACES_NAMED])}{more}. What follows may differ from a run "
        "without NeuroVis. Keep such state in buffers, numbers, lists or dictionaries of the "
        "module.",
        stacklevel=2,
    )
