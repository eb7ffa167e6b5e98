"""Random numbers that belong to an image, not to a batch, a rank or a device."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """Purposes of random numbers, each of which draws from a separate stream."""

    START = 0
    VIEWS = 1
    STATISTICS = 2
    GAINS = 3


def image_generator(
    seed: int, kernel: int, stream: Stream, variant: int = 0, place: int = 0
) -> torch.Generator:
    """A CPU generator that depends on what an image is of and what it is for, and nothing else.

    Args:
        seed: Seed of the run.
        kernel: Kernel of the image.
        stream: The purpose.
        variant: Which of several different images of one kernel.
        place: Which of several things that draw for one purpose, such as transforms in a row.
    """
    # As a spawn key they do not run into the numbers before them; without them nothing changes.
    further = (variant, place) if variant or place else ()
    sequence = np.random.SeedSequence((seed, kernel, int(stream)), spawn_key=further)
    entropy = sequence.generate_state(2, np.uint32)
    return torch.Generator().manual_seed((int(entropy[0]) << 31) ^ int(entropy[1]))
