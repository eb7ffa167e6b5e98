"""Runs that work without monitors, and what monitors make of them: pictures, or one warning."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from promise import (
    BATCH,
    BATCHES,
    SIZE,
    TinyModule,
    differences,
    each_kind,
    fit,
    one_monitor,
    outcome,
    png_steps,
    trainer,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    Monitor,
    SaliencyMonitor,
)


def only_when_watched(module: LightningModule) -> bool:
    """True in evaluation mode while training batches go by."""
    return not module.training and module.trainer.training


class Exits(TinyModule):
    """Ends the program, as a script that only trains may."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        if only_when_watched(self):
            sys.exit(3)
        return super().forward(images)


class Cancelled(TinyModule):
    @override
    def forward(self, images: Tensor) -> Tensor:
        if only_when_watched(self):
            raise asyncio.CancelledError
        return super().forward(images)


class Grows(TinyModule):
    """Keeps all that it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(0))

    @override
    def forward(self, images: Tensor) -> Tensor:
        output = super().forward(images)
        self.seen.resize_(len(self.seen) + len(images)).fill_(1)
        return output * self.seen.mean()


class Without(TinyModule):
    """Has no forward: its training step does all."""

    forward = LightningModule.forward

    @override
    def _loss(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(TinyModule.forward(self, batch[0]), batch[1])


class Copes(TinyModule):
    """Is shown images of which some values are missing."""

    @override
    def _loss(self, batch: Any) -> Tensor:
        images, classes = batch
        return nn.functional.cross_entropy(self(images), classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.nan_to_num())

    @override
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        batch[0][:, 2, 0] = float("nan")
        return batch


SAID = [
    (SaliencyMonitor, Exits, r"it ends the program \(exit status 3\)"),
    (FeatureMapMonitor, Exits, r"it ends the program \(exit status 3\)"),
    (SaliencyMonitor, Cancelled, "CancelledError"),
    (SaliencyMonitor, Without, r"Without defines no forward\(images\).*; add one"),
    (SaliencyMonitor, Copes, r"\(found in batch\[0\].* 48 values .* give probe_images without"),
]
SHOWN = [
    (FeatureMapMonitor, Copes),
    (ActivationMaximizationMonitor, Copes),
    (KernelRankingMonitor, Copes),
]


@pytest.mark.parametrize(("kind", "module", "message"), SAID)
def test_one_warning(
    kind: type[Monitor],
    module: type[TinyModule],
    message: str,
    tmp_path: Path,
    plain_outcome: Callable[..., dict[str, Any]],
) -> None:
    monitor = one_monitor(kind, on_error="warn", every_n_train_steps=1, max_images=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watched = outcome([monitor], tmp_path, kind=module)
    texts = [str(one.message) for one in caught]
    (said,) = [text for text in texts if text.startswith(f"{kind.__name__} cannot watch")]
    assert re.search(message, said)
    assert differences(watched, plain_outcome(kind=module)) == []


@pytest.mark.parametrize(("kind", "module"), SHOWN)
def test_pictures(
    kind: type[Monitor],
    module: type[TinyModule],
    tmp_path: Path,
    plain_outcome: Callable[..., dict[str, Any]],
) -> None:
    watched = outcome([one_monitor(kind)], tmp_path, kind=module)
    assert len(png_steps(tmp_path)) == 2
    assert differences(watched, plain_outcome(kind=module)) == []


def test_a_buffer_that_grows(tmp_path: Path) -> None:
    """Restored, or named in a warning; the run goes on in any case."""
    module = Grows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = fit(one_monitor(SaliencyMonitor, on_error="warn"), tmp_path, module)
    assert run.global_step == 2 * BATCHES


@each_kind
def test_barebones_writes_nothing(
    kind: type[Monitor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    settings |= {"log_every_n_steps": 0, "barebones": True, "default_root_dir": None}
    monitor = one_monitor(kind, on_error="warn")
    with pytest.warns(UserWarning, match=r"barebones=True\) logs nothing; leave barebones out"):
        run = fit(monitor, tmp_path, **settings)
    assert run.global_step == 2 * BATCHES
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="barebones"):
        fit(one_monitor(kind), tmp_path, **settings)


class HalfFrozen(TinyModule):
    """Its first layer is frozen in bfloat16, as a backbone may be; autocast takes both."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1.to(torch.bfloat16).requires_grad_(False)


