"""Remember what an object is now, to make it the same again after a forward."""

from __future__ import annotations

import ast
import copy
import random
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from operator import is_
from types import CellType
from typing import Any

import numpy as np
import torch
from numpy.random import BitGenerator, SeedSequence
from torch import nn

from neurovis.restoration.reachable import CachedFunction, Names, Place, dictionary, slots

#: Arrays, parameters and tensors that are not a module's own are copied up to this many values.
#: Changes of larger tensors are noticed, changes of larger arrays are not.
LARGEST_COPIED = 2**20
#: Iterators whose copies advance independently.
_COPIED = tuple(
    type(iterator)
    for iterator in (iter([]), iter(()), iter(""), iter(b""), iter(range(1)), reversed([]))
)
_MISSING = object()

#: Restores an object, and returns True if it was changed and could not be restored.
Restore = Callable[[], object]


def memory_for(kind: type) -> Callable[[Any], Restore | None] | None:
    """Return what makes, of an object of a class, a function that restores it to what it is now.

    Returns:
        None if objects of the class have no state but their attributes.
    """
    for base, remember in _REMEMBERING.items():
        if issubclass(kind, base):
            return remember
    return _memory_of_slots if any("__slots__" in vars(base) for base in kind.__mro__) else None


def stand_in_for(iterator: Any, place: Place, stand_ins: dict[int, Any]) -> Restore | None:
    """Put another iterator in the place of one, so that a forward does not advance the original.

    Restoring the holder puts the original back.

    Args:
        iterator: An iterator of Python itself.
        place: One place where it is kept.
        stand_ins: Those of iterators by their identity, added to here.

    Returns:
        A function that returns True if the original was advanced all the same; None if that cannot
        be told.
    """
    if isinstance(iterator, count):
        before = repr(iterator)
        try:
            numbers = ast.literal_eval(before.removeprefix("count(").removesuffix(")") + ",")
        except (ValueError, SyntaxError):  # Such as a Fraction.
            return lambda: repr(iterator) != before
        place.put(stand_ins.setdefault(id(iterator), count(*numbers)))
        return lambda: repr(iterator) != before
    if isinstance(iterator, _COPIED):
        place.put(stand_ins.setdefault(id(iterator), copy.copy(iterator)))
        return None
    noticed = stand_ins.setdefault(id(iterator), _Noticed(iterator))
    return (lambda: noticed.was_used) if place.put(noticed) else None


class _Noticed:
    """An iterator that tells whether another one, which it passes on, was advanced."""

    def __init__(self, iterator: Any) -> None:
        self.was_used = False
        self._iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.was_used = True
        return next(self._iterator)

    def __getattr__(self, name: str) -> Any:
        self.was_used = True
        return getattr(self._iterator, name)


def _memory_of_dict(items: dict[Any, Any]) -> Restore:
    # No closure: there are thousands of these, and additional objects slow the garbage collector.
    methods = dictionary(items)
    return partial(
        _restore_dict, methods, items, tuple(methods.keys(items)), tuple(methods.values(items))
    )


def _restore_dict(
    methods: Any, items: dict[Any, Any], keys: tuple[Any, ...], values: tuple[Any, ...]
) -> None:
    if not _same(tuple(methods.keys(items)), keys):
        methods.clear(items)
        for key, value in zip(keys, values, strict=True):
            methods.__setitem__(items, key, value)
        return
    for key, value, now in zip(keys, values, tuple(methods.values(items)), strict=True):
        if value is not now:
            methods.__setitem__(items, key, value)


def _same(now: Sequence[Any], before: Sequence[Any]) -> bool:
    """True for the same objects in the same order."""
    return len(now) == len(before) and all(map(is_, now, before))


def _memory_of_collection(items: Any) -> Restore:
    kinds: tuple[Any, ...] = (list, deque, set, bytearray, array)
    kind = next(base for base in kinds if isinstance(items, base))
    if kind in (bytearray, array):
        copied = items[:]

        def restore_values() -> None:
            if bytes(items) != bytes(copied):
                items[:] = copied

        return restore_values
    before = list(kind.__iter__(items))

    def restore() -> None:
        if not _same(list(kind.__iter__(items)), before):
            kind.clear(items)
            (set.update if kind is set else kind.extend)(items, before)

    return restore


