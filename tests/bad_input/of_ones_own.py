"""Networks and functions of somebody's own that fail when they are run."""

from __future__ import annotations

import functools
import os
import sys

import torch
from bad_input.bad import MARKER
from lightning.pytorch import LightningModule
from torch import Tensor, nn


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        self.check(images)
        return self.conv(images)

    def check(self, images: Tensor) -> None:
        raise NotImplementedError


class OfOneSize(_Network):
    def check(self, images: Tensor) -> None:
        assert images.shape[-1] == 224, f"wrong height: expected 224, got {images.shape[-1]}"


class OfAnotherSize(_Network):
    def check(self, images: Tensor) -> None:
        assert images.shape[-1] == 224


class WithoutKey(_Network):
    def check(self, images: Tensor) -> None:
        {"images": images}["mask"]


class WithoutAttribute(_Network):
    def check(self, images: Tensor) -> None:
        self.mask.to(images)


class Exiting(_Network):
    def check(self, images: Tensor) -> None:
        sys.exit(len(images) + 2)


class ExitingWhenMade(_Network):
    def __init__(self) -> None:
        sys.exit(4)


class OnlyFloat32(_Network):
    def check(self, images: Tensor) -> None:
        if images.dtype != torch.float32:
            raise TypeError("float32 only")


class FewAtATime(_Network):
    """As where there is memory for three images and no more."""

    def check(self, images: Tensor) -> None:
        if len(images) > 3:
            raise RuntimeError("out of memory")


class Detaching(_Network):
    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images.detach()).detach()

    def check(self, images: Tensor) -> None:
        pass


def without_gradient(activation: Tensor) -> Tensor:
    return activation.detach().flatten(2).mean(2)


def not_a_number(activation: Tensor) -> Tensor:
    return activation.flatten(2).mean(2) * float("nan")


def small(images: Tensor) -> Tensor:
    return images[..., :2, :2]


def of_few(images: Tensor) -> Tensor:
    if len(images) > 3:
        raise ValueError("a penalty of at most three images")
    return images.mean((1, 2, 3))


# Of what a file could name to be called.


def touch(*_: object, **__: object) -> object:
    MARKER.touch()
    return None


class Touching:
    """Does harm when it is made, and when it is called."""

    def __init__(self) -> None:
        MARKER.touch()

    def __call__(self, *arguments: object) -> object:
        return touch(*arguments)


class Trained(LightningModule):
    """Takes whatever hyperparameters there are."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)


class Reading(Trained):
    """Reads a pickle, as networks did before there was another way."""

    def __init__(self, path: str) -> None:
        super().__init__()
        torch.load(path, weights_only=False)


PARTIAL = functools.partial(os.system, f"touch {MARKER}")
TOUCHING = object.__new__(Touching)
