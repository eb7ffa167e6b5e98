"""The random state of every device is what it was, and autocast is off on each."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from neurovis import undisturbed


@pytest.mark.parametrize(
    ("kind", "devices"), [("mps", 1), ("xpu", 2), ("privateuseone", 2), ("cuda", 2)]
)
def test_every_accelerator(kind: str, devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generators = [torch.Generator().manual_seed(number) for number in range(devices)]
    if not hasattr(torch, kind):
        monkeypatch.setattr(torch, kind, SimpleNamespace(), raising=False)
    for name, function in {
        "device_count": lambda: devices,
        "get_rng_state": lambda device: generators[device].get_state(),
        "set_rng_state": lambda state, device: generators[device].set_state(state),
        "is_initialized": lambda: True,
    }.items():
        monkeypatch.setattr(getattr(torch, kind), name, function, raising=False)
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda *_: SimpleNamespace(type=kind)
    )
    with undisturbed(nn.Identity()):
        numbers = [torch.rand(3, generator=generator).tolist() for generator in generators]
    assert numbers == [torch.rand(3, generator=generator).tolist() for generator in generators]


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
