"""Print tables of results."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from neurovis.cli.printing import console


def print_table(title: str, rows: Sequence[Mapping[str, str]], texts: Collection[str] = ()) -> None:
    """Print a table.

    Args:
        title: Printed above it.
        rows: Cells by heading, the same in each row.
        texts: Headings of columns of text, which may take several lines; others are aligned right.
    """
    table = Table(title=title)
    for heading in rows[0] if rows else ():
        if heading in texts:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*map(Text, row.values()))
    console().print(table)
