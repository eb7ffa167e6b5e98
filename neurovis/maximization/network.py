"""The network as activation maximization runs it: frozen, in eval mode, and no slower than need be.

The user's network is never changed: a copy is run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neurovis.copies import frozen_copy
from neurovis.layers import class_name
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.settings import Precision
from neurovis.maximization.strided import speed_up_strided
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


#: How far responses in bfloat16 may be from those in float32, relative to the largest. Its numbers
#: have eight significant bits; more than this comes from networks that do not suit it.
_BFLOAT16_TOLERANCE = 0.05


def fast_copy(response: LayerResponse, precision: Precision, device: torch.device) -> nn.Module:
    """A copy of a response's network on a device, channels last, and in bfloat16 where it may be.

    Args:
        response: Response of a layer, on the CPU.
        precision: ``float32`` and ``bfloat16`` are done; ``auto`` is bfloat16 if the device
            computes in it and the layer's response to noise hardly changes.
        device: Where it is to be run.

    Raises:
        ValueError: If bfloat16 is asked for, and the network cannot be run in it.
    """
    single = frozen_copy(response.network)
    if device.type == "cpu":
        speed_up_strided(single)
    single = single.to(device)
    for tensor in (*single.parameters(), *single.buffers()):
        if tensor.ndim == 4:  # Module.to would refuse the weights of a Conv3d.
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    is_single = all(
        tensor.dtype == torch.float32
        for tensor in (*single.parameters(), *single.buffers())
        if tensor.is_floating_point()
    )
    if precision == "float32" or not is_single:
        return single
    if precision == "auto" and not computes_in_bfloat16(device):
        return single
    half = frozen_copy(single).to(torch.bfloat16)
    try:
        error = _difference(response, single, half)
    except Exception as failure:  # What a network raises that fixes its types may be anything.
        if precision == "auto":
            return single
        raise ValueError(
            f'{class_name(single)} cannot be run in bfloat16: {failure}; use precision="float32"'
        ) from failure
    return half if precision == "bfloat16" or error <= _BFLOAT16_TOLERANCE else single


def chosen_precision(precision: Precision, device: torch.device) -> str:
    """Return the precision that suitable networks are run in on a device."""
    if precision != "auto":
        return precision
    return "bfloat16" if computes_in_bfloat16(device) else "float32"


def computes_in_bfloat16(device: torch.device) -> bool:
    """Return True if a device has instructions for bfloat16, and is not slower in it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # Where an older torch does not tell, float32 is never wrong.
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return False


@torch.no_grad()
def _difference(response: LayerResponse, single: nn.Module, half: nn.Module) -> float:
    """Largest difference of two networks' responses to noise, relative to the largest response."""
    noise = noise_images(response.spec, count=2)
    before, after = (
        LayerResponse(network, response.layer, response.spec, response.layout)(noise).float()
        for network in (single, half)
    )
    return float((after - before).abs().max() / before.abs().max().clamp(min=1e-30))
