"""Monitors: Lightning callbacks that watch a training run and change nothing in it."""

from neurovis.callbacks.activation_maximization import ActivationMaximizationMonitor
from neurovis.callbacks.base import Monitor
from neurovis.callbacks.feature_maps import FeatureMapMonitor
from neurovis.callbacks.kernel_ranking import KernelRankingMonitor
from neurovis.callbacks.saliency import SaliencyMonitor

__all__ = [
    "ActivationMaximizationMonitor",
    "FeatureMapMonitor",
    "KernelRankingMonitor",
    "Monitor",
    "SaliencyMonitor",
]
