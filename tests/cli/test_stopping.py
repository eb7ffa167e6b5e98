"""Work that is stopped by hand says what is kept, in one line; long work says how far it is."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurovis.cli import counting, layers, main, picture_run, rank_results
from neurovis.cli.stopping import Stopped, stoppable
from neurovis.maximization.layer_ascent import LayerAscent
from neurovis.maximization.top_images import TopImagesProbe
from neurovis.tuning import TuningProbe

CPU = "--trainer.accelerator cpu"
FIGURES = "figures and their arrays are in"


def _pictures(folder: Path, number: int = 3) -> None:
    values = np.random.default_rng(0).random((number, 4, 64, 64), dtype=np.float32)
    for index, image in enumerate(values):
        np.save(folder / f"{index}.npy", image)


def interrupting(function: Callable[..., Any], after: int) -> Callable[..., Any]:
    """A function that is interrupted instead of its next call, after so many."""
    calls = 0

    def called(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return called


@pytest.mark.parametrize(
    ("command", "where", "after", "says"),
    [
        (
            "am --layer conv2 --kernels 0-3 --steps 2 --batch_size 1",
            (LayerAscent, "climb"),
            5,
            "when 2 of 4 were finished; the same command goes on with the rest, in {folder}",
        ),
        (
            "group-am --layer conv2 --groups 0;1;2 --steps 2 --batch_size 1",
            (LayerAscent, "climb"),
            3,
            "when 1 of 3 were finished; the same command goes on with the rest, in {folder}",
        ),
        (
            "am --layer conv2 --kernels 0 --steps 2 --images .",
            (TopImagesProbe, "predict_step"),
            0,
            "while top images were sought; the preferred images are in {folder}",
        ),
        (
            "rank --layer conv1",
            (TuningProbe, "predict_step"),
            2,
            "before all stimuli were shown; there are no results yet",
        ),
        (
            "rank --layer conv1",
            (rank_results.RankingFiles, "_save_sheets"),
            0,
            "when the ranking was done; its table, arrays and the figures so far are in {folder}",
        ),
        (
            "features --layer conv1 --images .",
            (picture_run.PictureRun, "save_figure"),
            0,
            "before the first figure; there are no results yet",
        ),
        (
            "features --layer conv1 --images .",
            (picture_run.PictureRun, "save_figure"),
            2,
            f"before all pictures were done; 2 {FIGURES} {{folder}}, without the tables",
        ),
        (
            "saliency --images .",
            (picture_run.PictureRun, "save_arrays"),
            1,
            f"before all pictures were done; 2 {FIGURES} {{folder}}, without the tables",
        ),
        (
            "features --layer conv1 --images .",
            (picture_run.PictureRun, "finish"),
            0,
            f"when all pictures were done; 3 {FIGURES} {{folder}}",
        ),
        (
            "report --layer conv1 --kernels 0 --steps 2 --by weight --field_images 0",
            (TopImagesProbe, "predict_step"),
            1,
            "before the page was made; the preferred images are in {folder}, and the same command "
            "goes on there",
        ),
        ("layers", (layers, "list_layers"), 0, "before there were results"),
        (
            "demo --seconds 0 --steps 2 --accelerator cpu",
            (LayerAscent, "climb"),
            3,
            "before the demo was done; what there is so far is in lightning_logs/demo/version_0",
        ),
    ],
    ids=[
        *("am", "group-am", "top images", "rank", "rank drawing", "features", "features later"),
        *("saliency", "features printing", "report", "layers", "demo"),
    ],
)
def test_control_c_is_one_line_that_says_what_is_kept(
    command: str,
    where: tuple[Any, str],
    after: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    owner, name = where
    monkeypatch.setattr(owner, name, interrupting(getattr(owner, name), after))
    handler = signal.getsignal(signal.SIGINT)
    options = "" if command.startswith(("layers", "demo")) else CPU
    assert main(shlex.split(f"{command} {options}")) == 128 + signal.SIGINT
    folder = tmp_path / "lightning_logs" / "version_0"
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("neurovis:")]
    assert said == [f"neurovis: stopped {says.format(folder=folder)}"]
    assert signal.getsignal(signal.SIGINT) is handler
    assert not list(tmp_path.rglob("*.partial"))
    if "without the tables" in says or "no results" in says:
        assert not list(tmp_path.rglob("*.csv"))


def test_what_is_kept_is_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that are said to be there are, and whole."""
    _pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    saved = picture_run.PictureRun.save_figure
    monkeypatch.setattr(picture_run.PictureRun, "save_figure", interrupting(saved, 2))
    arguments = f"features --layer conv1 --images . {CPU} --trainer.logger false"
    assert main(shlex.split(arguments)) == 130
    files = sorted(path.name for path in tmp_path.glob("feature_maps/conv1/*"))
    assert files == ["0000_0.npz", "0000_0.png", "0001_1.npz", "0001_1.png"]
    assert np.load(tmp_path / "feature_maps/conv1/0001_1.npz")["maps"].ndim == 3


