"""Noise statistics, by which groups are made equal, and how alike the images of a target are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives import (
    Center,
    Direction,
    Mean,
    TargetBatch,
    diversity_penalty,
    group_target,
    noise_statistics,
)
from neurovis.modality import Modality

GRAY = InputSpec((Modality("gray", 1),), size=(8, 8))


def noise(count: int) -> Tensor:
    return torch.rand(count, *GRAY.shape, generator=torch.Generator().manual_seed(count))


def response_of(*layers: nn.Module) -> LayerResponse:
    network = nn.Sequential(*layers).requires_grad_(False)
    return LayerResponse(network, str(len(layers) - 1), GRAY)


def test_statistics_are_those_of_the_readouts_of_noise() -> None:
    response = response_of(nn.Conv2d(1, 4, 3))
    means, deviations = noise_statistics(response, Mean(), noise, count=10)
    values = response(noise(10)).double().flatten(2).mean(-1).numpy()
    torch.testing.assert_close(means, torch.tensor(values.mean(0)).float())
    torch.testing.assert_close(deviations, torch.tensor(values.std(0, ddof=1)).float())
    others = noise_statistics(response, Mean(), noise, count=10, batch_size=3)
    torch.testing.assert_close((means, deviations), others)


def test_statistics_of_a_linear_unit_are_known() -> None:
    """White noise, uniform in [0, 1], has a mean of 1/2 and a variance of 1/12 at each pixel."""
    layer = nn.Conv2d(1, 2, 8)
    response = response_of(layer)
    means, deviations = noise_statistics(response, Center(), noise, count=4096, batch_size=512)
    weights = layer.weight.flatten(1)
    expected = weights.norm(dim=1) / math.sqrt(12)
    torch.testing.assert_close(deviations, expected, rtol=0.05, atol=0)
    error = (means - (weights.sum(1) / 2 + layer.bias)).abs()
    assert (error < 5 * expected / math.sqrt(4096)).all()


def test_there_is_one_of_each_for_each_number_of_an_objective() -> None:
    response = response_of(nn.Conv2d(1, 4, 3))
    means, deviations = noise_statistics(response, Direction(torch.eye(4)[:3]), noise)
    assert means.shape == deviations.shape == (3,)


def test_what_does_not_vary_gets_the_deviation_of_the_others() -> None:
    layer = nn.Conv2d(1, 4, 3)
    with torch.no_grad():
        layer.bias[1] = -100.0
    response = response_of(layer, nn.ReLU())
    _, deviations = noise_statistics(response, Mean(), noise)
    readouts = response(noise(64)).flatten(2).mean(-1)
    others = readouts[:, [0, 2, 3]].std(0)
    assert not readouts[:, 1].any()
    torch.testing.assert_close(deviations[1], others.median())
    with torch.no_grad():
        layer.bias.fill_(-100.0)
    assert noise_statistics(response, Mean(), noise)[1].tolist() == [1.0] * 4


def test_unusable_statistics_are_refused() -> None:
    layer = nn.Conv2d(1, 4, 3)
    response = response_of(layer)
    with pytest.raises(ValueError, match=r"count must be at least 2.* got 1"):
        noise_statistics(response, Mean(), noise, count=1)
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        noise_statistics(response, Mean(), noise, batch_size=0)
    with torch.no_grad():
        layer.weight.fill_(math.inf)
    with pytest.raises(ValueError, match='layer "0" gives NaN or infinite values'):
        noise_statistics(response, Mean(), noise)


@pytest.mark.parametrize("joint", ["mean", "min"])
def test_standardized_kernels_count_alike_however_lively_they_are(joint: str) -> None:
    """Two linear units at right angles, one of them a thousand times as lively."""
    layer = nn.Conv2d(1, 2, 8)
    rows = torch.linalg.qr(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))[0].T
    scale = torch.tensor([1000.0, 1.0])
    with torch.no_grad():
        layer.weight.copy_((rows * scale[:, None]).reshape(2, 1, 8, 8))
    response = response_of(layer)
    means, deviations = noise_statistics(response, Center(), noise, count=2048, batch_size=512)
    zscore = (tuple(means.tolist()), tuple(deviations.tolist()))
    reached = {}
    for standardized in (False, True):
        target = group_target((0, 1), joint, zscore=zscore if standardized else None)  # type: ignore[arg-type]
        batch = TargetBatch([target], torch.device("cpu"))
        image = torch.zeros(1, 64)
        for step in range(1, 301):  # Projected ascent on the sphere.
            image = image.detach().requires_grad_(True)
            pixels = image.reshape(1, *GRAY.shape)
            value = batch.joint(batch.members(Center()(layer(pixels))))
            (gradient,) = torch.autograd.grad(value.sum(), image)
            image = image + gradient / gradient.norm() / step
            image = image / image.norm()
        reached[standardized] = (rows @ image.detach()[0]).tolist()
    if joint == "mean":
        assert reached[False] == pytest.approx([1.0, 0.0], abs=0.01)
        ahead = 0.0  # The optimum is the diagonal.
    else:
        # The optimum is where both are equally far from what noise, of mean 1/2, gives them.
        ahead = float((rows.sum(1) / 2).diff().neg())
    second = (math.sqrt(2 - ahead**2) - ahead) / 2
    assert reached[True] == pytest.approx([second + ahead, second], abs=0.05)


def test_suppressed_members_are_left_out_of_the_image() -> None:
    """The optimum of a linear unit less another is along the difference of the two."""
    layer = nn.Conv2d(1, 3, 8, bias=False)
    image = torch.zeros(1, *GRAY.shape, requires_grad=True)
    batch = TargetBatch([group_target((2,), suppressed=(0, 1))], torch.device("cpu"))
    value = batch.joint(batch.members(Center()(layer(image))))
    (gradient,) = torch.autograd.grad(value.sum(), image)
    weights = layer.weight.detach()[:, 0]
    torch.testing.assert_close(gradient[0, 0], weights[2] - (weights[0] + weights[1]) / 2)


def literal_similarities(activation: Tensor, variants: int) -> list[float]:
    """Lucid's ``diversity`` in its own words, over the number of other images."""
    penalties = []
    for images in activation.double().flatten(2).split(variants):
        grams = [image.numpy() @ image.numpy().T for image in images]
        grams = [gram / np.sqrt((gram**2).sum()) for gram in grams]
        lucids = (
            sum(
                (grams[i] * grams[j]).sum()
                for i in range(variants)
                for j in range(variants)
                if j != i
            )
            / variants
        )
        penalties.append(lucids / (variants - 1))
    return penalties


