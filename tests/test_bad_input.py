"""Whatever cannot be used gets one line that names it and says what to do, and does no harm.

The tables are in ``bad_input/``. A new command or public name needs lines of its own there.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input.bad import MARKER, Bad, contents
from bad_input.cards_table import CARDS
from bad_input.code_table import CODE
from bad_input.configs_table import CONFIGS
from bad_input.functions_table import FUNCTIONS
from bad_input.makers import Payload, array, saved
from bad_input.measures_table import MEASURES
from bad_input.names_table import NAMES
from bad_input.options_table import OPTIONS
from bad_input.own_table import OWN
from bad_input.pictures_table import PICTURES
from bad_input.places_table import FULL, GOING_ON, PICTURE, PLACES, full_disk, stopped_run
from bad_input.public_names import WITHOUT_LINES, public_names
from bad_input.reports_table import REPORTS
from bad_input.weights_table import WEIGHTS

from neurovis.cli.main import COMMANDS, main
from neurovis.figures.page_figure import PageFigure

TABLE = [
    *(*OPTIONS, *REPORTS, *NAMES, *OWN, *CONFIGS, *PICTURES, *WEIGHTS, *PLACES),
    *(*FUNCTIONS, *MEASURES, *CARDS, *CODE),
]


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty; nothing may appear in it, beside it, or above it."""
    folder = tmp_path / "above" / "working"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def refusal(bad: Bad, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which an input is refused."""
    if callable(bad.call):
        with pytest.raises((ValueError, TypeError, OSError)) as raised:
            bad.call()
        return str(raised.value)
    parts = shlex.split(bad.call) if isinstance(bad.call, str) else bad.call
    capsys.readouterr()
    assert main(parts) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("neurovis: error: ")
    assert line.isprintable()
    return line


def _may_do_everything(folder: Path) -> bool:
    probe = folder / "probe"
    probe.touch(0)
    return os.access(probe, os.R_OK)


def _cases(of_functions: bool) -> list[Any]:
    chosen = [bad for bad in TABLE if callable(bad.call) is of_functions]
    return [pytest.param(bad, id=bad.name) for bad in chosen]


@pytest.mark.parametrize("bad", _cases(of_functions=True))
def test_a_function_refuses_it_in_one_line_and_does_no_harm(
    bad: Bad, working_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _is_refused(bad, working_folder, tmp_path, capsys)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("bad", _cases(of_functions=False))
def test_a_command_refuses_it_in_one_line_and_does_no_harm(
    bad: Bad, working_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _is_refused(bad, working_folder, tmp_path, capsys)


def _is_refused(
    bad: Bad, working_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not bad.as_root and _may_do_everything(tmp_path):
        pytest.skip("this user may read and write everything")
    bad.given()
    before = contents(tmp_path)
    line = refusal(bad, capsys)
    assert re.search(".*".join(map(re.escape, bad.says.split(" … "))), line), line
    assert "\n" not in line
    assert len(line) < 2500
    assert not MARKER.exists(), "code in the input was run"
    assert contents(tmp_path) == before
    assert Path.cwd() == working_folder


# The table itself.


def test_every_command_has_lines() -> None:
    commands = [bad.call.split()[:1] for bad in TABLE if isinstance(bad.call, str)]
    few = {name: commands.count([name]) for name in COMMANDS}
    assert min(few.values()) >= 8, few


def test_every_public_name_has_a_line() -> None:
    with_lines = {bad.name.partition(":")[0] for bad in TABLE if callable(bad.call)}
    assert public_names() - with_lines - WITHOUT_LINES == set()
    assert public_names() >= WITHOUT_LINES, "a name is there no more"


def test_names_of_bad_inputs_differ() -> None:
    names = [bad.name for bad in TABLE]
    assert len(set(names)) == len(names)


# Full disks.


@pytest.mark.parametrize("command", FULL)
def test_a_full_disk_leaves_only_what_is_whole(
    command: str, working_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, size, too_large = FULL[command]
    PICTURE()
    Path("kept.txt").write_text("as it was")
    before = contents(working_folder)
    with full_disk(size):
        said = refusal(Bad(command, line, ""), capsys)
    assert f"{too_large}" in said
    assert ": File too large; make room, and give the same command again" in said
    after = contents(working_folder)
    assert after.items() >= before.items()
    assert not Path(too_large).exists()
    assert not list(working_folder.rglob("*.partial"))
    new = [path for path in after if path not in before and after[path] != "folder"]
    assert {Path(path).name.split(".")[0] for path in new} <= {"manifest", "events", "hparams"}


def test_when_there_is_room_the_same_command_goes_on(working_folder: Path) -> None:
    line, size, _ = FULL["am on its way"]
    with full_disk(size):
        assert main(shlex.split(line)) == 2
    assert main(shlex.split(line)) == 0
    assert np.load("results.npz")["kernels"].tolist() == [0]
    assert not list(working_folder.rglob("*.partial"))


# Code in files.


@pytest.mark.usefixtures("working_folder")
def test_trust_is_what_lets_code_run() -> None:
    """So that it would be seen if code was run elsewhere."""
    saved("w.pt", {"conv1.weight": Payload()})()
    arguments = "layers --model neurovis.demo.ShapeNet --weights w.pt"
    assert main(shlex.split(arguments)) == 2
    assert not MARKER.exists()
    assert main(shlex.split(f"{arguments} --trust")) == 2
    assert MARKER.exists()


@pytest.mark.usefixtures("working_folder")
def test_a_finished_image_of_code_is_made_anew() -> None:
    stopped_run()
    finished = Path("finished/conv2/kernel_0000.npz")
    with np.load(finished) as arrays:
        whole = dict(arrays)
    np.savez(finished, **{**whole, "curve_0": np.array([Payload()], dtype=object)})
    assert main(shlex.split(GOING_ON)) == 0
    assert not MARKER.exists()
    assert np.load("results.npz")["kernels"].tolist() == [0, 1]
    assert np.load(finished)["curve_0"].tobytes() == whole["curve_0"].tobytes()


# Names that would do something, of layers and pictures that are there.

OUTSIDE = Path(tempfile.gettempdir()) / f"outside_of_results_{os.getpid()}"
HOSTILE = [
    *("../../../outside", str(OUTSIDE), "a/../../b", "CON", "[/red]", "{0.__class__}%s"),
    *("$(touch CODE_WAS_RUN)", "$\\frac{$", "-rf", "two\nlines", "层", "n" * 300, "nul\0l"),
]
#: The same in a table.
HARMLESS = [*HOSTILE]
for _name, _cell in (("-rf", "'-rf"), ("two\nlines", "two\\nlines"), ("nul\0l", "nul\\x00l")):
    HARMLESS[HOSTILE.index(_name)] = _cell
NETWORK = f"""
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        for number, name in enumerate({HOSTILE!r}):
            self._modules[name] = nn.Conv2d(2 if number else 3, 2, 3, padding=1)

    def forward(self, images):
        for layer in self._modules.values():
            images = layer(images)
        return images
"""


_draw = PageFigure.draw


def _draw_where_a_name_could_fail(figure: PageFigure, renderer: Any) -> None:
    """Draw a figure with a name that fonts or formulas may not have; others take half the time."""
    titles = [*figure.texts, *(axes.title for axes in figure.axes)]
    words = "".join(text.get_text() for text in titles)
    if "frac" in words or "层" in words:
        _draw(figure, renderer)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(
    "command",
    [
        "am --layer all-conv --kernels 0 --steps 1",
        "features --layer ../../../outside '[/red]' --images pictures",
        "saliency --kernels 0 --images pictures",
        "rank --layer all-conv --by weight",
        "report --layer ../../../outside '[/red]' '$\\frac{$' --kernels 0 --steps 1 --by weight "
        "--images pictures",
        "layers",
    ],
    ids=lambda command: command.split()[0],
)
def test_results_of_hostile_names_stay_in_their_folder(
    command: str, tmp_path: Path, working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("hostile_network.py").write_text(NETWORK)
    Path("pictures").mkdir()
    for name in HOSTILE[4:]:
        file = name.replace("/", "_").replace("\0", "_")[:200]
        array(f"pictures/{file}.npy", [[[0.1, 0.9], [0.4, 0.6]]] * 3)()
    monkeypatch.setattr(PageFigure, "draw", _draw_where_a_name_could_fail)
    before = contents(tmp_path)
    monkeypatch.setitem(os.environ, "PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    network = "--model hostile_network.Net --input.modalities rgb --input.size 8"
    results = "" if command == "layers" else "--trainer.default_root_dir results"
    try:
        assert main(shlex.split(f"{command} {network} {results}")) == 0
    finally:
        sys.modules.pop("hostile_network", None)
    new = {path for path in contents(tmp_path) if path not in before}
    inside = str((working_folder / "results").relative_to(tmp_path))
    assert all(path.startswith(inside) for path in new), new
    assert not MARKER.exists()
    assert not OUTSIDE.exists()
    if command.startswith("am"):
        with open(
            "results/lightning_logs/version_0/results.csv", newline="", encoding="utf-8"
        ) as file:
            assert [row["layer"] for row in csv.DictReader(file)] == HARMLESS
