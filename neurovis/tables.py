"""Write tables as comma-separated values that a spreadsheet or a terminal does not act upon."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from neurovis.files import whole_file

Row = Mapping[str, object]

#: A spreadsheet reads a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@")
#: Control characters, halves of characters, and ends of lines and paragraphs.
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})


class TableWriter:
    """A table that is being written.

    Args:
        file: Open for text.
        columns: Names of the columns; what a row does not have is left empty. By default those of
            the first row.
        has_header: Whether the names are in the file already.
    """

    def __init__(
        self, file: TextIO, columns: Sequence[str] | None = None, has_header: bool = False
    ) -> None:
        self._columns = columns
        self._writer = csv.writer(file, lineterminator="\n")
        if columns is not None and not has_header:
            self._write_header(columns)

    def write(self, rows: Iterable[Row]) -> None:
        """Write some rows.

        Raises:
            ValueError: If a row has a column that the table does not have.
        """
        for row in rows:
            if self._columns is None:
                self._columns = list(row)
                self._write_header(self._columns)
            unknown = row.keys() - set(self._columns)
            if unknown:
                raise ValueError(f"the table has no columns {', '.join(sorted(unknown))}")
            self._writer.writerow([harmless(row.get(name, "")) for name in self._columns])

    def _write_header(self, columns: Sequence[str]) -> None:
        self._writer.writerow([harmless(name) for name in columns])


@contextmanager
def open_table(path: str | Path, columns: Sequence[str] | None = None) -> Iterator[TableWriter]:
    """A table to write row by row; its file appears when all is written, or not at all.

    Args:
        path: Path of the file.
        columns: As of :class:`TableWriter`.

    Raises:
        OSError: If the file cannot be written.
    """
    with whole_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        yield TableWriter(file, columns)


def write_table(
    path: str | Path,
    rows: Iterable[Row],
    columns: Sequence[str] | None = None,
    *,
    digits: int | None = None,
) -> None:
    """Write a table; its file appears whole or not at all.

    Args:
        path: Path of the file.
        rows: By column.
        columns: Names of the columns; what a row does not have is left empty. By default those of
            the rows, in the order in which they appear.
        digits: Significant digits of floats, of which NaN is left empty; all digits when None.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If a row has a column that the table does not have.
    """
    if columns is None:
        rows = list(rows)
        columns = list(dict.fromkeys(name for row in rows for name in row))
    if digits is not None:
        rows = ({name: rounded(cell, digits) for name, cell in row.items()} for row in rows)
    with open_table(path, columns) as table:
        table.write(rows)


def rounded(cell: object, digits: int = 6) -> object:
    """Return a float with its first digits, empty for NaN; any other cell as it is.

    Example:
        >>> rounded(0.123456789), rounded(float("nan")), rounded(12)
        ('0.123457', '', 12)
    """
    if not isinstance(cell, float):
        return cell
    return "" if cell != cell else f"{cell:.{digits}g}"


def append_to_table(path: str | Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Add rows to a table that may exist, with the same columns.

    Raises:
        OSError: If the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    exists = path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        TableWriter(file, columns, has_header=exists).write(rows)


def harmless(value: object) -> object:
    r"""Return a cell that no spreadsheet reads as a formula and no terminal as a command.

    Numbers stay numbers, also those that are written out.

    Example:
        >>> harmless("=1+1"), harmless("two\nlines"), harmless("-0.5"), harmless("a-b")
        ("'=1+1", 'two\\nlines', '-0.5', 'a-b')
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in _CONTROLS else sign
        for sign in str(value)
    )
    # Some spreadsheets skip spaces, and read the wide forms of these characters.
    if not unicodedata.normalize("NFKC", text).lstrip().startswith(_FORMULA):
        return text
    return text if _is_number(text) else f"'{text}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
