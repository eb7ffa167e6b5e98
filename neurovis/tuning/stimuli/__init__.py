"""Stimuli for measuring the tuning of kernels; each set is a dataset of computed images."""

from __future__ import annotations

from neurovis.tuning.stimuli.base import Conditions, Stimuli
from neurovis.tuning.stimuli.drifting import DriftingGratings
from neurovis.tuning.stimuli.gabors import Gabors, gabor
from neurovis.tuning.stimuli.gratings import Gratings, default_spatial_frequencies
from neurovis.tuning.stimuli.mixture import Mixture
from neurovis.tuning.stimuli.modulations import (
    Modulation,
    color_modulations,
    isoluminant_modulations,
    modality_modulations,
    uniform_modulation,
)
from neurovis.tuning.stimuli.noise import DenseNoise, SparseNoise
from neurovis.tuning.stimuli.pictures import MovedPictures, PictureVersions, ScrambledPictures
from neurovis.tuning.stimuli.rendering import APERTURE_EDGE, MAX_SPATIAL_FREQUENCY, render_gratings
from neurovis.tuning.stimuli.shapes import Arcs, Squares
from neurovis.tuning.stimuli.varied_gratings import Variation, VariedGratings, default_extents

__all__ = [
    "APERTURE_EDGE",
    "MAX_SPATIAL_FREQUENCY",
    "Arcs",
    "Conditions",
    "DenseNoise",
    "DriftingGratings",
    "Gabors",
    "Gratings",
    "Mixture",
    "Modulation",
    "MovedPictures",
    "PictureVersions",
    "ScrambledPictures",
    "SparseNoise",
    "Squares",
    "Stimuli",
    "Variation",
    "VariedGratings",
    "color_modulations",
    "default_extents",
    "default_spatial_frequencies",
    "gabor",
    "isoluminant_modulations",
    "modality_modulations",
    "render_gratings",
    "uniform_modulation",
]
