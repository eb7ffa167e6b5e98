"""The network as activation maximization runs it: frozen, in eval mode, and no slower than need be.

The user's own network is never touched: what runs is a copy that shares its weights.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neurovis.layers import unwrap
from neurovis.recording import Recorder, hooked

#: How far a folded network's activations may be from the original's, relative to their largest.
_FOLDING_TOLERANCE = 1e-4


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode that needs no gradients and shares the original's weights in memory."""
    original = unwrap(model)
    shared: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False)
        for parameter in original.parameters()
    }
    shared.update((id(buffer), buffer.detach()) for buffer in original.buffers())
    copied = copy.deepcopy(original, shared)
    for module in copied.modules():
        module.training = False
    return copied


def fold_batch_norms(network: nn.Module, layer: str, example: Tensor) -> nn.Module:
    """A copy whose convolution-batch-norm pairs before ``layer`` are single convolutions.

    Args:
        network: From :func:`frozen_copy`.
        layer: The layer whose activations must stay what they are.
        example: Images ``(B, C, H, W)`` in the network's space, to find the pairs and to check.

    Returns:
        The folded copy; or ``network`` itself where there is nothing to fold, or where folding
        would change the activations (a convolution whose output is used twice, say).
    """
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    pairs = _conv_bn_pairs(network, layer, example)
    if not pairs:
        return network
    folded = frozen_copy(network)
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(convolution, norm)
        _replace(folded, names[convolution], fused.requires_grad_(False))
        _replace(folded, names[norm], nn.Identity())
    with torch.no_grad():
        before = Recorder(network, layer).record(example)[layer]
        after = Recorder(folded, layer).record(example)[layer]
    close = (after - before).abs().max() <= _FOLDING_TOLERANCE * before.abs().max()
    return folded if close else network


def _conv_bn_pairs(
    network: nn.Module, layer: str, example: Tensor
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions whose output goes straight into a batch norm, each called once."""
    made_by: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    calls: dict[nn.Module, int] = {}

    def follow(_name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            made_by[id(output)] = (module, output)
        elif isinstance(module, nn.BatchNorm2d) and args and id(args[0]) in made_by:
            convolution, _ = made_by[id(args[0])]
            if module.track_running_stats and convolution is not watched.get(layer):
                pairs.append((convolution, module))

    watched = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))
    }
    recorder = Recorder(network, layer)
    with torch.no_grad():
        recorder.record(example)  # Learns where to stop, so that the next forward is a single one.
        with hooked(watched, follow):
            recorder.record(example)
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1]


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
