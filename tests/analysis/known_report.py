"""A report on a network of known kernels, and what is to be found in it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor, nn

from neurovis import InputSpec, Modality
from neurovis.analysis import SaliencyProbe, make_report
from neurovis.cards import Card, CardLayer, CardPage, Picture
from neurovis.maximization import ActivationMaximization
from neurovis.top_images import find_top_images
from neurovis.tuning import rank_kernels

SPEC = InputSpec((Modality("gray", 1),), 32)
#: Kernels of each layer, and which rows and columns of the image its central unit sees.
KERNELS = {"0": 4, "3": 3}
SEEN = {"0": (slice(13, 20), slice(14, 19)), "3": (slice(12, 21), slice(13, 20))}
#: Of these, gratings hardly drive one, noise leaves another silent, and everything the last.
WEAK, ASLEEP, DEAD = ("0", 2), ("3", 1), ("3", 2)
ALL = [(layer, kernel) for layer, count in KERNELS.items() for kernel in range(count)]
FIELD_IMAGES, PICTURES, TOP = 3, 5, 2
RANKINGS = ("orientation", "spatial_frequency")
GRATINGS = {"orientations": 8, "phases": 6, "null_kernels": 10}
#: Of what is written with three digits.
ROUNDED = 6e-3


class Net(nn.Sequential):
    """Of kernels that are higher than wide; one is weak, and one dead."""

    def __init__(self) -> None:
        first = nn.Conv2d(1, 4, (7, 5), padding=(3, 2), bias=False)
        second = nn.Conv2d(4, 3, 3, stride=2, padding=1)
        super().__init__(first, nn.ReLU(), second, nn.ReLU())
        noise = torch.Generator().manual_seed(3)
        rows, columns = torch.meshgrid(torch.arange(-3.0, 4), torch.arange(-2.0, 3), indexing="ij")
        window = torch.exp(-(rows.square() + columns.square()) / 8)
        with torch.no_grad():
            first.weight[0, 0] = window * torch.cos(2 * math.pi * 0.2 * columns)
            first.weight[1, 0] = window * torch.sin(2 * math.pi * 0.15 * rows)
            first.weight[2, 0] = window * torch.sin(0.9 * (rows + columns)) / 100
            first.weight[3, 0] = torch.randn(7, 5, generator=noise) / 5
            second.weight.copy_(torch.randn(3, 4, 3, 3, generator=noise) / 3)
            second.bias.copy_(torch.tensor([0.0, 0.1, -100.0]))


@dataclass(frozen=True)
class Report:
    """A report, with the results that it was made of.

    Args:
        page: Page of the report.
        cards: By layer and kernel.
        layers: By name.
        network: That it is of.
        images: All pictures, ``(N, 1, 32, 32)`` in [0, 1].
        pictures: Their folder.
    """

    page: CardPage
    cards: Mapping[tuple[str, int], Card]
    layers: Mapping[str, CardLayer]
    network: nn.Module
    images: Tensor
    pictures: Path


def report_in(folder: Path) -> Report:
    """Make a report on all kernels, with its files in a folder of its own."""
    pictures = folder / "pictures"
    images = _write_pictures(pictures)
    network, layers = Net().eval(), list(KERNELS)
    preferred = ActivationMaximization(
        network, layers, "all", SPEC, objective="center", steps=4, variants=2
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=folder,
    )
    trainer.fit(preferred)
    page = make_report(
        network,
        preferred,
        rank_kernels(network, layers, RANKINGS, input_spec=SPEC, **GRATINGS),
        top_images={
            layer: find_top_images(network, layer, "all", pictures, TOP, "max", SPEC)
            for layer in layers
        },
        probe=SaliencyProbe(images[0], "photo_0", "input_x_gradient"),
        field_images=FIELD_IMAGES,
    )
    cards = {(card.layer, card.kernel): card for card in page.cards}
    assert list(cards) == ALL
    return Report(
        page, cards, {layer.name: layer for layer in page.layers}, network, images, pictures
    )


def _write_pictures(folder: Path) -> Tensor:
    folder.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (PICTURES, 32, 32), dtype=np.uint8)
    for number, one in enumerate(levels):
        Image.fromarray(one).save(folder / f"photo_{number}.png")
    return torch.from_numpy(levels)[:, None] / 255


def maps_of(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    """The layer's responses, ``(N, K, H', W')``."""
    for module in list(network.children())[: int(layer) + 1]:
        images = module(images)
    return images


def central_responses(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    """Of its central units, ``(N, K)``."""
    maps = maps_of(network, layer, images)
    return maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]


def pixels_of(picture: Picture, size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Of a picture whose pixels are squares, their colors ``(H, W, 3)`` in [0, 1]."""
    content = base64.b64decode(picture.source.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) / 255
    square = pixels.shape[0] // size[0]
    assert pixels.shape[:2] == (square * size[0], square * size[1])
    shape = (size[0], square, size[1], square, 3)
    mean: np.ndarray[Any, Any] = pixels.reshape(shape).mean((1, 3))
    return mean


def image_of(picture: Picture) -> Tensor:
    """A gray picture as the network is shown it, ``(1, 1, 32, 32)``."""
    return torch.from_numpy(pixels_of(picture, (32, 32)).mean(-1)).float()[None, None]


def number_of(label: str) -> float:
    return float(label.replace("\N{MINUS SIGN}", "-"))


def size_of(part: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = part
    return rows.stop - rows.start, columns.stop - columns.start
