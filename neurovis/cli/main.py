"""Reads the command line, runs a command, and turns bad input into one line and exit status 2."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jsonargparse import ArgumentError, ArgumentParser
from lightning.fabric.utilities.exceptions import MisconfigurationException

from neurovis._version import __version__
from neurovis.cli import am, demo, features, group_am, layers, rank, report, saliency
from neurovis.cli.command import Command
from neurovis.cli.errors import one_line
from neurovis.cli.help_text import HelpFormatter, prepare, prepare_whole

COMMANDS: dict[str, Command] = {
    "demo": demo.COMMAND,
    "layers": layers.COMMAND,
    "am": am.COMMAND,
    "group-am": group_am.COMMAND,
    "features": features.COMMAND,
    "saliency": saliency.COMMAND,
    "rank": rank.COMMAND,
    "report": report.COMMAND,
}

#: Set it to see where in the code an error arose, instead of one line.
TRACEBACK_VARIABLE = "NEUROVIS_TRACEBACK"


def build_parser() -> ArgumentParser:
    """The parser of the whole command line."""
    parser = ArgumentParser(
        prog="neurovis",
        description="What do a CNN's kernels respond to, how selectively, and when did they learn "
        "it?",
        exit_on_error=False,
        version=__version__,
        formatter_class=HelpFormatter,
    )
    prepare_whole(parser)
    subcommands = parser.add_subcommands(
        dest="command",
        title="commands",
        description="Each has a --help of its own.",
    )
    for name, command in COMMANDS.items():
        subparser = ArgumentParser(
            description=command.description, exit_on_error=False, formatter_class=HelpFormatter
        )
        subparser.add_argument("--config", action="config", help="A YAML file with these options.")
        command.add_arguments(subparser)
        prepare(subparser, name)
        subcommands.add_subcommand(name, subparser, help=command.description.splitlines()[0])
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, or 2 for input that cannot be used."""
    parser = build_parser()
    try:
        with _hushed():
            options = parser.parse_args(list(sys.argv[1:] if arguments is None else arguments))
            options = parser.instantiate(options)
            name = options.command
            COMMANDS[name].run(options[name])
    except (ArgumentError, ValueError, TypeError, OSError, MisconfigurationException) as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        sys.stderr.write(f"neurovis: error: {one_line(error)}\n")
        return 2
    return 0


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep back what Lightning says of itself and its users can do nothing about."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            warnings.filterwarnings("ignore", message="The number of training batches")
            # A ranking by weights shows nothing.
            warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")
            # Of pictures with names in scripts that the font does not have.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield
    finally:
        logger.setLevel(level)
