"""Pictures that several analyses ask about are read once, and say the same as when read again."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from neurovis import InputSpec
from neurovis.analysis import PictureResponses, judge_images, path_similarity, predictability
from neurovis.analysis.shown_network import PIXELS, ShownNetwork
from neurovis.modality import Modality

SPEC = InputSpec(Modality("gray", 1), 8)
COUNT = 24


class Counted(Dataset[Tensor]):
    """Pictures that count how often each is read."""

    def __init__(self) -> None:
        self.pictures = torch.rand(COUNT, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Tensor:
        self.reads[index] += 1
        return self.pictures[index]


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.Sigmoid())


def test_what_was_read_is_not_read_again() -> None:
    maker, judge, counted = network(0), network(1), Counted()
    images = {kernel: torch.rand(1, 1, 8, 8) for kernel in range(3)}
    again = counted.pictures
    read = PictureResponses(counted, SPEC)
    seen = [
        predictability(maker, "2", images, pictures, input_spec=SPEC).scores
        for pictures in (read, again)
    ]
    assert torch.equal(*seen)
    assert set(counted.reads.values()) == {1}
    paths = [path_similarity(maker, "2", images, one, input_spec=SPEC) for one in (read, again)]
    assert torch.equal(paths[0].null, paths[1].null)
    # Layer "0" was read for predictability, and so was layer "2".
    assert set(counted.reads.values()) == {1}
    judged = [
        judge_images(maker, "2", images, judge, one, input_spec=SPEC) for one in (read, again)
    ]
    assert judged[0].counterparts == judged[1].counterparts
    judge_images(maker, "0", images, judge, read, input_spec=SPEC)
    assert set(counted.reads.values()) == {2}, "the judge has seen each once"
    assert read.numbers == list(range(COUNT))


def test_moments_are_those_of_the_maps() -> None:
    shown, images = ShownNetwork(network(0), SPEC, SPEC, batch_size=5), torch.rand(7, 1, 8, 8)
    found = shown.moments({"0": 2, "2": 1, PIXELS: 1}, images)
    with torch.no_grad():
        first = shown.network[0](images)  # type: ignore[index]
        last = shown.network[2](first.relu())  # type: ignore[index]
    expected = torch.stack([first.mean((2, 3)), first.std((2, 3), correction=0)], 1)
    torch.testing.assert_close(found["0"], expected)
    torch.testing.assert_close(found["2"], last.mean((2, 3))[:, None])
    assert torch.equal(found[PIXELS], images.flatten(1)[:, None])


def test_pictures_that_come_once_are_enough_for_one_pass() -> None:
    read = PictureResponses(iter(torch.rand(COUNT, 1, 8, 8)), SPEC)
    shown = ShownNetwork(network(0), SPEC, SPEC)
    first = read.moments({shown: {"2": 1}})
    assert torch.equal(read.moments({shown: {"2": 1}})[0]["2"], first[0]["2"])
    with pytest.raises(ValueError, match="there must be a picture that can be read; got none"):
        read.moments({shown: {"0": 1}})
