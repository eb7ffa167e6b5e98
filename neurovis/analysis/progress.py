"""Show the progress of long work by any function that wraps a sequence, such as ``tqdm``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Function that iterates over items, and shows how many are done."""

    def __call__(self, items: Sequence[T], noun: str, /) -> Iterable[T]:
        """Iterate over items.

        Args:
            items: The items.
            noun: Plural noun for the items.
        """
        ...


def without_progress(items: Sequence[T], _: str, /) -> Iterable[T]:
    """Iterate over items, and show nothing."""
    return items
