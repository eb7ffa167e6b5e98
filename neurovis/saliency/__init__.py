"""Saliency maps of kernels by nine methods, and a check that a map is worth reading."""

from __future__ import annotations

from neurovis.saliency.explanation import kernel_saliency
from neurovis.saliency.maps import SaliencyMaps
from neurovis.saliency.question import kernel_choices
from neurovis.saliency.randomization import RandomizationCheck, cascading_randomization
from neurovis.saliency.settings import (
    METHODS,
    Method,
    ReadoutOption,
    SaliencyOptions,
    SaliencySettings,
    check_method,
)
from neurovis.saliency.target import (
    STRONGEST,
    CallableTarget,
    KernelChoice,
    LayerTarget,
    TargetValue,
)

__all__ = [
    "METHODS",
    "STRONGEST",
    "CallableTarget",
    "KernelChoice",
    "LayerTarget",
    "Method",
    "RandomizationCheck",
    "ReadoutOption",
    "SaliencyMaps",
    "SaliencyOptions",
    "SaliencySettings",
    "TargetValue",
    "cascading_randomization",
    "check_method",
    "kernel_choices",
    "kernel_saliency",
]
