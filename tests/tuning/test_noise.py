"""Noise belongs to (seed, number), is balanced, and maps a kernel by reverse correlation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning.stimuli import DenseNoise, Modulation, SparseNoise, Stimuli

SPEC = InputSpec.rgbd((12, 16))
KINDS = [
    (SparseNoise, {"squares": 3, "check_size": 2}),
    (DenseNoise, {}),
    (DenseNoise, {"distribution": "gaussian", "check_size": 3}),
    (DenseNoise, {"modulation": Modulation("a", (1.0, -1.0, 0.5, 0.0))}),
]


@pytest.mark.parametrize(("kind", "arguments"), KINDS)
def test_an_item_is_the_same_whoever_asks(
    kind: Callable[..., Stimuli], arguments: dict[str, Any]
) -> None:
    noise = kind(SPEC, count=13, seed=5, **arguments)
    whole = noise.images(range(13))
    assert whole.shape == (13, 4, 12, 16)
    assert whole.dtype == torch.float32
    assert whole.min() >= 0
    assert whole.max() <= 1
    torch.rand(3)
    np.random.seed(3)
    again = kind(SPEC, count=40, seed=5, **arguments)
    for number in (12, 3, 0):
        image, index = again[number]
        assert index == number
        assert torch.equal(image, whole[number])
    for rank in range(2):
        sampler: DistributedSampler[Any] = DistributedSampler(noise, 2, rank, shuffle=True)
        for images, numbers in DataLoader(noise, 4, sampler=sampler, num_workers=rank):
            assert torch.equal(images, whole[numbers])
    other = kind(SPEC, count=13, seed=6, **arguments).images(range(13))
    everything = torch.cat([whole, other]).flatten(1)
    assert len(everything.unique(dim=0)) == 26


@pytest.mark.parametrize("squares", [1, 4, 5])
def test_sparse_noise_has_as_many_bright_as_dark_squares(squares: int) -> None:
    noise = SparseNoise(SPEC, 200, squares=squares, check_size=4, contrast=0.6)
    images = noise.images(range(200))
    assert torch.equal(images, images[:, :1].expand_as(images))
    blocks = images[:, 0].reshape(200, 3, 4, 4, 4).transpose(2, 3)
    # Every check is of one value, and bright and dark ones are as far from gray as the contrast.
    assert torch.equal(blocks, blocks[..., :1, :1].expand_as(blocks))
    checks = blocks[..., 0, 0].flatten(1)
    bright, dark = (torch.isclose(checks, torch.tensor(v)).sum(1) for v in (0.8, 0.2))
    assert bool((bright + dark == squares).all())
    assert bool((checks == 0.5).sum(1).eq(12 - squares).all())
    assert (bright - dark).abs().max() == squares % 2
    assert abs(float((bright - dark).float().mean())) <= 4 * math.sqrt(1 / 200)


@pytest.mark.parametrize("sign", [-1, 1])
def test_sparse_squares_fall_everywhere_alike(sign: int) -> None:
    images = SparseNoise(SPEC, 1500, squares=4, check_size=4).images(range(1500))
    counts = (images[:, 0, ::4, ::4] == 0.5 + 0.5 * sign).sum(0).flatten().numpy()
    assert counts.sum() == 3000
    assert stats.chisquare(counts).pvalue > 1e-3


def test_sparse_noise_keeps_to_its_modulation() -> None:
    depth = Modulation("depth", (0.0, 0.0, 0.0, 0.5))
    images = SparseNoise(SPEC, 4, squares=2, modulation=depth).images(range(4))
    assert bool((images[:, :3] == 0.5).all())
    assert images[:, 3].unique().tolist() == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("distribution", "deviation"), [("binary", 0.4), ("gaussian", 0.4 / 3 * 0.9973)]
)
def test_dense_noise_is_white_and_balanced(distribution: Any, deviation: float) -> None:
    noise = DenseNoise(SPEC, 300, distribution=distribution, contrast=0.8)
    values = noise.images(range(300)).double() - 0.5
    count = values.numel()
    assert abs(values.mean()) < 4 * deviation / math.sqrt(count)
    assert float(values.std()) == pytest.approx(deviation, rel=0.01)
    assert values.abs().max() <= 0.4 + 1e-6
    white = values / values.std()
    neighbors = {
        "image": (white[1:], white[:-1]),
        "channel": (white[:, 1:], white[:, :-1]),
        "row": (white[:, :, 1:], white[:, :, :-1]),
        "column": (white[..., 1:], white[..., :-1]),
    }
    for first, second in neighbors.values():
        assert abs((first * second).mean()) < 4 / math.sqrt(first.numel())
    if distribution == "binary":
        assert values.abs().min() >= 0.4 - 1e-6
    else:
        assert stats.kurtosis(values.numpy(), axis=None) == pytest.approx(0, abs=0.1)


def test_checks_are_squares_cut_off_at_the_edges() -> None:
    noise = DenseNoise(InputSpec.rgb((7, 8)), 5, check_size=3)
    images = noise.images(range(5))
    coarse = images[:, :, ::3, ::3]
    assert coarse.shape == (5, 3, 3, 3)
    for row in range(7):
        for column in range(8):
            assert torch.equal(images[:, :, row, column], coarse[:, :, row // 3, column // 3])


def test_reverse_correlation_finds_every_channel_of_a_kernel() -> None:
    spec = InputSpec((Modality("rgb", 3), Modality("depth", 1)), size=6)
    unit = nn.Conv2d(4, 1, 6)
    with torch.no_grad():
        unit.weight.copy_(torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(1)))
    images = DenseNoise(spec, 4000).images(range(4000))
    with torch.no_grad():
        responses = unit(images).flatten()
    found = ((images - 0.5) * (responses - responses.mean())[:, None, None, None]).mean(0)
    correlation = np.corrcoef(found.flatten(), unit.weight.detach().flatten())[0, 1]
    assert correlation > 0.97
    # Noise that is alike in all channels sees only their sum.
    alike = DenseNoise(spec, 10, modulation=Modulation("all", (1.0,) * 4)).images(range(10))
    assert torch.equal(alike, alike[:, :1].expand_as(alike))


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (SparseNoise, {"count": 0}, "count .* got 0"),
        (DenseNoise, {"seed": -1}, "seed .* got -1"),
        (DenseNoise, {"check_size": 0}, "1 to 12 pixels.* got 0"),
        (DenseNoise, {"check_size": 13}, "got 13"),
        (DenseNoise, {"contrast": 1.5}, r"\(0, 1\]; got 1.5"),
        (SparseNoise, {"contrast": 0.0}, "got 0"),
        (DenseNoise, {"distribution": "pink"}, "'binary' or 'gaussian'; got 'pink'"),
        (SparseNoise, {"squares": 0}, r"1 to 12, .*\(3, 4\); got 0"),
        (SparseNoise, {"squares": 13}, "got 13"),
        (SparseNoise, {"modulation": Modulation("a", (1.0,))}, "'a' .* 4 channels; got 1"),
        (DenseNoise, {"modulation": Modulation("a", (2.0, 0, 0, 0))}, "leaves"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    kind: Callable[..., Stimuli], arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        kind(SPEC, **({"count": 2} | arguments))
