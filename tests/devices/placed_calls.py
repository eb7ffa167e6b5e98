"""Run on the simulated GPU what tests give to NeuroVis without a Trainer."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

#: Functions of a network that return values on the CPU, wherever the network is.
FUNCTIONS = (
    "neurovis.saliency.explanation.kernel_saliency",
    "neurovis.saliency.randomization.cascading_randomization",
    "neurovis.tuning.rank.rank_kernels",
    "neurovis.tuning.noise_maps.reverse_correlation",
    "neurovis.tuning.fields.effective_receptive_field",
    "neurovis.tuning.receptive_field_maps.map_receptive_fields",
    "neurovis.tuning.sizes.size_tuning",
    "neurovis.receptive_fields.receptive_fields",
    "neurovis.top_images.probe.find_top_images",
    "neurovis.analysis.judges.judge_images",
    "neurovis.analysis.picture_prediction.predictability",
    "neurovis.analysis.stability.seed_stability",
)


_active = False


@contextmanager
def placed_calls() -> Iterator[None]:
    """Call the functions with their network on the device; it goes back to the CPU afterwards."""
    global _active
    _active = True
    try:
        yield
    finally:
        _active = False


def place_calls(device: torch.device) -> None:
    """Wrap the functions, for :func:`placed_calls`."""
    for path in FUNCTIONS:
        home, _, name = path.rpartition(".")
        plain = getattr(import_module(home), name)
        placed = _placed(plain, device)
        # Packages that import it have a name of their own for it.
        for module in [module for key, module in sys.modules.items() if key.startswith("neurovis")]:
            if getattr(module, name, None) is plain:
                setattr(module, name, placed)


def _placed(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if not _active:
            return function(*arguments, **options)
        with ExitStack() as stack:

            def place(value: Any) -> Any:
                if isinstance(value, nn.Module):
                    stack.enter_context(_on(value, device))
                is_on_host = isinstance(value, Tensor) and value.device.type == "cpu"
                return value.to(device) if is_on_host else value

            moved = [place(value) for value in arguments]
            return function(*moved, **{key: place(value) for key, value in options.items()})

    return call


@contextmanager
def _on(network: nn.Module, device: torch.device) -> Iterator[None]:
    tensors = [*network.parameters(), *network.buffers()]
    if not tensors or any(tensor.device.type != "cpu" for tensor in tensors):
        yield
        return
    _move(network, device)
    try:
        yield
    finally:
        _move(network, torch.device("cpu"))


def _move(network: nn.Module, device: torch.device) -> None:
    # Where a caller is in inference mode, its parameters are ordinary tensors all the same.
    with torch.inference_mode(False):
        network.to(device)
