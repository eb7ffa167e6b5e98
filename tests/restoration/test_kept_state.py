"""State is restored wherever a network keeps it; what cannot be restored is named in a warning."""

from __future__ import annotations

import itertools
import logging
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any
from unittest import mock

import pytest
import torch
from kept_state import KEPT, Changing, Named, Slotted, cached
from torch import nn

from neurovis import undisturbed


@pytest.mark.parametrize("kind", KEPT)
def test_state_is_restored(kind: str) -> None:
    module, state = KEPT[kind]()
    before = state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with undisturbed(module):
            module(torch.zeros(1, 3))
            assert state() != before
    assert state() == before


@pytest.mark.parametrize("kind", ["closure_of_a_forward", "count", "slots", "class attribute"])
def test_after_an_exception(kind: str) -> None:
    module, state = KEPT[kind]()
    before = state()

    def interrupted() -> None:
        with undisturbed(module):
            module(torch.zeros(1, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert state() == before


def test_objects_stay_the_same() -> None:
    count, items, slotted = itertools.count(), [1], Slotted()
    module = Changing(lambda m: (next(m.it), m.items.clear()), it=count, items=items, slot=slotted)
    with undisturbed(module):
        module(torch.zeros(1, 3))
    assert (module.it, module.items, module.slot) == (count, items, slotted)
    assert next(count) == 0


def test_iterators_in_two_places_are_one() -> None:
    """Both places hold one iterator, also while another stands in for it."""
    count = itertools.count()
    module = Changing(
        lambda m: m.seen.extend((next(m.a), next(m.b[0]))), a=count, b=[count], seen=[]
    )
    with undisturbed(module):
        module(torch.zeros(1, 3))
        assert module.seen == [0, 1]
    assert repr(count) == "count(0)"


def test_a_backward_pass_inside_does_not_add_to_gradients() -> None:
    layer = nn.Linear(3, 3)
    layer.weight.grad = before = torch.ones(3, 3)
    with undisturbed(layer):
        layer.weight.requires_grad_(True)
        layer(torch.ones(1, 3)).sum().backward()
    assert layer.weight.grad is before
    assert torch.equal(before, torch.ones(3, 3))


def run_undisturbed(module: nn.Module) -> list[str]:
    """Return the warnings of a forward."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with undisturbed(module):
            module(torch.zeros(1, 3))
    return [str(warning.message) for warning in said]


def numbers() -> Iterator[int]:
    yield from range(5)


def advance(module: Any) -> None:
    next(module.it)


LOST: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "generator": (numbers, advance),
    "zip": (lambda: zip([1, 2], [3, 4], strict=True), advance),
    "cycle": (lambda: itertools.cycle([1, 2]), advance),
    "map": (lambda: map(str, [1, 2]), advance),
    "count of fractions": (lambda: itertools.count(Fraction(1, 2)), advance),
    "count in a tuple": (lambda: (itertools.count(),), lambda module: next(module.it[0])),
    "cached function": (lambda: cached(-1), lambda _: cached(random.randrange(10**9))),
}


@pytest.mark.parametrize("kind", LOST)
def test_what_cannot_be_restored_is_named(kind: str) -> None:
    make, change = LOST[kind]
    module = nn.Sequential(Changing(change, it=make()))
    name = "change.cached" if kind == "cached function" else "it"
    said = run_undisturbed(module)
    assert len(said) == 1
    assert f"cannot be restored: Sequential.0.{name}" in said[0]


@pytest.mark.parametrize("kind", LOST)
def test_what_is_left_alone_is_not_named(kind: str) -> None:
    module = Changing(lambda _: None, it=LOST[kind][0]())
    before = module.it
    assert run_undisturbed(module) == []
    assert module.it is before


class Hostile:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")

    __eq__ = __hash__ = __iter__ = __len__ = __bool__ = __repr__ = __getattribute__  # type: ignore[assignment]


class NoDictionary:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("none")


class OddSlots:
    __slots__ = {"__weakref__": "", "documented": "A slot."}


HOSTILE: dict[str, Callable[[], Any]] = {
    "raises": Hostile,
    "class that raises": lambda: Hostile,
    "no dictionary": NoDictionary,
    "odd slots": OddSlots,
    "mock": mock.MagicMock,
    "system's random numbers": random.SystemRandom,
    "dictionary that raises": lambda: Named(a=1),
    "itself": lambda: (items := [], items.append(items))[0],
    "exception": lambda: ValueError("x"),
    "module": lambda: __import__("json"),
    "memory": lambda: memoryview(b"abc"),
    "code": lambda: (lambda: None).__code__,
    "file": tempfile.TemporaryFile,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_that_a_network_holds_ends_a_training(kind: str) -> None:
    it = HOSTILE[kind]()
    module = Changing(lambda m: setattr(m, "calls", m.calls + 1), it=[it, {"it": it}], calls=0)
    with undisturbed(module):
        module(torch.zeros(1, 3))
    assert module.calls == 0
    if kind == "file":
        it.close()


def test_what_cannot_be_put_back_is_named_and_the_rest_is_put_back() -> None:
    left_alone = logging.Logger("left alone")

    def change(module: Any) -> None:
        module.calls = 1
        module.it.append(1)
        left_alone.view = memoryview(module.it)  # Its size cannot change while there is one.

    module = Changing(change, it=bytearray(b"ab"), calls=0)
    said = run_undisturbed(module)
    assert len(said) == 1
    assert "cannot be restored: Changing.it." in said[0]
    assert module.calls == 0
