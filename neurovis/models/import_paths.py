"""Finds a class or function by its dotted path, or says what may have been meant."""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, NoneType
from typing import Any

#: What looks like a dotted path.
IMPORT_PATH = re.compile(r"[^\W\d]\w*(?:\.\w+)+")


@contextmanager
def current_directory_importable() -> Iterator[None]:
    """Find modules in the current directory while inside, as ``python -m`` does."""
    directory = os.getcwd()
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        # Whatever an import did to sys.path stays; one occurrence of ours goes.
        if directory in sys.path:
            sys.path.remove(directory)


def import_by_path(
    path: str, what: str = "model", example: str = "torchvision.models.resnet18"
) -> Any:
    """Return what a dotted path names.

    Args:
        path: ``"package.module.name"``, or deeper, as for a class inside a class.
        what: Kind of the thing, for messages.
        example: A path to such a thing, for messages.

    Raises:
        ValueError: If there is no such thing, or its module cannot be imported.
    """
    parts = path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise ValueError(f'{what} "{path}" is not an import path such as "{example}"')
    module, names = _import_longest(parts, what)
    found: Any = module
    for position, name in enumerate(names):
        if not hasattr(found, name):
            owner = ".".join(parts[: len(parts) - len(names) + position])
            raise ValueError(f'{what} "{path}" not found; {_suggestion(owner, found, name)}')
        found = getattr(found, name)
    return found


def first_line(error: BaseException, limit: int = 300) -> str:
    """An exception's message as a single line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else f"{text[:limit]}…"


def _import_longest(parts: list[str], what: str) -> tuple[ModuleType, list[str]]:
    """Import as much of the path as is modules; return the last one and the remaining names."""
    module: ModuleType | None = None
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name and not name.startswith(f"{error.name}."):
                raise ValueError(f'importing "{name}" failed: {first_line(error)}') from error
            if module is None:
                raise ValueError(
                    f'{what} "{".".join(parts)}" not found: there is no module "{name}" here; '
                    f"{_module_hint(name)}"
                ) from error
            return module, parts[length - 1 :]
        except SystemExit as error:
            raise ValueError(
                f'importing "{name}" ends the program (exit status {error.code}), as a script '
                'does; put what it does under if __name__ == "__main__":'
            ) from error
        except Exception as error:
            raise ValueError(f'importing "{name}" failed: {first_line(error)}') from error
    # A function may have the name of the module that it comes from: torchvision.models.alexnet.
    parent = sys.modules[".".join(parts[:-1])]
    if not isinstance(getattr(parent, parts[-1], None), (ModuleType, NoneType)):
        return parent, parts[-1:]
    raise ValueError(f'{what} "{".".join(parts)}" is a module; name a class or function in it')


def _suggestion(owner: str, found: Any, name: str) -> str:
    """Say which of an object's names may have been meant."""
    names = [known for known in dir(found) if not known.startswith("_")]
    if isinstance(found, ModuleType) and hasattr(found, "__path__"):
        names += [module.name for module in pkgutil.iter_modules(found.__path__)]
    near = difflib.get_close_matches(name, sorted(set(names)), n=3, cutoff=0.7)
    if not near:
        return f'"{owner}" has no "{name}"'
    quoted = [f'"{owner}.{known}"' for known in near]
    return f"did you mean {' or '.join(quoted)}?"


def _module_hint(name: str) -> str:
    """Suggest a module that has been imported, or what to do."""
    known = {module.partition(".")[0] for module in sys.modules}
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    if near:
        return f'did you mean "{near[0]}"?'
    return "run the command where it can be imported, or install it"
