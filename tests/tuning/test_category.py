"""d' of planted units whose responses to classes are Gaussian."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from neurovis import InputSpec, Modality, rank_kernels

GRAY = InputSpec([Modality("gray", 1)], size=8)
SPREAD = 0.05


def gaussian_images(means: list[float], counts: list[int]) -> tuple[Tensor, Tensor]:
    """Uniform images whose values in each class are the quantiles of a normal distribution."""
    normal = torch.distributions.Normal(0.0, SPREAD)
    values = torch.cat(
        [
            mean + normal.icdf((torch.arange(count) + 0.5) / count)
            for mean, count in zip(means, counts, strict=True)
        ]
    )
    labels = torch.repeat_interleave(torch.arange(len(means)), torch.tensor(counts))
    return values.view(-1, 1, 1, 1).expand(-1, *GRAY.shape), labels


def linear_units() -> nn.Conv2d:
    """Units that respond with the image's value, its negative, and nothing."""
    units = nn.Conv2d(1, 3, 1)
    units.weight.data = torch.tensor([2.0, -3.0, 0.0]).view(3, 1, 1, 1)
    units.bias.data = torch.tensor([0.5, -100.0, 0.3])
    return units


def test_two_gaussians_have_the_distance_of_their_means_in_standard_deviations() -> None:
    images, labels = gaussian_images([0.4, 0.5], [600, 300])
    found = rank_kernels(
        nn.Sequential(linear_units()), "0", "category",
        input_spec=GRAY, images=images, labels=labels, classes=["low", "high"],
    ).only  # fmt: skip
    assert found.score[:2].tolist() == pytest.approx([0.1 / SPREAD] * 2, rel=0.01)
    assert list(found.values["preferred_class"]) == ["high", "low", ""]
    assert found.dead.tolist() == [False, False, True]
    assert found.score[2].isnan()
    assert (
        found.rank_reliability != found.rank_reliability
    )  # Two kernels have no order to speak of.


def test_a_class_is_compared_with_all_images_of_others() -> None:
    images, labels = gaussian_images([0.3, 0.4, 0.6], [200, 200, 400])
    found = rank_kernels(
        nn.Sequential(linear_units()), "0", "category",
        input_spec=GRAY, images=images, labels=labels, classes=["a", "b", "c", "never shown"],
    ).only  # fmt: skip
    others = SPREAD**2 + 0.05**2  # Two classes at 0.35 ± 0.05.
    assert found.score[0].item() == pytest.approx(
        0.25 / math.sqrt((SPREAD**2 + others) / 2), rel=0.01
    )
    others = SPREAD**2 + 0.0089  # 0.4 (a third) and 0.6: mean 0.5333, variance 2/9 * 0.04.
    assert found.values["preferred_class"][:2] == ["c", "a"]
    assert found.curve is not None
    assert found.curve[1, 0].item() == pytest.approx(
        (0.5333 - 0.3) / math.sqrt((SPREAD**2 + others) / 2), rel=0.01
    )
    assert found.curve[:, 3].isnan().all()


def test_labels_alone_do_not_make_a_d_prime_beyond_the_random_kernels() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(60, *GRAY.shape, generator=generator)
    labels = torch.randint(0, 3, (60,), generator=generator)
    network = nn.Sequential(nn.Conv2d(1, 40, 5), nn.ReLU())
    torch.nn.init.normal_(network[0].weight, generator=generator)
    found = rank_kernels(
        network, "1", "category", input_spec=GRAY, images=images, labels=labels
    ).only
    assert found.above_null().double().mean() < 0.15
    assert len(found.null_score) == 200


def test_classes_of_one_image_are_left_out() -> None:
    images, labels = gaussian_images([0.3, 0.4, 0.6], [20, 20, 1])
    units = nn.Sequential(linear_units())
    shown = {"input_spec": GRAY, "images": images, "labels": labels}
    assert rank_kernels(units, "0", "category", **shown).only.curve[:, 2].isnan().all()
    with pytest.raises(ValueError, match="two or more images; there are none"):
        rank_kernels(
            units, "0", "category", input_spec=GRAY, images=images[:3], labels=torch.arange(3)
        )
