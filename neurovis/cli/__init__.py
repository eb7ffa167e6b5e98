"""The ``neurovis`` command: one small file for each subcommand."""

from neurovis.cli.main import main

__all__ = ["main"]
