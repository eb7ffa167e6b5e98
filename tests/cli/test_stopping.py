"""Work that is stopped by hand says what is kept, in one line; long work says how far it is."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept import FIRST_RUN

from neurovis.analysis import ResultFiles, ranking_files
from neurovis.cli import layers, picture_run
from neurovis.cli.main import main
from neurovis.cli.stopping import Stopped, Terminated, stoppable
from neurovis.maximization import progress
from neurovis.maximization.layer_ascent import LayerAscent
from neurovis.top_images import TopImagesProbe
from neurovis.tuning import TuningProbe

CPU = "--trainer.accelerator cpu"
FEW = "--orientations 4 --phases 3 --spatial_frequencies [0.1] --null_kernels 10 --batch_size 4"
FIGURES = "figures and their arrays are in"


def _pictures(folder: Path, number: int = 3) -> None:
    values = np.random.default_rng(0).random((number, 4, 64, 64), dtype=np.float32)
    for index, image in enumerate(values):
        np.save(folder / f"{index}.npy", image)


def _control_c() -> None:
    raise KeyboardInterrupt


def _sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)  # It is to come before this ends.
    raise AssertionError("SIGTERM was not heeded")


def interrupting(
    function: Callable[..., Any], after: int, interrupt: Callable[[], None] = _control_c
) -> Callable[..., Any]:
    """A function that is interrupted instead of its next call, after so many."""
    calls = 0

    def called(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            interrupt()
        return function(*arguments, **options)

    return called


STOPS: dict[str, tuple[str, tuple[Any, str], int, str]] = {
    "am": (
        "am --layer conv2 --kernels 0-3 --steps 2 --batch_size 1",
        (LayerAscent, "compute_step"),
        5,
        "when 2 of 4 were finished; the same command makes the rest, in {folder}",
    ),
    "group-am": (
        "group-am --layer conv2 --groups 0;1;2 --steps 2 --batch_size 1",
        (LayerAscent, "compute_step"),
        3,
        "when 1 of 3 were finished; the same command makes the rest, in {folder}",
    ),
    "am that is not resumed": (
        "am --layer conv2 --kernels 0-2 --steps 2 --batch_size 1 --resume false",
        (LayerAscent, "compute_step"),
        3,
        "when 1 of 3 were finished; finished images are in {folder}",
    ),
    "am with a logger": (
        "am --layer conv2 --kernels 0-2 --steps 2 --batch_size 1 --trainer.logger CSVLogger "
        "--trainer.logger.save_dir .",
        (LayerAscent, "compute_step"),
        3,
        "when 1 of 3 were finished; finished images are in lightning_logs/version_0",
    ),
    "top images": (
        "am --layer conv2 --kernels 0 --steps 2 --images .",
        (TopImagesProbe, "predict_step"),
        0,
        "while evidence was sought; the preferred images are in {folder}",
    ),
    "rank": (
        f"rank --layer conv1 {FEW}",
        (TuningProbe, "predict_step"),
        2,
        "before all stimuli were shown; there are no results yet",
    ),
    "rank drawing": (
        f"rank --layer conv1 {FEW}",
        (ranking_files, "save_sheets"),
        0,
        "when the ranking was done; its table, arrays and the figures so far are in {folder}",
    ),
    "features": (
        "features --layer conv1 --images .",
        (ResultFiles, "save_figure"),
        0,
        "before the first figure; there are no results yet",
    ),
    "features later": (
        "features --layer conv1 --images .",
        (ResultFiles, "save_figure"),
        2,
        f"before all pictures were done; 2 {FIGURES} {{folder}}, without the tables",
    ),
    "saliency": (
        "saliency --images .",
        (ResultFiles, "save_arrays"),
        1,
        f"before all pictures were done; 2 {FIGURES} {{folder}}, without the tables",
    ),
    "features printing": (
        "features --layer conv1 --images .",
        (picture_run.PictureRun, "finish"),
        0,
        f"when all pictures were done; 3 {FIGURES} {{folder}}",
    ),
    "report": (
        "report --layer conv1 --kernels 0 --steps 2 --by weight --field_images 0",
        (TopImagesProbe, "predict_step"),
        1,
        "before the page was made; the preferred images are in {folder}, and the same command "
        "resumes there",
    ),
    "layers": ("layers", (layers, "list_layers"), 0, "before there were results"),
    "demo": (
        "demo --seconds 0 --steps 2 --accelerator cpu",
        (LayerAscent, "compute_step"),
        3,
        "before the demo was done; what there is so far is in lightning_logs/demo/version_0",
    ),
}


@pytest.fixture
def sigterm() -> Iterator[Callable[..., Any]]:
    """The handler before; where commands do not take its place, SIGTERM is to end no tests."""

    def unheeded(*_: object) -> None:
        raise AssertionError("SIGTERM was not heeded")

    before = signal.signal(signal.SIGTERM, unheeded)
    yield unheeded
    signal.signal(signal.SIGTERM, before)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("stop", "interrupt", "status"),
    [
        *(
            pytest.param(
                *(name, _control_c, 130), id=name, marks=pytest.mark.slow if name == "demo" else ()
            )
            for name in STOPS
        ),
        *(
            pytest.param(name, _sigterm, 143, id=f"{name}, SIGTERM")
            for name in ("am", "top images", "rank", "features later", "report", "layers")
        ),
    ],
)
def test_what_is_stopped_says_in_one_line_what_is_kept(
    stop: str,
    interrupt: Callable[[], None],
    status: int,
    sigterm: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    command, (owner, name), after, says = STOPS[stop]
    monkeypatch.setattr(owner, name, interrupting(getattr(owner, name), after, interrupt))
    handler = signal.getsignal(signal.SIGINT)
    options = "" if command.startswith(("layers", "demo")) else CPU
    assert main(shlex.split(f"{command} {options}")) == status
    folder = tmp_path / "lightning_logs" / "version_0"
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("neurovis:")]
    assert said == [f"neurovis: stopped {says.format(folder=folder)}"]
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getsignal(signal.SIGTERM) is sigterm
    assert not list(tmp_path.rglob("*.partial"))
    if "without the tables" in says or "no results" in says:
        assert not list(tmp_path.rglob("*.csv"))


def test_what_is_kept_is_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that are said to be there are, and whole."""
    _pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    saved = ResultFiles.save_figure
    monkeypatch.setattr(ResultFiles, "save_figure", interrupting(saved, 2))
    arguments = f"features --layer conv1 --images . {CPU} --trainer.logger false"
    assert main(shlex.split(arguments)) == 130
    files = sorted(path.name for path in tmp_path.glob(f"{FIRST_RUN}/feature_maps/conv1/*"))
    assert files == ["0000_0.npz", "0000_0.png", "0001_1.npz", "0001_1.png"]
    assert np.load(tmp_path / FIRST_RUN / "feature_maps/conv1/0001_1.npz")["maps"].ndim == 3


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
    assert _ends(Terminated()) == 143
    # How Lightning ends after Ctrl-C, and after SIGTERM; and a script of somebody's own.
    assert _ends(SystemExit(1), KeyboardInterrupt()) == 130
    assert _ends(SystemExit(1), Terminated()) == 143
    assert _ends(SystemExit(0)) == 143
    assert _ends(SystemExit(7)) == 7


