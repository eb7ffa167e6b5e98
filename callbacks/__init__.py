"""Monitors: Lightning callbacks that watch a training run and change nothing in it."""

from neurovis.callbacks.base import Monitor
from neurovis.callbacks.feature_maps import FeatureMapMonitor

__all__ = ["FeatureMapMonitor", "Monitor"]
