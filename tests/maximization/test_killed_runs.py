"""The command itself, killed at random moments and by Ctrl-C, and started again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept import kept_images
from processes import started

KERNELS = range(24)
#: Seconds after which something hangs.
TOO_LONG = 300.0


@contextmanager
def command(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``neurovis am`` in a process group of its own, of which nothing is left afterwards."""
    with started(
        *("-m", "neurovis", "am", "--layer", "conv2", "--kernels", "0-23"),
        *("--steps", "60", "--batch_size", "2", "--patience", "12"),
        *("--min_improvement", "0.02", "--trainer.accelerator", "cpu"),
        *("--trainer.default_root_dir", folder, *arguments),
    ) as process:
        yield process


def finish(folder: Path, *arguments: str) -> str:
    """Let the command come to its end; what it printed."""
    with command(folder, *arguments) as process:
        output, _ = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 0, output
    return output


def wait_for(process: subprocess.Popen[str], condition: Any) -> None:
    """Until a condition holds or the process is over."""
    start = time.monotonic()
    while process.poll() is None and not condition():
        assert time.monotonic() - start < TOO_LONG, "the command hangs"
        time.sleep(0.01)


def written(path: Path) -> int | None:
    """When a file was written last."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def images(run: Path) -> dict[str, dict[str, Any]]:
    """The arrays of every finished image."""
    found = {}
    for path in sorted(run.glob("finished/*/*.npz")):
        with np.load(path) as arrays:
            found[path.name] = {name: arrays[name] for name in arrays.files}
    return found


def assert_is_whole(run: Path, reference: Path) -> None:
    """That a run is complete, and the same bit by bit as one that nobody stopped."""
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest == json.loads((reference / "manifest.json").read_text())
    assert [image["kernels"] for image in manifest["images"]] == [[kernel] for kernel in KERNELS]
    ours, theirs = images(run), images(reference)
    assert list(ours) == list(theirs) == [f"kernel_{kernel:04d}.npz" for kernel in KERNELS]
    for file in ours:
        assert ours[file].keys() == theirs[file].keys()
        for name, array in ours[file].items():
            np.testing.assert_array_equal(array, theirs[file][name], err_msg=f"{file} {name}")
    with np.load(run / "results.npz") as one, np.load(reference / "results.npz") as other:
        assert one["kernels"].tolist() == list(KERNELS)
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert (run / "results.csv").read_bytes() == (reference / "results.csv").read_bytes()
    np.testing.assert_array_equal(kept_images(run), kept_images(reference))
    pictures = {path.name for path in (run / "images").iterdir()}
    assert pictures == {path.name for path in (reference / "images").iterdir()}
    assert not list(run.rglob("*.partial"))


@pytest.mark.slow
def test_after_twenty_kills_it_is_as_if_nothing_had_happened(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    reference = tmp_path / "reference"
    with command(reference, "--trainer.logger", "false") as process:
        begun = time.monotonic()
        wait_for(process, (reference / "manifest.json").exists)
        started = time.monotonic()
        output, _ = process.communicate(timeout=TOO_LONG)
        assert process.returncode == 0, output
        startup, work = started - begun, time.monotonic() - started
    moments = random.Random(5)
    counts, kills = [], 0
    while kills < 22:
        before = written(manifest)
        with command(tmp_path, "--trainer.logger", "false") as process:
            if kills % 6 == 5:
                # Anywhere in the start, where what is there is looked at.
                time.sleep(moments.uniform(0.3, 1.1) * startup)
            else:
                # While images are made or, when all are there, pictures of them drawn.
                wait_for(process, lambda then=before: written(manifest) != then)
                wanted = min(len(images(tmp_path)) + moments.randint(0, 1), len(KERNELS))
                wait_for(process, lambda many=wanted: len(images(tmp_path)) >= many)
                time.sleep(moments.uniform(0, 0.04) * work)
            assert process.poll() is None, "it was done before it was killed"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=TOO_LONG)
        assert process.returncode == -signal.SIGKILL
        kills += 1
        counts.append(len(images(tmp_path)))
        assert counts == sorted(counts), "finished images were lost"
        if manifest.exists():
            assert json.loads(manifest.read_text())["complete"] is False
    # Kills hit all that can be hit.
    assert len(set(counts)) > 4, counts
    kept = {path: written(path) for path in tmp_path.glob("finished/*/*.npz")}
    finish(tmp_path, "--trainer.logger", "false")
    assert {path: written(path) for path in kept} == kept, "finished images were made again"
    assert_is_whole(tmp_path, reference)


@pytest.mark.slow
@pytest.mark.parametrize("stopping", [signal.SIGINT, signal.SIGTERM])
def test_control_c_says_how_to_go_on(tmp_path: Path, stopping: signal.Signals) -> None:
    runs = tmp_path / "lightning_logs"
    with command(tmp_path) as process:
        wait_for(process, lambda: len(list(runs.glob("version_0/finished/*/*.npz"))) >= 5)
        os.killpg(process.pid, stopping)
        output, _ = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 128 + stopping, output
    finished = len(images(runs / "version_0"))
    assert 5 <= finished < len(KERNELS)
    expected = (
        f"neurovis: stopped when {finished} of 24 were finished; the same command makes the rest"
    )
    assert expected in output
    assert "Traceback" not in output
    assert not list(tmp_path.rglob("*.partial"))
    assert f"Resuming in {runs / 'version_0'}" in finish(tmp_path)
    assert [path.name for path in runs.iterdir()] == ["version_0"]
    finish(tmp_path / "reference", "--trainer.logger", "false")
    assert_is_whole(runs / "version_0", tmp_path / "reference")
