"""The weights of a first layer as pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from neurovis.inputs import InputSpec


def weight_pictures(weights: Tensor, spec: InputSpec) -> Tensor:
    """Kernels' weights as images: 0 is mid gray, and each kernel is on its own scale.

    One scale for all channels of a kernel, so that what it does not use stays gray.

    Args:
        weights: ``(K, C, kh, kw)``, of a convolution that sees the network's input.
        spec: The modalities of that input.

    Returns:
        ``(K, C, kh, kw)`` in [0, 1] on the CPU: 0.5 plus half the weight over the kernel's largest
        size; what is not finite, and a kernel of zeros, is 0.5.

    Raises:
        ValueError: If the weights are not ``(K, C, kh, kw)`` with the spec's channels.

    Example:
        >>> weight_pictures(torch.tensor([-2.0, 0.0, 1.0]).view(1, 3, 1, 1), InputSpec.rgb(8))
        tensor([[[[0.0000]],
        <BLANKLINE>
                 [[0.5000]],
        <BLANKLINE>
                 [[0.7500]]]])
    """
    if weights.ndim != 4 or weights.shape[1] != spec.channels:
        raise ValueError(
            f"weights must be (K, {spec.channels}, kh, kw), of an ungrouped convolution that sees "
            f"the network's {spec.channels} input channels; got {tuple(weights.shape)}"
        )
    values = weights.detach().float().cpu().nan_to_num(0, 0, 0)
    largest = values.abs().amax((1, 2, 3), keepdim=True)
    return 0.5 + 0.5 * torch.where(largest > 0, values / largest, 0)
