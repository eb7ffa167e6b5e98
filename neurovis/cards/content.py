"""Cards as JSON holds them: each field is what its annotation says, or is refused by its name.

Numbers come from anywhere, NumPy's and torch's among them. What a page cannot show is found here,
where it can be said which card it is of, and not by whoever opens the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import lru_cache
from numbers import Integral, Real
from reprlib import Repr
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from torch import Tensor

#: Digits that mean something.
_DIGITS = 4
#: Abbreviates what was given, for messages.
_SAID = Repr()
_SAID.maxstring = _SAID.maxother = 60


def record(value: object, kind: type, where: str) -> dict[str, Any]:
    """The fields of a dataclass by their names, each as JSON holds it.

    Numbers have the digits that mean something, and None stands for what is not finite.

    Args:
        value: An instance of that class.
        kind: A dataclass whose fields are annotated with texts, numbers, truth values, other such
            dataclasses, sequences and mappings of these, or None.
        where: What messages call it.

    Raises:
        TypeError: If it, or anything in it, is something else.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{where} must be a neurovis.cards.{kind.__name__}; got {said(value)}")
    return {
        name: plain(getattr(value, name), hint, f"{where}: {name}")
        for name, hint in _hints(kind).items()
    }


def plain(value: object, hint: Any, where: str) -> Any:
    """A value as JSON holds it, if it is what a type hint says; see :func:`record`."""
    arguments = get_args(hint)
    if type(None) in arguments:
        return None if value is None else plain(value, arguments[0], where)
    kind = get_origin(hint) or hint
    if isinstance(kind, type) and is_dataclass(kind):
        return record(value, kind, where)
    if isinstance(value, (np.generic, np.ndarray, Tensor)):
        value = value.tolist()
    if kind is Mapping:
        return _mapping(value, arguments[1], where)
    if kind is tuple:
        return _pair(value, arguments, where)
    if kind in (Sequence, list):
        return [
            plain(one, arguments[0], f"{where}[{place}]")
            for place, one in enumerate(sequence(value, where))
        ]
    return _SINGLE[kind](value, where)


def sequence(value: object, where: str) -> Sequence[object]:
    """A list or the like, and no text, which is a sequence of its letters."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{where} must be a list; got {said(value)}")
    return value


def said(value: object) -> str:
    """A value in a message, cut short."""
    return _SAID.repr(value)


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _mapping(value: object, hint: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{where} must be a mapping from names; got {said(value)}")
    return {
        _text(name, f"a name in {where}"): plain(one, hint, f"{where}[{said(name)}]")
        for name, one in value.items()
    }


def _pair(value: object, hints: Sequence[Any], where: str) -> list[Any]:
    found = sequence(value, where)
    if len(found) != len(hints):
        raise TypeError(f"{where} must have {len(hints)} numbers; got {said(value)}")
    return [
        plain(one, hint, f"{where}[{place}]")
        for place, (one, hint) in enumerate(zip(found, hints, strict=True))
    ]


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} must be a text; got {said(value)}")
    return value


def _truth(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{where} must be True or False; got {said(value)}")
    return value


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{where} must be a whole number; got {said(value)}")
    return int(value)


def _number(value: object, where: str) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{where} must be a number, NaN where undefined; got {said(value)}")
    number = float(value)
    return float(f"{number:.{_DIGITS}g}") if math.isfinite(number) else None


_SINGLE = {str: _text, bool: _truth, int: _whole, float: _number}