def _ends(error: BaseException, context: BaseException | None = None) -> int:
    error.__context__ = context

    def work() -> None:
        with stoppable(lambda: "half way"):
            raise error

    with pytest.raises(Stopped, match="half way") as stopped:
        work()
    return stopped.value.status


def test_the_status_tells_the_signal() -> None:
    assert _ends(KeyboardInterrupt()) == 130
    # How Lightning ends after Ctrl-C, and after SIGTERM; and a script of somebody's own.
    assert _ends(SystemExit(1), KeyboardInterrupt()) == 130
    assert _ends(SystemExit(0)) == 143
    assert _ends(SystemExit(7)) == 7


class _Unlucky:
    """Interrupted while it is let go of, where nothing can be raised."""

    def __del__(self) -> None:
        raise KeyboardInterrupt


def test_control_c_where_nothing_can_be_raised_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def let_go(*_: object, **__: object) -> None:
        _Unlucky()
        time.sleep(10)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layers, "list_layers", let_go)
    begun = time.monotonic()
    assert main(["layers"]) == 130
    assert time.monotonic() - begun < 5
    assert capsys.readouterr().err == "neurovis: stopped before there were results\n"


# Progress.


def test_without_a_terminal_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(counting.time, "monotonic", lambda: now)
    with counting.counted("pictures", 1000) as count:
        for _ in range(8):
            now += 10.0
            count(50)
    assert capsys.readouterr().err.splitlines() == [
        "150 of 1000 pictures, 5.0 a second, about 2 min 50 s left",
        "300 of 1000 pictures, 5.0 a second, about 2 min 20 s left",
    ]


def test_on_a_terminal_there_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counting.sys.stderr, "isatty", lambda: True, raising=False)
    for name, value in (("COLUMNS", "100"), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setitem(os.environ, name, value)
    with counting.counted("pictures", 40) as count:
        count(10)
    assert "10/40" in capsys.readouterr().err
    with counting.counted("pictures", 40, is_shown=False) as count:
        count(10)
    assert capsys.readouterr().err == ""


def test_pictures_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(counting, "_EVERY_LINE", 0.0)
    where = f"{CPU} --trainer.logger false"
    assert main(shlex.split(f"features --layer conv1 --images . --batch_size 2 {where}")) == 0
    lines = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert [line for line in lines if " of 3 pictures" in line] == [
        "2 of 3 pictures",
        "3 of 3 pictures",
    ]
    assert main(shlex.split(f"rank --layer conv1 --by sparseness --images . {where}")) == 0
    assert "3 of 3 pictures looked into" in capsys.readouterr().err
    assert main(shlex.split(f"rank --layer conv1 --sheets 0 {where}")) == 0
    assert "1 of 1 rankings drawn" in capsys.readouterr().err


# Real processes.

MODULE = (sys.executable, "-m", "neurovis")
SLOW = {
    "rank": f"rank --layer all-conv --by orientation sparseness --images . {CPU}",
    "features": f"features --layer all-conv --images . {CPU}",
    "saliency": f"saliency --method integrated_gradients --randomization --images . {CPU}",
    "am": f"am --layer conv2 --kernels 0-15 --steps 64 --batch_size 2 {CPU}",
    "demo": "demo --seconds 5 --epochs 1 --steps 16 --accelerator cpu",
}


def _stopped_after(seconds: float, command: str, folder: Path) -> tuple[int, str]:
    """Status, and what was said on stderr; 0 if the work was done before."""
    process = subprocess.Popen(
        [*MODULE, *shlex.split(command)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_at_whatever_moment_it_is_stopped(name: str, tmp_path: Path) -> None:
    _pictures(tmp_path, 12)
    begun = time.monotonic()
    subprocess.run(
        [*MODULE, *shlex.split(SLOW[name])],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    whole = time.monotonic() - begun
    moments = random.Random(name)
    statuses = []
    for _ in range(6):
        status, said = _stopped_after(moments.uniform(0.5, whole), SLOW[name], tmp_path)
        statuses.append(status)
        lines = [line for line in said.splitlines() if line.startswith("neurovis:")]
        assert status in (0, 128 + signal.SIGINT), said
        assert len(lines) == (status != 0), said
        assert "Traceback" not in said
        assert not list(tmp_path.rglob("*.partial"))
    assert 130 in statuses


@pytest.mark.slow
def test_stopped_while_the_command_is_read_in(tmp_path: Path) -> None:
    """That takes seconds, in which a traceback would come from anywhere in torch."""
    assert _stopped_after(0.7, "layers", tmp_path) == (130, "neurovis: stopped before it began\n")
