"""Statistics of kernels' responses to noise, which make unequal kernels of a group count alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from neurovis.arithmetic import exact_float32
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives.objective import Objective


@torch.no_grad()
@exact_float32()
def noise_statistics(
    response: LayerResponse,
    objective: Objective,
    images_of_noise: Callable[[int], Tensor],
    count: int = 64,
    batch_size: int = 8,
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each of an objective's numbers over noise images.

    A number that is the same for all noise images has no standard deviation to be divided by; it
    gets the median of the layer's others, or 1 where there are none.

    Args:
        response: From images to the layer's activation.
        objective: What is read, prepared for the layer.
        images_of_noise: From a count to as many noise images ``(count, C, H, W)`` in [0, 1].
        count: How many, at least 2.
        batch_size: How many the network is shown at once, at least 1; it sets memory, not results.

    Returns:
        Means ``(N,)`` and positive standard deviations ``(N,)`` of the sample, on the CPU.

    Raises:
        ValueError: If a number is out of its range, or a response is not finite.
    """
    if count < 2:
        raise ValueError(f"count must be at least 2, for a standard deviation; got {count}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    images = images_of_noise(count)
    values = torch.cat(
        [objective(response(part).float()).cpu().double() for part in images.split(batch_size)]
    )
    if not values.isfinite().all():
        raise ValueError(f'layer "{response.layer}" gives NaN or infinite values for noise images')
    means, deviations = values.mean(0), values.std(0)
    # By their extremes, for rounding makes constants deviate from their mean.
    varies = values.amin(0) < values.amax(0)
    typical = deviations[varies].median() if varies.any() else deviations.new_tensor(1.0)
    return means.float(), torch.where(varies, deviations, typical).float()
