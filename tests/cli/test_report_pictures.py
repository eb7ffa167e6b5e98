"""The pictures of a report are so: made anew, kernel by kernel, by other means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from known_report import (
    ALL,
    ASLEEP,
    DEAD,
    FIELD_IMAGES,
    ROUNDED,
    SEEN,
    SPEC,
    TOP,
    Report,
    central_responses,
    image_of,
    make_report,
    maps_of,
    number_of,
    pixels_of,
    size_of,
)
from scipy.stats import spearmanr
from torch import Tensor, nn

from neurovis.tuning.stimuli import DenseNoise


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_report(tmp_path_factory.mktemp("report"))


def _field(network: nn.Module, layer: str, kernel: int, images: Tensor) -> np.ndarray[Any, Any]:
    """The mean size of the gradient to each pixel of images, ``(H, W)``."""
    shown = images.clone().requires_grad_()
    responses = central_responses(network, layer, shown)[:, kernel]
    (gradient,) = torch.autograd.grad(responses.sum(), shown)
    size: np.ndarray[Any, Any] = gradient.abs().mean((0, 1)).numpy()
    return size


def _width(mass: np.ndarray[Any, Any]) -> float:
    """Of the middle 95 %, each pixel's mass being spread evenly over it."""
    before = np.concatenate([[0], mass.cumsum()]) / mass.sum()
    first, last = np.interp([0.025, 0.975], before, np.arange(len(before)))
    return float(last - first)


def test_receptive_fields_are_those_of_the_kernel(report: Report) -> None:
    around = {"0": (slice(12, 21), slice(13, 20)), "3": (slice(10, 23), slice(12, 21))}
    noise = DenseNoise(SPEC, FIELD_IMAGES, seed=0).images(range(FIELD_IMAGES))
    for layer, kernel in ALL:
        card = report.cards[layer, kernel]
        field = card.field
        assert field is not None
        expected = _field(report.network, layer, kernel, noise)
        assert field.over == {ASLEEP: "its image", DEAD: ""}.get((layer, kernel), "noise")
        assert expected.any() == (field.over == "noise")
        if (layer, kernel) == DEAD:
            assert math.isnan(field.height)
            assert math.isnan(field.width)
            continue
        if not expected.any():
            expected = _field(report.network, layer, kernel, image_of(card.preferred[0]))
        assert field.height == pytest.approx(_width(expected.sum(1)), rel=1e-3)
        assert field.width == pytest.approx(_width(expected.sum(0)), rel=1e-3)
        assert field.picture is not None
        part = around[layer]
        brightness = pixels_of(field.picture, size_of(part)) @ (0.3, 0.6, 0.1)
        assert spearmanr(brightness.ravel(), expected[part].ravel()).statistic > 0.98


def test_saliency_is_of_the_kernels_strongest_unit_on_the_first_picture(report: Report) -> None:
    for layer, kernel in ALL:
        picture = report.cards[layer, kernel].saliency
        assert picture is not None
        title = f"input_x_gradient of kernel {kernel} on photo_0"
        # Where the map is small, only that part of the picture is shown.
        said, _, place = picture.label.removeprefix("activation ").partition(", at ")
        left, top = map(int, place.split(", ")) if place else (0, 0)
        assert picture.title.startswith(title)
        size = picture.title.removeprefix(title).removeprefix(", ").removesuffix(" pixels of it")
        across, down = map(int, size.split(" x ")) if place else (32, 32)
        part = slice(top, top + down), slice(left, left + across)
        probe = report.images[:1].clone().requires_grad_()
        highest = maps_of(report.network, layer, probe)[0, kernel].max()
        assert number_of(said) == pytest.approx(highest.item(), rel=ROUNDED)
        (gradient,) = torch.autograd.grad(highest, probe)
        whole = (gradient * report.images[:1])[0, 0].numpy()
        expected, outside = whole[part], whole.copy()
        outside[part] = 0
        assert np.abs(outside).max() <= np.abs(whole).max() / 100
        colours = pixels_of(picture, (down, across))
        grey = np.ptp(colours, axis=-1) < 0.02
        assert grey[expected == 0].all()
        if (layer, kernel) == DEAD:
            assert grey.all()
            continue
        clear = np.abs(expected) > 0.3 * np.abs(expected).max()
        assert clear.sum() >= 6
        orange = colours[..., 0] > colours[..., 2]  # Positive; blue is negative.
        assert not grey[clear].any()
        np.testing.assert_array_equal(orange[clear], expected[clear] > 0)


