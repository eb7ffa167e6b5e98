"""Interval arithmetic for the input pixels that the units along one axis see.

A receptive field is separable: what a unit sees vertically does not depend on its column. So one
:class:`Extent` per axis is enough, and every layer maps extents to extents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

Interval = tuple[float, float]

#: Interval of a unit that depends on no pixel, and of one that depends on all of them.
NOTHING: Interval = (math.inf, -math.inf)
EVERYTHING: Interval = (-math.inf, math.inf)


@dataclass(frozen=True)
class Extent:
    """The pixels, first to last, that each unit along one axis of a feature map depends on.

    Unit ``q * period + p`` sees pixels ``q * jump + low`` to ``q * jump + high``, where
    ``(low, high) = intervals[p]`` and ``period = len(intervals)``. Most layers have period 1; what
    an upsampling layer's units see depends on their phase. Pixels below 0 and above ``pixels - 1``
    are padding: an extent reaches beyond the image, as the theoretical receptive field does.

    Args:
        pixels: Length of the image along this axis.
        jump: Pixels from one period to the next. Zero: every unit sees the same. None: the
            intervals are a list of all units there are, clipped to the map, because they follow
            no pattern; beyond the list there is nothing to see.
        intervals: First and last pixel; infinite where a unit sees the whole image.
    """

    pixels: int
    jump: int | None
    intervals: tuple[Interval, ...]

    @classmethod
    def image(cls, pixels: int) -> Extent:
        """Pixels see themselves."""
        return cls(pixels, 1, ((0, 0),))

    @property
    def period(self) -> int:
        """Number of units after which the pattern repeats itself."""
        return len(self.intervals)

    @property
    def is_fixed(self) -> bool:
        """True if every unit sees the same pixels."""
        return self.jump == 0 and self.period == 1

    @property
    def size(self) -> int:
        """The largest number of pixels that a unit sees; all of them for the whole image."""
        low, high = max(self.intervals, key=lambda interval: interval[1] - interval[0])
        if self.is_fixed:
            low, high = max(low, 0), min(high, self.pixels - 1)
        length = max(high - low + 1, 0)
        return self.pixels if length == math.inf else int(length)

    @property
    def stride(self) -> int | None:
        """Pixels between neighboring units; None where that is not one whole number."""
        if not self.jump or self.jump % self.period:
            return None
        return self.jump // self.period

    def unit(self, index: int) -> Interval:
        """First and last pixel that the unit at ``index`` sees; it may lie beyond the map."""
        if self.jump is None:
            return self.intervals[index] if 0 <= index < self.period else NOTHING
        turns, phase = divmod(index, self.period)
        low, high = self.intervals[phase]
        return low + turns * self.jump, high + turns * self.jump

    def gather(self, taps: Callable[[int], Iterable[int]], stride: int, units: int) -> Extent:
        """Let each new unit see what old units see.

        Args:
            taps: The indices of the old units that a new unit depends on.
            stride: Taps of new units ``u + period`` are those of ``u`` shifted by
                ``stride * period``; ``gather`` asks ``taps`` for one pattern only.
            units: Number of new units, for extents without a pattern.
        """
        if self.jump is None:
            period, jump = units, None
        else:
            period = self.period // math.gcd(self.period, stride)
            jump = self.jump * stride * period // self.period
        intervals = tuple(hull(map(self.unit, taps(unit))) for unit in range(period))
        return replace(self, jump=jump, intervals=intervals)

    def window(self, kernel: int, stride: int, padding: int, dilation: int, units: int) -> Extent:
        """Return the extent of the ``units`` of a convolution or a pooling over this map."""

        def taps(unit: int) -> range:
            first = unit * stride - padding
            return range(first, first + (kernel - 1) * dilation + 1, dilation)

        return self.gather(taps, stride, units)

    def transposed(
        self, kernel: int, stride: int, padding: int, dilation: int, units: int
    ) -> Extent:
        """Return the extent of the ``units`` of a transposed convolution over this map."""

        def taps(unit: int) -> list[int]:
            positions = (unit + padding - tap * dilation for tap in range(kernel))
            return [position // stride for position in positions if position % stride == 0]

        return self.upsampled(taps, stride, units)

    def upsampled(self, taps: Callable[[int], Iterable[int]], factor: int, units: int) -> Extent:
        """Return the extent of ``units``, ``factor`` of them at the place of each old unit.

        Args:
            taps: The indices of the old units that a new unit depends on; those of
                ``u + factor`` are those of ``u`` shifted by one.
            factor: New units per old unit.
            units: Number of new units, for extents without a pattern.
        """
        period = units if self.jump is None else self.period * factor
        intervals = tuple(hull(map(self.unit, taps(unit))) for unit in range(period))
        return replace(self, intervals=intervals)

    def listed(self, units: Sequence[Iterable[int]]) -> Extent:
        """The list of what each new unit sees, given the indices of the old units it uses."""
        intervals = tuple(hull(map(self.unit, taps)) for taps in units)
        return replace(self, jump=None, intervals=intervals)

    def whole(self, units: int) -> Extent:
        """Return the extent of something that depends on all ``units`` of this map."""
        low, high = hull(map(self.unit, range(units)))
        if low <= 0 and high >= self.pixels - 1:
            low, high = EVERYTHING
        return replace(self, jump=0, intervals=((low, high),))

    def union(self, other: Extent, units: int) -> Extent:
        """Return the extent of ``units`` that depend on the units at their place in both maps.

        Where the maps do not advance alike (skip connections between different strides), the
        result is the list of its units.
        """
        if self == other:
            return self
        for one, two in ((self, other), (other, self)):
            if one.is_fixed and one.intervals[0] == EVERYTHING:
                return replace(two, intervals=(EVERYTHING,) * two.period)
        jump, period = self._common_jump(other) or (None, units)
        pairs = ((self.unit(unit), other.unit(unit)) for unit in range(period))
        return replace(self, jump=jump, intervals=tuple(hull(pair) for pair in pairs))

    def _common_jump(self, other: Extent) -> tuple[int, int] | None:
        """Jump and period of both, or None if they do not advance alike."""
        if self.jump is None or other.jump is None:
            return None
        if self.jump * other.period != other.jump * self.period:
            return None
        period = math.lcm(self.period, other.period)
        return self.jump * period // self.period, period


def hull(intervals: Iterable[Interval]) -> Interval:
    """The smallest interval that holds all of them."""
    low, high = NOTHING
    for first, last in intervals:
        low, high = min(low, first), max(high, last)
    return low, high
