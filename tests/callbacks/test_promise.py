"""Training with monitors ends with bitwise the same weights as without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from promise import differences, outcome
from typing_extensions import override

from neurovis.callbacks import FeatureMapMonitor

LAYERS = ["conv1", "frozen_norm", "head"]


def monitors() -> list[Callback]:
    return [
        FeatureMapMonitor(LAYERS, max_images=1, on_error="raise"),
        FeatureMapMonitor(LAYERS, every_n_train_steps=1, max_images=1, on_error="raise"),
    ]


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_watching_does_not_disturb(precision: Any, accumulate: int, tmp_path: Path) -> None:
    arguments = {"precision": precision, "accumulate_grad_batches": accumulate}
    watched = outcome(monitors(), tmp_path / "with", **arguments)
    assert differences(watched, outcome([], tmp_path / "without", **arguments)) == []
    steps = {path.stem for path in (tmp_path / "with").rglob("*.png")}
    assert len(steps) == 2 * (5 if accumulate == 1 else 3)


def test_watching_a_compiled_module_does_not_disturb(tmp_path: Path) -> None:
    watched = outcome(monitors(), tmp_path / "with", compiled=True)
    assert differences(watched, outcome([], tmp_path / "without", compiled=True)) == []
    assert list((tmp_path / "with").rglob("*.png"))


def test_validation_in_mid_epoch_does_not_matter(tmp_path: Path) -> None:
    arguments = {"val_check_interval": 2, "num_sanity_val_steps": 0}
    watched = outcome(monitors(), tmp_path / "with", **arguments)
    assert differences(watched, outcome([], tmp_path / "without", **arguments)) == []


class Careless(Callback):
    """What monitors elsewhere have been seen to do; every one must be found out."""

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.watch(pl_module, batch[0].clone())

    def watch(self, pl_module: LightningModule, images: torch.Tensor) -> None:
        raise NotImplementedError


class ForwardInTrainMode(Careless):
    def watch(self, pl_module: LightningModule, images: torch.Tensor) -> None:
        with torch.no_grad():
            pl_module(images)


class EvalThenTrain(Careless):
    def watch(self, pl_module: LightningModule, images: torch.Tensor) -> None:
        pl_module.eval()
        with torch.no_grad():
            pl_module(images)
        pl_module.train()


class DrawsNoise(Careless):
    @override
    def watch(self, pl_module: LightningModule, images: torch.Tensor) -> None:
        torch.randn_like(images)


class Backward(Careless):
    """Puts every mode back, and clears the gradients that others were accumulating."""

    def watch(self, pl_module: LightningModule, images: torch.Tensor) -> None:
        modes = {part: part.training for part in pl_module.modules()}
        pl_module.eval()
        pl_module(images).sum().backward()
        pl_module.zero_grad()
        for part, mode in modes.items():
            part.training = mode


@pytest.mark.parametrize(
    ("careless", "accumulate"),
    [(ForwardInTrainMode, 1), (EvalThenTrain, 1), (DrawsNoise, 1), (Backward, 2)],
)
def test_careless_monitors_are_found_out(
    careless: type[Careless], accumulate: int, tmp_path: Path
) -> None:
    arguments = {"accumulate_grad_batches": accumulate}
    watched = outcome([careless()], tmp_path, **arguments)
    different = differences(watched, outcome([], tmp_path, **arguments))
    assert [name for name in different if name.startswith("weights.")]


def test_training_is_repeatable(tmp_path: Path) -> None:
    assert differences(outcome([], tmp_path), outcome([], tmp_path)) == []
