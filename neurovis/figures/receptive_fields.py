"""Receptive fields as heat maps, with the box that the network's structure allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurovis.figures.colors import PERCENTILE, Key, color_limit, color_words, colored, stated_maps
from neurovis.figures.output import to_pixels
from neurovis.figures.page import GAP, MARGIN, MAXIMUM_WIDTH, MINIMUM_WIDTH, Page, titled_page
from neurovis.figures.pictures import fitted
from neurovis.figures.plots import line_top
from neurovis.figures.text import LABEL, line_height, text_width, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DrawnBox = tuple[float, float, float, float]

_LEAST_FIELD, _LARGEST_FIELD = 144, 224
_ROW_NAME_WIDTH, _BANDS_APART = 110, 24


def receptive_field_figure(
    maps: Mapping[str, Tensor],
    labels: Sequence[str],
    title: str,
    signed: Mapping[str, bool],
    boxes: Sequence[DrawnBox | None] | Tensor | None = None,
    *,
    notes: Sequence[str] = (),
) -> Figure:
    """Receptive fields measured in one or more ways: a column for each kernel, a row for each way.

    Each map is on its own scale, which stands below it. Magnitudes go from violet to yellow, values
    with a sign from blue over black, which is 0, to orange. What is not finite is red.

    Args:
        maps: ``(N, H, W)`` in pixels of the network's input, by the name of their row.
        labels: One for each kernel.
        title: Stands over the figure.
        signed: By the same names, whether the maps' sign matters. If not, sizes are shown.
        boxes: For each kernel ``(top, left, bottom, right)`` of its theoretical receptive field in
            pixels, bottom and right exclusive, or None; ``(N, 4)`` if a tensor. Sides beyond the
            image are not drawn.
        notes: Lines under the title.

    Raises:
        ValueError: If there is no map, or the labels, signs or boxes are not the maps'.
    """
    _check(maps, labels, signed, boxes)
    outlines = [None] * len(labels) if boxes is None else list(boxes)
    columns = [
        _KernelMaps(
            label,
            {name: one[index].detach().float().cpu() for name, one in maps.items()},
            signed,
            _as_box(box),
        )
        for index, (label, box) in enumerate(zip(labels, outlines, strict=True))
    ]
    names = {name: wrapped(name, _ROW_NAME_WIDTH) for name in maps} if len(maps) > 1 else {}
    indent = max((text_width(line) for lines in names.values() for line in lines), default=-GAP)
    indent += GAP
    step = columns[0].width + 2 * GAP
    across = max(1, min(len(columns), (MAXIMUM_WIDTH - indent) // step))
    across = math.ceil(len(columns) / math.ceil(len(columns) / across))
    kinds = [kind for kind in (True, False) if kind in [signed[name] for name in maps]]
    said = [
        f"{'; '.join(map(color_words, kinds))}; each map on its own scale, whose colors end "
        f"at its {PERCENTILE:g}th percentile where it is not 0"
    ]
    if any(box is not None for box in outlines):
        said.append("white box: the theoretical receptive field")
    rows = [columns[start : start + across] for start in range(0, len(columns), across)]
    bands = [_Band(row, names, indent) for row in rows]
    body = sum(band.height + _BANDS_APART for band in bands) - _BANDS_APART
    width = max(MINIMUM_WIDTH, indent + across * step - 2 * GAP)
    page, top = titled_page(title, [*notes, *said], width, body)
    for band in bands:
        band.draw(page, MARGIN, top)
        top += band.height + _BANDS_APART
    return page.figure()


def _check(
    maps: Mapping[str, Tensor],
    labels: Sequence[str],
    signed: Mapping[str, bool],
    boxes: Sequence[DrawnBox | None] | Tensor | None,
) -> None:
    shapes = {name: tuple(one.shape) for name, one in maps.items()}
    first = next(iter(shapes.values()), ())
    if len(set(shapes.values())) != 1 or len(first) != 3 or 0 in first:
        raise ValueError(f"maps must all be of one shape (N, H, W), not empty; got {shapes}")
    if len(labels) != first[0]:
        raise ValueError(f"needs one label for each of {first[0]} kernels; got {len(labels)}")
    if set(signed) != set(maps):
        raise ValueError(
            f"signed must have the names of the maps, {list(maps)}; got {list(signed)}"
        )
    if boxes is None:
        return
    if len(boxes) != first[0] or any(box is not None and len(box) != 4 for box in boxes):
        raise ValueError(
            f"boxes must be (top, left, bottom, right) for each of {first[0]} kernels; got {boxes}"
        )


def _as_box(box: DrawnBox | Tensor | None) -> DrawnBox | None:
    if box is None:
        return None
    top, left, bottom, right = (float(side) for side in box)
    return top, left, bottom, right


@dataclass
class _KernelMaps:
    """The maps of one kernel, each over its key."""

    label: str
    maps: dict[str, Tensor]
    signed: Mapping[str, bool]
    box: DrawnBox | None

    def __post_init__(self) -> None:
        self.pictures, self.keys = {}, {}
        for name, one in self.maps.items():
            limit, signed = color_limit(one), self.signed[name]
            shown = one if signed else one.abs()
            picture = colored(shown[None], torch.tensor([limit]), signed)
            self.pictures[name] = to_pixels(fitted(picture, _LEAST_FIELD, _LARGEST_FIELD)[0])
            width = self.pictures[name].shape[1]
            words = stated_maps({name: shown}, limit, signed)
            self.keys[name] = Key(width, limit, signed, words)
        self.width = next(iter(self.pictures.values())).shape[1]
        self.lines = wrapped(self.label, self.width)

    def draw_map(self, page: Page, name: str, x: int, y: int) -> None:
        """Put one map with its box and key on a page."""
        picture = self.pictures[name]
        page.picture(x, y, picture)
        if self.box is not None:
            self._draw_box(page, picture.shape[0], picture.shape[1], x, y)
        self.keys[name].draw(page, x, y + len(picture) + 4)

    def _draw_box(self, page: Page, height: int, width: int, x: int, y: int) -> None:
        """Those sides of the box that are within the image, white between dark."""
        rows, columns = next(iter(self.maps.values())).shape
        top, left, bottom, right = self.box or (0, 0, 0, 0)
        inside = [max(top, 0), max(left, 0), min(bottom, rows), min(right, columns)]
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            return
        up, down = (y + side * height / rows for side in inside[::2])
        west, east = (x + side * width / columns for side in inside[1::2])
        sides = [
            ([[west, up], [east, up]], top >= 0),
            ([[west, down], [east, down]], bottom <= rows),
            ([[west, up], [west, down]], left >= 0),
            ([[east, up], [east, down]], right <= columns),
        ]
        for color, thickness in (("#000000", 3.4), ("#ffffff", 1.6)):
            for ends, seen in sides:
                if seen:
                    page.line(np.array(ends), color, thickness)


class _Band:
    """Columns beside each other, under their labels and beside the names of the rows."""

    def __init__(
        self, columns: Sequence[_KernelMaps], names: Mapping[str, list[str]], indent: int
    ) -> None:
        self._columns, self._names, self._indent = columns, names, indent
        self._labels = max(len(column.lines) for column in columns) * line_height(LABEL) + 4
        self._picture = len(next(iter(columns[0].pictures.values())))
        self._rows = {
            name: self._picture + 4 + max(column.keys[name].height for column in columns)
            for name in columns[0].maps
        }
        self.height = self._labels + sum(self._rows.values()) + GAP * (len(self._rows) - 1)

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        left = x + self._indent + 1
        for column in self._columns:
            top = y + self._labels
            middle = left + column.width / 2
            page.text(middle, top - 4, column.lines, align="center", above=True)
            for name, height in self._rows.items():
                column.draw_map(page, name, left, top)
                top += height + GAP
            left += column.width + 2 * GAP
        top = y + self._labels
        for name, height in self._rows.items():
            lines = self._names.get(name, [])
            half = (len(lines) - 1) * line_height(LABEL) / 2
            first = line_top(top + self._picture / 2 - half)
            page.text(x + self._indent - GAP, first, lines, align="right")
            top += height + GAP
