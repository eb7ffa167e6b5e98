"""A batch size that is chosen by the memory that a device has free, and kept by its run."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from climbing import GRAY, Climber
from torch import Tensor, nn

from neurovis.maximization import (
    ActivationMaximization,
    batch_size,
    unfinished_run,
)
from neurovis.maximization.batch_size import DeviceMemory, fitting_batch_size
from neurovis.maximization.layer_ascent import LayerAscent

pytestmark = pytest.mark.usefixtures("without_figures")

MIB = 2**20
#: Lets the CPU have so many bytes free, of which a step of one job needs 100.
SetFree = Callable[[int], None]


@pytest.fixture
def set_free(monkeypatch: pytest.MonkeyPatch) -> SetFree:
    def set_free(size: int) -> None:
        before = DeviceMemory(free=size, reserved=1000, allocated=950)
        after = DeviceMemory(free=size - 40, reserved=1050, allocated=990)
        told = cycle([before, after])
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        monkeypatch.setitem(batch_size._QUERIES, device.type, lambda _: next(told))
        module = torch.get_device_module(device)
        monkeypatch.setattr(module, "empty_cache", lambda: None, raising=False)

    return set_free


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Layer and number of slots of every ascent that begins."""
    begun: list[tuple[str, int]] = []
    original = LayerAscent.__init__

    def init(self: LayerAscent, layer: Any, jobs: Any, slots: int, *rest: Any) -> None:
        begun.append((layer.name, slots))
        original(self, layer, jobs, slots, *rest)

    monkeypatch.setattr(LayerAscent, "__init__", init)
    return begun


def module(network: nn.Module, layer: Any = "3", **options: Any) -> ActivationMaximization:
    common: dict[str, Any] = {"input_spec": GRAY, "steps": 3, "patience": None}
    return ActivationMaximization(network, layer, **{**common, **options})


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def size_of(folder: Path) -> int:
    size: int = manifest_of(folder)["settings"]["batch_size"]
    return size


# The number.


@pytest.mark.parametrize(
    ("free", "needed", "size"),
    [
        (1000, 100, 5),
        (1199, 100, 5),
        (1200, 100, 6),
        (4 * 2**30, 102 * MIB, 20),
        (139 * 2**30, 102 * MIB, 64),
        (150, 100, 1),
        (-5, 100, 1),
        (1000, 0, 64),
    ],
)
def test_half_of_the_free_memory_from_1_to_64_images(free: int, needed: int, size: int) -> None:
    assert fitting_batch_size(free, needed) == size


def test_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 1)
    told: dict[str, Any] = {
        "mem_get_info": (700, 2000), "memory_reserved": 500, "memory_allocated": 400
    }  # fmt: skip
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, {device: value}.__getitem__)
    assert batch_size._QUERIES["cuda"](device) == DeviceMemory(800, 500, 400)


def test_memory_of_apples_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 2000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 500)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 400)
    assert batch_size._QUERIES["mps"](torch.device("mps")) == DeviceMemory(1600, 500, 400)


# What is done with it.


def _noisy(images: Tensor) -> Tensor:
    return images + 0.1 * torch.randn_like(images)


def test_on_the_cpu_it_is_8(
    small_network: nn.Module, climb: Climber, tmp_path: Path, begun: list[tuple[str, int]]
) -> None:
    by_default, asked = module(small_network, steps=2), module(small_network, steps=2, batch_size=8)
    for name, am in (("default", by_default), ("asked", asked)):
        climb(am, default_root_dir=tmp_path / name)
    assert torch.equal(by_default.results.images, asked.results.images)
    assert torch.equal(by_default.results.curves, asked.results.curves)
    assert manifest_of(tmp_path / "default") == manifest_of(tmp_path / "asked")
    # Nothing was tried beforehand.
    assert begun == [("3", 8), ("3", 8)]


