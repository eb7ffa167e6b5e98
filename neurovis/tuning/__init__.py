"""Tuning of kernels: stimuli, measures, and rankings of kernels with their evidence.

In-silico electrophysiology, after Pospisil, Pasupathy & Bair (2018) and Marques et al. (2021).
"""

from neurovis.tuning.fields import effective_receptive_field
from neurovis.tuning.noise_maps import reverse_correlation
from neurovis.tuning.probe import TuningProbe
from neurovis.tuning.rank import rank_kernels
from neurovis.tuning.rankings import RANKINGS, register_ranking
from neurovis.tuning.receptive_field_maps import map_receptive_fields
from neurovis.tuning.reference import load_reference
from neurovis.tuning.reference_scores import ReferenceScores, score_against_reference
from neurovis.tuning.results import KernelRanking, Rankings
from neurovis.tuning.settings import RankingOptions, RankingSettings
from neurovis.tuning.sizes import size_tuning

__all__ = [
    "RANKINGS",
    "KernelRanking",
    "RankingOptions",
    "RankingSettings",
    "Rankings",
    "ReferenceScores",
    "TuningProbe",
    "effective_receptive_field",
    "load_reference",
    "map_receptive_fields",
    "rank_kernels",
    "register_ranking",
    "reverse_correlation",
    "score_against_reference",
    "size_tuning",
]
