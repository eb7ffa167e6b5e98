"""Tensors in, pictures out: grids of images and maps, and matplotlib Figures around them.

Nothing here knows what was computed or why; it only decides how numbers are shown, and states
their range wherever a gray level stands for a number. Figures are ``matplotlib.figure.Figure``
objects, never pyplot state, on a light page whatever style the user has set, and matplotlib is
imported when the first one is made.
"""

from neurovis.figures.curves import curve_figure
from neurovis.figures.first_and_now import first_and_now_figure, first_and_now_images
from neurovis.figures.kernels import labeled_grid, signature_figure
from neurovis.figures.maps import feature_map_figure
from neurovis.figures.orientations import (
    orientation_colors,
    orientation_key,
    orientation_map_figure,
)
from neurovis.figures.output import render, save_gif, save_png, stacked
from neurovis.figures.path_similarity import path_similarity_figure
from neurovis.figures.pictures import modality_rows, tile
from neurovis.figures.randomization import randomization_figure
from neurovis.figures.ranking import RankedEntry, ranking_figure
from neurovis.figures.receptive_fields import receptive_field_figure
from neurovis.figures.reference import (
    CountedKernels,
    ScoreCell,
    distribution_figure,
    reference_score_figure,
)
from neurovis.figures.saliency import saliency_figure
from neurovis.figures.score_changes import score_change_figure
from neurovis.figures.selectivity import null_limit, score_histogram
from neurovis.figures.size_tuning import size_tuning_figure
from neurovis.figures.spectra import grating_preference_figure
from neurovis.figures.tuning_curves import kernel_sheet_figure
from neurovis.figures.weights import weight_pictures

__all__ = [
    "CountedKernels",
    "RankedEntry",
    "ScoreCell",
    "curve_figure",
    "distribution_figure",
    "feature_map_figure",
    "first_and_now_figure",
    "first_and_now_images",
    "grating_preference_figure",
    "kernel_sheet_figure",
    "labeled_grid",
    "modality_rows",
    "null_limit",
    "orientation_colors",
    "orientation_key",
    "orientation_map_figure",
    "path_similarity_figure",
    "randomization_figure",
    "ranking_figure",
    "receptive_field_figure",
    "reference_score_figure",
    "render",
    "saliency_figure",
    "save_gif",
    "save_png",
    "score_change_figure",
    "score_histogram",
    "signature_figure",
    "size_tuning_figure",
    "stacked",
    "tile",
    "weight_pictures",
]
