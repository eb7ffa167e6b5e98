"""Options of a monitor, to reject unknown ones and suggest the nearest name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import get_args


def refusal(cls: type, unknown: Iterable[str]) -> str:
    """Say that a class has no such options, and which of its own are near.

    Args:
        cls: The class that was called, not the base that found them.
        unknown: The options' names.

    Example:
        >>> class Pair:
        ...     def __init__(self, left: int, right: int) -> None: ...
        >>> refusal(Pair, ["lift"])
        "Pair has no option 'lift'; did you mean 'left'?"
    """
    said = []
    for name in unknown:
        near = get_close_matches(name, option_names(cls), n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"see help({cls.__name__})"
        said.append(f"{cls.__name__} has no option {name!r}; {meant}")
    return ". ".join(said)


def option_names(cls: type) -> list[str]:
    """The names of all arguments, those behind ``**options: Unpack[...]`` too."""
    names: list[str] = []
    with suppress(NameError):  # A type may be imported for type checkers only.
        for parameter in inspect.signature(cls, eval_str=True).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                for options in get_args(parameter.annotation):
                    names += getattr(options, "__annotations__", ())
            else:
                names.append(parameter.name)
    return names
