"""Orientation as color: a hue for each, all round in 180 degrees, as bright as it is selective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurovis.figures.cells import Grid
from neurovis.figures.output import to_pixels
from neurovis.figures.page import GAP, INK, MARGIN, Page, Points, page_figure
from neurovis.figures.plots import GRAY, as_values
from neurovis.figures.polar import directed
from neurovis.figures.text import LABEL, line_height, text_width, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colors of 0, 45, 90 and 135 degrees, a right angle apart for color-blind eyes too: amber and
#: blue, dark red and pale green. Any two of the eight in the legend are at least 15 apart in
#: CIELAB in simulations of the three kinds of color blindness (Machado et al. 2009).
_ANCHORS = ((0.95, 0.70, 0.10), (0.80, 0.15, 0.35), (0.30, 0.50, 1.00), (0.45, 0.92, 0.65))
_UNDEFINED = "#d8d8d8"
_ANGLES = tuple(22.5 * place for place in range(8))
_CELL = 52
#: Length and width of a bar as fractions of its cell.
_BAR_LENGTH, _BAR_WIDTH = 0.8, 0.2


def orientation_colors(orientation: Tensor, selectivity: Tensor) -> Tensor:
    """The colors of orientations: hue says which, brightness how selective.

    Args:
        orientation: ``(N,)`` in degrees; 180 more is the same.
        selectivity: ``(N,)``, from 0, which is black, to 1; clipped.

    Returns:
        ``(N, 3)`` in [0, 1]; light gray where either is not finite.

    Raises:
        ValueError: If they are not ``(N,)``.

    Example:
        >>> colors = orientation_colors(torch.tensor([10.0, 190.0]), torch.tensor([1.0, 1.0]))
        >>> torch.allclose(colors[0], colors[1], atol=1e-5)
        True
    """
    if orientation.ndim != 1 or selectivity.shape != orientation.shape:
        raise ValueError(
            f"needs orientation (N,) and selectivity (N,); got {tuple(orientation.shape)} and "
            f"{tuple(selectivity.shape)}"
        )
    angle, value = (one.detach().float().cpu() for one in (orientation, selectivity))
    known = angle.isfinite() & value.isfinite()
    anchors = angle.new_tensor(_ANCHORS)
    place = torch.where(known, angle, 0) % 180 / 45
    below = place.floor().long() % 4
    hue = torch.lerp(anchors[below], anchors[(below + 1) % 4], (place % 1)[:, None])
    colors = hue * torch.where(known, value, 0).clamp(0, 1)[:, None]
    undefined = angle.new_full((3,), int(_UNDEFINED[1:3], 16) / 255)
    return torch.where(known[:, None], colors, undefined)


def orientation_key(size: int = 40) -> Figure:
    """The legend of :func:`orientation_colors` alone: a bar at each angle, over all colors.

    Args:
        size: Length of the bars in pixels.

    Raises:
        ValueError: If ``size`` is less than 20.
    """
    if size < 20:
        raise ValueError(f"size must be at least 20 pixels; got {size}")
    key = _Key(size)
    page = Page(key.width + 2 * MARGIN, key.height + 2 * MARGIN)
    key.draw(page, MARGIN, MARGIN)
    return page.figure()


def orientation_map_figure(
    preferred: Tensor,
    selectivity: Tensor,
    labels: Sequence[str],
    title: str,
    *,
    notes: Sequence[str] = (),
    columns: int | None = None,
) -> Figure:
    """Kernels as cells in the colors of their preferred orientations, each with a bar at it.

    Hue says which orientation, brightness and the bar's length how selective: from black and a dot
    at 0 on. Cells without an orientation are gray. The legend stands below.

    Args:
        preferred: ``(K,)`` in degrees, counter-clockwise from horizontal.
        selectivity: ``(K,)``, from 0 to 1, such as gOSI.
        labels: One for each kernel, such as its number.
        title: Stands over the figure.
        notes: Lines under the title.
        columns: Kernels in a row; by default the grid is about square.

    Raises:
        ValueError: If there is no kernel, or the shapes or the number of labels are others.
    """
    if preferred.ndim != 1 or not len(preferred) or len(labels) != len(preferred):
        raise ValueError(
            f"needs preferred (K,), K > 0, and one label for each; got {tuple(preferred.shape)} "
            f"and {len(labels)} labels"
        )
    body = _Map(preferred, selectivity, labels, columns)
    return page_figure(body, title, notes)


class _Map:
    """Cells in a grid, their labels below them, over the key."""

    def __init__(
        self, preferred: Tensor, selectivity: Tensor, labels: Sequence[str], columns: int | None
    ) -> None:
        self._angles, self._sizes = as_values(preferred), as_values(selectivity)
        self._colors = orientation_colors(preferred, selectivity)
        self._cell_width = max(_CELL, min(max(map(text_width, labels)), 2 * _CELL))
        self._labels = [wrapped(label, self._cell_width) for label in labels]
        under = max(map(len, self._labels)) * line_height(LABEL)
        cell = self._cell_width, _CELL + 3 + under
        self._grid = Grid(len(labels), cell, columns=columns, landscape=1.3)
        self._key = _Key(40)
        self._key_top = self._grid.height + 2 * GAP
        self.width = max(self._grid.width, self._key.width)
        self.height = self._key_top + self._key.height

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        for index, color in enumerate(self._colors):
            across, down = self._grid.place(index)
            left, top = x + across + (self._cell_width - _CELL) // 2, y + down
            page.picture(left, top, to_pixels(color.view(3, 1, 1).expand(-1, _CELL, _CELL)))
            middle = left + _CELL / 2, top + _CELL / 2
            angle, size = self._angles[index], self._sizes[index]
            if np.isfinite(angle) and np.isfinite(size):
                bright = float(color @ color.new_tensor([0.299, 0.587, 0.114])) > 0.45
                part = _BAR_WIDTH + (_BAR_LENGTH - _BAR_WIDTH) * min(max(size, 0.0), 1.0)
                page.area(bar(middle, angle, _CELL * part, 7), INK if bright else "#ffffff")
            page.text(middle[0], top + _CELL + 3, self._labels[index], align="center")
        self._key.draw(page, x, y + self._key_top)


def bar(middle: tuple[float, float], angle: float, length: float, width: float) -> Points:
    """The corners of a bar at an angle, counter-clockwise from horizontal in degrees."""
    ends = directed(middle, np.array([angle, angle + 180]), np.full(2, length / 2))
    aside = directed((0.0, 0.0), np.array([angle + 90]), np.array([width / 2]))
    return np.concatenate([ends + aside, ends[::-1] - aside])


class _Key:
    """A bar at each of eight angles in its color, over all colors at all selectivities."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._step = max(size, text_width("157.5°")) + GAP
        self._strip = max(48, size)
        self._side = text_width("selectivity 0") + GAP
        self.width = self._side + len(_ANGLES) * self._step
        self.height = size + 6 + line_height(LABEL) + GAP + self._strip + GAP

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        left = x + self._side
        colors = orientation_colors(torch.tensor(_ANGLES), torch.ones(len(_ANGLES)))
        for place, (angle, (red, green, blue)) in enumerate(
            zip(_ANGLES, colors.tolist(), strict=True)
        ):
            middle = left + (place + 0.5) * self._step, y + self._size / 2
            page.area(bar(middle, angle, self._size, _BAR_WIDTH * self._size), (red, green, blue))
            page.text(middle[0], y + self._size + 6, [f"{angle:g}°"], align="center")
        page.text(
            left - GAP,
            y + self._size / 2 - LABEL,
            ["preferred", "orientation"],
            align="right",
            color=GRAY,
        )
        top = y + self._size + 6 + line_height(LABEL) + GAP
        width = len(_ANGLES) * self._step
        # The strip's colors lie under the bars that have them.
        across = (torch.arange(width) / self._step - 0.5) * 22.5
        up = torch.linspace(1, 0, self._strip)
        grid = orientation_colors(across.repeat(self._strip), up.repeat_interleave(width)).view(
            self._strip, width, 3
        )
        page.picture(left, top, to_pixels(grid.movedim(-1, 0)))
        page.text(left - GAP, top - 2, ["selectivity 1"], align="right", color=GRAY)
        page.text(left - GAP, top + self._strip - LABEL - 2, ["0"], align="right", color=GRAY)
