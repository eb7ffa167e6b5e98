"""The network as it is run at every step, in what a device is fast in."""

from __future__ import annotations

import torch
from torch import nn

from neurovis.copies import frozen_copy
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.settings import Precision
from neurovis.maximization.strided import speed_up_strided

#: How far responses in bfloat16 may be from those in float32, relative to the largest. Its numbers
#: have eight significant bits; more than this comes from networks that do not suit it.
_TOLERANCE = 0.05


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
    single = single.to(device).to(memory_format=torch.channels_last)
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
            f'{type(single).__name__} cannot be run in bfloat16: {failure}; use precision="float32"'
        ) from failure
    return half if precision == "bfloat16" or error <= _TOLERANCE else single


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
        LayerResponse(network, response.layer, response.spec, response.kernel_axis)(noise).float()
        for network in (single, half)
    )
    return float((after - before).abs().max() / before.abs().max().clamp(min=1e-30))
