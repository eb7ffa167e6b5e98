"""Print tables, notes, and where results are."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neurovis.tensorboard_layout import tensorboard_method

if TYPE_CHECKING:
    from neurovis.maximization import MaximizationResults

#: Tables longer than this show their beginning; the whole is in a file.
MOST_ROWS = 24
_UNLIMITED = 10_000


def console() -> Console:
    """Return the console to print to: as wide as the terminal, or 140 columns without one."""
    width = None if sys.stdout.isatty() else 140
    # Names of files and layers are printed as they are, also [red] and :smile:.
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_line(text: str) -> None:
    """Print a text that only the terminal breaks."""
    console().print(Text(text), soft_wrap=True)


def print_notes(notes: Sequence[str], most: int | None = None) -> None:
    """Print notes of one kind, at most ``most`` of them."""
    for note in notes[:most]:
        print_line(f"note: {note}")
    number = len(notes) - len(notes[:most])
    if number:
        print_line(f"… and {number} more note{'s' if number > 1 else ''} of this kind")


def print_table(
    title: str,
    rows: Sequence[Mapping[str, str]],
    texts: Collection[str] = (),
    if_room: Sequence[str] = (),
    *,
    number: int = 0,
    file: str = "results.csv",
) -> None:
    """Print a table.

    Args:
        title: Printed above it.
        rows: Cells by heading, the same in each row.
        texts: Headings of columns of text, which may take several lines; others are aligned right.
        if_room: Headings of columns that are left out where the table is too wide, the last first.
        number: Number of rows in ``file``, where these are only the first.
        file: Name of the file that holds all rows.
    """
    output, droppable = console(), list(if_room)
    headings = list(rows[0]) if rows else []
    table = _table(title, rows, headings, texts)
    unlimited = output.options.update(width=_UNLIMITED)
    while droppable and output.measure(table, options=unlimited).maximum > output.width:
        headings.remove(droppable.pop())
        table = _table(title, rows, headings, texts)
    output.print(table)
    if number > len(rows):
        output.print(f"… and {number - len(rows)} more in {file}")


def _table(
    title: str,
    rows: Sequence[Mapping[str, str]],
    headings: Sequence[str],
    texts: Collection[str],
) -> Table:
    table = Table(title=title)
    for heading in headings:
        if heading in texts:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[heading]) for heading in headings))
    return table


def print_results(results: MaximizationResults) -> None:
    """Print activations of preferred images against noise."""
    rows = []
    for item in results.items[:MOST_ROWS]:
        silent = sum(item.dead_members)
        accentuated = {}
        if item.photograph_activation is not None:
            accentuated = {
                "of the photograph": item.counted(item.photograph_activation),
                "ratio": f"{item.ratio:.3g}",
                "SSIM": f"{item.similarity:.2f}",
            }
        rows.append(
            {
                "image": results.label(item),
                "activation": item.counted(item.activation),
                "of noise": item.counted(item.noise_activation),
                **accentuated,
                "silent kernels": f"{silent} of {sum(item.driven_members)}" if silent else "",
            }
        )
    title = f"{results.layer}: {len(results)} preferred images"
    print_table(title, rows, ["image"], number=len(results))


def print_summary(results: Iterable[MaximizationResults]) -> None:
    """Print one row of preferred images for each of several layers."""
    rows = [
        {
            "layer": f"{one.layer}, least"
            if one.items[:1] and one.items[0].sign < 0
            else one.layer,
            "images": str(len(one)),
            "dead": str(int(one.dead.sum()) or ""),
            "median activation": f"{one.activations.median():.4g}" if len(one) else "",
            "of noise": f"{one.noise_activations.median():.4g}" if len(one) else "",
            "median steps": f"{median(len(x.curve) for x in one.items):.0f}" if len(one) else "",
        }
        for of_layer in results
        for one in of_layer.poles()
    ]
    print_table("Preferred images", rows, ["layer"])


def print_written(folder: str | Path | None, loggers: Iterable[object]) -> None:
    """Print where everything was written, and how to look at what TensorBoard was given.

    Args:
        folder: Folder of the run; None after a trial.
        loggers: The Trainer's loggers.
    """
    if folder is None:
        print_line("Nothing was written: --trainer.fast_dev_run is a trial")
        return
    print_line(f"Written to {folder}")
    for logger in loggers:
        if tensorboard_method(logger, "add_image"):
            command = tensorboard_command(getattr(logger, "log_dir", None) or folder)
            print_line(f"See it with: {command}")


def tensorboard_command(folder: str | Path) -> str:
    """The command that shows a folder's runs, with every logged image kept."""
    return f"tensorboard --logdir {shlex.quote(str(folder))} --samples_per_plugin images=1000"
