"""The demo's RGB-D scenes as a torch data set, there on any machine without network or files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from neurovis.demo.drawing import draw_scenes
from neurovis.demo.shapes import SHAPES
from neurovis.inputs import InputSpec
from neurovis.modality import Modality

SCENE_SIZE = 64
"""Width and height, in pixels, of the scenes that the shipped network was trained on."""

BLANK = 0.5
"""Value in [0, 1] of every pixel of a modality that is withheld: mid gray, mid depth."""


def demo_input_spec(size: int = SCENE_SIZE) -> InputSpec:
    """Return the demo network's input: color and depth in [0, 1], which it centers itself.

    Depth runs from 0 (near) to 1 (far).
    """
    modalities = (Modality(name="rgb", channels=3), Modality(name="depth", channels=1))
    return InputSpec(modalities=modalities, size=(size, size))


def blank_modality(images: Tensor, name: str) -> Tensor:
    """Withholds a modality: a copy of the images in which its pixels are all ``BLANK``.

    Args:
        images: RGB-D images ``(..., 4, H, W)`` in [0, 1].
        name: ``"rgb"`` or ``"depth"``.

    Raises:
        ValueError: If there is no such modality.
    """
    blanked = images.clone()
    parts = demo_input_spec().split(blanked)
    if name not in parts:
        raise ValueError(f"modality {name!r} is unknown; expected one of {', '.join(parts)}")
    parts[name].fill_(BLANK)
    return blanked


class ShapeScenes(Dataset[tuple[Tensor, int]]):
    """Textured shapes among dead leaves, in color and depth; see :mod:`neurovis.demo.drawing`.

    Sample ``i`` is a pair of an image ``(4, size, size)`` in [0, 1], with the channels red, green,
    blue and depth (0 near, 1 far) in steps of 1/255 like a camera's, and the index of its class in
    ``SHAPES``. It is a function of ``seed`` and ``i`` alone: bitwise the same in whichever batch,
    order or worker process it is drawn. Classes take turns, so any run of eight holds each once.

    Args:
        length: Number of scenes, at least 1.
        seed: Seed of the series, at least 0.
        size: Width and height in pixels, at least 8.
        cached: Whether to draw all scenes at once, now, and keep them in memory (four bytes a
            pixel) for training over several epochs. The samples are the same.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> image, label = ShapeScenes(length=8)[3]
        >>> image.shape, SHAPES[label]
        (torch.Size([4, 64, 64]), 'ring')
    """

    def __init__(
        self, length: int, seed: int = 0, size: int = SCENE_SIZE, cached: bool = False
    ) -> None:
        for argument, value, least in (("length", length, 1), ("seed", seed, 0), ("size", size, 8)):
            if value < least:
                raise ValueError(f"{argument} must be at least {least}; got {value}")
        self.length = length
        self.seed = seed
        self.size = size
        self._cache = draw_scenes(seed, range(length), size).images if cached else None

    def __len__(self) -> int:
        """Number of scenes."""
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Draws one scene."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Draws a batch of scenes together, which is faster; a DataLoader calls this.

        Raises:
            IndexError: If an index is not in [0, length).
        """
        for index in indices:
            if not 0 <= index < self.length:
                raise IndexError(f"index must be in [0, {self.length}); got {index}")
        if self._cache is None:
            drawn = draw_scenes(self.seed, indices, self.size).images
        else:
            drawn = self._cache[np.asarray(indices)]
        images = torch.from_numpy(drawn).to(torch.float32) / 255
        return [(image, index % len(SHAPES)) for image, index in zip(images, indices, strict=True)]
