"""Modalities of a network's input: named runs of channels that share a unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral


@dataclass(frozen=True)
class Modality:
    """A named run of input channels that share a unit, such as ``rgb`` (3) or ``depth`` (1).

    An image value ``v`` in [0, 1] stands for ``low + v * (high - low)`` in the modality's own unit;
    the network receives ``(that - mean) / std``.

    Args:
        name: How figures and messages call it. RGB color is recognized by the name ``"rgb"``, or
            ``"rgb 3"`` for the third frame of a video.
        channels: Number of channels, at least 1.
        range: ``(low, high)`` in the modality's own unit that image values 0 and 1 stand for;
            ``(0.3, 2.0)`` for depth between 0.3 m and 2 m.
        mean: Subtracted by the network's preprocessing, in the modality's unit: one value, or one
            for each channel.
        std: Divided by after the mean is subtracted; positive.
        argument: Name of the argument, or key, that takes it where a network takes several; by
            default the modality's. Modalities with the same one are channels of one tensor.

    Raises:
        ValueError: If a value is out of its range or a sequence has the wrong length.
        TypeError: If a value is of the wrong type.
    """

    name: str
    channels: int
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    argument: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"a modality's name is a str, such as 'rgb'; got {self.name!r}")
        if not self.name:
            raise ValueError("a modality needs a name, such as 'rgb' or 'depth'; got ''")
        if isinstance(self.channels, bool) or not isinstance(self.channels, Integral):
            raise TypeError(
                f"modality {self.name!r} needs a whole number of channels; got {self.channels!r}"
            )
        if self.channels < 1:
            raise ValueError(f"modality {self.name!r} needs channels >= 1; got {self.channels}")
        if len(self.range) != 2 or not _increasing(*self.range):
            raise ValueError(
                f"modality {self.name!r} needs a range (low, high) with low < high; "
                f"got {self.range}"
            )
        object.__setattr__(self, "range", tuple(float(limit) for limit in self.range))
        object.__setattr__(self, "mean", self._per_channel("mean", self.mean))
        object.__setattr__(self, "std", self._per_channel("std", self.std))
        if min(self.std) <= 0:
            raise ValueError(f"modality {self.name!r} needs std > 0; got {self.std}")

    def _per_channel(self, argument: str, values: float | Sequence[float]) -> tuple[float, ...]:
        if isinstance(values, (int, float)):
            values = (values,)
        try:
            values = tuple(float(value) for value in values)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"modality {self.name!r} needs numbers for {argument}; got {values!r}"
            ) from error
        if len(values) == 1:
            values *= self.channels
        if len(values) != self.channels or not all(math.isfinite(value) for value in values):
            raise ValueError(
                f"modality {self.name!r} has {self.channels} channels and needs one finite "
                f"{argument} for each, or one for all; got {values}"
            )
        return values

    @property
    def is_rgb(self) -> bool:
        """True if the channels are red, green and blue, to be shown and decorrelated as color."""
        return self.name.partition(" ")[0] == "rgb" and self.channels == 3


def _increasing(low: float, high: float) -> bool:
    return math.isfinite(low) and math.isfinite(high) and low < high
