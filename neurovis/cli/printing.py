"""Print the results of commands when they are done."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neurovis.summaries import tensorboard_method

if TYPE_CHECKING:
    from neurovis.maximization import MaximizationResults

#: Tables longer than this show their beginning; the whole is in results.csv.
MOST_ROWS = 24


def console() -> Console:
    """Return the console to print to: as wide as the terminal, or 140 columns without one."""
    width = None if sys.stdout.isatty() else 140
    # Names of files and layers are printed as they are, also [red] and :smile:.
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_results(
    results: MaximizationResults, folder: str | Path | None, loggers: Iterable[object]
) -> None:
    """Print activations against noise, and where everything was written."""
    table = Table(title=f"{results.layer}: {len(results)} preferred images")
    table.add_column("image", overflow="fold")
    for heading in ("activation", "of noise", "silent kernels"):
        table.add_column(heading, justify="right")
    for item in results.items[:MOST_ROWS]:
        silent = sum(item.dead_members)
        table.add_row(
            item.label,
            item.counted(item.activation),
            item.counted(item.noise_activation),
            f"{silent} of {sum(item.driven_members)}" if silent else "",
        )
    output = console()
    output.print(table)
    if len(results) > MOST_ROWS:
        output.print(f"… and {len(results) - MOST_ROWS} more in results.csv")
    print_written(folder, loggers)


def print_summary(
    results: Iterable[MaximizationResults], folder: str | Path | None, loggers: Iterable[object]
) -> None:
    """Print one row for each of several layers, and where everything was written."""
    table = Table(title="Preferred images")
    table.add_column("layer", overflow="fold")
    for heading in ("images", "dead", "median activation", "of noise", "median steps"):
        table.add_column(heading, justify="right")
    for of_layer in results:
        steps = [len(item.curve) for item in of_layer.items]
        table.add_row(
            of_layer.layer,
            str(len(of_layer)),
            str(int(of_layer.dead.sum()) or ""),
            f"{of_layer.activations.median():.4g}" if len(of_layer) else "",
            f"{of_layer.noise_activations.median():.4g}" if len(of_layer) else "",
            f"{median(steps):.0f}" if steps else "",
        )
    console().print(table)
    print_written(folder, loggers)


def print_written(folder: str | Path | None, loggers: Iterable[object]) -> None:
    """Print where everything was written, and how to look at what TensorBoard was given.

    Args:
        folder: Folder of the run; None after a trial.
        loggers: The Trainer's loggers.
    """
    output = console()
    if folder is None:
        output.print("Nothing was written: --trainer.fast_dev_run is a trial")
        return
    output.print(Text(f"Written to {folder}"), soft_wrap=True)
    for logger in loggers:
        if tensorboard_method(logger, "add_image"):
            command = tensorboard_command(getattr(logger, "log_dir", None) or folder)
            output.print(Text(f"See it with: {command}"), soft_wrap=True)


def tensorboard_command(folder: str | Path) -> str:
    """The command that shows a folder's runs, with every logged image kept."""
    return f"tensorboard --logdir {shlex.quote(str(folder))} --samples_per_plugin images=1000"
