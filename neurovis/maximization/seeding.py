"""Random numbers that belong to an image, not to a batch, a rank or a device."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What random numbers are for: each purpose draws from a stream of its own."""

    START = 0
    VIEWS = 1


def image_generator(seed: int, kernel: int, stream: Stream) -> torch.Generator:
    """A CPU generator that depends on the run's seed, the image's kernel and the purpose alone."""
    entropy = np.random.SeedSequence((seed, kernel, int(stream))).generate_state(2, np.uint32)
    return torch.Generator().manual_seed((int(entropy[0]) << 31) ^ int(entropy[1]))
