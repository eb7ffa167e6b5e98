"""Activation maximization: the images that a kernel, or a group of kernels, prefers."""

from neurovis.maximization.activation_maximization import ActivationMaximization
from neurovis.maximization.group_activation_maximization import GroupActivationMaximization
from neurovis.maximization.manifest import unfinished_run
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.maximization.progress import AscentProgress
from neurovis.maximization.results import MaximizationResults
from neurovis.maximization.settings import AscentOptions, AscentSettings
from neurovis.maximization.strategy import IndependentDDPStrategy, register_strategy
from neurovis.maximization.target_maximization import TargetMaximization

register_strategy()

__all__ = [
    "ActivationMaximization",
    "AscentOptions",
    "AscentProgress",
    "AscentSettings",
    "GroupActivationMaximization",
    "IndependentDDPStrategy",
    "MaximizationResults",
    "PreferredImage",
    "TargetMaximization",
    "unfinished_run",
]
