"""Text is UTF-8, whatever the locale is."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import neurovis

PACKAGE = Path(neurovis.__file__).parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(PACKAGE / "callbacks").rglob("*.py")])


def undecided(source: str) -> Iterator[int]:
    """Lines at which a text file is opened in the encoding of the locale."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        is_builtin = isinstance(node.func, ast.Name) and name == "open"
        if not is_builtin and name not in ("read_text", "write_text"):
            continue
        is_binary = is_builtin and any("b" in ast.unparse(mode) for mode in node.args[1:2])
        if not is_binary and "encoding" not in {keyword.arg for keyword in node.keywords}:
            yield node.lineno


def test_every_text_file_has_an_encoding() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in SOURCES
        for line in undecided(path.read_text(encoding="utf-8"))
    }
    assert not found


@pytest.mark.parametrize("code", ['open("a")', 'open("a", "w")', 'Path("a").write_text("b")'])
def test_a_file_without_an_encoding_is_found(code: str) -> None:
    assert list(undecided(code)) == [1]
    assert list(undecided(f'{code[:-1]}, encoding="utf-8")')) == []


@pytest.mark.slow
def test_tables_are_utf_8_in_a_locale_of_ascii(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from neurovis.summaries import log_scalars;"
        "from neurovis.tables import write_table;"
        f"log_scalars([], {{'gr\\xf6\\xdfe': 1.0}}, 0, {str(tmp_path)!r});"
        f"write_table(Path({str(tmp_path)!r}, 'results.csv'), [{{'gr\\xf6\\xdfe': 1}}])"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    for name in ("scalars.csv", "results.csv"):
        assert "größe" in (tmp_path / name).read_text(encoding="utf-8")
