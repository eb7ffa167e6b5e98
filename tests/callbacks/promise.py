"""The promise that watching does not disturb, as a harness for every monitor.

``outcome`` trains a small network that has everything a careless monitor is known to trip over,
and returns all that training leaves behind; two outcomes are compared bitwise. ``every_monitor``
is what there is to watch with.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from left_behind import differences as differences
from left_behind import global_state, left_behind
from left_behind import number_of_hooks as number_of_hooks
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    Monitor,
    SaliencyMonitor,
)
from neurovis.inputs import InputSpec

SIZE, CLASSES, BATCH, BATCHES, EPOCHS = 12, 3, 4, 5, 2

#: Whatever of a Trainer's and a module's settings may interact with what a monitor does.
MATRIX = list(itertools.product(["32", "bf16-mixed"], [1, 2], [False, True]))
#: Of these, what is quick; compiled modules are among the trainings, too.
QUICK = [("32", 1, False), ("bf16-mixed", 2, False)]

#: Two instances of every monitor, with different work to do.
MONITORS: list[tuple[type[Monitor], dict[str, Any]]] = [
    (FeatureMapMonitor, {"layers": ["conv1", "head"], "max_kernels": 2}),
    (
        FeatureMapMonitor,
        {"layers": "all-conv", "kernels": "most_active", "max_kernels": 2, "name": "active"},
    ),
    (SaliencyMonitor, {"method": "smoothgrad"}),
    (SaliencyMonitor, {"layer": "conv2", "kernels": [1], "method": "guided_gradcam"}),
    (ActivationMaximizationMonitor, {"layer": "conv2", "kernels": [0], "steps": 2}),
    (
        ActivationMaximizationMonitor,
        {
            "layer": "head",
            "kernels": [2, 0],
            "steps": 1,
            "input_spec": InputSpec.rgb(SIZE),
            "pictures": torch.linspace(0, 1, 10 * 3 * SIZE * SIZE).view(10, 3, SIZE, SIZE),
        },
    ),
    (
        KernelRankingMonitor,
        {
            "layers": "conv2",
            "max_kernels": 1,
            "spatial_frequencies": [0.2],
            "null_kernels": 8,
            "reference": "macaque_v1",
        },
    ),
    (
        KernelRankingMonitor,
        {
            "layers": "relu",
            "by": "color",
            "preferred_images": True,
            "max_kernels": 1,
            "orientations": 4,
            "spatial_frequencies": [0.2],
            "null_kernels": 8,
            "readout": "mean",
        },
    ),
]
KINDS = dict(reversed(MONITORS))
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def every_monitor(**options: Any) -> list[Callback]:
    """Two of each monitor: the first of them fires on epochs, the second on steps."""
    schedules = itertools.cycle([{"every_n_epochs": 1}, {"every_n_train_steps": 2}])
    common = {"max_images": 1, "on_error": "raise", **options}
    return [
        kind(**arguments, **schedule, **common)
        for (kind, arguments), schedule in zip(MONITORS, schedules, strict=False)
    ]


def one_monitor(kind: type[Monitor], **options: Any) -> Monitor:
    """A monitor with little to do."""
    return kind(**{"max_images": 1, "on_error": "raise", **KINDS[kind], **options})


class TinyModule(LightningModule):
    """A user-frozen BatchNorm and a training one, dropout, in-place ReLUs, Adam."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.frozen_norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(6, CLASSES)
        self.frozen_norm.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.frozen_norm(self.conv1(images)))
        features = self.dropout(functional.relu(self.norm(self.conv2(features))))
        return self.head(features.mean((2, 3)))

    def training_step(self, batch: Any) -> Tensor:
        loss = self._loss(batch)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any) -> None:
        self.log("val_loss", self._loss(batch))

    def test_step(self, batch: Any) -> None:
        self.log("test_loss", self._loss(batch))

    def predict_step(self, batch: Any) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    def _loss(self, batch: Any) -> Tensor:
        images, classes = batch
        return functional.cross_entropy(self(images), classes)


class TwoOptimizers(TinyModule):
    """Steps two optimizers by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any) -> None:  # type: ignore[override]
        loss = super().training_step(batch)
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
            optimizer.zero_grad()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:  # type: ignore[override]
        parts = (self.conv1, nn.ModuleList([self.conv2, self.norm, self.head]))
        return [torch.optim.Adam(part.parameters(), lr=1e-2) for part in parts]


def loader(shuffle: bool = False, seed: int = 0, batches: int = BATCHES) -> DataLoader[Any]:
    """Batches of noise; shuffled by the global random generator, as somebody's would be."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(BATCH * batches, 3, SIZE, SIZE, generator=generator)
    classes = torch.randint(CLASSES, (len(images),), generator=generator)
    return DataLoader(TensorDataset(images, classes), batch_size=BATCH, shuffle=shuffle)


def trainer(folder: Path, **arguments: Any) -> Trainer:
    """A quiet Trainer on the CPU."""
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": EPOCHS,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
        "default_root_dir": folder,
    }
    return Trainer(**{**quiet, **arguments})


def outcome(
    callbacks: Sequence[Callback],
    folder: Path,
    compiled: bool = False,
    kind: Callable[[], LightningModule] = TinyModule,
    **arguments: Any,
) -> dict[str, Any]:
    """Train a fresh network, and return everything that training leaves behind, by name."""
    seed_everything(1, verbose=False)
    module = kind()
    run = trainer(folder, callbacks=list(callbacks), **arguments)
    fitted = torch.compile(module, backend="eager") if compiled else module
    run.fit(fitted, loader(shuffle=True), loader(seed=1, batches=2))
    return {**left_behind(run), **global_state()}


def fit(
    callbacks: Callback | Sequence[Callback],
    folder: Path,
    module: LightningModule | None = None,
    **arguments: Any,
) -> Trainer:
    """Train, and return the Trainer."""
    callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
    run = trainer(folder, callbacks=callbacks, **arguments)
    run.fit(module or TinyModule(), loader(shuffle=True), loader(seed=1, batches=2))
    return run


def written(folder: Path, run: int = 0) -> Path:
    """Where the monitors of a run without a logger write."""
    return folder / "lightning_logs" / f"version_{run}"


def png_steps(folder: Path) -> list[int]:
    """The steps of all pictures in a folder, each once."""
    return sorted({int(path.stem.removeprefix("step_")) for path in folder.rglob("*.png")})
