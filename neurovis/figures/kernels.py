"""Pictures of kernels: a grid of images with labels, and the signature figure of one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurovis.figures.cells import Cells
from neurovis.figures.output import to_pixels
from neurovis.figures.page import GAP, MAXIMUM_WIDTH, Beside, Page, page_figure
from neurovis.figures.pictures import (
    finite_range,
    fitted,
    gray,
    modality_rows,
    square_columns,
    stated_range,
)
from neurovis.figures.text import LABEL, line_height, wrapped
from neurovis.inputs import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGEST_IMAGE = 256


def labeled_grid(
    images: Tensor,
    labels: Sequence[str],
    spec: InputSpec,
    title: str,
    columns: int | None = None,
    largest: int = _LARGEST_IMAGE,
    captions: Sequence[str] = (),
) -> Figure:
    """A grid of images, each under its label, its modalities stacked in its cell.

    Args:
        images: ``(N, C, H, W)`` in [0, 1]. Small ones are enlarged, large ones in large grids
            shrunk: every pixel is in the images, not in this overview.
        labels: One for each image; long ones are wrapped.
        spec: The modalities, see :func:`modality_rows`.
        title: Stands over the grid.
        columns: Images in a row; by default the grid is about square.
        largest: Pixels of an image's longer side, at most.
        captions: Below each image; by default nothing.

    Raises:
        ValueError: If there is no image, or the number of labels is another.
    """
    if len(images) == 0 or len(labels) != len(images):
        raise ValueError(f"needs one label for each image; got {len(labels)} for {len(images)}")
    rows = modality_rows(images, spec)
    height, width = images.shape[-2:]
    stacked = len(rows) // spec.frames
    across = columns or square_columns(len(images), height * stacked, width * spec.frames)
    smallest = 96 if across <= 12 else 64
    largest = max(smallest, min(largest, MAXIMUM_WIDTH // (across * spec.frames)))
    cells = Cells(
        {name: fitted(pictures, smallest, largest) for name, pictures in rows.items()},
        labels,
        columns,
        spec.frames,
        captions if any(captions) else (),
    )
    return page_figure(cells, title)


def signature_figure(
    start: Tensor,
    preferred: Tensor,
    target_map: Tensor,
    resulting_map: Tensor,
    spec: InputSpec,
    title: str,
    largest: int = _LARGEST_IMAGE,
) -> Figure:
    """The signature figure of one kernel: what it was shown, what it wants, and what it then did.

    Columns: initial image, preferred image, target map, resulting map; one row a modality. Black
    in the target map is 0 or its lowest value; black and white in the resulting map are its lowest
    and highest value. The values stand below the maps; what is not finite is red.

    Args:
        start: The image that the ascent began with, ``(C, H, W)`` in [0, 1].
        preferred: The image that it ended with, ``(C, H, W)`` in [0, 1].
        target_map: ``(H', W')``, what was asked of each unit; ``(1, 1)`` for a linear layer.
        resulting_map: ``(H', W')``, the kernel's feature map on the preferred image.
        spec: The modalities, see :func:`modality_rows`.
        title: Stands over the figure.
        largest: Pixels of an image's longer side, at most.

    Raises:
        ValueError: If a map is not ``(H', W')``, or the images are not the spec's.
    """
    for name, values in (("target_map", target_map), ("resulting_map", resulting_map)):
        if values.ndim != 2:
            raise ValueError(f"{name} must be (H', W'); got shape {tuple(values.shape)}")
    rows = {
        name: fitted(pictures, min(160, largest), largest)
        for name, pictures in modality_rows(torch.stack([start, preferred]), spec).items()
    }
    _, _, height, width = next(iter(rows.values())).shape
    stack = len(rows) // spec.frames * (height + GAP) - GAP
    columns = 2 if spec.frames == 1 else 1
    images = Cells(rows, ["initial image", "preferred image"], columns, spec.frames)
    size = max(width, 160)
    target = _Map("target map", target_map, _from_zero(target_map), size, stack)
    resulting = _Map("resulting map", resulting_map, finite_range(resulting_map), size, stack)
    return page_figure(Beside([images, target, resulting]), title, minimum_width=0)


class _Map:
    """One map under its name and over the values of black and white, in the middle of its room."""

    def __init__(
        self,
        name: str,
        values: Tensor,
        limits: tuple[float, float] | None,
        size: int,
        room: int,
    ) -> None:
        values = values.detach().float()
        self.width = size
        self._name, self._room = name, room
        # Enlarged by the whole factor that just fits, so that units stay squares.
        factor = size // max(values.shape)
        self._picture = to_pixels(
            fitted(gray(values[None], limits), factor * max(values.shape), size)[0]
        )
        self._note = wrapped(stated_range(values, limits), size)

    @property
    def height(self) -> int:
        """Pixels down, drawn at the top."""
        lines = 1 + len(self._note)
        return len(self._picture) + lines * line_height(LABEL) + 3 + GAP

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        height, width = self._picture.shape[:2]
        page.text(x + self.width / 2, y, [self._name], align="center")
        top = y + line_height(LABEL) + 3 + max(0, self._room - height) // 2
        page.picture(x + (self.width - width) // 2, top, self._picture)
        page.text(x + self.width / 2, top + height + GAP // 2, self._note, align="center")


def _from_zero(target: Tensor) -> tuple[float, float] | None:
    """Limits of a target map that show a uniform target as white and no target as black."""
    limits = finite_range(target)
    return None if limits is None else (min(0.0, limits[0]), max(0.0, limits[1]))
