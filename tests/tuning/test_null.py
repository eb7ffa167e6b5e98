"""Random kernels of a layer's shape respond as that layer would with their weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from neurovis.inputs import InputSpec
from neurovis.tuning import rank_kernels
from neurovis.tuning.null import null_kernels
from neurovis.tuning.scoring import null_percentiles

CONVOLUTIONS: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (1, 3), "padding": (4, 0)},
    {"padding": 2, "dilation": 2},
    {"padding": "same", "kernel_size": (3, 5), "dilation": (1, 2)},
    {"padding": "valid"},
    {"padding": 3, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "circular", "stride": 2},
    {"groups": 2, "padding": 1},
    {"groups": 6, "padding": 1},
]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_they_are_the_layer_with_other_weights(options: dict[str, Any]) -> None:
    layer = nn.Conv2d(6, 12, **{"kernel_size": 3, "bias": False, **options})
    null = null_kernels("layer", layer, 12, seed=0)
    images = torch.randn(2, 6, 11, 12)
    twin = copy.deepcopy(layer)
    # Null kernels take the groups in turn, a layer's lie together.
    groups = layer.groups
    order = torch.arange(12).view(-1, groups).T.flatten()
    twin.weight.data = null.weights[order]
    expected = torch.empty(twin(images).shape)
    expected[:, order] = twin(images)
    maps = null.maps(images)
    assert torch.allclose(maps, expected, atol=1e-5)
    for unit in ((0, 0), (maps.shape[2] // 2, maps.shape[3] // 2), (maps.shape[2] - 1, 1)):
        assert torch.allclose(null.at(images, unit), maps[:, :, unit[0], unit[1]], atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": (1, 2, 1), "padding": (1, 0, 2)}, {"padding": "same", "groups": 2}],
    ids=str,
)
def test_of_convolutions_over_time(options: dict[str, Any]) -> None:
    layer = nn.Conv3d(4, 6, (3, 5, 3), bias=False, **options)
    null = null_kernels("layer", layer, 6, seed=0)
    assert null is not None
    videos = torch.randn(2, 4, 6, 11, 12)
    twin = copy.deepcopy(layer)
    order = torch.arange(6).view(-1, layer.groups).T.flatten()
    twin.weight.data = null.weights[order]
    expected = torch.empty(twin(videos).shape)
    expected[:, order] = twin(videos)
    assert torch.allclose(null.maps(videos), expected, atol=1e-5)
    for unit in ((0, 0, 0), (2, 3, 4)):
        at_unit = expected[(slice(None), slice(None), *unit)]
        assert torch.allclose(null.at(videos, unit), at_unit, atol=1e-5)


def test_of_linear_layers() -> None:
    layer = nn.Linear(5, 3)
    null = null_kernels("layer", layer, 4, seed=0)
    vectors, tokens = torch.randn(2, 5), torch.randn(2, 7, 5)
    assert torch.allclose(null.at(vectors, ()), vectors @ null.weights.T, atol=1e-6)
    expected = torch.einsum("btc,nc->bnt", tokens, null.weights)
    assert torch.allclose(null.maps(tokens), expected, atol=1e-6)
    assert torch.allclose(null.at(tokens, (3,)), expected[:, :, 3], atol=1e-6)


def test_they_have_the_layer_s_spread_and_numbers_of_their_own() -> None:
    layer = nn.Conv2d(8, 4, 5)
    layer.weight.data.normal_(std=3.0)
    one = null_kernels("a", layer, 300, seed=0).weights
    assert one.std().item() == pytest.approx(layer.weight.std(correction=0).item(), rel=0.02)
    assert torch.equal(one, null_kernels("a", layer, 300, seed=0).weights)
    assert not torch.equal(one, null_kernels("b", layer, 300, seed=0).weights)
    assert not torch.equal(one, null_kernels("a", layer, 300, seed=1).weights)
    assert null_kernels("a", nn.ConvTranspose2d(1, 1, 3), 10, 0) is None


@pytest.mark.parametrize("size", [3, 5, 7, 11])
def test_random_kernels_are_not_untuned(size: int) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, size))
    ranking = rank_kernels(network, "0", input_spec=InputSpec.rgb(16), null_kernels=1500).only
    median, high = ranking.null_score.quantile(torch.tensor([0.5, 0.95], dtype=torch.float64))
    # Measured over many sizes: 0.17 to 0.22 and 0.34 to 0.40.
    assert 0.16 < median < 0.23
    assert 0.33 < high < 0.42


@pytest.mark.parametrize("layer", ["0", "2"])
def test_a_random_layer_is_as_its_null(layer: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 300, 7, bias=False), nn.BatchNorm2d(300), nn.ReLU())
    # Whatever is gray to the network is nothing, so that thresholds play no part.
    spec = InputSpec.rgb(14, mean=(0.5,) * 3, std=(0.5,) * 3)
    network[0] = nn.Conv2d(3, 300, 7, bias=False)
    nn.init.normal_(network[0].weight)
    ranking = rank_kernels(network, layer, input_spec=spec, phases=8).only
    quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    ours, chance = ranking.score.quantile(quartiles), ranking.null_score.quantile(quartiles)
    assert torch.allclose(ours, chance, atol=0.04)
    assert ranking.above_null().double().mean() == pytest.approx(0.05, abs=0.04)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("rectifier", "bias"),
    [
        *((nn.ReLU(), bias) for bias in (-1.0, 0.0, 1.0)),
        *((rectifier, 0.0) for rectifier in (nn.GELU(), nn.ReLU6(), nn.LeakyReLU(0.2))),
        *(
            pytest.param(rectifier, bias, marks=pytest.mark.slow)
            for rectifier in (nn.GELU(), nn.ReLU6(), nn.LeakyReLU(0.2))
            for bias in (-1.0, 1.0)
        ),
    ],
    ids=str,
)
def test_a_random_layer_is_as_its_null_whatever_its_level(
    rectifier: nn.Module, bias: float
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 300, 7)
    nn.init.normal_(conv.weight, std=0.1)
    nn.init.constant_(conv.bias, bias)
    spec = InputSpec.rgb(14)
    for by in ("orientation", "phase"):
        ranking = rank_kernels(nn.Sequential(conv, rectifier), "1", by, input_spec=spec).only
        # Of 300 kernels 5 %; the null is of 200, so that its own percentile is 1.5 % uncertain.
        assert ranking.above_null().double().mean() == pytest.approx(0.05, abs=0.06), by


def test_what_is_not_finite_does_not_reach_the_null() -> None:
    layer = nn.Conv2d(3, 4, 5)
    layer.weight.data[2] = torch.nan
    assert null_kernels("layer", layer, 10, seed=0).weights.isfinite().all()
    network = nn.Sequential(layer, nn.ReLU())
    found = rank_kernels(network, ["0", "1"], input_spec=InputSpec.rgb(24))
    for ranking in found:
        assert ranking.null_percentile.isfinite().tolist() == [True, True, False, True]


def test_percentiles() -> None:
    null = torch.tensor([0.5, torch.nan, 0.1, 0.3, 0.2])
    score = torch.tensor([0.0, 0.25, 0.3, 9.0, torch.nan])
    assert null_percentiles(score, null)[:4].tolist() == [0, 50, 50, 100]
    assert null_percentiles(score, null)[4].isnan()
    assert null_percentiles(score, null[1:2]).isnan().all()


def test_scores_equal_to_the_null_s_are_neither_above_nor_below_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 7))
    ranking = rank_kernels(network, "0", "cross_orientation", input_spec=InputSpec.rgb(24)).only
    assert ranking.score.tolist() == [0] * 6
    assert ranking.null_score.tolist() == [0] * 200
    assert not ranking.above_null().any()
    assert not ranking.below_null().any()
    null = torch.linspace(0, 1, 200)
    scores = torch.tensor([-1.0, null[9], null[10], 0.5, torch.nan, 2.0])
    found = replace(ranking, score=scores, null_score=null)
    assert found.below_null().tolist() == [True, True, False, False, False, False]
