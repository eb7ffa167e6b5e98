"""Kernels beneath each other, each with its preferred image beside the best of a data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from neurovis.figures.output import Pixels, to_pixels
from neurovis.figures.page import APART, GAP, MINIMUM_WIDTH, Page, page_figure
from neurovis.figures.pictures import modality_rows
from neurovis.figures.plots import GRAY
from neurovis.figures.text import LABEL, line_height, text_width, wrapped
from neurovis.inputs import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pixels of the longer side of a picture.
_LEAST_CROP, _LARGEST_CROP = 84, 112
#: Crops in a line; longer rows continue on the next.
_CROPS_IN_LINE = 10
_WIDEST_LABEL = 150
#: Font size of a kernel's name.
_NAME_SIZE = 14
#: Between rows, and behind the preferred image.
_ROWS_APART, _BEHIND_PREFERRED = 18, 20


@dataclass(frozen=True)
class Crop:
    """A part of an image.

    Args:
        picture: ``(C, h, w)`` in [0, 1], at most as large as a cell.
        label: Stands over it.
        offset: Where in its cell it is, down and across, in pixels of the input: a receptive field
            that reaches over the image's edge is not all there.
    """

    picture: Tensor
    label: str
    offset: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class TopImagesRow:
    """One kernel.

    Args:
        label: Its name.
        crops: Crops of its top images, from the first.
        note: Said behind the name.
        preferred: Its preferred image ``(C, H, W)`` in [0, 1].
        preferred_labels: Stand over it, one below the other.
        preferred_crop: A part of the preferred image, at the scale of the other crops.
    """

    label: str
    crops: Sequence[Crop]
    note: str = ""
    preferred: Tensor | None = None
    preferred_labels: Sequence[str] = field(default=())
    preferred_crop: Crop | None = None


def top_images_figure(
    rows: Sequence[TopImagesRow],
    cell: tuple[int, int],
    title: str,
    notes: Sequence[str],
    spec: InputSpec,
) -> Figure:
    """One row for each kernel: its preferred image, then the crops of its top images.

    All crops are drawn at one scale, each at its place in a cell of its own.

    Args:
        rows: From the first to the last.
        cell: Height and width in pixels of the input that every crop fits into.
        title: Stands over the figure.
        notes: Lines under the title.
        spec: The modalities, see :func:`~neurovis.figures.modality_rows`.

    Raises:
        ValueError: If there is no row, or a crop does not fit into its cell.
    """
    if not rows:
        raise ValueError("a figure of top images needs at least one kernel; got none")
    body = _Body(rows, cell, spec)
    return page_figure(body, title, notes)


class _Column:
    """Column at one place of all rows: pictures at one scale, each under its label.

    Args:
        size: Size in pixels of the input that all pictures fit into.
        labels: All labels of the column.
        spec: The modalities.
    """

    def __init__(self, size: tuple[int, int], labels: Sequence[str], spec: InputSpec) -> None:
        longest = max(size)
        # Pixels of the page to one of the input: whole where pictures are enlarged.
        self._factor: float = math.ceil(_LEAST_CROP / longest)
        if longest >= _LEAST_CROP:
            self._factor = min(1.0, _LARGEST_CROP / longest)
        self._spec = spec
        self.picture_height, self._picture_width = map(self._length, size)
        widest = max(map(text_width, labels), default=0)
        self.width = max(self._picture_width, min(widest + 2, _WIDEST_LABEL))

    def lines(self, labels: Sequence[str]) -> list[str]:
        """Labels as they are broken into lines."""
        return [line for label in labels for line in wrapped(label, self.width)]

    def draw(self, page: Page, x: int, y: int, crop: Crop, step: int) -> None:
        """Put an image on a page, its first modality's cell at ``y``, the others ``step`` below."""
        left = x + (self.width - self._picture_width) // 2
        down, across = (self._length(one) if one else 0 for one in crop.offset)
        for level, picture in enumerate(self._pictures(crop.picture)):
            # Sizes are rounded, and a place may be too far out by a pixel.
            top = y + level * step + min(down, self.picture_height - picture.shape[0])
            page.picture(left + min(across, self._picture_width - picture.shape[1]), top, picture)

    def _length(self, pixels: int) -> int:
        """Pixels of the page for some of the input."""
        return max(1, round(pixels * self._factor))

    def _pictures(self, image: Tensor) -> list[Pixels]:
        """An image ``(C, h, w)`` as pictures, one a modality."""
        size = self._length(image.shape[-2]), self._length(image.shape[-1])
        smooth = self._factor < 1
        return [
            to_pixels(
                functional.interpolate(
                    picture.contiguous(),
                    size,
                    mode="bilinear" if smooth else "nearest-exact",
                    antialias=smooth,
                )[0]
            )
            for picture in modality_rows(image[None].cpu(), self._spec).values()
        ]


