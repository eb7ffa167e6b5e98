"""Print tables of results."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from neurovis.cli.printing import console

_UNLIMITED = 10_000


def print_table(
    title: str,
    rows: Sequence[Mapping[str, str]],
    texts: Collection[str] = (),
    if_room: Sequence[str] = (),
) -> None:
    """Print a table.

    Args:
        title: Printed above it.
        rows: Cells by heading, the same in each row.
        texts: Headings of columns of text, which may take several lines; others are aligned right.
        if_room: Headings of columns that are left out where the table is too wide, the last first.
    """
    output, droppable = console(), list(if_room)
    headings = list(rows[0]) if rows else []
    table = _table(title, rows, headings, texts)
    unlimited = output.options.update(width=_UNLIMITED)
    while droppable and output.measure(table, options=unlimited).maximum > output.width:
        headings.remove(droppable.pop())
        table = _table(title, rows, headings, texts)
    output.print(table)


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
