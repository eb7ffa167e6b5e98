"""Find the objects that a network's forward may change: what it holds, and what its code names."""

from __future__ import annotations

import sys
import sysconfig
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache, partial
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

#: Maximum depth and number of objects that are followed from a module.
_MOST_DEPTH, _MOST_OBJECTS = 8, 2**15
#: Types without state.
_PLAIN = {type(None), bool, int, float, complex, str, bytes, type(...), range, slice}
_PLAIN |= {torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size}
#: Objects of these libraries are left alone: a LightningModule refers to its Trainer, and loggers
#: work in threads of their own.
_LEFT_ALONE = {
    *("builtins", "lightning", "lightning_fabric", "pytorch_lightning", "torch", "neurovis"),
    *("asyncio", "concurrent", "logging", "multiprocessing", "queue", "threading", "tqdm", "rich"),
    *("aim", "clearml", "comet_ml", "mlflow", "neptune", "tensorboard", "tensorboardX", "wandb"),
}
#: But objects of these modules have state that a forward changes.
_FOLLOWED = {"torch.quasirandom"}
CachedFunction: type = type(lru_cache(lambda: None))
_Reader = Callable[[Any], Iterable[tuple[Any, Any]]]
_LEADS_TO: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    partial: lambda value: (value.func, *value.args, value.keywords),
    MethodType: lambda value: (value.__self__, value.__func__),
    BuiltinFunctionType: lambda value: (value.__self__,),
    weakref.ref: lambda value: (weakref.ref.__call__(value),),
}
_COLLECTIONS: tuple[Any, ...] = (list, tuple, set, frozenset, deque)
_CODE = (FunctionType, CellType, CachedFunction, type, staticmethod, classmethod, property)


class Names(NamedTuple):
    """The names in a namespace of global variables that some code refers to."""

    namespace: dict[str, Any]
    names: tuple[str, ...]


class Place(NamedTuple):
    """Place of an object: its holder, the key there, and the place of the holder."""

    holder: Any
    key: Any
    outer: Place | None

    def __str__(self) -> str:
        outer = "" if self.outer is None else str(self.outer)
        if isinstance(self.key, int):
            return f"{outer}[{self.key}]"
        key = self.key if isinstance(self.key, str) else ""
        return f"{outer}.{key}" if outer and key else outer + key

    def put(self, value: Any) -> bool:
        """Keep another object there; False if the holder cannot be changed."""
        holder, key = self.holder, self.key
        if isinstance(holder, dict):
            dictionary(holder).__setitem__(holder, key, value)
        elif isinstance(holder, list):
            list.__setitem__(holder, key, value)
        elif isinstance(holder, deque):
            deque.__setitem__(holder, key, value)
        elif isinstance(holder, CellType):
            holder.cell_contents = value
        elif isinstance(holder, Names):
            holder.namespace[key] = value
        elif isinstance(holder, type):
            type.__setattr__(holder, key, value)
        elif key in slots(holder):
            slots(holder)[key].__set__(holder, value)
        else:
            return False
        return True


def held_by(network: nn.Module) -> Iterator[Any]:
    """Yield what a network's attributes lead to, its modules included, each once."""
    for value, _ in reachable_objects(network, code=False):
        yield value


def reachable_objects(network: nn.Module, code: bool = True) -> Iterator[tuple[Any, Place]]:
    """Yield what a network's attributes and its code lead to, and where each is kept.

    The parts of an object are looked up after it is yielded. An iterator is yielded once for each
    place.

    Args:
        network: Its modules come first, and are followed from however deep they are nested.
        code: Follow functions and classes to the variables that they refer to.
    """
    name = type(network).__name__
    queue: deque[tuple[Any, Place, int]] = deque(
        (part, Place(None, f"{name}.{path}" if path else name, None), 0)
        for path, part in network.named_modules()
    )
    readers: dict[type, _Reader | None] = {}
    # The objects are kept, so that no other gets the identity of one.
    seen: dict[int, Any] = {}
    found = 0
    while queue:
        value, place, depth = queue.popleft()
        if id(value) in seen and not is_iterator(value):
            continue
        seen[id(value)] = value
        yield value, place
        kind = type(value)
        if kind not in readers:
            readers[kind] = _reader_of(kind, code)
        reader = readers[kind]
        # Modules may be nested to any depth.
        depth = 0 if issubclass(kind, nn.Module) else depth
        if reader is None or depth >= _MOST_DEPTH:
            continue
        for key, part in reader(value):
            if type(part) not in _PLAIN and found <= _MOST_OBJECTS:
                queue.append((part, Place(value, key, place), depth + 1))
                found += depth > 1


def is_iterator(value: Any) -> bool:
    """True for iterators of Python itself, whose state cannot be seen: count, zip, generators."""
    kind = type(value)
    return kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__")


def dictionary(items: dict[Any, Any]) -> Any:
    """Return the class whose methods read and write a dictionary, whatever its own class does."""
    return OrderedDict if isinstance(items, OrderedDict) else dict