# Progress.


def test_without_a_terminal_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "time", lambda: now)
    with progress.progress_bar("pictures", 1000) as bar:
        monkeypatch.setattr(bar, "_time", lambda: now)
        bar.start_t = bar.last_print_t = now
        for _ in range(8):
            now += 10.0
            bar.update(50)
    lines = [line.strip() for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert lines == [
        "pictures: 150 of 1000 [ 5.00it/s, 02:50 left]",
        "pictures: 300 of 1000 [ 5.00it/s, 02:20 left]",
    ]


def test_on_a_terminal_there_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with progress.progress_bar("pictures", 40) as bar:
        bar.update(10)
    assert "pictures: 10 of 40 |" in capsys.readouterr().err
    with progress.progress_bar("pictures", 40, is_shown=False) as bar:
        bar.update(10)
    assert capsys.readouterr().err == ""


def test_pictures_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "_EVERY_LINE", 0.0)
    where = f"{CPU} --trainer.logger false"
    assert main(shlex.split(f"features --layer conv1 --images . --batch_size 2 {where}")) == 0
    lines = [line.partition(" [")[0].strip() for line in capsys.readouterr().err.splitlines()]
    counted = [line for line in lines if line.startswith("pictures")]
    assert counted[-2:] == ["pictures: 2 of 3", "pictures: 3 of 3"]
    assert main(shlex.split(f"rank --layer conv1 --by sparseness --images . {where}")) == 0
    assert "pictures looked into: 3 of 3" in capsys.readouterr().err
    assert main(shlex.split(f"rank --layer conv1 {FEW} --sheets 0 {where}")) == 0
    assert "rankings drawn: 1 of 1" in capsys.readouterr().err


