"""Analyses that combine preferred images, tuning, saliency and pictures of your own."""

from neurovis.analysis.compared_paths import PathSimilarity, path_similarity
from neurovis.analysis.evidence import ImageEvidence, save_evidence
from neurovis.analysis.explained_pictures import ExplainedPicture, RandomizedPicture
from neurovis.analysis.feature_maps import FeatureMaps, FeatureReader
from neurovis.analysis.grating_preferences import PreferredGratings, preferred_gratings
from neurovis.analysis.judges import Judgments, judge_images
from neurovis.analysis.kernel_facets import Facet, Facets, facet_images, facets
from neurovis.analysis.picture_explainer import PictureExplainer
from neurovis.analysis.picture_prediction import Predictability, predictability
from neurovis.analysis.picture_responses import PictureResponses
from neurovis.analysis.preferred_images import (
    Comparison,
    compare_preferred_images,
)
from neurovis.analysis.ranked_fields import RankedFields, map_ranked_fields
from neurovis.analysis.ranking_files import (
    save_first_kernels,
    save_ranking,
    save_reference_scores,
)
from neurovis.analysis.report import make_report
from neurovis.analysis.saliency_probe import SaliencyProbe
from neurovis.analysis.stability import Stability, seed_stability
from neurovis.result_files import ResultFiles

__all__ = [
    "Comparison",
    "ExplainedPicture",
    "Facet",
    "Facets",
    "FeatureMaps",
    "FeatureReader",
    "ImageEvidence",
    "Judgments",
    "PathSimilarity",
    "PictureExplainer",
    "PictureResponses",
    "Predictability",
    "PreferredGratings",
    "RandomizedPicture",
    "RankedFields",
    "ResultFiles",
    "SaliencyProbe",
    "Stability",
    "compare_preferred_images",
    "facet_images",
    "facets",
    "judge_images",
    "make_report",
    "map_ranked_fields",
    "path_similarity",
    "predictability",
    "preferred_gratings",
    "save_evidence",
    "save_first_kernels",
    "save_ranking",
    "save_reference_scores",
    "seed_stability",
]
