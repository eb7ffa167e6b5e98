"""Describe errors in one line."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from traceback import walk_tb

from neurovis.cli.option_errors import shortened

#: Characters of a message: more than any of ours has, unless what it quotes is endless.
_MOST_CHARACTERS = 2000
_MOST_CHARACTERS_OF_A_PATH = 300
#: How torch says on a CPU that there is no memory; its error is no OutOfMemoryError there.
_NO_MEMORY = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")

#: The modules of Lightning's callbacks.
_CALLBACKS = "lightning.pytorch.callbacks."

#: The disk is full, the user's share of it is, or files are not to be as large.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def one_line(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """Return an error's message as one printable line, or its type if it has no message.

    Args:
        error: Any exception.
        arguments: The command line's arguments; what they hold is quoted as it was given.
    """
    said = _said(error)
    for given in arguments:
        if given and not given.isprintable():
            said = said.replace(given, _printable(given))
    line = " ".join(_printable(part) for part in said.split())
    return shortened(line, _MOST_CHARACTERS) or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """True if memory was not enough, on the CPU or on a device."""
    # By its name: torch takes seconds to import, and without it there is no such error.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _NO_MEMORY)


def blamed_callback(error: BaseException) -> str | None:
    """Return the name of the callback of Lightning's in which Lightning raised an error, if any."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    modules = [str(frame.f_globals.get("__name__")) for frame in frames]
    if not modules or not modules[-1].startswith("lightning."):
        return None
    owners = (
        type(frame.f_locals["self"]).__name__
        for frame, module in zip(reversed(frames), reversed(modules), strict=True)
        if module.startswith(_CALLBACKS) and "self" in frame.f_locals
    )
    return next(owners, None)


def _said(error: BaseException) -> str:
    callback = blamed_callback(error)
    if callback is not None:
        return f"--trainer.callbacks {callback}: {error}"
    if is_out_of_memory(error):
        reason = (str(error).splitlines() or [""])[0]
        return (
            "there is not enough memory; give a smaller --input.size, --batch_size or fewer "
            f"kernels at a time{f' ({reason})' if reason else ''}"
        )
    cause = error.__cause__
    if isinstance(error, ValueError) and isinstance(cause, OSError) and cause.errno in _FULL:
        # Lightning's logger takes a full disk for a value that it cannot log.
        return _said(cause)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        # With the names of temporary files, and without the number.
        path = shortened(str(error.filename2 or error.filename), _MOST_CHARACTERS_OF_A_PATH)
        return f'"{path}": {error.strerror}{_room(error)}'
    if isinstance(error, OSError) and error.errno in _FULL:
        # All of ours have names.
        return f"the run's logs: {error.strerror}{_room(error)}"
    return str(error)


def _room(error: OSError) -> str:
    return "; make room, and give the same command again" if error.errno in _FULL else ""


def _printable(text: str) -> str:
    """A text whose control characters a terminal does not act upon."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
