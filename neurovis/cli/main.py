"""Reads the command line, runs a command, and turns bad input into one line and exit status 2."""

from __future__ import annotations

import functools
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jsonargparse import ArgumentError, ArgumentParser

from neurovis._version import __version__
from neurovis.cli.commands import COMMANDS, Command
from neurovis.cli.config_file import check_configs
from neurovis.cli.errors import blamed_callback, is_out_of_memory, one_line
from neurovis.cli.first_process import is_first_process
from neurovis.cli.help_text import CommandParser, prepare, prepare_whole
from neurovis.cli.stopping import Signals, Stopped, Terminated, importing, status_of, terminable

#: Set it to see where in the code an error arose, instead of one line.
TRACEBACK_VARIABLE = "NEUROVIS_TRACEBACK"
#: Seconds.
_A_MOMENT = 0.05

#: Raised for input that cannot be used; any other exception is a fault of NeuroVis.
_REFUSALS = (ArgumentError, ValueError, TypeError, OSError, MemoryError)


def build_parser(only: str | None = None) -> ArgumentParser:
    """The parser of the whole command line.

    Args:
        only: The command whose options are needed, or an empty text for none; by default all,
            which imports all of NeuroVis.
    """
    parser = CommandParser(
        prog="neurovis",
        description="What do a CNN's kernels respond to, how selectively, and when did they learn "
        "it?",
        exit_on_error=False,
        # Else "am --top 16" would be read as --top_images; subcommands do the same.
        allow_abbrev=False,
        version=__version__,
    )
    prepare_whole(parser)
    subcommands = parser.add_subcommands(
        dest="command",
        title="commands",
        description="Each has a --help of its own.",
    )
    for name, command in COMMANDS.items():
        is_needed = only is None or only == name
        subparser = _subparser(command) if is_needed else CommandParser(exit_on_error=False)
        prepare(subparser, name)
        subcommands.add_subcommand(name, subparser, help=command.description.splitlines()[0])
    return parser


def _subparser(command: Command) -> ArgumentParser:
    parser = CommandParser(
        description=command.description,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="A YAML file with these options.")
    command.add_arguments(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Returns:
        0; 2 for input that cannot be used; 130 if it was stopped by Ctrl-C, 143 by SIGTERM.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with terminable() as signals:
        try:
            return _status(given, signals)
        except KeyboardInterrupt as stop:
            # It came while an error was told, or the command was about to end.
            return _end("stopped", status_of(stop))


def _status(given: list[str], signals: Signals) -> int:
    """Run a command; say what it was refused or stopped for."""
    try:
        with _encodable_output(), _hushed(signals):
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
    command = _command_of(sys.argv[1:] if arguments is None else arguments)
    if command:
        COMMANDS[command].load()


def _run(arguments: list[str]) -> None:
    arguments = check_configs(arguments)
    parser = build_parser(_command_of(arguments))
    parsed = parser.parse_args(arguments)
    # Parsing has imported the command; these are the libraries that it needs.
    with importing():
        from neurovis.cli.named_in_files import checked_names

    own = parsed[parsed.command]
    with checked_names(parsed, arguments):
        if "trainer" in own:
            from neurovis.cli.trainers import with_late_folders

            own.trainer.logger = with_late_folders(own.trainer.logger)
        options = parser.instantiate(parsed)
        COMMANDS[options.command].run(options[options.command])


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
    command = _command_of(arguments)
    known = list(COMMANDS)
    if command and isinstance(error, ArgumentError):
        known = _option_names(COMMANDS[command])
    return _end(f"error: {one_line(error, command, known, arguments)}", 2)


def _command_of(arguments: Sequence[str]) -> str:
    """Return the command, which comes before its options; empty if there is none."""
    first = next((argument for argument in arguments if not argument.startswith("-")), "")
    return first if first in COMMANDS else ""


def _end(line: str, status: int) -> int:
    if is_first_process():
        sys.stderr.write(f"neurovis: {line}\n")
    return status


def _option_names(command: Command) -> list[str]:
    return [name for name, _ in _subparser(command).get_defaults(skip_validation=True).items()]


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
def _hushed(signals: Signals) -> Iterator[None]:
    """Keep back what Lightning says of itself and its users can do nothing about."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    threads, unraisable = threading.excepthook, sys.unraisablehook
    threading.excepthook = _without_full_disks
    sys.unraisablehook = functools.partial(_interrupting_again, signals)
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
        threading.excepthook, sys.unraisablehook = threads, unraisable


def _interrupting_again(signals: Signals, arguments: sys.UnraisableHookArgs) -> None:
    """Repeat a Ctrl-C that arrived where nothing can be raised, as objects are released."""
    if issubclass(arguments.exc_type, KeyboardInterrupt):
        signals.is_stopping = False
        main_thread = threading.main_thread().ident
        again = signal.SIGTERM if issubclass(arguments.exc_type, Terminated) else signal.SIGINT
        threading.Timer(_A_MOMENT, signal.pthread_kill, (main_thread, again)).start()
    else:
        sys.__unraisablehook__(arguments)


def _without_full_disks(arguments: threading.ExceptHookArgs) -> None:
    """Hide that TensorBoard's thread cannot write: the run finds out, and reports it."""
    if not issubclass(arguments.exc_type, OSError):
        threading.__excepthook__(arguments)
