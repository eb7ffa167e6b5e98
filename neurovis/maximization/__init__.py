"""What image does a kernel, or a group of kernels, want?"""

from neurovis.maximization.activation_maximization import ActivationMaximization
from neurovis.maximization.group_activation_maximization import GroupActivationMaximization
from neurovis.maximization.results import MaximizationResults, PreferredImage
from neurovis.maximization.settings import AscentOptions, AscentSettings
from neurovis.maximization.strategy import IndependentDDPStrategy, register_strategy
from neurovis.maximization.target_maximization import TargetMaximization

register_strategy()

__all__ = [
    "ActivationMaximization",
    "AscentOptions",
    "AscentSettings",
    "GroupActivationMaximization",
    "IndependentDDPStrategy",
    "MaximizationResults",
    "PreferredImage",
    "TargetMaximization",
]
