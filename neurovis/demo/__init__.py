"""The embedded default: RGB-D scenes, a small network and its trained weights.

Its training is imported when it is first used: the network does without Lightning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from neurovis.demo.network import ShapeNet, TwoStreamNet, load_demo_network
from neurovis.demo.scenes import ShapeScenes, demo_input_spec
from neurovis.demo.shapes import SHAPES

if TYPE_CHECKING:
    from neurovis.demo.classifier import ShapeClassifier, ShapeScenesDataModule

__all__ = [
    "SHAPES",
    "ShapeClassifier",
    "ShapeNet",
    "ShapeScenes",
    "ShapeScenesDataModule",
    "TwoStreamNet",
    "demo_input_spec",
    "load_demo_network",
]


def __getattr__(name: str) -> object:
    if name not in ("ShapeClassifier", "ShapeScenesDataModule"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("neurovis.demo.classifier"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
