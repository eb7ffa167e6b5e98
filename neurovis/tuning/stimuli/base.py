"""Base class of all sets of stimuli: items by number, alone or many at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError
from neurovis.tuning.stimuli.modulations import Modulation


class Stimuli(Dataset[tuple[Tensor, int]], ABC):
    """A map-style dataset whose item ``i`` is ``(image (C, H, W), i)``.

    Images are float32 in [0, 1] on the CPU; :meth:`InputSpec.to_network` maps them to what the
    network takes. An item is computed from its number alone, so that any sampler may
    distribute the items across processes.

    Args:
        spec: What the network is shown.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec

    @abstractmethod
    def __len__(self) -> int:
        """Number of stimuli."""

    @abstractmethod
    def _render(self, indices: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` of int64 indices ``(B,)`` that are known to exist."""

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Compute many stimuli at once: float32 ``(B, C, H, W)`` in [0, 1], on the CPU.

        Raises:
            IndexError: If an index is negative or beyond the last stimulus.
        """
        wanted = torch.as_tensor(indices, dtype=torch.int64, device="cpu").reshape(-1)
        missing = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(missing):
            raise IndexError(f"stimuli are 0 to {len(self) - 1}; got {int(missing[0])}")
        return self._render(wanted)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images([index])[0], index

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        """Return the items of a batch; a DataLoader calls this with their numbers."""
        return list(zip(self.images(indices), indices, strict=True))


class Conditions(Stimuli):
    """Stimuli of every combination of some parameters, and behind them mid gray: the blank.

    A set of your own has a :attr:`shape` and a method :meth:`draw`.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter; stimuli are numbered with the last one fastest."""

    @abstractmethod
    def draw(self, *places: Tensor) -> Tensor:
        """Draw stimuli, which never are the blank.

        Args:
            *places: For each parameter the number of its value, ``(B,)``, int64.

        Returns:
            ``(B, C, H, W)`` in [0, 1], float32, on the CPU.
        """

    @override
    def _render(self, indices: Tensor) -> Tensor:
        is_drawn = indices < self.blank_index
        places = torch.unravel_index(indices[is_drawn], self.shape)
        if is_drawn.all():
            return self.draw(*places)
        images = torch.full((len(indices), *self.spec.shape), 0.5)
        if is_drawn.any():
            images[is_drawn] = self.draw(*places)
        return images

    @property
    def blank_index(self) -> int:
        """The number of the last stimulus, which is mid gray all over."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return math.prod(self.shape) + 1


def check_gains(
    spec: InputSpec, modulations: Sequence[Modulation], contrast: float
) -> tuple[Modulation, ...]:
    """Refuse modulations that are none, share a name, or leave [0, 1] at this contrast.

    Raises:
        ValueError: Also if a modulation has not one gain for each of the spec's channels.
    """
    names = [modulation.name for modulation in modulations]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"modulations must be one or more with different names; got {names}")
    for modulation in modulations:
        if len(modulation.gains) != spec.channels:
            raise ValueError(
                f"modulation {modulation.name!r} needs one gain for each of the input's "
                f"{spec.channels} channels; got {len(modulation.gains)}: {modulation.gains}"
            )
        largest = max(abs(gain) for gain in modulation.gains)
        if contrast * largest > 1 + 1e-6:
            raise ValueError(
                f"contrast {contrast:g} times the largest gain of modulation "
                f"{modulation.name!r}, {largest:g}, leaves [0, 1]; keep the product at most 1"
            )
    return tuple(modulations)


def check_contrast(name: str, contrast: float) -> None:
    """Refuse a contrast that is not in (0, 1]."""
    if not 0 < contrast <= 1:
        raise ArgumentError(f"{name} must be in (0, 1]; got {contrast:g}")
