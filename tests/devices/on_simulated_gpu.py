"""A pytest plugin (``-p on_simulated_gpu``), or an import: Trainers run on the simulated GPU.

Trainers that would run on the CPU, be it by ``accelerator="auto"``, run on the simulated GPU, where
``Tensor.is_cuda`` is true, so that the code for CUDA is run. The environment's
``SIMULATED_GPU_MODE`` is

* ``plain``;
* ``bfloat16``: the device computes in it, which ``precision="auto"`` chooses then;
* ``no-float64``: as Apple's GPUs, whose tensors are not ``is_cuda``.
"""

from __future__ import annotations

import functools
import os
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import simulated_gpu
import torch
from left_out import reason_to_leave_out
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from placed_calls import place_calls, placed_calls
from placed_tensors import placed_tensors
from typing_extensions import override

MODES = ("plain", "bfloat16", "no-float64")
MODE = os.environ.get("SIMULATED_GPU_MODE", "plain")
DEVICE = torch.device(simulated_gpu.DEVICE_TYPE, 0)
_LEFT_OUT = "not on the simulated GPU: "
_computed: set[str] = set()
#: Trainers that were moved to the device so far.
trainers = 0


class SimulatedGPU(Accelerator):
    """The simulated devices, as Lightning has CUDA's."""

    @staticmethod
    @override
    def name() -> str:
        return simulated_gpu.DEVICE_TYPE

    @override
    def setup_device(self, device: torch.device) -> None:
        simulated_gpu.set_device(device)

    @override
    def teardown(self) -> None: ...

    @override
    def get_device_stats(self, device: str | torch.device) -> dict[str, Any]:
        return {}

    @staticmethod
    @override
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        return list(range(devices)) if isinstance(devices, int) else [int(one) for one in devices]

    @staticmethod
    @override
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        return [torch.device(simulated_gpu.DEVICE_TYPE, index) for index in devices]

    @staticmethod
    @override
    def auto_device_count() -> int:
        return 1

    @staticmethod
    @override
    def is_available() -> bool:
        return True


def _move_trainers() -> None:
    plain = pl.Trainer.__init__

    @functools.wraps(plain)
    def init(self: pl.Trainer, *args: Any, **options: Any) -> None:
        global trainers
        on_host = options.get("accelerator", "auto") in ("auto", "cpu")
        alone = options.get("devices", "auto") in ("auto", 1, "1")
        if not args and on_host and alone and options.get("strategy", "auto") == "auto":
            trainers += 1
            options |= {
                "accelerator": SimulatedGPU(),
                "devices": 1,
                "strategy": SingleDeviceStrategy(DEVICE),
            }
        plain(self, *args, **options)

    pl.Trainer.__init__ = init


def _behave_as(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"SIMULATED_GPU_MODE must be one of {', '.join(MODES)}; got {mode}")
    simulated_gpu.set_float64(mode != "no-float64")
    torch.Tensor.is_cuda = property(
        lambda tensor: tensor.device.type == DEVICE.type and simulated_gpu.has_float64()
    )
    if mode == "bfloat16":
        from neurovis.maximization import network

        real = network.computes_in_bfloat16
        network.computes_in_bfloat16 = lambda device: device.type == DEVICE.type or real(device)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot be on the device."""
    for item in items:
        reason = reason_to_leave_out(item.nodeid, MODE)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"{_LEFT_OUT}{reason}"))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, object, object]:
    """Place what a module of tests makes when it is imported."""
    with placed_tensors(collector.path, DEVICE):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note which tests compute on the device: others show nothing of it."""
    before = simulated_gpu.launched_kernels()
    # Tests that are written for the device place what they use themselves.
    are_its_own = item.path.parent.name == "on_device"
    calls = nullcontext() if are_its_own else placed_calls()
    with placed_tensors(item.path, DEVICE), calls:
        result = yield
    if simulated_gpu.launched_kernels() > before:
        _computed.add(item.nodeid)
    return result


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what passed, and how much of it was computed on the device, folder by folder."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if outcome not in ("passed", "failed", "error", "skipped"):
                continue
            kind = "failed" if outcome == "error" else outcome
            if outcome == "skipped" and _LEFT_OUT in str(report.longrepr):
                kind = "left out"
            file = Path(report.nodeid.partition("::")[0])
            place = file if file.parent.name == "tests" else file.parent
            for one in (str(place), "all"):
                counts[one][kind] += 1
                counts[one]["on device"] += kind == "passed" and report.nodeid in _computed
    write = terminalreporter.write_line
    write(f"{trainers} Trainers ran on the simulated GPU, mode {MODE}")
    for folder, numbers in sorted(counts.items(), key=lambda pair: (pair[0] == "all", pair[0])):
        write(
            f"{folder}: {numbers['passed']} passed, {numbers['on device']} of them computed on it; "
            f"{numbers['failed']} failed, {numbers['left out']} left out, "
            f"{numbers['skipped']} skipped as elsewhere"
        )


_behave_as(MODE)
_move_trainers()
place_calls(DEVICE)
