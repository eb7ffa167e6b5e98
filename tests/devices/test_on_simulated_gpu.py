"""The core of the suite on a GPU that is simulated on the CPU, in three modes.

Each mode is a process of its own, since a device that is once registered stays, and since there
Trainers are moved to it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from simulated_build import CannotBuildError, built

HERE = Path(__file__).parent
TESTS = HERE.parent
ON_DEVICE = HERE / "on_device"
MODES = ("plain", "bfloat16", "no-float64")


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    try:
        built()
    except CannotBuildError as error:
        pytest.skip(f"no simulated GPU: {error}")


def environment(mode: str) -> dict[str, str]:
    """Variables of a process that finds the device and the tests' own modules."""
    paths = [str(HERE), str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "SIMULATED_GPU_MODE": mode, "PYTHONPATH": os.pathsep.join(paths)}


def run_on_device(mode: str, *arguments: str, seconds: int = 600) -> None:
    """Run tests in a process of their own, and fail as they do."""
    options = ["-q", "-p", "on_simulated_gpu", "-p", "no:cacheprovider", "-n", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=TESTS.parent,
        env=environment(mode),
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed", done.stdout), done.stdout[-2000:]


def test_refusals_rankings_and_budgets() -> None:
    run_on_device("plain", str(ON_DEVICE), f"--ignore={ON_DEVICE / 'test_direct.py'}")


def test_everything_without_a_trainer_where_there_is_no_float64() -> None:
    run_on_device("no-float64", str(ON_DEVICE / "test_direct.py"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_all_tests_of_the_device(mode: str) -> None:
    run_on_device(mode, "-m", "", str(ON_DEVICE))


#: Files that stand for the whole, and take their devices from the Trainer or the network.
CORE = (
    "maximization/test_activation_maximization.py",
    "maximization/test_groups.py",
    "tuning/test_rank_kernels.py",
    "saliency/test_kernel_saliency.py",
    "callbacks/test_feature_maps.py",
    "callbacks/test_saliency_monitor.py",
)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("file", CORE)
def test_the_core_of_the_suite(file: str, mode: str) -> None:
    run_on_device(mode, str(TESTS / file))


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
