"""Whether a page can be read, and whether a picture is on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(Text))


def assert_legible(figure: Figure) -> None:
    """No text overlaps another, leaves the page, or is too small to be read."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    beyond = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
        for label in (tick.label1, tick.label2)
    }
    boxes = [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible() and text not in beyond
    ]
    assert boxes
    width, height = figure.bbox.size
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= width, name
        assert box.y1 <= height, name
        assert box.height >= 7, name
    for index, (name, box) in enumerate(boxes):
        for other_name, other in boxes[index + 1 :]:
            apart = (
                box.x1 <= other.x0 + 1
                or other.x1 <= box.x0 + 1
                or box.y1 <= other.y0 + 1
                or other.y1 <= box.y0 + 1
            )
            assert apart, f"{name!r} overlaps {other_name!r}"


def assert_no_text_over_pictures(figure: Figure) -> None:
    """The page under every text is white."""
    (backdrop,) = figure.artists
    page = backdrop._pixels
    renderer = figure.canvas.get_renderer()
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        height = len(page)
        under = page[int(height - box.y1) : int(height - box.y0), int(box.x0) : int(box.x1)]
        assert (under == 255).all(), text.get_text()


def contains(page: np.ndarray[Any, Any], part: np.ndarray[Any, Any]) -> bool:
    """Whether a picture is somewhere on a page, exactly."""
    height, width = part.shape[:2]
    rows, columns = np.nonzero((page == part[0, 0]).all(axis=2))
    return any(
        np.array_equal(page[row : row + height, column : column + width], part)
        for row, column in zip(rows, columns, strict=True)
    )
