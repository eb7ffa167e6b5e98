"""Numbers that are reported are computed in float32, as a network's forward sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from neurovis import (
    ActivationMaximization,
    InputSpec,
    kernel_saliency,
    rank_kernels,
    undisturbed,
)
from neurovis.top_images import TopImagesProbe

SPEC = InputSpec.rgb(16)
IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
#: Whether convolutions, and matrix products, may be shortened, at each forward.
seen: list[tuple[bool, bool]] = []


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        seen.append(record.args)


class Watchful(nn.Sequential):
    """Logs at each forward what is allowed; what it kept itself would be restored."""

    def forward(self, images: Tensor) -> Tensor:
        precision = torch.get_float32_matmul_precision()
        log = logging.getLogger("watchful")
        log.error("%s %s", torch.backends.cudnn.allow_tf32, precision != "highest")
        return super().forward(images)


def network() -> nn.Module:
    torch.manual_seed(0)
    return Watchful(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )


def rank(model: nn.Module, _: Path) -> None:
    rank_kernels(model, "1", by="sparseness", input_spec=SPEC, images=IMAGES)


def rank_under_a_trainer(model: nn.Module, folder: Path) -> None:
    rank_kernels(
        model, "1", by="sparseness", input_spec=SPEC, images=IMAGES, trainer=trainer(folder)
    )


def find_top_images(model: nn.Module, folder: Path) -> None:
    probe = TopImagesProbe(model, {"1": "all"}, IMAGES, k=2, input_spec=SPEC)
    trainer(folder).predict(probe, return_predictions=False)


def explain(model: nn.Module, _: Path) -> None:
    kernel_saliency(model, IMAGES, "1", 0, "integrated_gradients", steps=2)


def watch(model: nn.Module, _: Path) -> None:
    with undisturbed(model):
        model(IMAGES)


def measure_noise(model: nn.Module, _: Path) -> None:
    module = ActivationMaximization(model, layer="1", kernels=[0], input_spec=SPEC)
    seen.clear()  # What is looked at on the way there is not reported.
    module.noise_statistics("1")


@pytest.fixture(autouse=True)
def _shortened() -> Any:
    """All that may be shortened is; this is the default for convolutions."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    seen.clear()
    logger, notes = logging.getLogger("watchful"), _Notes()
    logger.addHandler(notes)
    yield
    logger.removeHandler(notes)
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    "report", [rank, rank_under_a_trainer, find_top_images, explain, watch, measure_noise]
)
def test_every_forward_is_exact(report: Callable[[nn.Module, Path], None], tmp_path: Path) -> None:
    report(network(), tmp_path)
    assert seen
    assert set(seen) == {(False, False)}
    assert torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "medium"


def test_evidence_is_exact_and_the_ascent_need_not_be(tmp_path: Path) -> None:
    module = ActivationMaximization(network(), layer="1", kernels=[0], input_spec=SPEC, steps=2)
    runner = trainer(tmp_path, max_epochs=-1, enable_checkpointing=False)
    steps: list[tuple[bool, bool]] = []

    class OnlySteps(pl.Callback):
        def on_before_backward(self, *_: Any) -> None:
            steps.append(seen.pop())
            seen.clear()

    runner.callbacks.append(OnlySteps())
    runner.fit(module)
    assert steps == [(True, True)] * 2
    assert seen
    assert set(seen) == {(False, False)}
