"""Run a network with its own hooks only: those that others registered on it are kept out."""

from __future__ import annotations

import dis
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import unwrap
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module
from torch.nn.utils.prune import BasePruningMethod

_FORWARD = ("_forward_hooks", "_forward_pre_hooks")
_BACKWARD = ("_backward_hooks", "_backward_pre_hooks")
#: Hooks of these libraries are part of a network (weight norm), or NeuroVis's own.
_TRUSTED = {"torch", "neurovis"}


@contextmanager
def own_hooks_only(
    network: nn.Module, held: Callable[[nn.Module], Iterable[Any]]
) -> Iterator[None]:
    """Keep hooks that are no part of the network from running inside; all are back afterwards.

    Run are hooks of torch (weight and spectral norm, pruning), methods of modules and of objects
    that the network holds, functions written inside a module's class, and all other functions,
    since the network may need them. Kept out are global hooks, methods of other objects (a
    callback, a logger, an optimizer), functions written inside the class of such an object, and
    such objects that are hooks themselves.

    Args:
        network: The network that is run inside.
        held: Returns the objects that a network holds.

    Warns:
        UserWarning: If a forward hook that is kept out may replace what a layer returns.
    """
    tables = [
        (f'{attribute[1:-1].replace("_", " ")} on layer "{name}"', vars(part)[attribute])
        for name, part in network.named_modules()
        for attribute in (*_FORWARD, *_BACKWARD)
        if vars(part).get(attribute)
    ]
    everywhere = {
        name: table
        for name, table in vars(torch_module).items()
        if name.startswith("_global_") and isinstance(table, dict)
    }
    before = [
        (table, dict(table)) for table in (*everywhere.values(), *(table for _, table in tables))
    ]
    try:
        for attribute in _FORWARD:
            for hook in everywhere.get(f"_global{attribute}", {}).values():
                if _library(_owner(hook)) not in _TRUSTED:
                    _warn_of_replacing_hook(
                        hook, "hook on all modules", "register it on the layer alone, as"
                    )
        for table in everywhere.values():
            table.clear()
        _keep_out(network, tables, held)
        yield
    finally:
        for table, hooks in before:
            table.clear()
            table.update(hooks)


def _keep_out(
    network: nn.Module,
    tables: list[tuple[str, dict[int, Any]]],
    held: Callable[[nn.Module], Iterable[Any]],
) -> None:
    """Remove the hooks of others from the tables of layers."""
    classes = {
        (base.__module__, base.__qualname__)
        for part in network.modules()
        for base in type(part).__mro__
    }
    before = [(place, table, dict(table)) for place, table in tables]
    for _, table, hooks in before:
        for key, hook in hooks.items():
            if not _is_own(_owner(hook), classes):
                del table[key]
    if all(len(table) == len(hooks) for _, table, hooks in before):
        return
    # Only now, since the hooks that are removed lead to their owners.
    parts = {id(value) for value in held(network)}
    for place, table, hooks in before:
        own = {
            key: hook for key, hook in hooks.items() if key in table or id(_owner(hook)) in parts
        }
        table.clear()
        table.update(own)
        for key in hooks.keys() - own.keys():
            if place.startswith("forward"):
                _warn_of_replacing_hook(hooks[key], place, "make it")


def _owner(hook: Any) -> Any:
    """The object that a hook is a method of or was written in; else the hook itself."""
    while isinstance(hook, partial):
        hook = hook.func
    if isinstance(hook, MethodType):
        return hook.__self__
    if isinstance(hook, FunctionType):
        cells = dict(zip(hook.__code__.co_freevars, hook.__closure__ or (), strict=True))
        return cells["self"].cell_contents if "self" in cells else hook
    return hook


def _is_own(owner: Any, classes: set[tuple[str, str]]) -> bool:
    """True if hooks of this owner are a network's whatever it holds."""
    if isinstance(owner, type):
        return (owner.__module__, owner.__qualname__) in classes
    if isinstance(owner, FunctionType):
        enclosing = _enclosing_class(owner)
        return enclosing is None or enclosing in classes or _library(owner) in _TRUSTED
    is_torch = _library(type(owner)) in _TRUSTED
    return is_torch or isinstance(owner, (nn.Module, BasePruningMethod, BuiltinFunctionType))


def _library(defined: Any) -> str:
    return str(defined.__module__).partition(".")[0]


def _enclosing_class(function: FunctionType) -> tuple[str, str] | None:
    """Module and name of the class that a function was written in, if any."""
    scopes = function.__qualname__.split(".<locals>.")
    for depth in range(len(scopes), 0, -1):
        name, is_in_class, _ = scopes[depth - 1].rpartition(".")
        if is_in_class:
            return function.__module__, ".<locals>.".join([*scopes[: depth - 1], name])
    return None


def _warn_of_replacing_hook(hook: Any, place: str, remedy: str) -> None:
    """Warn if a forward hook of others returns something, which replaces what a layer returns."""
    while isinstance(hook, (partial, MethodType)):
        hook = hook.func if isinstance(hook, partial) else hook.__func__
    function = hook if isinstance(hook, FunctionType) else type(hook).__call__
    if isinstance(function, FunctionType) and _returns_something(unwrap(function)):
        warnings.warn(
            f"The {place}, {function.__qualname__}, does not belong to the network and does not "
            f"run while NeuroVis looks at it. If it changes what the layer computes, {remedy} a "
            "method of a module of the network, or a plain function.",
            stacklevel=2,
        )


def _returns_something(function: Callable[..., Any]) -> bool:
    """True if a function returns anything but None, as its bytecode tells.

    A lambda that only calls another function is not known to.
    """
    is_lambda = function.__name__ == "<lambda>"
    before: tuple[str, Any] = "", None
    for instruction in dis.get_instructions(function):
        if instruction.opname == "RETURN_CONST" and instruction.argval is not None:
            return True
        is_unknown = is_lambda and before[0].startswith("CALL")
        returns = instruction.opname == "RETURN_VALUE" and not is_unknown
        if returns and before != ("LOAD_CONST", None):
            return True
        before = instruction.opname, instruction.argval
    return False
