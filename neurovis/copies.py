"""Copies of a network, to be changed or run frozen while the original is left alone."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from neurovis.layers import unwrap


def frozen_copy(model: nn.Module, share: bool = False) -> nn.Module:
    """A copy in eval mode that needs no gradients.

    Forward hooks that are on the original are on the copy too.

    Args:
        model: A compiled one is copied as its original, uncompiled self.
        share: Let the copy use the same weights in memory; by default what becomes of the
            original's does not reach it.
    """
    model = unwrap(model)
    copies: dict[int, Any] = {}
    for module in model.modules():
        # Old-style weight and spectral norms keep computed tensors that deepcopy refuses.
        for tensor in (*module._parameters.values(), *vars(module).values()):
            if isinstance(tensor, Tensor):
                copies[id(tensor)] = tensor.detach() if share else tensor.detach().clone()
    for parameter in model.parameters():
        copies[id(parameter)] = nn.Parameter(copies[id(parameter)], requires_grad=False)
    copied = copy.deepcopy(model, copies)
    for module in copied.modules():
        module.training = False
    return copied
