"""Pixels as parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.parametrizations.images import (
    NOISE_STD,
    ImageParameters,
    Parametrization,
)


class PixelImages(ImageParameters):
    """Each pixel is its own parameter; nothing ties neighbors together."""

    def value_shape(self, spec: InputSpec) -> tuple[int, ...]:
        """One value per channel and pixel."""
        return spec.shape

    def logits(self) -> Tensor:
        """The parameters themselves."""
        return self.values

    def from_logits(self, logits: Tensor) -> Tensor:
        """The logits themselves."""
        return logits

    def noise(self, generator: torch.Generator) -> Tensor:
        """White noise."""
        return NOISE_STD * torch.randn(self.spec.shape, generator=generator)


@dataclass(frozen=True)
class Pixel(Parametrization):
    """Each pixel is its own parameter: see :class:`PixelImages`."""

    is_free = True

    def images(self, count: int, spec: InputSpec) -> ImageParameters:
        """``count`` images of ``spec``, on the CPU."""
        return PixelImages(count, spec)
