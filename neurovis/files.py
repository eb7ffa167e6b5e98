"""Files that appear whole or not at all, in folders that can be written."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Names that stand for devices on Windows, whatever follows a point.
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in range(10)}
)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place at the end, if nothing was raised.

    Args:
        path: Its folder is made if need be; a file that is there is replaced.

    Raises:
        OSError: If the file cannot be written.
    """
    path = Path(path)
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the name itself, which may be as long as a file system allows.
    digest = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()[:12]
    partial = path.with_name(f".{digest}.{os.getpid()}.partial")
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(partial)):
            raise
        # What a disk that is full says has no name, and that of the temporary file helps nobody.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays into a compressed ``.npz`` file, whole or not at all.

    Args:
        path: Path of the file.
        arrays: Whatever NumPy makes arrays of, by name.

    Raises:
        OSError: If the file cannot be written.
    """
    import numpy as np

    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)


def link(existing: str | Path, path: str | Path) -> None:
    """Give a file a second name; a copy, where the file system has no hard links.

    Raises:
        OSError: If it cannot be written.
    """
    with whole_file(path) as partial:
        try:
            os.link(existing, partial)
        except OSError:
            shutil.copyfile(existing, partial)


def check_readable(path: str | Path) -> None:
    """Refuse to read from a pipe, a socket or a device, which may never end.

    Raises:
        OSError: If that is what has this name.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # Whoever reads it says why it cannot be.
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "Is a pipe, socket or device, no file", str(path))


def check_replaceable(path: str | Path) -> None:
    """Refuse to write a file where there is something that is none.

    Raises:
        OSError: If there is a folder, a pipe, a socket or a device.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, and was to be a file", str(path))
    if Path(path).exists() and not Path(path).is_file():
        reason = "is a pipe, socket or device, and was to be a file"
        raise OSError(errno.EEXIST, reason, str(path))


def remove_partial_files(folder: str | Path) -> None:
    """Remove what :func:`whole_file` left behind where a process was killed.

    Only for a folder that nobody is writing to; folders in it are left alone.
    """
    for partial in Path(folder).glob(".*.partial"):
        partial.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """A name for a file or folder that no file system has trouble with.

    Special characters become ``_``; as two names must not become one, a changed name also ends in
    a digest of the original.

    Example:
        >>> safe_name("layer1.0.conv1"), safe_name("what/is this?")
        ('layer1.0.conv1', 'what_is_this_-aff4a83a')
    """
    safe = re.sub(r"[^A-Za-z0-9_.=+-]", "_", name)[:100].strip(".")
    is_device = safe.partition(".")[0].upper() in _DEVICES
    if name and safe == name and not is_device:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{'_' if is_device else ''}{safe}-{digest}"


def check_writable(folder: str | Path) -> None:
    """Refuse a folder that results could not be written to, before hours go into making them.

    Raises:
        OSError: If the folder, or the nearest one above it that exists, takes no new files.
        ValueError: If it cannot be the name of a folder.
    """
    if "\0" in str(folder):
        raise ValueError(f'cannot write to "{folder}": its name has a null byte')
    existing = Path(folder).absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(f'cannot write to "{folder}": "{existing}" is not a folder')
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f'cannot write to "{folder}": no permission in "{existing}"')


def _flush(path: Path) -> None:
    """Bring a file's content to the disk, so that not even a power failure leaves half a file."""
    if not path.exists():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