def slots(value: Any) -> dict[str, Any]:
    """Return the descriptors of the attributes that an object keeps in slots, by name."""
    return {
        name: member
        for base in type(value).__mro__
        if "__slots__" in vars(base)
        for name, member in vars(base).items()
        if isinstance(member, MemberDescriptorType) and name != "__dict__"
    }


def namespace(value: Any) -> dict[str, Any] | None:
    """Return an object's own attributes, without calling code of its class."""
    for base in type(value).__mro__:
        member = vars(base).get("__dict__")
        if isinstance(member, (GetSetDescriptorType, MemberDescriptorType)):
            found = member.__get__(value)
            return found if isinstance(found, dict) else None
    return None


def _reader_of(kind: type, code: bool) -> _Reader | None:
    """Return a function that lists what an object holds, as far as a forward could change it."""
    if issubclass(kind, nn.Module):
        return lambda value: [("", vars(value)), *([("", kind)] if code else [])]
    if issubclass(kind, Names):
        return _global_parts
    if issubclass(kind, dict):
        methods = OrderedDict if issubclass(kind, OrderedDict) else dict
        if kind in (dict, OrderedDict):
            return methods.items
        return lambda value: (*methods.items(value), *_attributes(value))
    for base in _COLLECTIONS:
        if kind is base:
            return enumerate
        if issubclass(kind, base):
            return lambda value: (*enumerate(base.__iter__(value)), *_attributes(value))
    if issubclass(kind, Tensor):
        return _attributes
    if issubclass(kind, np.ndarray):
        return lambda value: enumerate(value.flat) if value.dtype.hasobject else ()
    if issubclass(kind, ModuleType):
        return None
    if issubclass(kind, threading.local):
        return lambda value: [("", value.__dict__)]
    if issubclass(kind, tuple(_LEADS_TO)):
        leads = next(leads for base, leads in _LEADS_TO.items() if issubclass(kind, base))
        return lambda value: [("", part) for part in leads(value)]
    if issubclass(kind, _CODE):
        return _code_parts if code else None
    module = str(kind.__module__)
    if module.partition(".")[0] in _LEFT_ALONE and module not in _FOLLOWED:
        return None
    return lambda value: (*_attributes(value), *([("", kind)] if code else []))


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    attributes = namespace(value)
    if attributes is not None:
        yield "", attributes
    for name, member in slots(value).items():
        try:
            yield name, member.__get__(value)
        except AttributeError:
            continue


def _code_parts(value: Any) -> Iterable[tuple[str, Any]]:
    """Return what a user's own function or class refers to."""
    if isinstance(value, CellType):
        try:
            return [("", value.cell_contents)]
        except ValueError:  # It is empty.
            return []
    if isinstance(value, property):
        return [("", value.fget), ("", value.fset)]
    if isinstance(value, (CachedFunction, staticmethod, classmethod)):
        return [("", vars(value).get("__wrapped__", getattr(value, "__func__", None)))]
    if isinstance(value, type):
        if _is_installed(str(value.__module__)):
            return []
        return [*vars(value).items(), *(("", base) for base in value.__bases__)]
    parts: list[tuple[str, Any]] = [
        *zip(value.__code__.co_freevars, value.__closure__ or (), strict=True),
        *(("", part) for part in (value.__defaults__, value.__kwdefaults__, vars(value))),
    ]
    if not _is_installed(str(value.__module__)):
        parts.append(("", Names(value.__globals__, _names_in(value.__code__))))
    return parts


def _global_parts(names: Names) -> Iterator[tuple[str, Any]]:
    for name in names.names:
        value = names.namespace.get(name)
        if isinstance(value, ModuleType):
            if not _is_installed(value.__name__):
                yield name, Names(vars(value), names.names)
        elif value is not None:
            yield name, value
    for module in _imported_modules(names):
        yield module, Names(vars(sys.modules[module]), names.names)


def _imported_modules(names: Names) -> Iterator[str]:
    """Yield the users' modules that functions import by name, also relatively to packages."""
    packages = str(names.namespace.get("__package__") or "").split(".")
    around = [".".join(packages[:depth]) for depth in range(len(packages) + 1)]
    for name in names.names:
        for package in around:
            module = f"{package}.{name}".strip(".")
            if module in sys.modules and not _is_installed(module):
                yield module


@cache
def _names_in(code: CodeType) -> tuple[str, ...]:
    """Names of global variables and attributes in some code and in the functions inside it."""
    inner = (_names_in(part) for part in code.co_consts if isinstance(part, CodeType))
    return tuple(dict.fromkeys((*code.co_names, *(name for names in inner for name in names))))


@cache
def _is_installed(module: str) -> bool:
    """True for modules of Python, of installed libraries, and of NeuroVis."""
    top = module.partition(".")[0]
    if top in _LEFT_ALONE or top in sys.stdlib_module_names - {"__main__"}:
        return True
    file = str(vars(sys.modules[module]).get("__file__")) if module in sys.modules else ""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    return "site-packages" in file or any(file.startswith(folder) for folder in folders)