def _memory_of_array(values: Any) -> Restore | None:
    if values.size > LARGEST_COPIED:
        return None
    before = values.copy()  # For objects these are the references, whose bytes are compared.

    def restore() -> None:
        if values.tobytes() != before.tobytes():
            values[...] = before

    return restore


def _memory_of_parts(
    keys: Iterable[Any],
    read: Callable[[Any], Any],
    write: Callable[[Any, Any], object],
    delete: Callable[[Any], object],
) -> Restore:
    """Return a function that restores what some keys refer to; ``_MISSING`` stands for nothing."""
    before = [(key, read(key)) for key in keys]

    def restore() -> None:
        for key, value in before:
            if read(key) is value:
                continue
            if value is _MISSING:
                delete(key)
            else:
                write(key, value)

    return restore


def _memory_of_cell(cell: CellType) -> Restore:
    def read(name: str) -> Any:
        try:
            return getattr(cell, name)
        except ValueError:  # It is empty.
            return _MISSING

    return _memory_of_parts(["cell_contents"], read, partial(setattr, cell), partial(delattr, cell))


def _memory_of_names(names: Names) -> Restore:
    variables = names.namespace
    return _memory_of_parts(
        names.names,
        lambda name: variables.get(name, _MISSING),
        variables.__setitem__,
        variables.__delitem__,
    )


def _memory_of_class(kind: type) -> Restore:
    before = dict(vars(kind))

    def restore() -> None:
        now = dict(vars(kind))
        for name in now.keys() - before.keys():
            type.__delattr__(kind, name)
        for name, value in before.items():
            if now.get(name, _MISSING) is not value:
                type.__setattr__(kind, name, value)

    return restore


def _memory_of_cache(function: Any) -> Restore:
    """A cache that was empty is emptied; one that was not keeps what a forward adds to it."""
    before = function.cache_info()
    was_empty = bool(before.currsize == 0)

    def restore() -> bool:
        if function.cache_info().misses == before.misses:
            return False
        if was_empty:
            function.cache_clear()
        return not was_empty

    return restore


def _memory_of_slots(value: Any) -> Restore | None:
    members = list(slots(value).values())
    if not members:
        return None

    def read(member: Any) -> Any:
        try:
            return member.__get__(value)
        except AttributeError:
            return _MISSING

    return _memory_of_parts(
        members,
        read,
        lambda member, before: member.__set__(value, before),
        lambda member: member.__delete__(value),
    )


def _memory_of_bits(bits: BitGenerator) -> Restore:
    state = copy.deepcopy(bits.state)
    restore_seeds = (
        _memory_of_seeds(bits.seed_seq) if isinstance(bits.seed_seq, SeedSequence) else None
    )

    def restore() -> None:
        bits.state = state
        if restore_seeds is not None:
            restore_seeds()

    return restore


def _memory_of_seeds(seeds: SeedSequence) -> Restore:
    """Restore how many children were spawned, which decides the next child's numbers."""
    spawned, state = seeds.n_children_spawned, seeds.__reduce__()[2]

    def restore() -> bool:
        if seeds.n_children_spawned != spawned:
            seeds.__setstate__(state)  # type: ignore[attr-defined]
        return bool(seeds.n_children_spawned != spawned)

    return restore


_REMEMBERING: dict[type, Callable[[Any], Restore | None]] = {
    nn.Module: lambda _: None,
    dict: _memory_of_dict,
    Names: _memory_of_names,
    **dict.fromkeys((list, deque, set, bytearray, array), _memory_of_collection),
    np.ndarray: _memory_of_array,
    CellType: _memory_of_cell,
    type: _memory_of_class,
    CachedFunction: _memory_of_cache,
    np.random.Generator: lambda generator: _memory_of_bits(generator.bit_generator),
    BitGenerator: _memory_of_bits,
    SeedSequence: _memory_of_seeds,
    torch.Generator: lambda generator: partial(generator.set_state, generator.get_state()),
    np.random.RandomState: lambda state: partial(state.set_state, state.get_state()),
    random.SystemRandom: lambda _: None,
    random.Random: lambda generator: partial(generator.setstate, generator.getstate()),
}
