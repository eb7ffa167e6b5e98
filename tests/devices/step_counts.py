"""Kernels and waits of ascent steps on the simulated GPU."""

from __future__ import annotations

import tempfile
from typing import Any

import lightning.pytorch as pl
import torch
from on_simulated_gpu import DEVICE
from simulated_gpu import Counts, counting
from torch import nn
from typing_extensions import override

from neurovis import ActivationMaximization, InputSpec


def five_layer_network() -> nn.Sequential:
    """The network that budgets of the ascent are given for."""
    torch.manual_seed(0)
    convolutions = nn.Conv2d(3, 8, 5, stride=2), nn.Conv2d(8, 6, 3)
    return nn.Sequential(
        convolutions[0], nn.BatchNorm2d(8), nn.ReLU(), convolutions[1], nn.ReLU()
    ).eval()


class _AllCountedError(Exception):
    """Ends a run, whose results would take longer than its steps."""

    def __init__(self, counts: Counts) -> None:
        super().__init__("all steps are counted")
        self.counts = counts


class _Window(pl.Callback):
    """Counts what happens from the start of one step to the start of another, and stops there."""

    def __init__(self, first: int, last: int, lines: bool) -> None:
        self._first, self._last = first, last
        self._counting = counting(lines)
        self._counts = Counts()

    @override
    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self._first:
            self._counts = self._counting.__enter__()
        if trainer.global_step == self._last:
            self._counting.__exit__(None, None, None)
            raise _AllCountedError(self._counts)


def ascent_steps(
    first: int = 4, last: int = 20, *, lines: bool = False, size: int = 64, **options: Any
) -> Counts:
    """Return what happens in the ascent steps from ``first`` to before ``last``, all together.

    Four kernels of the five-layer network are maximized on the simulated GPU.

    Args:
        first: Step at whose start counting starts.
        last: Step at whose start counting ends.
        lines: Whether ``counts.lines`` says which lines of Python waited.
        size: Of the images, in pixels.
        **options: Of ``ActivationMaximization``.
    """
    module = ActivationMaximization(
        five_layer_network(),
        layer="4",
        kernels=range(4),
        input_spec=InputSpec.rgb(size),
        **{"steps": last + 12, "patience": None, "style": "maximal", **options},
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[_Window(first, last, lines)],
            default_root_dir=folder,
        )
        try:
            trainer.fit(module)
        except _AllCountedError as end:
            return end.counts
    raise RuntimeError(f"the run ended before step {last}")


def bare_network(size: int = 64) -> Counts:
    """Return what a forward of four images and the gradient of their responses take."""
    network = five_layer_network().to(DEVICE).requires_grad_(False)
    images = torch.rand(4, 3, size, size, device=DEVICE, requires_grad=True)
    with counting() as counts:
        (gradient,) = torch.autograd.grad(network(images).sum(), images)
    if gradient.shape != images.shape:
        raise RuntimeError("there is no gradient")
    return counts