def test_the_first_step_of_the_last_layer_decides_and_disturbs_nothing(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    set_free: SetFree,
    begun: list[tuple[str, int]],
) -> None:
    set_free(650)
    runs = []
    for name, size in (("default", None), ("asked", 3)):
        torch.manual_seed(1)
        options: dict[str, Any] = {"kernels": [0, 1, 2], "transforms": [_noisy], "steps": 2}
        am = module(small_network, ["3", "0"], batch_size=size, **options)
        climb(am, default_root_dir=tmp_path / name)
        runs.append([*(am.results_of(layer).images for layer in am.layers), torch.rand(3)])
    assert begun == [("3", 1), ("3", 3), ("0", 3), ("3", 3), ("0", 3)]
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))
    assert manifest_of(tmp_path / "default") == manifest_of(tmp_path / "asked")
    assert size_of(tmp_path / "default") == 3


def test_variants_are_images_too(
    small_network: nn.Module, climb: Climber, tmp_path: Path, set_free: SetFree
) -> None:
    set_free(450)
    climb(module(small_network, kernels=[0, 1, 2], variants=2, steps=1))
    # A job of two variants needs 100, of 225.
    assert size_of(tmp_path) == 4


def test_no_more_slots_than_images(
    small_network: nn.Module, climb: Climber, set_free: SetFree, begun: list[tuple[str, int]]
) -> None:
    set_free(10**6)
    climb(module(small_network, kernels=[0, 1], steps=1))
    assert begun == [("3", 1), ("3", 2)]


def test_with_deterministic_algorithms_free_memory_decides_nothing(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    set_free: SetFree,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_free(650)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    climb(module(small_network, kernels=[0], steps=1))
    assert size_of(tmp_path) == 8


# Runs that go on.


@pytest.mark.parametrize("given", [None, 2])
def test_a_run_goes_on_with_its_own(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    set_free: SetFree,
    begun: list[tuple[str, int]],
    given: int | None,
) -> None:
    set_free(650)
    size = 3 if given is None else given
    climb(module(small_network, batch_size=given), max_steps=4)
    (stopped,) = tmp_path.glob("manifest.json")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("finished/*/*.npz")}
    assert len(before) == size
    set_free(1250)
    begun.clear()
    rest = module(small_network)
    assert unfinished_run(tmp_path.parent, rest.manifest()) == stopped.parent
    climb(rest)
    assert begun == [("3", size)]
    assert size_of(tmp_path) == size
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(rest.results) == 8


def test_another_one_that_is_asked_for_is_another_run(
    small_network: nn.Module, climb: Climber, tmp_path: Path, set_free: SetFree
) -> None:
    set_free(650)
    climb(module(small_network), max_steps=4)
    other = module(small_network, batch_size=6)
    assert unfinished_run(tmp_path.parent, other.manifest()) is None
    with pytest.raises(ValueError, match=r"differs in settings.batch_size \(6 here, 3 there\);"):
        climb(other)
    # What was not asked for is no difference.
    with pytest.raises(ValueError, match=r"differs in settings.seed \(4 here, 0 there\);"):
        climb(module(small_network, seed=4))


def test_a_run_that_replaces_another_chooses_anew(
    small_network: nn.Module, climb: Climber, tmp_path: Path, set_free: SetFree
) -> None:
    set_free(650)
    climb(module(small_network, kernels=[0]))
    set_free(1250)
    with pytest.warns(UserWarning, match=r"are replaced; they differ in settings.seed \(\S+ here"):
        climb(module(small_network, kernels=[0], seed=4))
    assert size_of(tmp_path) == 6


def test_a_checkpoint_brings_its_own(
    small_network: nn.Module, climb: Climber, tmp_path: Path, set_free: SetFree
) -> None:
    set_free(650)
    trainer = climb(module(small_network), max_steps=4)
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    set_free(1250)
    rest = module(small_network)
    other = pl.Trainer(
        accelerator="cpu", logger=False, max_epochs=-1, default_root_dir=tmp_path / "other",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    other.fit(rest, ckpt_path=tmp_path / "kept.ckpt", weights_only=True)
    assert size_of(tmp_path / "other") == 3
    assert len(rest.results) == 8
