from __future__ import annotations

import numpy as np
import pytest
import torch

from neurovis.maximization.objectives import (
    Target,
    joint_values,
    member_values,
)
from neurovis.maximization.regularizers import lp_contrast, total_variation
from neurovis.readouts import spatial_mean


def test_each_image_is_read_at_its_own_kernels() -> None:
    activation = torch.arange(12.0).reshape(2, 6)
    targets = [Target((4,)), Target((0, 5))]
    members = member_values(activation, targets, spatial_mean)
    assert [values.tolist() for values in members] == [[4.0], [6.0, 11.0]]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target((0, 1, 2)), 2.0),
        (Target((0, 1, 2), "min"), -1.0),
        (Target((0, 1, 2), "weighted", (1.0, 0.0, -1.0)), (5 - 2) / 2),
    ],
)
def test_joints(target: Target, expected: float) -> None:
    members = [torch.tensor([5.0, -1.0, 2.0])]
    assert joint_values(members, [target]).tolist() == [expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "at least one kernel"),
        (((1, 1),), r"once; got \[1, 1\]"),
        (((1, 2), "median"), "got 'median'"),
        (((1, 2), "weighted"), "weights are given"),
        (((1, 2), "mean", (1.0, 1.0)), "only with it"),
        (((1, 2), "weighted", (1.0,)), "2 kernels, 1 weights"),
        (((1, 2), "weighted", (0.0, 0.0)), "not all be zero"),
    ],
)
def test_unusable_targets_are_refused(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=message):
        Target(*arguments)


def test_penalties_against_literal_loops() -> None:
    images = torch.rand(2, 3, 4, 5)
    for image, variation, contrast in zip(
        images, total_variation(images), lp_contrast(images, 3), strict=True
    ):
        channels, height, width = image.shape
        down = [
            abs(float(image[c, y + 1, x] - image[c, y, x]))
            for c in range(channels)
            for y in range(height - 1)
            for x in range(width)
        ]
        across = [
            abs(float(image[c, y, x + 1] - image[c, y, x]))
            for c in range(channels)
            for y in range(height)
            for x in range(width - 1)
        ]
        cubes = [abs(float(value) - 0.5) ** 3 for value in image.flatten()]
        assert float(variation) == pytest.approx(np.mean(down) + np.mean(across), rel=1e-5)
        assert float(contrast) == pytest.approx(np.mean(cubes), rel=1e-5)


def test_total_variation_of_one_pixel_is_zero() -> None:
    assert total_variation(torch.rand(2, 3, 1, 1)).tolist() == [0.0, 0.0]
