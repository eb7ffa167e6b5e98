"""Choose the batch size of an ascent by the memory that a device has free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from neurovis.layers import select_layers
from neurovis.maximization.jobs import Job
from neurovis.maximization.layer_ascent import LayerAscent
from neurovis.maximization.prepared_layer import MaximizableLayer
from neurovis.maximization.settings import AscentSettings
from neurovis.restoration import same_random_state

#: The largest batch size that is chosen. A converged image makes room for the next one, so that
#: the larger a batch is, the more of its slots are idle at the end of a layer.
_LARGEST_BATCH = 64
#: Images use at most the free memory divided by this. A batch takes less for each image than
#: one image alone; the rest is for what comes later, such as the pass that wakes silent kernels.
_PARTS = 2


class DeviceMemory(NamedTuple):
    """Memory of a device, in bytes.

    Attributes:
        free: Available to tensors: free on the device, or cached by torch's allocator and unused.
        reserved: Taken by the allocator from the device.
        allocated: In use by tensors.
    """

    free: int
    reserved: int
    allocated: int


def _of_cuda(device: torch.device) -> DeviceMemory:
    free, _ = torch.cuda.mem_get_info(device)
    reserved, allocated = torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device)
    return DeviceMemory(free + reserved - allocated, reserved, allocated)


def _of_mps(_: torch.device) -> DeviceMemory:
    reserved, allocated = torch.mps.driver_allocated_memory(), torch.mps.current_allocated_memory()
    return DeviceMemory(torch.mps.recommended_max_memory() - allocated, reserved, allocated)


#: The devices that tell how much memory is free, by their types.
_QUERIES: dict[str, Callable[[torch.device], DeviceMemory]] = {"cuda": _of_cuda, "mps": _of_mps}


def fitting_batch_size(free: int, needed: int) -> int:
    """Return the number of images that cautiously fit into free memory, from 1 to 64.

    Args:
        free: In bytes.
        needed: Bytes for a step of one image.

    Example:
        >>> fitting_batch_size(free=8 * 2**30, needed=100 * 2**20)
        40
    """
    return max(1, min(_LARGEST_BATCH, free // (_PARTS * max(1, needed))))


def choose_batch_size(
    layers: Mapping[str, MaximizableLayer],
    jobs: Sequence[Job],
    settings: AscentSettings,
    device: torch.device,
) -> int:
    """Return the batch size for a device, by the memory that the first step of one job needs.

    Where the free memory is not known, and with deterministic algorithms, which promise the same
    bits however much memory is free, it is that of the CPU.

    Args:
        layers: By name, of one network; that which needs the most memory is tried, and left as it
            was.
        jobs: Of these layers.
        settings: How the ascent is done.
        device: Where images are made.
    """
    if device.type not in _QUERIES or torch.are_deterministic_algorithms_enabled():
        return settings.images_at_once
    network = layers[jobs[0].layer].response.network
    order = {name: place for place, name in enumerate(select_layers(network, nn.Module))}
    # The further into the network, the more activations are kept for the gradient.
    job = max(jobs, key=lambda job: order.get(job.layer, -1))
    memory = _QUERIES[device.type]
    with same_random_state(), layers[job.layer].prepared(device) as prepared:
        ascent = LayerAscent(prepared, [job], 1, settings, device)
        # Then the allocator takes from the device what the step needs. Its own record of the peak
        # would have to be reset, and others may be reading it.
        torch.get_device_module(device).empty_cache()
        before = memory(device)
        ascent.compute_step().losses.sum().backward()
        needed = memory(device).reserved - before.allocated
    return fitting_batch_size(before.free, needed // settings.variants)
