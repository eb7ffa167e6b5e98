"""The random state of every device is what it was, and autocast is off on each."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neurovis import undisturbed


class Accelerator:
    """A device's random numbers, as torch's modules for devices have them."""

    def __init__(self, devices: int, **more: Any) -> None:
        self.generators = [torch.Generator().manual_seed(number) for number in range(devices)]
        vars(self).update(more)

    def device_count(self) -> int:
        return len(self.generators)

    def get_rng_state(self, device: int) -> torch.Tensor:
        return self.generators[device].get_state()

    def set_rng_state(self, state: torch.Tensor, device: int) -> None:
        self.generators[device].set_state(state)


@pytest.mark.parametrize(
    ("kind", "devices", "more"),
    [
        ("mps", 1, {}),
        ("xpu", 2, {"is_initialized": lambda: True}),
        ("privateuseone", 2, {}),
        ("cuda", 2, {"is_initialized": lambda: True}),
    ],
)
def test_every_accelerator(
    kind: str, devices: int, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Accelerator(devices, **more)
    real = torch.get_device_module
    monkeypatch.setattr(
        torch, "get_device_module", lambda name=None: made if name == kind else real(name)
    )
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda *_: SimpleNamespace(type=kind)
    )
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    with undisturbed(nn.Identity()):
        numbers = [torch.rand(3, generator=generator).tolist() for generator in made.generators]
    again = [torch.rand(3, generator=generator).tolist() for generator in made.generators]
    assert numbers == again


def test_one_that_is_not_in_use_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = SimpleNamespace(is_initialized=lambda: False)
    monkeypatch.setattr(torch, "get_device_module", lambda *_: asleep)
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda *_: SimpleNamespace(type="xpu")
    )
    # fork_rng asks for the module of the type that it is given, even if for no device.
    monkeypatch.setattr(asleep, "get_rng_state", None, raising=False)
    with undisturbed(nn.Identity()):
        pass


def test_the_host_draws_the_same_numbers() -> None:
    def drawn() -> list[float]:
        return [random.random(), float(np.random.rand()), torch.rand(1).item()]

    with undisturbed(nn.Identity()):
        numbers = drawn()
    assert drawn() == numbers
