"""Checks of a monitor's options: layers, and names that no option has."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import get_args

from torch import nn

from neurovis.layers import LayerSelection


def refusal(cls: type, unknown: Iterable[str]) -> str:
    """Return a message that a class has no such options, with the nearest of its own.

    Args:
        cls: The class that was called, which may be a subclass of the one that rejects them.
        unknown: The options' names.

    Example:
        >>> class Pair:
        ...     def __init__(self, left: int, right: int) -> None: ...
        >>> refusal(Pair, ["lift"])
        "Pair has no option 'lift'; did you mean 'left'?"
    """
    sentences = []
    for name in unknown:
        near = get_close_matches(name, option_names(cls), n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"see help({cls.__name__})"
        sentences.append(f"{cls.__name__} has no option {name!r}; {meant}")
    return ". ".join(sentences)


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


def checked_layers(layers: LayerSelection | None) -> tuple[str | type[nn.Module], ...]:
    """Return the parts of a selection of layers, none for the network's output.

    Raises:
        ValueError: If there are none in it.
        TypeError: If one is neither a name nor a type of modules.
    """
    if layers is None:
        return ()
    parts = (layers,) if isinstance(layers, (str, type)) else tuple(layers)
    if not parts:
        raise ValueError("layers needs at least one layer name; got none")
    for part in parts:
        if not isinstance(part, str) and not (
            isinstance(part, type) and issubclass(part, nn.Module)
        ):
            raise TypeError(
                f"layers are dotted names such as 'features.0', or types of modules; got {part!r}"
            )
    return parts
