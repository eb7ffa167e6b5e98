"""Decide whether what is named as a model may be called, before it is called.

Anything that can be imported can be named: without this, ``os.system`` would run first and only
then turn out to make no network.
"""

from __future__ import annotations

import functools
import inspect
import sys
import sysconfig
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, get_type_hints

from torch import nn

#: Libraries whose functions make networks, where they are annotated to return one.
MODEL_LIBRARIES = (
    *("torchvision", "timm", "transformers", "segmentation_models_pytorch", "open_clip"),
    "neurovis.demo",
)
#: Their functions that make networks without an annotation that says so.
_FACTORIES = (
    *("timm.models.[!_]*", "transformers.*.from_pretrained", "transformers.*.from_config"),
    *("*.create_model", "segmentation_models_pytorch.*.from_pretrained"),
)
#: Arguments with which a library runs code that it downloads.
_RUNS_CODE = "trust_remote_code"
#: Folders of what was installed, rather than written by the user.
_INSTALLED = frozenset({"site-packages", "dist-packages"})

_TRUST_REMEDY = "allow it with --trust on the command line or trust=True in Python"


def check_maker(path: str, maker: Any) -> None:
    """Refuse a function of which nothing says that it makes a network.

    Args:
        path: Under which it was found.
        maker: Class, function or network.

    Raises:
        ValueError: If it is neither a class of networks nor annotated to return one, and defined
            neither in a Python file of the user's nor in one of :data:`MODEL_LIBRARIES`.
    """
    if isinstance(maker, nn.Module) or not callable(maker):
        return
    module, _ = _definition(maker)
    if _makes_module(maker) or _is_of_library(module) or _is_users_own(module):
        return
    raise ValueError(
        f'model "{path}" is not called: it is no torch.nn.Module, is not annotated to return one, '
        f"and is defined neither in a Python file of yours nor in {_listed()}; {_TRUST_REMEDY}"
    )


def check_named_in_file(path: str, maker: Any) -> None:
    """Refuse what a file may not name: anything but a network, its class, or a library's factory.

    Args:
        path: Under which it was found.
        maker: Class, function or network.

    Raises:
        ValueError: If calling it could do anything.
    """
    if isinstance(maker, nn.Module) or is_module_class(maker) or not callable(maker):
        return
    module, name = _definition(maker)
    is_factory = any(fnmatchcase(f"{module}.{name}", pattern) for pattern in _FACTORIES)
    if _is_of_library(module) and (_makes_module(maker) or is_factory):
        return
    raise ValueError(_not_from_file(path))


def check_module_named_in_file(path: str) -> None:
    """Refuse to import a module of the standard library, which has no networks, for a file.

    Raises:
        ValueError: If the path begins with such a module.
    """
    if path.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(_not_from_file(path))


def runs_code(arguments: object) -> bool:
    """True if arguments ask a library to run code that it downloads."""
    if isinstance(arguments, dict):
        return bool(arguments.get(_RUNS_CODE)) or any(map(runs_code, arguments.values()))
    return isinstance(arguments, (list, tuple)) and any(map(runs_code, arguments))


def is_module_class(maker: Any) -> bool:
    """True if it is a subclass of ``nn.Module``."""
    return isinstance(maker, type) and issubclass(maker, nn.Module)


def _not_from_file(path: str) -> str:
    return (
        f'model "{path}" is named in a file, and a function could do anything when it is called; '
        f"a file may name subclasses of torch.nn.Module and factories of {_listed()}; name it on "
        "the command line with --model, or allow it there with --trust"
    )


def _listed() -> str:
    *others, last = MODEL_LIBRARIES
    return f"{', '.join(others)} or {last}"


def _definition(maker: Any) -> tuple[str, str]:
    """Module and qualified name of what is called in the end."""
    while isinstance(maker, functools.partial):
        maker = maker.func
    if not (inspect.isroutine(maker) or inspect.isclass(maker)):
        maker = type(maker)
    return str(getattr(maker, "__module__", "")), str(getattr(maker, "__qualname__", ""))


def _makes_module(maker: Any) -> bool:
    """True for a class of networks, and for what is annotated to return one."""
    while isinstance(maker, functools.partial):
        maker = maker.func
    if is_module_class(maker):
        return True
    try:
        returned = inspect.signature(maker).return_annotation
        scope = getattr(inspect.unwrap(maker), "__globals__", {})
        hints = get_type_hints(SimpleNamespace(__annotations__={"return": returned}), scope)
    except Exception:  # Annotations name anything, such as what is imported for types alone.
        return False
    returned = hints["return"]
    return is_module_class(returned.__bound__ if isinstance(returned, TypeVar) else returned)


def _is_of_library(module: str) -> bool:
    return any(f"{module}.".startswith(f"{library}.") for library in MODEL_LIBRARIES)


def _is_users_own(module: str) -> bool:
    """True for a module whose Python file is neither Python's own nor of an installed package."""
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if file is None:
        return module == "__main__"
    path = Path(file).resolve()
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    return (
        path.suffix == ".py"
        and not _INSTALLED.intersection(path.parts)
        and standard not in path.parents
    )
