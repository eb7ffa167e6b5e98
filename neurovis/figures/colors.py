"""Maps of numbers as colors, the picture under them, and the key that says what a color means.

Magnitudes go from dark to bright; values with a sign go from black at 0 to a color for each
sign, equally bright at equal size. None of the colors is near the red of what is not finite, and
color-blind eyes can tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from neurovis.figures.output import to_pixels
from neurovis.figures.page import GAP, Page
from neurovis.figures.pictures import alarmed, finite_range, number
from neurovis.figures.text import LABEL, line_height, text_width, wrapped

#: Gradient maps have outliers: the colors end at this percentile of what is not 0.
PERCENTILE = 99.5

#: Equally light, on black: no diverging map of matplotlib 3.9 has a dark middle, and on a white
#: one the specks of a gradient map can hardly be seen.
_NEGATIVE, _POSITIVE = (0.45, 0.8, 1.0), (1.0, 0.7, 0.1)
#: Odd, so that 0 is the middle one.
_LEVELS = 257
_STRIP_HEIGHT = 10


def color_words(signed: bool) -> str:
    """Return the meaning of the colors in words, without numbers."""
    if signed:
        return "blue negative, black 0, orange positive"
    return "violet 0, yellow high"


def color_limit(maps: Tensor) -> float:
    """The size at which the colors end: a high percentile of the finite sizes that are not 0.

    Zeros do not count, since the maps of units with small receptive fields are 0 nearly everywhere.

    Args:
        maps: Maps of any shape.

    Returns:
        A positive number, or 0 if there is nothing but 0 and what is not finite.
    """
    sizes = maps.flatten().abs()
    sizes = sizes[sizes.isfinite() & (sizes > 0)]
    if len(sizes) == 0:
        return 0.0
    return sizes.kthvalue(math.ceil(PERCENTILE / 100 * len(sizes))).values.item()


def colored(maps: Tensor, limits: Tensor, signed: bool) -> Tensor:
    """Maps ``(N, H, W)`` as pictures ``(N, 3, H, W)``; what is not finite is red.

    Args:
        maps: The values.
        limits: ``(N,)``, at which value (of either sign) the colors of each map end.
        signed: Whether the sign matters; if not, sizes are shown.
    """
    return alarmed(_colors_at(_scaled(maps, limits, signed), signed), maps.isfinite())


def overlaid(pictures: Tensor, maps: Tensor, limits: Tensor, signed: bool) -> Tensor:
    """Pictures ``(N, 3, H, W)`` in dim gray under the maps' colors, as far as they go.

    Opacity is a map's size over its limit. Magnitudes keep the colors of the map; values with a
    sign have the color of its end, since black would only hide the picture.
    """
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    ground = 0.55 * (pictures * weights).sum(1, keepdim=True).float()
    levels = _scaled(maps, limits, signed)
    colors = _colors_at(levels.sign() if signed else levels, signed)
    return alarmed(torch.lerp(ground, colors, levels.abs()[:, None]), maps.isfinite())


def _colors_at(levels: Tensor, signed: bool) -> Tensor:
    """Colors ``(N, 3, H, W)`` of levels ``(N, H, W)``."""
    places = (levels + 1) / 2 if signed else levels
    return _table(signed)[(places * (_LEVELS - 1)).round().long()].movedim(-1, 1)


def _scaled(maps: Tensor, limits: Tensor, signed: bool) -> Tensor:
    """Values over their limits: in [-1, 1], or in [0, 1] without sign; 0 where there is none."""
    limits = limits.view(-1, 1, 1)
    levels = torch.where(limits > 0, maps / limits, 0).nan_to_num(0).clamp(-1, 1).float()
    return levels if signed else levels.abs()


@lru_cache(maxsize=2)
def _table(signed: bool) -> Tensor:
    """Colors ``(steps, 3)`` from the lowest to the highest level."""
    if signed:
        size = torch.linspace(-1, 1, _LEVELS)[:, None]
        colors = torch.where(size < 0, torch.tensor(_NEGATIVE), torch.tensor(_POSITIVE))
        return (colors * size.abs()).float()
    from matplotlib import colormaps

    viridis = colormaps["viridis"](torch.linspace(0, 1, _LEVELS).numpy())
    return torch.from_numpy(viridis[:, :3]).float()


def stated_maps(maps: Mapping[str, Tensor], limit: float, signed: bool) -> str:
    """Return the notes that the key of some maps on one scale needs beside its ends.

    Args:
        maps: ``(H, W)`` by the name of their row.
        limit: At which value the colors end.
        signed: Whether the sign matters.
    """
    several = len(maps) > 1
    values = torch.stack(list(maps.values()))
    limits = finite_range(values)
    missing = values.numel() - int(values.isfinite().sum())
    if limits is None:
        return "no finite value (red)"
    words = []
    if limits[0] < limits[1]:
        if signed:
            words.append(f"lowest {number(limits[0])}, highest {number(limits[1])}")
        elif limits[1] > limit:
            words.append(f"highest {number(limits[1])}")
    for name, one in maps.items():
        span = finite_range(one)
        if span is not None and span[0] == span[1]:
            said = "0 everywhere" if span[0] == 0 else f"constant {number(span[0])}"
            words.append(f"{name}: {said}" if several else said)
    if missing:
        words.append(f"{missing} not finite (red)")
    return "; ".join(words)


@dataclass
class Key:
    """A strip of the colors over the values of its ends, and further words.

    Args:
        width: Pixels across.
        limit: At which value the colors end; at 0 there is no strip.
        signed: Whether the sign matters.
        words: Stand below.
    """

    width: int
    limit: float
    signed: bool
    words: str

    def __post_init__(self) -> None:
        self._lines = wrapped(self.words, self.width) if self.words else []
        end = number(self.limit)
        low = number(-self.limit)
        choices = [[low, "0", end], [low, "", end], ["", f"±{end}", ""]]
        if not self.signed:
            choices = [["0", "", end]]
        self._ends = next((ends for ends in choices if self._fit(ends)), choices[-1])

    def _fit(self, ends: list[str]) -> bool:
        return sum(text_width(text) + GAP for text in ends if text) <= self.width + GAP

    @property
    def height(self) -> int:
        """Pixels down."""
        strip = _STRIP_HEIGHT + 3 + line_height(LABEL) if self.limit > 0 else 0
        return strip + len(self._lines) * line_height(LABEL)

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        if self.limit > 0:
            values = torch.linspace(-1.0 if self.signed else 0.0, 1.0, self.width)
            strip = colored(values.expand(1, _STRIP_HEIGHT, -1), torch.ones(1), self.signed)
            page.picture(x, y, to_pixels(strip[0]))
            y += _STRIP_HEIGHT + 3
            left, middle, right = self._ends
            page.text(x, y, [left])
            page.text(x + self.width / 2, y, [middle], align="center")
            page.text(x + self.width, y, [right], align="right")
            y += line_height(LABEL)
        page.text(x + self.width / 2, y, self._lines, align="center")
