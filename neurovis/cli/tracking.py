"""Show the progress of an analysis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from neurovis.cli.counting import counted

T = TypeVar("T")


def tracked(items: Sequence[T], noun: str, /, is_shown: bool = True) -> Iterable[T]:
    """Iterate over items, and show how many are done.

    Args:
        items: The items.
        noun: Plural noun for the items.
        is_shown: True to show anything at all.
    """
    with counted(noun, len(items), is_shown) as count:
        for item in items:
            yield item
            count(1)
