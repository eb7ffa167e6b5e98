"""The embedded default: RGB-D scenes, a small network and its trained weights."""

from __future__ import annotations

from neurovis.demo.classifier import ShapeClassifier, ShapeScenesDataModule
from neurovis.demo.network import ShapeNet, load_demo_network
from neurovis.demo.scenes import ShapeScenes, demo_input_spec
from neurovis.demo.shapes import SHAPES

__all__ = [
    "SHAPES",
    "ShapeClassifier",
    "ShapeNet",
    "ShapeScenes",
    "ShapeScenesDataModule",
    "demo_input_spec",
    "load_demo_network",
]