@pytest.mark.parametrize("variants", [2, 3, 4])
def test_diversity_against_lucids_formula(variants: int) -> None:
    activation = torch.randn(2 * variants, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    penalty = diversity_penalty(activation, variants)
    assert penalty.shape == (2,)
    expected = literal_similarities(activation, variants)
    assert penalty.tolist() == pytest.approx(expected, rel=1e-5)
    assert all(0 < value < 1 for value in expected)
    assert diversity_penalty(activation[:, :, 0, 0], variants).shape == (2,)


def test_images_with_other_features_are_diverse_and_shifted_ones_are_not() -> None:
    image = torch.rand(6, 5, 5)
    shifted = image.roll((2, 1), dims=(1, 2))
    torch.testing.assert_close(
        diversity_penalty(torch.stack([image, 3 * shifted]), 2), torch.ones(1)
    )
    first, second = torch.zeros(2, 6, 5, 5).unbind()
    first[:3], second[3:] = image[:3], image[3:]
    assert diversity_penalty(torch.stack([first, second]), 2).item() == 0
    # Three images, two of them alike: one pair of three.
    three = torch.stack([first, second, first])
    torch.testing.assert_close(diversity_penalty(three, 3), torch.full((1,), 1 / 3))


def test_one_image_is_diverse_and_silence_does_no_harm() -> None:
    assert diversity_penalty(torch.rand(3, 4, 5, 5), 1).tolist() == [0.0, 0.0, 0.0]
    silent = torch.zeros(4, 4, 5, 5, requires_grad=True)
    penalty = diversity_penalty(silent, 2)
    (gradient,) = torch.autograd.grad(penalty.sum(), silent)
    assert penalty.tolist() == [0.0, 0.0]
    assert not gradient.any()


def test_faint_layers_are_compared_as_lively_ones() -> None:
    activation = torch.rand(4, 5, 3, 3)
    torch.testing.assert_close(
        diversity_penalty(activation * 1e-15, 2), diversity_penalty(activation, 2)
    )


def test_the_gradient_of_diversity_is_that_of_its_formula() -> None:
    activation = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))

    def penalty(values: Tensor) -> float:
        return sum(literal_similarities(values, 2))

    climbed = activation.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(diversity_penalty(climbed, 2).sum(), climbed)
    for index in np.ndindex(*activation.shape):
        more, less = activation.double().clone(), activation.double().clone()
        more[index] += 1e-5
        less[index] -= 1e-5
        slope = (penalty(more) - penalty(less)) / 2e-5
        assert float(gradient[index]) == pytest.approx(slope, abs=1e-5)


def test_targets_do_not_share_their_diversity() -> None:
    activation, others = torch.rand(6, 5, 3, 3), torch.rand(6, 5, 3, 3)
    others[2:4] = activation[2:4]
    assert torch.equal(diversity_penalty(activation, 2)[1], diversity_penalty(others, 2)[1])


@pytest.mark.parametrize("variants", [0, 3])
def test_variants_that_do_not_fit_are_refused(variants: int) -> None:
    with pytest.raises(ValueError, match=f"divide the 4 images; got {variants}"):
        diversity_penalty(torch.rand(4, 2, 2, 2), variants)
