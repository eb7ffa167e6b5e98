"""What lies under the texts of a page, and which lines and areas are on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from legible import assert_legible
from matplotlib import colormaps
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from neurovis.figures import render

Array = np.ndarray[Any, Any]


def assert_readable(figure: Figure) -> None:
    """Texts do not overlap, and the page under them is white."""
    assert_legible(figure)
    assert_nothing_under_texts(figure)


def assert_nothing_under_texts(figure: Figure) -> None:
    """The page under every text is white: no picture, line or area."""
    render(figure)
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts]
    for text in figure.texts:
        text.set_visible(False)
    page = render(figure)
    for text in figure.texts:
        text.set_visible(True)
    height = len(page)
    for name, box in boxes:
        rows = slice(int(height - box.y1) + 1, int(height - box.y0))
        assert (page[rows, int(box.x0) + 1 : int(box.x1)] == 255).all(), name


def backdrop(figure: Figure) -> Array:
    """The pictures of a page, without what is drawn over them."""
    pixels: Array = figure.artists[0]._pixels
    return pixels


def lines(figure: Figure, color: str) -> list[Array]:
    """Points ``(n, 2)`` in pixels from the upper left of each line of a color."""
    return _of(figure, LineCollection, color)


def areas(figure: Figure, color: str) -> list[Array]:
    """Corners ``(n, 2)`` in pixels from the upper left of each area of a color."""
    return _of(figure, PolyCollection, color)


def _of(figure: Figure, kind: type, color: str) -> list[Array]:
    height = figure.bbox.height
    found = []
    for artist in figure.artists:
        if type(artist) is not kind:
            continue
        inks = artist.get_colors() if kind is LineCollection else artist.get_facecolors()
        for path, ink in zip(artist.get_paths(), inks, strict=True):
            if to_hex(ink) == to_hex(color):
                points = artist.get_transform().transform(path.vertices)
                found.append(np.stack([points[:, 0], height - points[:, 1]], axis=1))
    return found


def viridis(levels: Array) -> Array:
    """Colors of levels in [0, 1], as pixels."""
    colors: Array = np.asarray(colormaps["viridis"](levels))[..., :3]
    return (255 * colors).round().astype(np.uint8)


def corners(page: Array, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the top and left of each framed picture of this size."""
    frame = (page == 190).all(axis=2)
    height, width = size
    return [
        (int(row) + 1, int(column) + 1)
        for row, column in zip(*np.nonzero(frame), strict=True)
        if row + height + 1 < len(page)
        and column + width + 1 < page.shape[1]
        and frame[row, column : column + width + 2].all()
        and frame[row + height + 1, column : column + width + 2].all()
        and frame[row : row + height + 2, column].all()
        and frame[row : row + height + 2, column + width + 1].all()
    ]
