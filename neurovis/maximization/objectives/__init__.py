"""Objectives: the numbers read from a layer's activation, and how a group's numbers are joined.

An :class:`Objective` reads numbers from an activation; a :class:`Target` says which of them one
image is to drive together; a :class:`TargetBatch` does so for all images of a batch at once.
"""

from neurovis.maximization.objectives.choice import NAMED_OBJECTIVES, as_objective
from neurovis.maximization.objectives.constant import Constant
from neurovis.maximization.objectives.direction import Direction
from neurovis.maximization.objectives.diversity import diversity_penalty
from neurovis.maximization.objectives.groups import Joint, group_target
from neurovis.maximization.objectives.kernels import Center, CustomReadout, Max, Mean, Position
from neurovis.maximization.objectives.layers import DeepDream, Inversion
from neurovis.maximization.objectives.noise import noise_statistics
from neurovis.maximization.objectives.objective import Objective, WeightedSum
from neurovis.maximization.objectives.targets import (
    Target,
    TargetBatch,
    joint_values,
    member_values,
)

__all__ = [
    "NAMED_OBJECTIVES",
    "Center",
    "Constant",
    "CustomReadout",
    "DeepDream",
    "Direction",
    "Inversion",
    "Joint",
    "Max",
    "Mean",
    "Objective",
    "Position",
    "Target",
    "TargetBatch",
    "WeightedSum",
    "as_objective",
    "diversity_penalty",
    "group_target",
    "joint_values",
    "member_values",
    "noise_statistics",
]