def _crops(maps: Tensor, images: Tensor, layer: str) -> Iterator[tuple[int, float, Tensor]]:
    """For one kernel's maps ``(N, H', W')``: numbers of images, highest first, with their crops."""
    stride, (rows, columns) = {"0": 1, "3": 2}[layer], SEEN[layer]
    highest = maps.flatten(1).amax(1)
    for number in highest.argsort(descending=True).tolist():
        row, column = divmod(int(maps[number].argmax()), maps.shape[2])
        down, across = ((place - maps.shape[1] // 2) * stride for place in (row, column))
        top, bottom = max(rows.start + down, 0), min(rows.stop + down, 32)
        left, right = max(columns.start + across, 0), min(columns.stop + across, 32)
        yield number, highest[number].item(), images[number, 0, top:bottom, left:right]


def test_top_images_are_what_drives_the_kernel_most(report: Report) -> None:
    for layer, kernel in ALL:
        card = report.cards[layer, kernel]
        if (layer, kernel) == DEAD:
            assert list(card.top_images) == []
            assert card.top_activation == 0
            continue
        maps = maps_of(report.network, layer, report.images)[:, kernel].detach()
        found = list(_crops(maps, report.images, layer))[:TOP]
        assert card.top_activation == pytest.approx(found[0][1], rel=1e-4)
        for picture, (number, activation, crop) in zip(card.top_images, found, strict=True):
            assert picture.title == f"{report.pictures.name}/photo_{number}"
            assert number_of(picture.label) == pytest.approx(activation, rel=ROUNDED)
            pixels = pixels_of(picture, (crop.shape[0], crop.shape[1])).mean(-1)
            # They are kept as photographs are.
            assert np.abs(pixels - crop.numpy()).mean() < 0.02


def test_preferred_images_give_what_stands_below_them_best_first(report: Report) -> None:
    for layer, kernel in ALL:
        card = report.cards[layer, kernel]
        activations = [number_of(picture.label) for picture in card.preferred]
        assert len(activations) == 2
        assert activations == sorted(activations, reverse=True)
        assert (activations[0] > activations[1]) == ((layer, kernel) != DEAD)
        evidence = card.evidence
        assert evidence is not None
        assert evidence.activation == pytest.approx(activations[0], rel=1e-3)
        assert (evidence.noise_activation < evidence.activation) == ((layer, kernel) != DEAD)
        assert (evidence.dead, evidence.steps) == ((layer, kernel) == DEAD, 4)
        for picture, activation in zip(card.preferred, activations, strict=True):
            assert picture.title.startswith(f"preferred image of kernel {kernel}")
            given = central_responses(report.network, layer, image_of(picture))[0, kernel].item()
            # A level of 255 is lost in each pixel.
            assert given == pytest.approx(activation, rel=0.02, abs=2e-4)


def test_weights_are_those_of_the_kernel(report: Report) -> None:
    weights = report.network.get_parameter("0.weight").detach()
    for layer, kernel in ALL:
        picture = report.cards[layer, kernel].weights
        assert (picture is None) == (layer == "3")
        if picture is None:
            continue
        expected = 0.5 + 0.5 * weights[kernel, 0] / weights[kernel].abs().max()
        np.testing.assert_allclose(pixels_of(picture, (7, 5)).mean(-1), expected, atol=3e-3)
