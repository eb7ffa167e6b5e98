"""Selection of a layer's kernels: from ``"all"``, ``"0-15,20"`` or numbers to a checked list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from operator import index

from neurovis.layers import ArgumentError

KernelSelection = str | int | Iterable[int]

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def select_kernels(selection: KernelSelection, count: int, layer: str) -> list[int]:
    """The kernels that a selection names, in its order, each once.

    Args:
        selection: ``"all"``; numbers and inclusive ranges such as ``"0-15,20"``; or 0-based
            integers.
        count: How many kernels the layer has.
        layer: The layer's name, for messages.

    Raises:
        ValueError: If nothing is selected, the text cannot be read, or a kernel is out of range.
        TypeError: If a kernel is not an integer.

    Example:
        >>> select_kernels("0-2,5", count=8, layer="conv1")
        [0, 1, 2, 5]
    """
    if isinstance(selection, str):
        kernels = list(range(count)) if selection == "all" else parse_kernels(selection)
    elif selection is None:
        raise TypeError(f'kernels of layer "{layer}": got None; give "all" or 0-{count - 1}')
    elif isinstance(selection, Iterable):
        kernels = [_integer(kernel) for kernel in selection]
    else:
        kernels = [_integer(selection)]
    if not kernels:
        raise ArgumentError(
            f'kernels of layer "{layer}": none selected; give "all" or 0-{count - 1}'
        )
    check_kernels(kernels, count, layer)
    return list(dict.fromkeys(kernels))


def distinct_kernels(option: str, selection: KernelSelection, count: int, layer: str) -> list[int]:
    """The kernels that a selection names, none of them twice; see :func:`select_kernels`.

    Raises:
        ValueError: Where that does, or if a kernel is named twice; the message names the option.
    """
    if isinstance(selection, str):
        named = [] if selection == "all" else parse_kernels(selection)
    else:
        named = list(selection) if isinstance(selection, Iterable) else [selection]
    kernels = select_kernels(named or selection, count, layer)
    if named and len(kernels) < len(named):
        twice = next(kernel for kernel in kernels if named.count(kernel) > 1)
        raise ValueError(f"{option}: kernel {twice} is named twice in {named}; name it once")
    return kernels


def reusable(selection: KernelSelection) -> str | int | tuple[int, ...]:
    """A selection that can be read more than once, also if it was given as an iterator.

    Raises:
        ValueError: If it is empty.
        TypeError: If a kernel is not an integer.
    """
    if isinstance(selection, (str, int)):
        return selection
    kernels = tuple(_integer(kernel) for kernel in selection)
    if not kernels:
        raise ArgumentError("kernels needs at least one kernel; got none")
    return kernels


def parse_kernels(text: str) -> list[int]:
    """Numbers and inclusive ranges, ``"0-15,20"``, as a list; an empty text is an empty list."""
    kernels: list[int] = []
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ArgumentError(
                f'kernels: cannot read "{part}"; write them as in "0-15,20" or "all"'
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ArgumentError(
                f'kernels: the range "{part}" runs backwards; write "{last}-{first}"'
            )
        if last - first >= 1_000_000:
            raise ArgumentError(f'kernels: the range "{part}" is longer than any layer')
        kernels.extend(range(first, last + 1))
    return kernels


def check_kernels(kernels: Sequence[int], count: int, layer: str) -> None:
    """Raise ValueError for the first kernel that the layer does not have."""
    for kernel in kernels:
        if not 0 <= kernel < count:
            raise ArgumentError(
                f'kernel {kernel} is out of range: layer "{layer}" has {count} kernels, '
                f"0 to {count - 1}"
            )


def _integer(kernel: object) -> int:
    try:
        if isinstance(kernel, bool):
            raise TypeError
        return index(kernel)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"kernels are integers; got {kernel!r}") from None
