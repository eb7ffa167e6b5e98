"""Tensors in, pictures out: grids of images and maps, and matplotlib Figures around them.

Nothing here knows what was computed or why; it only decides how numbers are shown, and states
their range wherever a grey level stands for a number. Figures are ``matplotlib.figure.Figure``
objects, never pyplot state, on a light page whatever style the user has set, and matplotlib is
imported when the first one is made.
"""

from neurovis.figures.curves import curve_figure
from neurovis.figures.first_and_now import first_and_now_figure
from neurovis.figures.kernels import labelled_grid, signature_figure
from neurovis.figures.maps import feature_map_figure
from neurovis.figures.output import render, save_png, stacked
from neurovis.figures.pictures import modality_rows, tile
from neurovis.figures.randomization import randomization_figure
from neurovis.figures.saliency import saliency_figure

__all__ = [
    "curve_figure",
    "feature_map_figure",
    "first_and_now_figure",
    "labelled_grid",
    "modality_rows",
    "randomization_figure",
    "render",
    "saliency_figure",
    "save_png",
    "signature_figure",
    "stacked",
    "tile",
]
