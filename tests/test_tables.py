"""Tables that are read as they were meant, and that nobody's spreadsheet acts upon."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import neurovis
from neurovis.tables import append_to_table, harmless, open_table, write_table

PACKAGE = Path(neurovis.__file__).parent
#: Equals sign, hyphen and at sign, as they are written in Chinese and Japanese.
WIDE = ["\uff1d1+1", "\uff0da", "\uff20a"]
FORMULAS = [
    *("=HYPERLINK(A1)", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", " =1", *WIDE),
    *("\t=1", "-", "+", "--1", "-rf", "@"),
]
NUMBERS = [-3, -0.5, 0, True, None, "-0.5", "+1e-05", "-inf", "-3", "3", ""]
TEXTS = ["conv1", "a-b=c", "layer1.0", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "层", "a, b", '"']
CONTROLS = ["\x1b[31mred", "two\nlines", "a\rb", "bell\x07", "\x9b31m", "a\u2028b", "\udcff", "\0"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text: str) -> None:
    assert str(harmless(text))[0] not in "=+-@\uff1d\uff0d\uff20\t "
    assert str(harmless(text)).endswith(text.lstrip("\t"))


@pytest.mark.parametrize("value", [*NUMBERS, *TEXTS])
def test_all_else_stays(value: object) -> None:
    assert harmless(value) is value or harmless(value) == value


@pytest.mark.parametrize("text", CONTROLS)
def test_nothing_is_left_for_a_terminal(text: str) -> None:
    cell = harmless(text)
    assert isinstance(cell, str)
    assert cell.isprintable()
    assert cell.encode("ascii").decode("unicode_escape") == text


def _read(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    cells = [*TEXTS, *NUMBERS]
    columns = [f"c{place}" for place in range(len(cells))]
    write_table(tmp_path / "a.csv", [dict(zip(columns, cells, strict=True))])
    header, row = _read(tmp_path / "a.csv")
    assert header == columns
    assert row == ["" if cell is None else str(cell) for cell in cells]


def test_names_of_columns_are_harmless_too(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", [{"=a": "-x"}], ["=a", "b\n"])
    assert (tmp_path / "a.csv").read_bytes() == b"'=a,b\\n\n'-x,\n"


def test_columns_are_those_of_the_rows_in_order(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", iter([{"b": 1}, {"a": 2, "b": 3}]))
    assert _read(tmp_path / "a.csv") == [["b", "a"], ["1", ""], ["3", "2"]]


def test_floats_are_rounded_where_digits_are_given(tmp_path: Path) -> None:
    rows = [{"a": 1234567.0, "b": float("nan"), "c": 1234567, "d": True}]
    write_table(tmp_path / "a.csv", rows, digits=6)
    assert _read(tmp_path / "a.csv")[1] == ["1.23457e+06", "", "1234567", "True"]


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no columns c"),
        open_table(tmp_path / "a", ["b"]) as table,
    ):
        table.write([{"b": 1, "c": 2}])
    assert not (tmp_path / "a").exists()


def test_rows_are_appended_under_one_header(tmp_path: Path) -> None:
    for step in range(2):
        append_to_table(tmp_path / "new" / "a.csv", ["step", "tag"], [{"step": step, "tag": "=t"}])
    assert _read(tmp_path / "new" / "a.csv") == [["step", "tag"], ["0", "'=t"], ["1", "'=t"]]


def test_the_locale_makes_no_difference(tmp_path: Path) -> None:
    code = (
        "from neurovis.tables import append_to_table, write_table\n"
        f"write_table({str(tmp_path / 'a.csv')!r}, [{{'\\u5c42': '\\xe9'}}])\n"
        f"append_to_table({str(tmp_path / 'a.csv')!r}, ['\\u5c42'], [{{'\\u5c42': '\\xfc'}}])"
    )
    own = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, env=own)
    assert _read(tmp_path / "a.csv") == [["\u5c42"], ["\xe9"], ["\xfc"]]


def test_there_is_one_place_that_writes_tables() -> None:
    sources = {
        path.relative_to(PACKAGE).as_posix()
        for path in (*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "callbacks").rglob("*.py"))
        if re.search(r"csv\.(writer|DictWriter)\b", path.read_text(encoding="utf-8"))
    }
    assert sources == {"tables.py"}


def test_the_columns_are_by_default_those_of_the_first_row(tmp_path: Path) -> None:
    with open_table(tmp_path / "a.csv") as table:
        table.write([{"b": 1, "a": "x"}, {"b": 2}])
        with pytest.raises(ValueError, match="no columns c"):
            table.write([{"b": 3, "c": 4}])
    assert (tmp_path / "a.csv").read_text() == "b,a\n1,x\n2,\n"
