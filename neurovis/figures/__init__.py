"""Tensors in, pictures out: grids of images and maps, and matplotlib Figures around them.

Nothing here knows what was computed or why; it only decides how numbers are shown, and states
their range wherever a grey level stands for a number. Figures are ``matplotlib.figure.Figure``
objects, never pyplot state, on a light page whatever style the user has set, and matplotlib is
imported when the first one is made.
"""

from neurovis.figures.curves import curve_figure
from neurovis.figures.kernels import labelled_grid, signature_figure
from neurovis.figures.maps import feature_map_figure
from neurovis.figures.output import render, save_png
from neurovis.figures.pictures import modality_rows, tile

__all__ = [
    "curve_figure",
    "feature_map_figure",
    "labelled_grid",
    "modality_rows",
    "render",
    "save_png",
    "signature_figure",
    "tile",
]