class _Body:
    """All rows, below each other."""

    def __init__(
        self, rows: Sequence[TopImagesRow], cell: tuple[int, int], spec: InputSpec
    ) -> None:
        self._rows, self._spec = rows, spec
        beside = [row.preferred_crop for row in rows if row.preferred_crop is not None]
        crops = [*(crop for row in rows for crop in row.crops), *beside]
        for crop in crops:
            _check_fits(crop, cell)
        whole = [row for row in rows if row.preferred is not None]
        labels = [label for row in whole for label in row.preferred_labels]
        self._whole = _Column(spec.size, labels, spec) if whole else None
        self._crop = _Column(cell, [crop.label for crop in crops], spec)
        self._has_beside = bool(beside)
        names = _modalities(spec)
        self._names = names if len(names) > 1 else []
        self._names_width = max(map(text_width, self._names)) + GAP if self._names else 0
        columns = [column for column in (self._whole, self._crop) if column is not None]
        self._picture_step = max(column.picture_height for column in columns) + APART
        self._stack = len(names) * self._picture_step - APART
        across = max(min(len(row.crops), _CROPS_IN_LINE) for row in rows)
        self._first = self._names_width
        if self._whole is not None:
            self._first += self._whole.width + _BEHIND_PREFERRED
        if self._has_beside:
            self._first += self._crop.width + _BEHIND_PREFERRED
        self.width = self._first + max(1, across) * (self._crop.width + GAP) - GAP + 1
        self._headings = [
            wrapped(
                row.label + (f": {row.note}" if row.note else ""),
                max(self.width, MINIMUM_WIDTH),
                _NAME_SIZE,
            )
            for row in rows
        ]

    @property
    def height(self) -> int:
        """Pixels down."""
        heights = [self._height(index) for index in range(len(self._rows))]
        return sum(heights) + _ROWS_APART * (len(heights) - 1) + 1

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put the rows on a page with their upper left corner here."""
        for index in range(len(self._rows)):
            self._draw_row(page, x, y, index)
            y += self._height(index) + _ROWS_APART

    def _height(self, index: int) -> int:
        lines = len(self._headings[index]) * line_height(_NAME_SIZE)
        return lines + sum(self._line_heights(self._rows[index]))

    def _lines(self, row: TopImagesRow) -> list[Sequence[Crop]]:
        """The crops of each line; one without any where there are none."""
        starts = range(0, max(1, len(row.crops)), _CROPS_IN_LINE)
        return [row.crops[start : start + _CROPS_IN_LINE] for start in starts]

    def _label_height(self, row: TopImagesRow, line: int) -> int:
        texts = [self._crop.lines([crop.label]) for crop in self._lines(row)[line]]
        if line == 0 and self._whole is not None:
            texts.append(self._whole.lines(row.preferred_labels))
        if line == 0 and row.preferred_crop is not None:
            texts.append(self._crop.lines([row.preferred_crop.label]))
        return max((len(one) for one in texts), default=0) * line_height(LABEL) + APART

    def _line_heights(self, row: TopImagesRow) -> list[int]:
        lines = range(len(self._lines(row)))
        return [
            self._label_height(row, line) + self._stack + (GAP if line else 0) for line in lines
        ]

    def _draw_row(self, page: Page, x: int, y: int, index: int) -> None:
        row, heading = self._rows[index], self._headings[index]
        page.text(x, y, heading, _NAME_SIZE)
        y += len(heading) * line_height(_NAME_SIZE)
        heights = self._line_heights(row)
        for line, crops in enumerate(self._lines(row)):
            top = y + (GAP if line else 0) + self._label_height(row, line)
            if line == 0:
                self._draw_preferred(page, x, top, row)
            self._draw_names(page, x, top)
            for place, crop in enumerate(crops):
                left = x + self._first + place * (self._crop.width + GAP)
                self._draw_cell(page, left, top, self._crop, crop, [crop.label])
            y += heights[line]

    def _draw_preferred(self, page: Page, x: int, top: int, row: TopImagesRow) -> None:
        left = x + self._names_width
        if self._whole is not None:
            if row.preferred is not None:
                whole = Crop(row.preferred, "")
                self._draw_cell(page, left, top, self._whole, whole, row.preferred_labels)
            left += self._whole.width + _BEHIND_PREFERRED
        if row.preferred_crop is not None:
            crop = row.preferred_crop
            self._draw_cell(page, left, top, self._crop, crop, [crop.label])

    def _draw_names(self, page: Page, x: int, top: int) -> None:
        for level, name in enumerate(self._names):
            middle = top + level * self._picture_step + (self._picture_step - LABEL) / 2
            page.text(x + self._names_width - GAP, middle, [name], align="right", color=GRAY)

    def _draw_cell(
        self, page: Page, x: int, top: int, column: _Column, crop: Crop, labels: Sequence[str]
    ) -> None:
        middle, lines = x + column.width / 2, column.lines(labels)
        page.text(middle, top - APART, lines, align="center", above=True)
        column.draw(page, x, top, crop, self._picture_step)


def _modalities(spec: InputSpec) -> list[str]:
    """Return the names of an image's pictures, one for each modality."""
    return list(modality_rows(torch.zeros(1, spec.channels, 1, 1), spec))


def _check_fits(crop: Crop, cell: tuple[int, int]) -> None:
    sizes = zip(crop.picture.shape[-2:], crop.offset, cell, strict=True)
    if crop.picture.ndim != 3 or any(size + offset > room for size, offset, room in sizes):
        raise ValueError(
            f"a crop must be (C, h, w) and fit into its cell of {cell}; got "
            f"{tuple(crop.picture.shape)} at {crop.offset}"
        )
