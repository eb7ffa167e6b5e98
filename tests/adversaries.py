"""A module of two networks, without a forward, for tests of what watches a part."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn


class Adversaries(LightningModule):
    """A generator and a discriminator, optimized by hand, without a forward.

    Args:
        discriminator: Takes images ``(B, 3, side, side)``.
        side: Of the images that are made.
    """

    def __init__(self, discriminator: nn.Module, side: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        pixels = nn.Unflatten(1, (3, side, side))
        self.generator = nn.Sequential(nn.Linear(2, 3 * side**2), pixels)
        self.discriminator = discriminator

    def training_step(self, batch: Any) -> None:
        made = self.generator(torch.randn(len(batch[0]), 2, device=self.device))
        for optimizer, images in zip(self.optimizers(), (made, made.detach()), strict=True):  # type: ignore[arg-type]
            optimizer.zero_grad()
            self.manual_backward(self.discriminator(images).square().mean())
            optimizer.step()

    def configure_optimizers(self) -> Any:
        parts = (self.generator, self.discriminator)
        return [torch.optim.SGD(part.parameters(), 0.01) for part in parts]