@each_kind
def test_dtypes_that_need_autocast_are_named(kind: type[Monitor], tmp_path: Path) -> None:
    message = "HalfFrozen has parameters of bfloat16 and float32, .* keep all its parameters in one"
    with pytest.raises(ValueError, match=message):
        fit(one_monitor(kind), tmp_path, HalfFrozen(), precision="bf16-mixed")


class Lazy(TinyModule):
    """Its first layer is initialized by its first call, with random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.LazyConv2d(4, 3)  # type: ignore[assignment]

    @override
    def validation_step(self, batch: Any) -> None:
        pass


@pytest.mark.filterwarnings("ignore:Lazy modules")
@each_kind
def test_lazy_layers_are_initialized_by_training(
    kind: type[Monitor], tmp_path: Path, plain_outcome: Callable[..., dict[str, Any]]
) -> None:
    monitor = one_monitor(kind, every_n_train_steps=5)
    watched = outcome([monitor], tmp_path, kind=Lazy)
    assert png_steps(tmp_path) == [4, 9]
    assert differences(watched, plain_outcome(kind=Lazy)) == []


class Views(Dataset[Any]):
    """Pictures with their depth and their segmentation, which is no image."""

    def __len__(self) -> int:
        return 2 * BATCH

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        parts = {"depth": 1, "seg": 1, "rgb": 3}
        views = {
            name: torch.rand(channels, SIZE, SIZE, generator=generator)
            for name, channels in parts.items()
        }
        return {**views, "class": index % 3}


class OfViews(TinyModule):
    def __init__(self, shown: str = "rgb", channels: int = 3) -> None:
        super().__init__()
        self.shown = shown
        self.conv1 = nn.Conv2d(channels, 4, 3)

    @override
    def _loss(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self(batch[self.shown]), batch["class"])


@pytest.mark.parametrize(
    ("module", "found"), [(OfViews(), "rgb"), (OfViews("depth", 1), "depth")], ids=["rgb", "depth"]
)
def test_images_have_the_channels_that_the_network_takes(
    module: OfViews, found: str, tmp_path: Path
) -> None:
    monitor = SaliencyMonitor(on_error="raise")
    batches = DataLoader(Views(), BATCH)
    trainer(tmp_path, callbacks=[monitor], max_epochs=1).fit(module, batches, batches)
    assert torch.equal(monitor.probe._images, next(iter(batches))[found])


def test_where_images_were_looked_for_is_said(tmp_path: Path) -> None:
    module = OfViews("seg", 1)
    monitor = SaliencyMonitor(input_key="rgb", on_error="raise")
    message = r"found in batch\['rgb'\] of the first training batch, .*another input_key or get_ima"
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path, callbacks=[monitor]).fit(module, DataLoader(Views(), BATCH))


def exit_on_signal(*_: object) -> None:
    sys.exit("asked to stop")


class Stopped(TinyModule):
    """Is told to stop by the system while a monitor watches."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        if only_when_watched(self):
            signal.raise_signal(signal.SIGUSR2)
        return super().forward(images)


class Handler:
    """Handles signals as Lightning does: an object that is called."""

    def __call__(self, *_: object) -> None:
        sys.exit("asked to stop")


@pytest.mark.parametrize("handler", [exit_on_signal, Handler()])
def test_a_signal_ends_the_program_in_a_monitor_too(
    handler: Callable[..., None], tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGUSR2, handler)
    try:
        with pytest.raises(SystemExit, match="asked to stop"):
            fit(one_monitor(SaliencyMonitor, on_error="warn"), tmp_path, Stopped())
    finally:
        signal.signal(signal.SIGUSR2, before)
