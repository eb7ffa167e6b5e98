"""The core of the suite on a GPU that is simulated on the CPU, in three modes.

They run in processes of their own, since a device that is once registered stays, and since there
Trainers are moved to it. ``run_core.py`` runs the same by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from run_core import CORE, HERE, MODES, TESTS, command, environment
from simulated_build import CannotBuildError, built


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    try:
        built()
    except CannotBuildError as error:
        pytest.skip(f"no simulated GPU: {error}")


def run_on_device(mode: str, *arguments: str, seconds: int = 600) -> None:
    """Run tests in a process of their own, and fail as they do."""
    done = subprocess.run(
        command(*arguments),
        cwd=TESTS.parent,
        env=environment(mode),
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    computed = re.search(r"^all: .* (\d+) of them computed on it", done.stdout, re.MULTILINE)
    assert computed is not None, done.stdout[-2000:]
    assert int(computed[1]) > 0, done.stdout[-2000:]


def test_what_is_written_for_the_device() -> None:
    """In one process: functions where there is no float64, Trainers where there is."""
    run_on_device("plain", "-k", "not with_float64", str(TESTS / "devices" / "on_device"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("part", CORE)
def test_the_core_of_the_suite(part: str, mode: str) -> None:
    run_on_device(mode, str(TESTS / part), seconds=2400)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["am", "rank", "top"])
def test_two_devices_find_what_one_finds(what: str, tmp_path: Path) -> None:
    """Over a process group that takes tensors of the rank's own device only, as NCCL does."""
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        arguments = [str(HERE / "two_devices.py"), what, str(devices), str(folder)]
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment("plain"),
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-4000:]
    alone, first, second = (
        torch.tensor([*chain(*json.loads((tmp_path / file).read_text()))], dtype=torch.float64)
        for file in ("1/found0.json", "2/found0.json", "2/found1.json")
    )
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone)
