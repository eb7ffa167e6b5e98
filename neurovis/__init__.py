"""NeuroVis: what do a CNN's kernels respond to, how selectively, and when did they learn it?

The names below are imported when they are first used, so that ``import neurovis`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from neurovis._version import __version__

if TYPE_CHECKING:
    from neurovis.calling import one_input
    from neurovis.inputs import InputSpec
    from neurovis.kernel_layouts import set_layout
    from neurovis.layer_table import LayerInfo, list_layers
    from neurovis.maximization import ActivationMaximization, GroupActivationMaximization
    from neurovis.modality import Modality
    from neurovis.models import load_model
    from neurovis.recording import Recorder, undisturbed
    from neurovis.saliency import cascading_randomization, kernel_saliency
    from neurovis.tuning import rank_kernels

_HOMES = {
    "InputSpec": "neurovis.inputs",
    "Modality": "neurovis.modality",
    "LayerInfo": "neurovis.layer_table",
    "list_layers": "neurovis.layer_table",
    "ActivationMaximization": "neurovis.maximization",
    "GroupActivationMaximization": "neurovis.maximization",
    "load_model": "neurovis.models",
    "one_input": "neurovis.calling",
    "Recorder": "neurovis.recording",
    "set_layout": "neurovis.kernel_layouts",
    "undisturbed": "neurovis.recording",
    "cascading_randomization": "neurovis.saliency",
    "kernel_saliency": "neurovis.saliency",
    "rank_kernels": "neurovis.tuning",
}

__all__ = [
    "ActivationMaximization",
    "GroupActivationMaximization",
    "InputSpec",
    "LayerInfo",
    "Modality",
    "Recorder",
    "__version__",
    "cascading_randomization",
    "kernel_saliency",
    "list_layers",
    "load_model",
    "one_input",
    "rank_kernels",
    "set_layout",
    "undisturbed",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
