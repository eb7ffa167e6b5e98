"""An image that fills a figure, pixel for pixel.

``Figure.figimage`` and ``Axes.imshow`` resample even where there is nothing to resample: 1.4 s of
the 5 s that a large page took. Imports matplotlib, so it is itself imported when a page is made.
"""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from PIL import Image

from neurovis.figures.output import Pixels


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
        magnification = renderer.get_image_magnification()
        width, height = (round(side * magnification) for side in self.figure.bbox.size)
        image = Image.fromarray(self._pixels)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.NEAREST)
        context = renderer.new_gc()
        renderer.draw_image(context, 0, 0, np.asarray(image.convert("RGBA"))[::-1])
        context.restore()