# Real processes.

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's /proc"
)
MODULE = (sys.executable, "-m", "neurovis")
SLOW = {
    "rank": f"rank --layer all-conv --by orientation sparseness --images . {CPU}",
    "features": f"features --layer all-conv --images . {CPU}",
    "saliency": f"saliency --method integrated_gradients --randomization --images . {CPU}",
    "am": f"am --layer conv2 --kernels 0-15 --steps 64 --batch_size 2 {CPU}",
    "demo": "demo --seconds 5 --epochs 1 --steps 16 --accelerator cpu",
}


_SIGTERM_IS_CAUGHT = 1 << (signal.SIGTERM - 1)


def _has_handlers(process: int) -> bool:
    """True if a process has handlers of its own by now; Python itself has one of SIGINT."""
    status = Path(f"/proc/{process}/status").read_text()
    (caught,) = (line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & _SIGTERM_IS_CAUGHT)


def _stopped_after(
    seconds: float, command: str, folder: Path, by: signal.Signals = signal.SIGINT
) -> tuple[int, str]:
    """Status, and what was said on stderr; 0 if the work was done before.

    Seconds count from when the command listens to signals: before, they end Python itself.
    """
    process = subprocess.Popen(
        [*MODULE, *shlex.split(command)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    while process.poll() is None and not _has_handlers(process.pid):
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(by)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@needs_proc
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
    for by in (signal.SIGINT, signal.SIGTERM) * 3:
        status, said = _stopped_after(moments.uniform(0, whole), SLOW[name], tmp_path, by)
        statuses.append(status)
        lines = [line for line in said.splitlines() if line.startswith("neurovis:")]
        assert status in (0, 128 + by), said
        assert len(lines) == (status != 0), said
        assert "Traceback" not in said
        assert not list(tmp_path.rglob("*.partial"))
    assert {130, 143} & {*statuses}


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(("command", "seconds"), [("layers", 0.2), ("demo --seconds 5", 1)])
def test_stopped_while_the_command_is_read_in(command: str, seconds: float, tmp_path: Path) -> None:
    """That takes seconds, in which a traceback would come from anywhere in torch."""
    for by in (signal.SIGINT, signal.SIGTERM):
        stopped = _stopped_after(seconds, command, tmp_path, by)
        assert stopped == (128 + by, "neurovis: stopped before it began\n")


# Ctrl-C again and again, on a terminal.

CHILD = """
import sys
from neurovis.__main__ import main
sys.exit(main())
"""


def _on_a_terminal(command: str, folder: Path, pauses: Sequence[float]) -> tuple[int, str]:
    """Status, and all that was said, of a command that gets Ctrl-C after each of some pauses."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        os.execv(sys.executable, [sys.executable, "-c", CHILD, *shlex.split(command)])
    try:
        while not _has_handlers(process):
            time.sleep(0.01)
        for pause in pauses:
            time.sleep(pause)
            os.write(terminal, b"\x03")
        said = b""
        with contextlib.suppress(OSError):  # So ends a terminal whose process has ended.
            while part := os.read(terminal, 10_000):
                said += part
    finally:
        os.close(terminal)
        _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), said.decode(errors="replace")


@needs_proc
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 25))]
)
def test_control_c_again_and_again_prints_no_traceback(seed: int, tmp_path: Path) -> None:
    _pictures(tmp_path)
    chance = random.Random(seed)
    name = chance.choice(sorted(SLOW))
    # Before anything has begun, while it begins, or in the middle; the others follow at once.
    first = 0.0 if not seed else chance.uniform(0, 12)
    pauses = [first, *(10 ** chance.uniform(-4, 0) for _ in range(3))]
    status, said = _on_a_terminal(SLOW[name], tmp_path, pauses)
    assert status in (0, 130), said
    # Lightning's own line, while it trains the demo's network.
    said = said.replace("Detected KeyboardInterrupt, attempting graceful shutdown", "")
    for words in ("Traceback", "KeyboardInterrupt", "Exception ignored", "Error"):
        assert words not in said, (name, pauses, said)


@pytest.mark.parametrize("moment", ["work", "telling"])
def test_a_second_control_c_ends_the_process(moment: str, tmp_path: Path) -> None:
    """Wherever it comes after the first: in what is done about that one, or in telling of it."""
    script = """
import os, signal, sys
from neurovis.cli.main import main

module = sys.modules["neurovis.cli.main"]

def again(*_):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)

def work(*_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        if sys.argv[1] == "work":
            os.kill(os.getpid(), signal.SIGINT)

module._run = work
if sys.argv[1] == "telling":
    module._end = again
sys.exit(main(["layers"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, moment],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
