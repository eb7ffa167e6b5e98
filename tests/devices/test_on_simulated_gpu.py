"""The core of the suite on a GPU that is simulated on the CPU, in three modes.

Each mode is a process of its own, since a device that is once registered stays, and since there
Trainers are moved to it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_build import CannotBuildError, built

HERE = Path(__file__).parent
TESTS = HERE.parent


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    try:
        built()
    except CannotBuildError as error:
        pytest.skip(f"no simulated GPU: {error}")


def run_on_device(mode: str, *arguments: str, seconds: int = 600) -> None:
    """Run tests in a process of their own, and fail as they do."""
    paths = [str(HERE), str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    options = ["-q", "-p", "on_simulated_gpu", "-p", "no:cacheprovider", "-n", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=TESTS.parent,
        env={**os.environ, "SIMULATED_GPU_MODE": mode, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed", done.stdout), done.stdout[-2000:]


@pytest.mark.parametrize("mode", ["plain", "bfloat16", "no-float64"])
def test_its_own_tests(mode: str) -> None:
    run_on_device(mode, str(HERE / "on_device"))
