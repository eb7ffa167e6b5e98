from __future__ import annotations

from itertools import product

import numpy as np
import torch

from neurovis.maximization.seeding import Stream, image_generator


def _numbers(*key: int) -> torch.Tensor:
    seed, kernel, stream, variant, place = key
    return torch.rand(4, generator=image_generator(seed, kernel, Stream(stream), variant, place))


def test_numbers_are_those_of_numpys_seed_sequence_of_seed_kernel_and_stream() -> None:
    low, high = np.random.SeedSequence((7, 3, 1)).generate_state(2, np.uint32)
    expected = torch.Generator().manual_seed((int(low) << 31) ^ int(high))
    found = image_generator(7, 3, Stream.VIEWS)
    assert torch.equal(torch.rand(5, generator=found), torch.rand(5, generator=expected))


def test_every_key_has_numbers_of_its_own() -> None:
    keys = list(product((0, 1, 2), (0, 1, 5), (0, 1), (0, 1, 2), (0, 1, 2)))
    drawn = {tuple(_numbers(*key).tolist()) for key in keys}
    assert len(drawn) == len(keys)
    assert torch.equal(_numbers(2, 5, 1, 2, 1), _numbers(2, 5, 1, 2, 1))
