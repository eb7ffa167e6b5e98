"""What a command imports, and what it prints where the terminal has few characters."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Run a command line and print which modules it imported.
_COUNT = """
import sys
from neurovis.__main__ import main
arguments = {arguments}
sys.argv = ["neurovis", *arguments]
try:
    main()
except SystemExit:
    pass
print("\\nimported:", *{{name.partition(".")[0] for name in sys.modules}})
"""
#: Each of them takes a tenth of a second or more.
HEAVY = {
    *("torch", "lightning", "pytorch_lightning", "numpy", "torchvision", "torchmetrics"),
    *("matplotlib", "captum", "tensorboard", "PIL", "rich", "scipy", "sympy"),
}


def imported_by(*arguments: str) -> set[str]:
    """The top-level modules that a command line imports."""
    finished = subprocess.run(
        [sys.executable, "-c", _COUNT.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    return {*finished.stdout.rpartition("\nimported: ")[2].split()}


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], [], ["amm"], ["--bogus"], ["demo", "--help"]]
)
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str]) -> None:
    found = imported_by(*arguments)
    assert {"neurovis", "jsonargparse"} <= found
    assert not found & HEAVY


def test_layers_are_listed_without_lightning() -> None:
    found = imported_by("layers", "--model", "demo")
    assert "torch" in found
    unneeded = {"lightning", "torchmetrics", "torchvision", "scipy", "matplotlib", "captum"}
    assert not found & unneeded


def test_the_help_can_be_printed_in_ascii() -> None:
    """It holds an ellipsis."""
    finished = subprocess.run(
        [sys.executable, "-m", "neurovis", "--help"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert finished.stderr == b""
    assert b"\\u2026" in finished.stdout
