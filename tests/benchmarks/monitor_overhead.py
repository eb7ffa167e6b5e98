"""Prints what watching costs: ``python tests/benchmarks/monitor_overhead.py [--accelerator gpu]``.

ResNet-18 at 224 pixels trains on batches of 32 with all monitors attached. Each firing is timed
between two training steps of the same run, and given in units of the median step.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    Monitor,
    SaliencyMonitor,
)
from neurovis.inputs import InputSpec

SIZE, BATCH, EPOCH = 224, 32, 200


class Classifier(LightningModule):
    """ResNet-18 as anyone trains it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = resnet18()

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, 1000)``."""
        return self.network(images)

    def training_step(self, batch: Any) -> Tensor:
        """Cross-entropy."""
        images, classes = batch
        return functional.cross_entropy(self(images), classes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=1e-3, momentum=0.9)


class Mark(Callback):
    """Notes the time when its turn comes; monitors stand between two of them."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        """Before a step, among the callbacks."""
        self.begun.append(_now())

    def on_train_batch_end(self, *_: Any) -> None:
        """After a step, among the callbacks."""
        self.ended.append(_now())


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def monitors(every: int) -> dict[str, Monitor]:
    """Every monitor at its defaults, and feature maps of more layers."""
    spec = InputSpec.rgb(SIZE)
    common: dict[str, Any] = {
        "every_n_train_steps": every,
        "input_spec": spec,
        "on_error": "raise",
    }
    stages = [f"network.layer{stage}" for stage in (1, 2, 3, 4)]
    return {
        "feature maps, one layer": FeatureMapMonitor(stages[0], **common),
        "feature maps, four layers": FeatureMapMonitor(stages, **common),
        "feature maps, all 20 convolutions": FeatureMapMonitor("all-conv", **common),
        "saliency": SaliencyMonitor(**common),
        "activation maximization": ActivationMaximizationMonitor(stages[3], **common),
        "kernel ranking, first layer": KernelRankingMonitor("network.conv1", **common),
        "kernel ranking, last layer": KernelRankingMonitor(stages[3], **common),
    }


def measure(accelerator: str, firings: int, every: int) -> tuple[float, dict[str, list[float]]]:
    """Median seconds of a step, and for each monitor seconds of begin, firing and not firing."""
    watching = monitors(every)
    marks = [Mark() for _ in range(len(watching) + 1)]
    callbacks: list[Callback] = [marks[0]]
    for monitor, mark in zip(watching.values(), marks[1:], strict=True):
        callbacks += [monitor, mark]
    steps = firings * every
    images = torch.randn(BATCH, 3, SIZE, SIZE)
    data = TensorDataset(images.repeat(2, 1, 1, 1), torch.randint(1000, (2 * BATCH,)))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            max_steps=steps,
            logger=TensorBoardLogger(folder),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=callbacks,
        )
        trainer.fit(Classifier(), DataLoader(data, batch_size=BATCH))
    # The first step pays for what is paid once.
    step = statistics.median(
        marks[0].ended[index] - marks[-1].begun[index] for index in range(1, steps)
    )
    costs: dict[str, list[float]] = defaultdict(list)
    for name, before, after in zip(watching, marks, marks[1:], strict=False):
        spent = [end - start for start, end in zip(before.ended, after.ended, strict=True)]
        fired = spent[every - 1 :: every]
        idle = [seconds for index, seconds in enumerate(spent) if (index + 1) % every]
        costs[name] = [
            after.begun[0] - before.begun[0],
            statistics.median(fired),
            statistics.median(idle),
        ]
    return step, costs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--firings", type=int, default=5)
    parser.add_argument("--every", type=int, default=3, help="steps between firings")
    options = parser.parse_args()
    torch.set_num_threads(2)
    step, costs = measure(options.accelerator, options.firings, options.every)
    print(f"training step, ResNet-18, {BATCH} x 3 x {SIZE} x {SIZE}: {step:.3f} s")
    print(f"{'monitor':36} {'firing':>8} {'in steps':>9} {'begin':>8} {'not firing':>11}")
    for name, (begin, firing, idle) in costs.items():
        print(f"{name:36} {firing:6.3f} s {firing / step:9.2f} {begin:6.3f} s {1e6 * idle:8.0f} µs")
    chosen = ("feature maps, one layer", "saliency", "activation maximization")
    fired = sum(costs[name][1] for name in chosen)
    idle = sum(costs[name][2] for name in chosen)
    ratio = 1 + (fired + EPOCH * idle) / (EPOCH * step)
    print(f"an epoch of {EPOCH} steps with {', '.join(chosen)}, to one without: {ratio:.4f}")


if __name__ == "__main__":
    main()
