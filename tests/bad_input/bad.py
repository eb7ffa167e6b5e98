"""What a bad input is, and what is looked at to see that it did no harm."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

#: A file that code within an input makes, if it is ever run.
MARKER = Path("CODE_WAS_RUN")


def nothing() -> None:
    """Make no files."""


@dataclass(frozen=True)
class Bad:
    """An input that cannot be used.

    Args:
        name: What is wrong with it.
        call: A command line, in one text or in its parts; or a function. Either runs in an empty
            working folder, after ``given``.
        says: What the one line names, in this order and with " … " between: the option, what was
            given, and what to do; or a part of it word by word.
        given: Makes the files that it takes.
        as_root: Whether root can be refused, too, who may read and write everything.
    """

    name: str
    call: str | tuple[str, ...] | Callable[[], object]
    says: str
    given: Callable[[], object] = nothing
    as_root: bool = True


def each_with(start: str, cases: Iterable[tuple[str, str, str]]) -> list[Bad]:
    """Bad inputs of one command: for each its name, the options, and what is said."""
    return [Bad(name, f"{start} {options}", says) for name, options, says in cases]


def contents(folder: Path) -> dict[str, str]:
    """Everything in a folder, by its path: what kind it is, and of files all that is in them."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))}


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    if path.is_dir():
        return "folder"
    if not path.is_file():
        return "no file"
    status = path.stat()
    if status.st_size > 10**8 or not os.access(path, os.R_OK):  # Full of holes, or closed.
        return f"{status.st_size} bytes of {status.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
