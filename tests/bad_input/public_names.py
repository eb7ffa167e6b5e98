"""The public names, and why some of them have no line in the table."""

from __future__ import annotations

from importlib import import_module

PACKAGES = (
    *(
        "neurovis",
        "neurovis.analysis",
        "neurovis.callbacks",
        "neurovis.demo",
        "neurovis.models",
        "neurovis.pictures",
    ),
    *("neurovis.maximization", "neurovis.maximization.objectives", "neurovis.saliency"),
    *("neurovis.maximization.parametrizations", "neurovis.maximization.transforms"),
    *("neurovis.top_images", "neurovis.tuning", "neurovis.tuning.stimuli"),
    *("neurovis.figures", "neurovis.cards"),
)

_REASONS = {
    "a constant, a type, or a warning": (
        *("__version__", "AscentOptions", "Joint", "NAMED_OBJECTIVES", "PARAMETRIZATIONS"),
        *("ParametrizationName", "PICTURE_SUFFIXES", "StretchedWarning", "ZeroDepthWarning"),
        *("RANKINGS", "RankingOptions", "APERTURE_EDGE", "MAX_SPATIAL_FREQUENCY", "METHODS"),
        *("STRONGEST", "CallableTarget", "KernelChoice", "Method", "ReadoutOption", "SHAPES"),
        *("SaliencyOptions", "ObjectiveName"),
    ),
    "made by us, of what was checked": (
        *("LayerInfo", "MaximizationResults", "PreferredImage", "TopImages", "KernelRanking"),
        *("Rankings", "SaliencyMaps", "RandomizationCheck", "PictureFiles", "Constant"),
        *("TargetValue", "FourierImages", "FixedMagnitudeImages", "PixelImages"),
        "ImageParameters",
        *("TargetBatch", "RankedEntry", "Card", "CardLayer", "Curves", "Evidence", "Measure"),
        *("Picture", "ReceptiveField", "Score", "Comparison", "ExplainedPicture", "FeatureMaps"),
        *("PreferredGratings", "RandomizedPicture", "RankedFields"),
        *("ResultFiles", "SaliencyProbe", "Predictability", "Judgments", "Stability"),
        "PictureResponses",
        *("ImageEvidence", "PathSimilarity", "Facet", "Facets", "ReferenceScores"),
        *("CountedKernels", "ScoreCell"),
    ),
    "a base of others": (
        *("Objective", "Parametrization", "Transform", "Stimuli", "Conditions"),
        "PictureVersions",
    ),
    "called by us, with what was checked": (
        *("AscentProgress", "IndependentDDPStrategy", "unfinished_run", "diversity_penalty"),
        *("member_values", "noise_statistics"),
        *("apply_transforms", "draw_transforms", "stretched", "uniform_modulation", "render"),
        *("modality_modulations", "stacked", "score_histogram", "orientation_colors"),
        *("orientation_map_figure", "randomization_figure", "kernel_sheet_figure"),
        *("grating_preference_figure", "image_uri", "overlay_uri", "preferred_gratings"),
        *("save_first_kernels", "save_ranking", "save_gif", "save_evidence"),
        *("path_similarity_figure", "distribution_figure", "reference_score_figure"),
        *("save_reference_scores", "null_limit", "Variation", "ScrambledPictures", "MovedPictures"),
        "Squares",
    ),
    "takes nothing": ("Center", "DeepDream", "Max", "Mean", "Pixel", "load_demo_network"),
    "Lightning's own arguments": ("ShapeClassifier", "ShapeNet", "ShapeScenesDataModule"),
}
WITHOUT_LINES = {name for names in _REASONS.values() for name in names}


def public_names() -> set[str]:
    """The names that the packages are there for."""
    return {name for package in PACKAGES for name in import_module(package).__all__}
