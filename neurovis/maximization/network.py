"""The network as activation maximization runs it: frozen, in eval mode, and no slower than need be.

The user's network is never changed: a copy is run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neurovis.copies import frozen_copy
from neurovis.recording import Recorder, hooked

#: How far a folded network's activations may be from the original's, relative to their largest.
_FOLDING_TOLERANCE = 1e-4


def fold_batch_norms(network: nn.Module, layer: str, examples: Tensor) -> nn.Module:
    """A copy whose convolution-batch-norm pairs before ``layer`` are single convolutions.

    Args:
        network: From :func:`~neurovis.copies.frozen_copy`.
        layer: The layer whose activations must stay what they are.
        examples: Images ``(B, C, H, W)`` in the network's space that drive it, such as noise: to
            find the pairs and to check.

    Returns:
        The folded copy; or ``network`` itself where there is nothing to fold, or where folding
        would change the activations (a convolution whose output is used twice, say).
    """
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    pairs = _conv_bn_pairs(network, layer, examples)
    if not pairs:
        return network
    folded = frozen_copy(network, share=True)
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(convolution, norm)
        _replace(folded, names[convolution], fused.requires_grad_(False))
        _replace(folded, names[norm], nn.Identity())
    with torch.no_grad():
        before = Recorder(network, layer).record(examples)[layer]
        after = Recorder(folded, layer).record(examples)[layer]
    largest, error = before.abs().max(), (after - before).abs().max()
    # Where all is silent nothing can be compared, and so nothing is folded.
    return folded if largest > 0 and error <= _FOLDING_TOLERANCE * largest else network


def _conv_bn_pairs(
    network: nn.Module, layer: str, examples: Tensor
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions whose output goes straight into a batch norm, each called once."""
    made_by: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    calls: dict[nn.Module, int] = {}

    def follow(_name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        if type(module) is nn.Conv2d:
            made_by[id(output)] = (module, output)
        elif type(module) is nn.BatchNorm2d and args and id(args[0]) in made_by:
            convolution, _ = made_by[id(args[0])]
            if module.track_running_stats and convolution is not watched.get(layer):
                pairs.append((convolution, module))

    watched = {name: module for name, module in network.named_modules() if _is_plain(module)}
    recorder = Recorder(network, layer)
    with torch.no_grad():
        recorder.record(examples)  # Learns where to stop, so that the next forward is a single one.
        with hooked(watched, follow):
            recorder.record(examples)
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1]


def _is_plain(module: nn.Module) -> bool:
    """Return True for a convolution or batch norm without subclass, parametrization or hook."""
    return type(module) in (nn.Conv2d, nn.BatchNorm2d) and not (
        module._forward_hooks or module._forward_pre_hooks
    )


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
