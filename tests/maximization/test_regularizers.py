"""Penalties on images, against literal loops and closed forms."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from neurovis.maximization.regularizers import (
    HighFrequency,
    LpContrast,
    Regularizer,
    TotalVariation,
    high_frequency,
    lp_contrast,
    total_variation,
)


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


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
def test_high_frequencies_against_scipys_blur(sigma: float) -> None:
    images = torch.rand(2, 3, 17, 24, generator=torch.Generator().manual_seed(0))
    expected = []
    for image in images.double().numpy():
        # The part of the Gaussian within the image, made up to 1.
        blurred = [
            ndimage.gaussian_filter(channel, sigma, mode="constant", truncate=12.0)
            / ndimage.gaussian_filter(np.ones_like(channel), sigma, mode="constant", truncate=12.0)
            for channel in image
        ]
        expected.append(np.mean((image - np.stack(blurred)) ** 2))
    # scipy's weights are those of integer distances too.
    torch.testing.assert_close(
        high_frequency(images, sigma),
        torch.tensor(expected, dtype=torch.float32),
        rtol=1e-4,
        atol=0,
    )


def test_a_grating_loses_what_its_frequency_says() -> None:
    sigma, frequency = 1.5, 0.125
    position = torch.arange(512.0)
    grating = 0.5 + 0.5 * torch.cos(2 * torch.pi * frequency * position)
    kept = 1 - np.exp(-2 * (np.pi * sigma * frequency) ** 2)
    expected = 0.5 * (0.5 * kept) ** 2
    value = float(high_frequency(grating.expand(1, 1, 3, -1), sigma))
    assert value == pytest.approx(expected, rel=0.01)
    assert float(high_frequency(torch.full((1, 1, 9, 9), 0.3), sigma)) < 1e-12


@pytest.mark.parametrize(
    ("regularizer", "literal"),
    [
        (TotalVariation(2.5), lambda images: 2.5 * total_variation(images)),
        (LpContrast(0.5), lambda images: 0.5 * lp_contrast(images, 2)),
        (LpContrast(0.5, 6), lambda images: 0.5 * lp_contrast(images, 6)),
        (HighFrequency(3.0), lambda images: 3 * high_frequency(images, 1.0)),
        (HighFrequency(3.0, 2), lambda images: 3 * high_frequency(images, 2)),
    ],
)
def test_regularizers_are_their_functions_with_a_weight(
    regularizer: Regularizer, literal: object
) -> None:
    images = torch.rand(3, 2, 8, 8)
    assert torch.equal(regularizer(images), literal(images))  # type: ignore[operator]
    copy = pickle.loads(pickle.dumps(regularizer))
    assert copy == regularizer
    assert repr(copy) == repr(regularizer)


@pytest.mark.parametrize(
    "regularizer", [TotalVariation(1.0), LpContrast(1.0, 3), HighFrequency(1.0)], ids=repr
)
def test_each_image_is_judged_by_itself_and_can_be_mended(regularizer: Regularizer) -> None:
    def gradient(images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.clone().requires_grad_(True)
        penalties = regularizer(images)
        (slope,) = torch.autograd.grad(penalties.sum(), images)
        return penalties.detach(), slope

    images = torch.rand(4, 3, 9, 9)
    others = torch.rand(4, 3, 9, 9)
    others[2] = images[2]
    penalties, slopes = gradient(images)
    with_others, slopes_with_others = gradient(others)
    assert penalties.shape == (4,)
    assert torch.equal(penalties[2], with_others[2])
    assert torch.equal(slopes[2], slopes_with_others[2])
    mended = (images - 0.05 * slopes / slopes.flatten(1).norm(dim=1)[:, None, None, None]).detach()
    assert (regularizer(mended) < penalties).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TotalVariation(-1.0), "weight must be a number of at least 0; got -1.0"),
        (lambda: TotalVariation(float("inf")), "weight .* got inf"),
        (lambda: LpContrast("much"), "weight .* got 'much'"),
        (lambda: LpContrast(1.0, 0.5), "order must be a number of at least 1; got 0.5"),
        (lambda: HighFrequency(1.0, 0), "sigma must be a positive number; got 0"),
        (lambda: HighFrequency(1.0, -2), "sigma .* got -2"),
        (lambda: HighFrequency(True), "weight .* got True"),
    ],
)
def test_unusable_options_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
