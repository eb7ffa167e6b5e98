"""Names of the classes that options accept as objects, and of their arguments."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence


def arguments_of(path: str) -> list[str]:
    """Names of what a class or function takes, by its path."""
    found = _imported(path)
    return list(inspect.signature(found).parameters) if callable(found) else []


def classes_below(bases: Sequence[str]) -> list[str]:
    """Return the names of the imported subclasses of the types that an option takes."""
    names: dict[str, None] = {}
    for path in bases:
        base = _imported(path)
        kinds = _below(base) if isinstance(base, type) and path.count(".") else []
        names.update({kind.__name__: None for kind in kinds if not kind.__name__.startswith("_")})
    return sorted(names)


def _below(base: type) -> list[type]:
    below: list[type] = []
    children: list[type] = base.__subclasses__()
    for child in children:
        below += [child, *_below(child)]
    return [kind for kind in below if not inspect.isabstract(kind)]


def _imported(path: str) -> object:
    """Return the object that a path names if its module has been imported, else None."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:length]))
        if module is not None:
            found: object = module
            for name in parts[length:]:
                found = getattr(found, name, None)
            return found
    return None
