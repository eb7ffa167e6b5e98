"""What a subcommand is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace


@dataclass(frozen=True)
class Command:
    """A subcommand of ``neurovis``.

    Args:
        description: Shown by ``--help``; its first line also in the list of commands.
        add_arguments: Adds the command's options to its parser.
        run: Does the work with the parsed options.
    """

    description: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], None]
