"""Arcs and squares, drawn from their formulas for each angle."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.stimuli.base import Conditions

#: Shortest arc in pixels, and width of its line (standard deviation) as a part of its length.
_SHORTEST, _LINE = 8, 1 / 12
#: Arcs and squares in parts of the image's shorter side.
_ARC_LENGTHS, _SQUARE_SIDES = (1 / 16, 1 / 8, 1 / 4), (1 / 8, 1 / 4, 3 / 8)


class _Shapes(Conditions):
    """Shapes that are alike in all channels, of values that :meth:`_values` gives.

    Args:
        spec: What the network is shown.
        reach: Pixels from the image's center beyond which all is gray.
    """

    def __init__(self, spec: InputSpec, reach: int) -> None:
        super().__init__(spec)
        self._window = [slice(max(0, side // 2 - reach), side // 2 + reach) for side in spec.size]

    @override
    def draw(self, *places: Tensor) -> Tensor:
        images = torch.full((len(places[0]), *self.spec.shape), 0.5)
        rows, columns = self._window
        images[:, :, rows, columns] += 0.5 * self._values(*places)[:, None]
        return images

    @abstractmethod
    def _values(self, *places: Tensor) -> Tensor:
        """Return values in [-1, 1], ``(B, H, W)``, by the number of each parameter, ``(B,)``."""

    def _pixels(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far pixels are from the image's center along directions, and to their right.

        Args:
            direction: Degrees counter-clockwise from rightwards, ``(B,)``.

        Returns:
            Two tensors ``(B, rows, columns)``.
        """
        angle = torch.deg2rad(direction)[:, None, None]
        rows, columns = (
            torch.arange(side)[part] - (side - 1) / 2
            for side, part in zip(self.spec.size, self._window, strict=True)
        )
        up, right = -rows[:, None], columns
        return (
            angle.cos() * right + angle.sin() * up,
            angle.sin() * right - angle.cos() * up,
        )


class Arcs(_Shapes):
    """Bright and dark arcs of one length with several curvatures, a straight line among them.

    They bulge in 12 directions, and stand at the image's center and a quarter of their length
    beside it on four sides. Lengths are 1/16, 1/8 and 1/4 of the image's shorter side, those of at
    least 8 pixels.

    Args:
        spec: What the network is shown.

    Attributes:
        directions: Direction of the convex side in degrees counter-clockwise from rightwards.
        turns: Angle in degrees that the arc's direction turns by from end to end; 0 is straight.
        lengths: In pixels.
        offsets: Of the center, ``(right, up)`` in lengths.

    Raises:
        ValueError: If the image is too small.
    """

    directions = torch.arange(0.0, 360.0, 30.0)
    turns = torch.tensor([0.0, 60.0, 120.0, 180.0])
    offsets = torch.tensor([[0.0, 0.0], [0.25, 0.0], [-0.25, 0.0], [0.0, 0.25], [0.0, -0.25]])

    def __init__(self, spec: InputSpec) -> None:
        side = min(spec.size)
        if side < 2 * _SHORTEST:
            raise ValueError(f"arcs need images of at least {2 * _SHORTEST} px; got {spec.size}")
        fitting = [part * side for part in _ARC_LENGTHS if part * side >= _SHORTEST]
        self.lengths = torch.tensor(fitting or [float(_SHORTEST)])
        super().__init__(spec, math.ceil(1.2 * self.lengths.max().item()))

    @property
    @override
    def shape(self) -> tuple[int, int, int, int, int]:
        """Numbers of directions, turns, lengths, positions, and bright and dark."""
        counts = (len(one) for one in (self.directions, self.turns, self.lengths, self.offsets))
        directions, turns, lengths, positions = counts
        return directions, turns, lengths, positions, 2

    @override
    def _values(self, *places: Tensor) -> Tensor:
        direction, turn, length, position, is_dark = places
        angle = torch.deg2rad(self.directions[direction])
        lengths = self.lengths[length]
        right, up = (self.offsets[position] * lengths[:, None]).unbind(1)
        ahead, aside = self._pixels(self.directions[direction])
        ahead = ahead - (angle.cos() * right + angle.sin() * up)[:, None, None]
        aside = aside - (angle.sin() * right - angle.cos() * up)[:, None, None]
        # A straight line is an arc of a very large circle.
        half = torch.deg2rad(self.turns[turn]).clamp(min=2e-3)[:, None, None] / 2
        radius = lengths[:, None, None] / (2 * half)
        # From the circle's center; the arc's center of mass is at 0.
        ahead = ahead + radius * half.sin() / half
        distance = torch.hypot(ahead, aside)
        is_beside = ahead * half.sin() >= aside.abs() * half.cos()
        end = (ahead - radius * half.cos()) ** 2 + (aside.abs() - radius * half.sin()) ** 2
        squared = torch.where(is_beside, (distance - radius) ** 2, end)
        line = torch.exp(-squared / (2 * (_LINE * lengths[:, None, None]) ** 2))
        return line * (1 - 2 * is_dark)[:, None, None]


class Squares(_Shapes):
    """Squares one side of which goes through the image's center, in black and white.

    The edge at the center is the same whether the square is on one side of it, or on the other with
    the colors of square and ground exchanged (Zhou, Friedman & von der Heydt 2000). Sides are 1/8,
    1/4 and 3/8 of the image's shorter side.

    Attributes:
        directions: Direction of the first side of the edge, in degrees counter-clockwise from
            rightwards; the second side is opposite.
    """

    directions = torch.arange(0.0, 180.0, 15.0)

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec, max(spec.size))

    @property
    @override
    def shape(self) -> tuple[int, int, int, int]:
        """Numbers of edges, sizes, edges' contrasts (first side white, black), squares' sides."""
        return len(self.directions), len(_SQUARE_SIDES), 2, 2

    @override
    def _values(self, *places: Tensor) -> Tensor:
        direction, size, is_black, is_second = places
        ahead, aside = self._pixels(self.directions[direction])
        side = (torch.tensor(_SQUARE_SIDES) * min(self.spec.size))[size][:, None, None]
        ahead = ahead * (1 - 2 * is_second)[:, None, None]
        inside = torch.minimum(torch.minimum(ahead, side - ahead), side / 2 - aside.abs())
        square = 2 * (inside + 0.5).clamp(0, 1) - 1
        return square * (1 - 2 * (is_black ^ is_second))[:, None, None]
