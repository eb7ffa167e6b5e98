"""Monitors beside each other, and modules that monitors were not made for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from promise import BATCHES, TinyModule, loader, trainer, written
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    Monitor,
    SaliencyMonitor,
)


class TestTwoOfAKind:
    """Monitors that would overwrite each other's pictures are told apart by name."""

    @pytest.mark.parametrize(
        "pair",
        [
            (FeatureMapMonitor("conv1", kernels="0"), FeatureMapMonitor("all-conv", kernels="1")),
            (SaliencyMonitor(), SaliencyMonitor(kernels=[0])),
            (
                ActivationMaximizationMonitor("conv1", [0]),
                ActivationMaximizationMonitor("conv1", [0], objective="max"),
            ),
        ],
        ids=["feature maps", "saliency", "activation maximization"],
    )
    def test_different_things_under_one_tag(self, pair: Any, tmp_path: Path) -> None:
        run = trainer(tmp_path, callbacks=list(pair))
        with pytest.raises(ValueError, match=r'two \w+s would log .* under ".+"; .*name='):
            run.fit(TinyModule(), loader())

    def test_the_same_at_other_times(self, tmp_path: Path) -> None:
        pair = [SaliencyMonitor(), SaliencyMonitor(every_n_train_steps=2)]
        trainer(tmp_path, callbacks=pair, max_epochs=1).fit(TinyModule(), loader())
        steps = {path.stem for path in (written(tmp_path) / "saliency/gradient/output").iterdir()}
        assert steps == {"step_00000001", "step_00000003", "step_00000004"}

    def test_a_name_of_its_own(self, tmp_path: Path) -> None:
        pair = [SaliencyMonitor(), SaliencyMonitor(kernels=[0], name="first_class")]
        trainer(tmp_path, callbacks=pair, max_epochs=1).fit(TinyModule(), loader())
        found = {path.name for path in written(tmp_path).iterdir()}
        assert found == {"saliency", "saliency_first_class"}

    @pytest.mark.parametrize("name", ["", "a/b", 3])
    def test_bad_names(self, name: Any) -> None:
        with pytest.raises(ValueError, match="name must be a text without slashes"):
            SaliencyMonitor(name=name)


def fit_with(monitor: Monitor, folder: Path, module: LightningModule) -> None:
    trainer(folder, callbacks=[monitor], max_epochs=1).fit(module, loader())


class TwoInputs(TinyModule):
    def forward(self, images: Tensor, depth: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(images + depth)

    def _loss(self, batch: Any) -> Tensor:
        return self(batch[0], batch[0]).mean()

    def predict_step(self, batch: Any) -> Tensor:
        return self(batch[0], batch[0])


class WithoutDepth(TinyModule):
    """Takes what it is given apart, as a batch that is a mapping."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(dict(enumerate(images))["depth"])


def test_a_forward_that_takes_mappings_is_named(tmp_path: Path) -> None:
    message = (
        r"it calls WithoutDepth.forward\(images\) .* KeyError: 'depth'\. Give a forward .*, or"
    )
    with pytest.raises(ValueError, match=f"{message} another input_key or get_images"):
        fit_with(KernelRankingMonitor("conv1", on_error="raise"), tmp_path, WithoutDepth())
    given = KernelRankingMonitor("conv1", on_error="raise", probe_images=torch.rand(2, 3, 12, 12))
    with pytest.raises(ValueError, match=f"{message} probe_images that it can take$"):
        fit_with(given, tmp_path, WithoutDepth())


class TestForwardsThatWantMore:
    message = r"it calls TwoInputs.forward\(images\) .* failed: TypeError: .*'depth'"

    def test_before_the_first_step(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=self.message):
            fit_with(SaliencyMonitor(on_error="raise"), tmp_path, TwoInputs())

    def test_at_the_first_batch_of_other_stages(self, tmp_path: Path) -> None:
        run = trainer(tmp_path, callbacks=[SaliencyMonitor()])
        with pytest.warns(UserWarning, match=self.message):
            assert len(run.predict(TwoInputs(), loader())) == BATCHES


class Detector(TinyModule):
    def forward(self, images: Tensor) -> Any:
        return [{"boxes": images.mean((2, 3))} for _ in images]

    def _loss(self, batch: Any) -> Tensor:
        return self.head(self.conv2(self.conv1(batch[0])).mean((2, 3))).mean()


def test_a_list_of_dictionaries_is_no_tensor_of_all_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="list with a dictionary for each image"):
        fit_with(SaliencyMonitor(on_error="raise"), tmp_path, Detector())


def test_another_dataloader_or_training_may_have_the_images(tmp_path: Path) -> None:
    class Forgiving(TinyModule):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            pass

    table = DataLoader(TensorDataset(torch.rand(4, 5)), batch_size=2)
    monitor = SaliencyMonitor(on_error="raise")
    trainer(tmp_path, callbacks=[monitor]).fit(Forgiving(), loader(), [table, loader(seed=1)])
    assert torch.equal(monitor.probe._images, next(iter(loader(seed=1)))[0])
    monitor = SaliencyMonitor(on_error="raise")
    trainer(tmp_path, callbacks=[monitor]).fit(Forgiving(), loader(), table)
    assert torch.equal(monitor.probe._images, next(iter(loader()))[0])
