"""Between firings a monitor keeps nothing but a little on the CPU, and never more of it."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from promise import (
    KINDS,
    SIZE,
    TinyModule,
    each_kind,
    loader,
    number_of_hooks,
    one_monitor,
    png_steps,
    trainer,
)
from torch import Tensor
from typing_extensions import override

from neurovis.callbacks import Monitor

IMAGES = torch.rand(1, 3, SIZE, SIZE)


@pytest.fixture(autouse=True)
def without_what_was_there() -> Iterator[None]:
    """Objects of other tests and of libraries are not counted, which takes a second each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def tensors_of(value: object, seen: set[int] | None = None) -> list[Tensor]:
    """All tensors that an object of ours refers to."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        parts: list[Any] = list(value.values())
    elif isinstance(value, (list, tuple, set)):
        parts = list(value)
    elif type(value).__module__.startswith("neurovis"):
        parts = list(getattr(value, "__dict__", {}).values())
    else:
        parts = []
    return [tensor for part in parts for tensor in tensors_of(part, seen)]


def live_objects() -> dict[str, int]:
    """How many tensors and how many objects of all sorts there are."""
    gc.collect()
    objects = gc.get_objects()
    # Some libraries' objects fail to tell their class.
    tensors = sum(issubclass(type(one), Tensor) for one in objects)
    return {"tensors": tensors, "objects": len(objects)}


class Ledger(Callback):
    """After each batch, so before and after each firing: what there is."""

    def __init__(self, monitors: list[Monitor], every: int, warm: int) -> None:
        self.monitors, self.every, self.warm = monitors, every, warm
        self.objects: list[dict[str, int]] = []
        self.pickled: list[int] = []
        self.resident: list[float] = []

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert number_of_hooks(pl_module) == 0
        if trainer.global_step < self.warm or (trainer.global_step - self.warm) % self.every:
            return
        self.objects.append(live_objects())
        self.pickled.append(len(pickle.dumps(self.monitors)))
        self.resident.append(_resident_megabytes())


def _resident_megabytes() -> float:
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 / 2**20 if status.exists() else 0.0


def watch(folder: Path, firings: int, every: int, warm: int) -> Ledger:
    """Let every monitor fire after each of many steps, and keep the books."""
    monitors = [one_monitor(kind, every_n_train_steps=1) for kind in KINDS]
    ledger = Ledger(monitors, every, warm)
    run = trainer(folder, callbacks=[*monitors, ledger], max_epochs=-1, max_steps=firings)
    run.fit(TinyModule(), loader(batches=10), loader(seed=1, batches=1))
    assert len(png_steps(folder)) == firings
    return ledger


@pytest.mark.slow
@each_kind
def test_what_is_kept_is_little_and_on_the_cpu(kind: type[Monitor], tmp_path: Path) -> None:
    monitor = one_monitor(kind, probe_images=IMAGES, every_n_train_steps=1)
    run = trainer(tmp_path, callbacks=[monitor], max_epochs=1)
    run.fit(TinyModule(), loader())
    kept = tensors_of(monitor)
    assert any(torch.equal(tensor, IMAGES) for tensor in kept)
    assert all(tensor.device.type == "cpu" for tensor in kept)
    assert not any(tensor.requires_grad or tensor.grad_fn for tensor in kept)
    assert sum(tensor.numel() for tensor in kept) < 20 * IMAGES.numel()


def tensors_after_batches(callbacks: Sequence[Monitor], folder: Path) -> list[int]:
    """How many more tensors there are after each batch of a training than before it."""
    before = live_objects()["tensors"]
    ledger = Ledger([], every=1, warm=4)
    run = trainer(folder, callbacks=[*callbacks, ledger], max_epochs=2)
    run.fit(TinyModule(), loader(), loader(seed=1, batches=1))
    return [books["tensors"] - before for books in ledger.objects]


@pytest.mark.sampled(2)
@each_kind
def test_no_tensor_stays_behind_a_firing(kind: type[Monitor], tmp_path: Path) -> None:
    """Those that there are after firing are the module's, the Trainer's, and what is kept."""
    tensors_after_batches([one_monitor(kind, every_n_train_steps=2)], tmp_path)  # Fills caches.
    gc.freeze()  # What was imported for it is not counted either.
    without = tensors_after_batches([], tmp_path)
    monitor = one_monitor(kind, probe_images=IMAGES, every_n_train_steps=2)
    given = len(tensors_of(monitor))
    watched = tensors_after_batches([monitor], tmp_path)
    kept = len(tensors_of(monitor)) - given
    assert [count - kept for count in watched] == without


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path) -> None:
    ledger = watch(tmp_path, 18, every=6, warm=6)
    assert len(ledger.objects) == 3
    assert max(ledger.pickled) - min(ledger.pickled) < 50
    assert ledger.objects[1]["tensors"] == ledger.objects[2]["tensors"]
    grown = ledger.objects[2]["objects"] - ledger.objects[1]["objects"]
    # Six firings of four monitors lie between: whatever each left would be there six times.
    assert grown < 6


@pytest.mark.slow
def test_memory_does_not_grow_over_a_thousand_firings(tmp_path: Path) -> None:
    ledger = watch(tmp_path, 1000, every=100, warm=100)
    # Step numbers take more bytes as they grow.
    assert max(ledger.pickled) - min(ledger.pickled) < 50
    assert ledger.objects[-1]["tensors"] == ledger.objects[1]["tensors"]
    assert ledger.objects[-1]["objects"] - ledger.objects[1]["objects"] < 100
    # 800 firings of four monitors: a picture that stayed of each would be 200 MiB.
    assert ledger.resident[-1] - ledger.resident[1] < 20
