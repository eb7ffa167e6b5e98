"""Find the modules whose parameters work towards a layer, in order of first use.

The operations of a forward are watched rather than the calls of modules, so that a parameter is
found where it is used, also where a parent hands it to a function (multi-head attention's
projection) or multiplies with it what its parts return.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neurovis.saliency.target import LayerTarget, TargetValue


class _ParameterUse(TorchDispatchMode):
    """While active, notes the modules whose parameters are used, by first use."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.used: dict[str, nn.Module] = {}
        self._owners: dict[int, dict[str, nn.Module]] = {}
        for name, module in modules.items():
            for parameter in module.parameters(recurse=False):
                self._owners.setdefault(id(parameter), {})[name] = module

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and note the owners of what it is given."""
        for argument in tree_leaves((args, kwargs)):
            if isinstance(argument, Tensor):
                self.used.update(
                    (name, module)
                    for name, module in self._owners.get(id(argument), {}).items()
                    if name not in self.used
                )
        return func(*args, **(kwargs or {}))


def modules_in_use(model: nn.Module, target: LayerTarget, image: Tensor) -> dict[str, nn.Module]:
    """The modules that own what a layer's activation is computed with, by first use.

    Args:
        model: The network, inside :func:`~neurovis.recording.undisturbed`.
        target: The layer.
        image: ``(1, C, H, W)``.
    """
    value = TargetValue(model, target)
    with torch.no_grad():
        value.activation(image)  # Learns where to stop, so that the next forward is a single one.
        with _ParameterUse(dict(value.model.named_modules())) as use:
            value.activation(image)
    return {
        name.replace("_orig_mod.", "") or type(value.model).__name__: module
        for name, module in use.used.items()
    }
