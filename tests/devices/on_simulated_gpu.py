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
from typing import Any

import lightning.pytorch as pl
import pytest
import simulated_gpu
import torch
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from typing_extensions import override

MODES = ("plain", "bfloat16", "no-float64")
MODE = os.environ.get("SIMULATED_GPU_MODE", "plain")
DEVICE = torch.device(simulated_gpu.DEVICE_TYPE, 0)
#: Tests of networks that are in float64 themselves, which torch refuses to move to such a device.
OF_FLOAT64_NETWORKS = ("test_networks_of_other_types[dtype0]", "test_precision_of_the_network")
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
    if mode == "no-float64":
        simulated_gpu.refuse_float64()
        return
    of_simulated = property(lambda tensor: tensor.device.type == simulated_gpu.DEVICE_TYPE)
    torch.Tensor.is_cuda = of_simulated
    if mode == "bfloat16":
        from neurovis.maximization import precision

        real = precision.computes_in_bfloat16
        precision.computes_in_bfloat16 = lambda device: device.type == DEVICE.type or real(device)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of networks that cannot be on the device."""
    for item in items:
        if MODE == "no-float64" and item.name in OF_FLOAT64_NETWORKS:
            item.add_marker(pytest.mark.skip(reason="the device has no float64"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many Trainers ran on the device: none would show nothing."""
    terminalreporter.write_line(f"{trainers} Trainers ran on the simulated GPU, mode {MODE}")


_behave_as(MODE)
_move_trainers()
