"""Stimuli that models of kernels are fitted to and judged by: pictures, gratings and noise."""

from __future__ import annotations

from collections.abc import Sized
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.receptive_fields import Box
from neurovis.tuning.stimuli.base import Conditions, Stimuli
from neurovis.tuning.stimuli.gratings import Gratings
from neurovis.tuning.stimuli.noise import DenseNoise

#: Largest number of views of all pictures together, and of each.
_VIEWS, _MOST_VIEWS = 1000, 16
_LEAST_PICTURES = 12
_CONTRASTS = (0.25, 1.0)
_CHECK_SIZES = (1, 2, 4, 8, 16)
_NOISE_OF_A_SIZE = 256
#: Largest side in pixels of what models see; larger receptive fields are scaled down to it.
_LARGEST_SIDE = 16


class Family(IntEnum):
    """Kinds of stimuli; gray counts as noise."""

    PICTURE = 0
    GRATING = 1
    NOISE = 2


class Purpose(IntEnum):
    """Purposes of stimuli: the fit of models, the choice among them, and their score."""

    FIT = 0
    CHOICE = 1
    SCORE = 2


#: Every fourth picture is for the choice among models, and every fourth for their score.
_PURPOSES = torch.tensor([Purpose.FIT, Purpose.CHOICE, Purpose.FIT, Purpose.SCORE])


class Mixture(Conditions):
    """Views of pictures, gratings of two contrasts, noise of coarse to fine checks, and gray.

    A unit sees only a part of a picture, so that up to 500 are shown several times each, moved by
    up to a quarter of the image; what comes into the image is mirrored.

    Args:
        spec: What the network is shown.
        pictures: At least 12, of which at most 1000 are shown, evenly spaced; items begin with an
            image ``(C, H, W)`` in [0, 1].

    Attributes:
        pictures: ``(n,)``, the picture that each stimulus is a view of; -1 for the others.
        family: ``(n,)``, the :class:`Family` of each.
        purpose: ``(n,)``, the :class:`Purpose` of each; only pictures have others than the fit.

    Raises:
        ValueError: If there are fewer pictures.
    """

    def __init__(self, spec: InputSpec, pictures: Dataset[Any]) -> None:
        super().__init__(spec)
        number = len(cast(Sized, pictures))
        if number < _LEAST_PICTURES:
            raise ValueError(
                f"ranking by predictable needs at least {_LEAST_PICTURES} pictures, to fit, choose "
                f"and judge models by different ones; got {number}: give more images"
            )
        shown = min(number, _VIEWS)
        self._numbers = [place * number // shown for place in range(shown)]
        self._pictures = pictures
        self._last: tuple[Box, Tensor] | None = None
        self._views = min(_MOST_VIEWS, _VIEWS // shown)
        gratings = Gratings(spec, orientations=8, phases=4, contrasts=_CONTRASTS)
        sizes = (size for size in _CHECK_SIZES if size <= min(spec.size))
        noise = [DenseNoise(spec, _NOISE_OF_A_SIZE, seed=size, check_size=size) for size in sizes]
        self._others: list[Stimuli] = [gratings, *noise]
        lengths = [shown * self._views, *map(len, self._others)]
        self._ends = list(accumulate(lengths))
        self.pictures = torch.full((self._ends[-1] + 1,), -1)
        self.pictures[: lengths[0]] = torch.arange(shown).repeat_interleave(self._views)
        self.family = torch.full_like(self.pictures, Family.NOISE)
        self.family[: self._ends[1]] = Family.GRATING
        self.family[: self._ends[0]] = Family.PICTURE
        # At random, since pictures of classes may alternate.
        lots = torch.randperm(shown, generator=torch.Generator().manual_seed(0))
        purposes = _PURPOSES[lots % 4][self.pictures]
        self.purpose = torch.where(self.family == Family.PICTURE, purposes, Purpose.FIT)

    @property
    @override
    def shape(self) -> tuple[int]:
        """Number of stimuli without gray."""
        return (self._ends[-1],)

    @property
    def note(self) -> str:
        """Numbers of stimuli for each purpose."""
        fitted, chosen, judged = (
            len(self.pictures[(self.purpose == one) & (self.family == Family.PICTURE)].unique())
            for one in Purpose
        )
        gratings, noise = (
            int((self.family[:-1] == one).sum()) for one in (Family.GRATING, Family.NOISE)
        )
        return (
            f"models are fitted to {fitted} pictures, {gratings} gratings and {noise} images of "
            f"noise, chosen by {chosen} other pictures, and scored on {judged} others"
            f"{', with 1 view' if self._views == 1 else f', each in {self._views} views'}"
        )

    @override
    def draw(self, *places: Tensor) -> Tensor:
        (indices,) = places
        images = torch.empty(len(indices), *self.spec.shape)
        known: dict[int, Tensor] = {}
        for place, index in enumerate(indices.tolist()):
            picture = int(self.pictures[index])
            if picture >= 0:
                if picture not in known:
                    known[picture] = self._pictures[self._numbers[picture]][0]
                images[place] = self._view(known[picture], index)
        for (start, end), others in zip(pairwise(self._ends), self._others, strict=True):
            inside = (indices >= start) & (indices < end)
            if inside.any():
                images[inside] = others.images(indices[inside] - start)
        return images

    def visible_pixels(self, visible: Box) -> Tensor:
        """Return the pixels ``(n, C, P)`` of all stimuli that units see, fewer if they are many.

        The last are kept, since layers that follow each other often see the same.

        Args:
            visible: The part of the image that the units see.

        Returns:
            Values from -0.5 to 0.5.
        """
        if self._last is None or self._last[0] != visible:
            top, left, bottom, right = visible
            size = [min(side, _LARGEST_SIDE) for side in (bottom - top, right - left)]
            parts = []
            for numbers in torch.arange(len(self)).split(64):
                part = self.images(numbers)[..., top:bottom, left:right]
                if list(part.shape[2:]) != size:
                    part = functional.interpolate(part, size, mode="bilinear", antialias=True)
                parts.append(part.flatten(2))
            self._last = visible, torch.cat(parts) - 0.5
        return self._last[1]

    def _view(self, picture: Tensor, index: int) -> Tensor:
        if index % self._views == 0:
            return picture
        height, width = self.spec.size
        down, across = height // 4, width // 4
        generator = torch.Generator().manual_seed(index)
        top, left = (
            int(torch.randint(2 * most + 1, (), generator=generator)) for most in (down, across)
        )
        padded = functional.pad(picture[None], (across, across, down, down), mode="reflect")[0]
        return padded[:, top : top + height, left : left + width]
