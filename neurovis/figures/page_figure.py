"""A figure that is one page, shown pixel for pixel in files, notebooks and windows.

``Figure.figimage`` and ``Axes.imshow`` resample even where there is nothing to resample: 1.4 s of
the 5 s that a large page took. Imports matplotlib, so it is itself imported when a page is made.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from PIL import Image
from typing_extensions import override

from neurovis.figures.output import Pixels, png_bytes
from neurovis.figures.text import DPI


class PageFigure(Figure):
    """A white figure of ``width`` by ``height`` pixels, which notebooks show as it is drawn.

    It belongs to no pyplot state; ``plt.figure(figure)`` adds it to what ``plt.show()`` shows.
    """

    def __init__(self, width: int, height: int) -> None:
        super().__init__(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        # IPython shows no figure that has neither axes nor lines.
        self.lines.append(Line2D([], [], visible=False))

    @override
    def get_tightbbox(
        self,
        renderer: RendererBase | None = None,
        *,
        bbox_extra_artists: Iterable[Artist] | None = None,
    ) -> Bbox:
        """Return the page in inches, without what ``bbox_inches="tight"`` pads it by.

        IPython saves figures so; pages have a margin of their own.
        """
        padding = rcParams["savefig.pad_inches"]
        width, height = self.bbox_inches.size
        # Rounded up, since a canvas is rounded down to whole pixels.
        right, top = np.nextafter([width - padding, height - padding], np.inf)
        return Bbox([[padding, padding], [right, top]])

    def _repr_png_(self) -> bytes:
        """Called by IPython where pyplot is not in use."""
        return png_bytes(self)


class Backdrop(Artist):
    """Draws ``(H, W, 3)`` pixels over the whole of the figure that it is added to.

    At the figure's own resolution a pixel is a pixel; at another (``savefig(dpi=…)``, PDF) the
    image is scaled with nearest neighbor.
    """

    def __init__(self, pixels: Pixels) -> None:
        super().__init__()
        self._pixels = pixels

    def draw(self, renderer: RendererBase) -> None:
        """Called by matplotlib."""
        if self.figure is None:
            return
        # Where only a part of the figure is saved, it is larger than its bbox.
        corners = self.figure.transSubfigure.transform([(0, 0), (1, 1)])
        left, bottom = corners[0]
        magnification = renderer.get_image_magnification()
        width, height = (round(side * magnification) for side in corners[1] - corners[0])
        image = Image.fromarray(self._pixels)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.NEAREST)
        context = renderer.new_gc()
        renderer.draw_image(context, left, bottom, np.asarray(image.convert("RGBA"))[::-1])
        context.restore()
