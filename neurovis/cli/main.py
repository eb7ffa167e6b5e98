"""Reads the command line, runs a command, and turns bad input into one line and exit status 2."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from neurovis._version import __version__
from neurovis.cli.command_parser import CommandParser
from neurovis.cli.commands import COMMANDS
from neurovis.cli.errors import blamed_callback, is_out_of_memory, one_line
from neurovis.cli.first_process import is_first_process
from neurovis.cli.help_text import EPILOG
from neurovis.cli.option_errors import OptionError, near
from neurovis.cli.stopping import Stopped, importing, status_of, terminable

#: Set it to see where in the code an error arose, instead of one line.
TRACEBACK_VARIABLE = "NEUROVIS_TRACEBACK"

#: Raised for input that cannot be used; any other exception is a fault of NeuroVis.
_REFUSALS = (ValueError, TypeError, OSError, MemoryError)


def build_parser(command: str | None = None) -> CommandParser:
    """The parser of a command's options; by default that of what comes before a command.

    Args:
        command: Name of a command, whose libraries are imported.
    """
    if command is not None:
        return COMMANDS[command].parser(command)
    listed = "\n".join(
        f"  {name:<12}{command.description.splitlines()[0]}" for name, command in COMMANDS.items()
    )
    return CommandParser(
        prog="neurovis",
        description="What do a CNN's kernels respond to, how selectively, and when did they learn "
        "it?",
        epilog=f"commands:\n\n{listed}\n\n{EPILOG}",
        version=__version__,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Returns:
        0; 2 for input that cannot be used; 130 if it was stopped by Ctrl-C, 143 by SIGTERM.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with terminable():
        try:
            return _status(given)
        except KeyboardInterrupt as stop:
            # It came while an error was told, or the command was about to end.
            return _end("stopped", status_of(stop))


def _status(given: list[str]) -> int:
    """Run a command; say what it was refused or stopped for."""
    try:
        with _encodable_output(), _hushed():
            _run(given)
    except Stopped as stop:
        return _end(f"stopped {stop}", stop.status)
    except KeyboardInterrupt as stop:
        return _end("stopped before there were results", status_of(stop))
    except Exception as error:
        if not _is_refusal(error):
            raise
        return _refuse(error, given)
    return 0


def load_command(arguments: Sequence[str] | None = None) -> None:
    """Import what the command on the command line needs, which takes seconds.

    Args:
        arguments: As of :func:`main`.
    """
    _, command, _ = _split(sys.argv[1:] if arguments is None else arguments)
    if command in COMMANDS:
        _ = COMMANDS[command].function


def _run(arguments: list[str]) -> None:
    before, command, own = _split(arguments)
    build_parser().parse_args(before)  # Prints the version or the help, and ends.
    if command not in COMMANDS:
        names = ", ".join(COMMANDS)
        if not command:
            raise OptionError(f"give a command, one of {names}; see neurovis --help")
        meant = near(command, COMMANDS) or f"; first comes one of {names}"
        raise OptionError(f'there is no command "{command}"{meant}')
    parser = build_parser(command)
    parsed = parser.parse_args(own)
    # Parsing has imported the command; these are the libraries that it needs.
    with importing():
        from neurovis.cli.named_in_files import checked_names

    with checked_names(parsed, own):
        if "trainer" in parsed:
            from neurovis.cli.trainers import with_late_folders

            parsed.trainer.logger = with_late_folders(parsed.trainer.logger)
        COMMANDS[command].run(parser.instantiate(parsed))


def _split(arguments: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Return what comes before the command, the command, and its options."""
    place = next((n for n, word in enumerate(arguments) if not word.startswith("-")), None)
    if place is None:
        return list(arguments), "", []
    return list(arguments[:place]), arguments[place], list(arguments[place + 1 :])


def _is_refusal(error: Exception) -> bool:
    """Return whether an error speaks of the user's input."""
    if isinstance(error, _REFUSALS) or is_out_of_memory(error) or blamed_callback(error):
        return True
    exceptions = sys.modules.get("lightning.fabric.utilities.exceptions")
    return exceptions is not None and isinstance(error, exceptions.MisconfigurationException)


def _refuse(error: BaseException, arguments: list[str]) -> int:
    """Say in one line what was wrong."""
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    return _end(f"error: {one_line(error, arguments)}", 2)


def _end(line: str, status: int) -> int:
    if is_first_process():
        sys.stderr.write(f"neurovis: {line}\n")
    return status


@contextmanager
def _encodable_output() -> Iterator[None]:
    """Write characters that the terminal's encoding does not have as escapes."""
    output = sys.stdout
    if not isinstance(output, io.TextIOWrapper) or output.errors != "strict":
        yield
        return
    output.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        output.reconfigure(errors="strict")


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep back what Lightning says of itself and its users can do nothing about."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    threads = threading.excepthook
    threading.excepthook = _without_full_disks
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            warnings.filterwarnings("ignore", message="The number of training batches")
            # A ranking by weights shows nothing.
            warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")
            # For pictures with names in scripts that the font does not have.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield
    finally:
        logger.setLevel(level)
        threading.excepthook = threads


def _without_full_disks(arguments: threading.ExceptHookArgs) -> None:
    """Hide that TensorBoard's thread cannot write: the run finds out, and reports it."""
    if not issubclass(arguments.exc_type, OSError):
        threading.__excepthook__(arguments)
