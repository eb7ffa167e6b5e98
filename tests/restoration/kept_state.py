"""Modules whose forward changes state, each in one place where a network may keep it."""

from __future__ import annotations

import functools
import itertools
import random
import sys
import threading
import weakref
from array import array
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import MethodType, ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

CALLS = 0
TABLE: dict[str, list[int]] = {"calls": [0]}
SETTINGS = ModuleType("settings_of_somebody")
SETTINGS.calls = 0  # type: ignore[attr-defined]
sys.modules[SETTINGS.__name__] = SETTINGS

#: Makes a module and a function that returns what it keeps.
Made = tuple[nn.Module, Callable[[], Any]]
KEPT: dict[str, Callable[[], Made]] = {}


class Changing(nn.Module):
    """Calls a function in its forward."""

    def __init__(self, change: Callable[[Any], object], **attributes: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        vars(self).update(attributes)
        self.change = change

    def forward(self, images: Tensor) -> Tensor:
        self.change(self)
        return self.layer(images)


def kept(make: Callable[[], Made]) -> Callable[[], Made]:
    KEPT[make.__name__] = make
    return make


def keeps(
    name: str, change: Callable[[Any], object], read: Callable[[Any], Any], **made: Any
) -> None:
    """Add a module with the attributes that functions make."""

    def make() -> Made:
        module = Changing(change, **{key: value() for key, value in made.items()})
        return module, lambda: read(module)

    KEPT[name] = make


@kept
def closure_of_a_forward() -> Made:
    calls = 0

    class Net(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return images

    return Net(), lambda: calls


@kept
def closure_of_an_attribute() -> Made:
    calls = [0]

    def count(_: Any) -> None:
        calls[0] += 1

    return Changing(count), lambda: list(calls)


@kept
def closure_of_a_replaced_forward() -> Made:
    net, calls = nn.Linear(3, 3), 0

    def forward(self: nn.Linear, images: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return nn.Linear.forward(self, images)

    net.forward = MethodType(forward, net)  # type: ignore[method-assign]
    return nn.Sequential(net), lambda: calls


@kept
def closure_of_a_hook() -> Made:
    net, counts = nn.Linear(3, 3), itertools.count()

    def count(*_: Any) -> None:
        next(counts)

    net.register_forward_hook(count)
    return net, lambda: repr(counts)


@kept
def closure_that_is_empty() -> Made:
    def store(_: Any) -> None:
        nonlocal value
        value = 1

    def read() -> Any:
        return value  # noqa: F821 - It is deleted below.

    value = 0
    del value

    def state() -> Any:
        try:
            return read()
        except NameError:
            return "empty"

    return Changing(store), state


class Global(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        global CALLS
        CALLS += 1
        return images


class InFunction(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        count_in_table()
        return images


class OfModule(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        SETTINGS.calls += 1  # type: ignore[attr-defined]
        return images


class Imports(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        import settings_of_somebody as settings  # type: ignore[import-not-found]

        settings.calls += 1
        return images


def import_from_around() -> Made:
    """A function of a package imports its settings from the package around it."""
    package = ModuleType("package_of_somebody")
    package.calls = 0  # type: ignore[attr-defined]
    sys.modules[package.__name__] = package
    inner = {"__package__": f"{package.__name__}.inner", "__name__": __name__}
    exec("def change(_):\n    from .. import calls\n    from .. import count\n    count()", inner)

    def count() -> None:
        package.calls += 1

    package.count = count  # type: ignore[attr-defined]
    return Changing(inner["change"]), lambda: package.calls


class OnFirstCall(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        global MADE_LATER
        MADE_LATER = 1
        return images


class OnClass(nn.Module):
    calls = 0
    history: ClassVar[list[int]] = []

    def forward(self, images: Tensor) -> Tensor:
        type(self).calls += 1
        self.history.append(1)
        return images


class InDefault(nn.Module):
    def forward(self, images: Tensor, calls: list[int] = []) -> Tensor:  # noqa: B006
        calls.append(1)
        return images


def count_in_table() -> None:
    TABLE["calls"][0] += 1
    count_in_table.calls = getattr(count_in_table, "calls", 0) + 1  # type: ignore[attr-defined]


KEPT |= {
    "global variable": lambda: (Global(), lambda: CALLS),
    "global table, in a function": lambda: (InFunction(), lambda: list(TABLE["calls"])),
    "attribute of a function": lambda: (
        InFunction(),
        lambda: getattr(count_in_table, "calls", None),
    ),
    "variable of an imported module": lambda: (OfModule(), lambda: SETTINGS.calls),
    "variable of a module that is imported in a function": lambda: (
        Imports(),
        lambda: SETTINGS.calls,
    ),
    "variable of a package that is imported in a function": import_from_around,
    "global variable that is new": lambda: (OnFirstCall(), lambda: "MADE_LATER" in globals()),
    "class attribute": lambda: (nn.Sequential(OnClass()), lambda: OnClass.calls),
    "list of a class": lambda: (OnClass(), lambda: list(OnClass.history)),
    "default argument": lambda: (InDefault(), lambda: list(InDefault.forward.__defaults__[0])),
}


class Slotted:
    __slots__ = ("calls", "later")

    def __init__(self) -> None:
        self.calls = 0


class SlottedAndMore(Slotted):
    def __init__(self) -> None:
        super().__init__()
        self.more = [0]


@dataclass(slots=True)
class Record:
    calls: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)


class Named(dict):  # type: ignore[type-arg]
    """Fails for those who read it as users do."""

    def __iter__(self) -> Any:
        raise RuntimeError("not that way")

    keys = values = items = __eq__ = __contains__ = __iter__  # type: ignore[assignment]


@functools.lru_cache
def cached(number: int) -> float:
    return number * random.random()


def _spawned(generator: np.random.Generator) -> int:
    return int(generator.bit_generator.seed_seq.n_children_spawned)  # type: ignore[attr-defined]


def _set_slots(module: Any) -> None:
    module.it.calls, module.it.later = 1, 2


def _change_more(module: Any) -> None:
    module.it.more[0] += 1
    module.it.calls += 1


keeps("slots", _set_slots, lambda m: (m.it.calls, hasattr(m.it, "later")), it=Slotted)
keeps("slots and more", _change_more, lambda m: (m.it.calls, list(m.it.more)), it=SlottedAndMore)
keeps("slotted dataclass", lambda m: setattr(m.it, "calls", 1), lambda m: m.it.calls, it=Record)
keeps("count", lambda m: next(m.it), lambda m: repr(m.it), it=itertools.count)
keeps(
    "count by steps", lambda m: next(m.it), lambda m: repr(m.it), it=lambda: itertools.count(1, 0.5)
)
keeps(
    "count in a list", lambda m: next(m.it[0]), lambda m: repr(m.it), it=lambda: [itertools.count()]
)
keeps("count in slots", lambda m: next(m.it.numbers), lambda m: repr(m.it), it=Record)
keeps(
    "count in a deque",
    lambda m: next(m.it[0]),
    lambda m: repr(m.it),
    it=lambda: deque([itertools.count()]),
)
keeps(
    "iterator of a list",
    lambda m: next(m.it),
    lambda m: m.it.__length_hint__(),
    it=lambda: iter([1, 2]),
)
keeps(
    "iterator of a range",
    lambda m: next(m.it),
    lambda m: m.it.__length_hint__(),
    it=lambda: iter(range(9)),
)
keeps(
    "many lists",
    lambda m: m.it[-1].append(1),
    lambda m: [len(x) for x in m.it],
    it=lambda: [[] for _ in range(5000)],
)
keeps(
    "many entries",
    lambda m: m.it[4999].append(1),
    lambda m: [len(x) for x in m.it.values()],
    it=lambda: {n: [] for n in range(5000)},
)
keeps(
    "spawned generators",
    lambda m: m.it.spawn(2),
    lambda m: _spawned(m.it),
    it=np.random.default_rng,
)
keeps(
    "spawned seeds",
    lambda m: m.it.spawn(2),
    lambda m: m.it.n_children_spawned,
    it=lambda: np.random.SeedSequence(1),
)
keeps("bits", lambda m: m.it.random_raw(), lambda m: str(m.it.state), it=np.random.PCG64)
keeps(
    "old generator",
    lambda m: m.it.random(),
    lambda m: str(m.it.get_state()),
    it=np.random.RandomState,
)
keeps("Counter", lambda m: m.it.update("a"), lambda m: dict(m.it), it=Counter)
keeps(
    "defaultdict", lambda m: m.it["a"].append(1), lambda m: dict(m.it), it=lambda: defaultdict(list)
)
keeps("UserDict", lambda m: m.it.update(a=1), lambda m: dict(m.it), it=UserDict)
keeps(
    "order of a dictionary",
    lambda m: m.it.move_to_end("a"),
    lambda m: list(m.it),
    it=lambda: OrderedDict(a=1, b=2),
)
keeps(
    "dictionary of another kind",
    lambda m: dict.update(m.it, a=2),
    lambda m: list(dict.items(m.it)),
    it=lambda: Named(a=1),
)
keeps(
    "bounded deque",
    lambda m: m.it.append(3),
    lambda m: list(m.it),
    it=lambda: deque([1, 2], maxlen=2),
)
keeps(
    "partial",
    lambda m: m.it.args[0].append(1),
    lambda m: list(m.it.args[0]),
    it=lambda: functools.partial(print, []),
)
keeps(
    "partial's keywords",
    lambda m: m.it.keywords["a"].append(1),
    lambda m: list(m.it.keywords["a"]),
    it=lambda: functools.partial(print, a=[]),
)
keeps("method of a list", lambda m: m.it(1), lambda m: list(m.it.__self__), it=lambda: [].append)
keeps(
    "cached function",
    lambda _: cached(1),
    lambda _: cached.cache_info().currsize,
    it=lambda: cached.cache_clear(),
)
keeps("bytearray", lambda m: m.it.append(1), lambda m: bytes(m.it), it=lambda: bytearray(b"ab"))
keeps(
    "array of numbers", lambda m: m.it.append(1), lambda m: list(m.it), it=lambda: array("d", [0.0])
)
keeps(
    "array of numpy", lambda m: m.it.put(0, -0.0), lambda m: m.it.tobytes(), it=lambda: np.zeros(2)
)
keeps(
    "array of objects",
    lambda m: (m.it.put(0, 1), m.it[1].append(1)),
    lambda m: str(m.it),
    it=lambda: np.array([0, [2, 3, 4]], dtype=object),
)
keeps(
    "attribute of a parameter",
    lambda m: setattr(m.layer.weight, "calls", 1),
    lambda m: hasattr(m.layer.weight, "calls"),
)
keeps(
    "variable of a thread",
    lambda m: setattr(m.it, "calls", 1),
    lambda m: hasattr(m.it, "calls"),
    it=threading.local,
)
keeps(
    "quasirandom numbers",
    lambda m: m.it.draw(3),
    lambda m: (m.it.num_generated, m.it.quasi.tolist()),
    it=lambda: torch.quasirandom.SobolEngine(2),
)
keeps(
    "namespace", lambda m: vars(m.it).update(a=2), lambda m: m.it.a, it=lambda: SimpleNamespace(a=1)
)


class Referred:
    calls = 0


@kept
def behind_a_weak_reference() -> Made:
    referred = Referred()
    module = Changing(lambda m: setattr(m.it(), "calls", 1), it=weakref.ref(referred))
    return module, lambda: referred.calls
