"""Preferred images and receptive fields of the kernels that come first, called from Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurovis.analysis import (
    Comparison,
    RankedFields,
    ResultFiles,
    compare_preferred_images,
    map_ranked_fields,
    ranked_fields,
    save_first_kernels,
)
from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.tuning import Rankings, map_receptive_fields, rank_kernels
from neurovis.tuning.stimuli import DenseNoise

BY = ("orientation", "spatial_frequency")


@pytest.fixture(scope="module")
def rankings() -> Rankings:
    return rank_kernels(
        load_demo_network(),
        "conv1",
        BY,
        input_spec=demo_input_spec(),
        orientations=8,
        phases=3,
        spatial_frequencies=[0.1, 0.2],
        null_kernels=10,
    )


@pytest.fixture(scope="module")
def comparisons(rankings: Rankings) -> list[Comparison]:
    return compare_preferred_images(load_demo_network(), rankings, 1, accelerator="cpu")


@pytest.fixture(scope="module")
def fields(rankings: Rankings) -> list[RankedFields]:
    noise = DenseNoise(demo_input_spec(), 2048, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        few = partial(map_receptive_fields, noise=noise)
        patch.setattr(ranked_fields, "map_receptive_fields", few)
        return list(map_ranked_fields(load_demo_network(), rankings, 2, phases=3))


def test_each_ranking_is_compared_with_its_first_kernels(
    rankings: Rankings, comparisons: list[Comparison]
) -> None:
    assert [one.key for one in comparisons] == [("conv1", by) for by in BY]
    for one in comparisons:
        ranking = rankings[one.key]
        assert one.gratings.kernels == [int(ranking.score.argmax())]
        pictures = one.pictures
        assert pictures.shape == (len(ranking), 4, 9, 9)
        assert pictures.isfinite().all((1, 2, 3)).nonzero().flatten().tolist() == (
            one.gratings.kernels
        )


def test_preferred_images_are_compared_with_gratings(
    rankings: Rankings, comparisons: list[Comparison]
) -> None:
    for one in comparisons:
        ((row),) = one.rows()
        kernel, image = one.gratings.kernels[0], one.images[0]
        with torch.no_grad():
            response = load_demo_network().conv1((image[None] - 0.5) * 4)
        assert one.activation.item() == pytest.approx(response[0, kernel, 16, 16].item(), rel=1e-4)
        assert one.noise_activation.item() < one.activation.item() / 5
        for column in ("preferred_orientation", "preferred_spatial_frequency"):
            expected = rankings["conv1", "orientation"].values[column][kernel]
            assert row[column] == pytest.approx(float(expected), rel=1e-4)
        seen = image[:, 28:37, 28:37].double().numpy()  # What the unit sees.
        orientation, frequency = _strongest_bars(seen)
        found, preferred = one.image_orientation.item(), one.gratings.orientation.item()
        assert one.image_spatial_frequency.item() == pytest.approx(frequency, abs=0.005)
        assert _apart(found, orientation) < 2
        assert row["orientation_difference"] == pytest.approx(_apart(found, preferred), abs=1e-3)
        assert _apart(found, preferred) < 30
        ratio = one.image_spatial_frequency.item() / one.gratings.spatial_frequency.item()
        assert row["octaves"] == pytest.approx(math.log2(ratio), abs=1e-4)


def _apart(first: float, second: float) -> float:
    """Degrees between two orientations."""
    return abs((first - second + 90) % 180 - 90)


def _strongest_bars(image: np.ndarray) -> tuple[float, float]:
    """Orientation and spatial frequency of the strongest wave, by trying many."""
    fade = np.sin(np.pi * np.arange(1, 10) / 10) ** 2
    window = np.outer(fade, fade)
    mean = (image * window).sum((1, 2), keepdims=True) / window.sum()
    faded = (image - mean) * window
    rows, columns = np.mgrid[:9, :9]
    orientations, frequencies = np.arange(0, 180, 1.0), np.arange(0.02, 0.5, 0.004)
    theta = np.deg2rad(orientations)[:, None, None]
    along = -np.sin(theta) * columns - np.cos(theta) * rows
    waves = np.exp(-2j * np.pi * frequencies[:, None, None] * along[:, None])
    energy = (np.abs(np.tensordot(faded, waves, ((1, 2), (2, 3)))) ** 2).sum(0)
    best, wave = np.unravel_index(energy.argmax(), energy.shape)
    return float(orientations[best]), float(frequencies[wave])


def test_receptive_fields_are_those_of_the_weights(
    rankings: Rankings, fields: list[RankedFields]
) -> None:
    (found,) = fields
    assert found.gratings.kernels == rankings["conv1", "orientation"].top(2)
    weights = load_demo_network().conv1.weight.detach().double()
    for row, kernel in zip(found.rows(), found.gratings.kernels, strict=True):
        assert [row[name] for name in ("top", "left", "bottom", "right")] == [28, 28, 37, 37]
        assert (row["theoretical_height"], row["theoretical_width"]) == (9, 9)
        # Of a linear unit the gradient is its weights, whatever the image.
        profile = weights[kernel].abs().sum((0, 2))
        profile = profile / profile.sum()
        places = torch.arange(9.0).double()
        mean = (profile * places).sum()
        sigma = (profile * (places - mean) ** 2).sum().sqrt().item()
        assert row["effective_sigma_down"] == pytest.approx(sigma, rel=1e-4)
    assert (found.width < 9).all()
    assert (found.maps.reliability > 0.8).all()
    assert found.sizes is not None
    assert ((found.sizes.preferred_size >= 3) & (found.sizes.preferred_size <= 16)).all()


def test_files_are_named_by_the_ranking(
    tmp_path: Path, comparisons: list[Comparison], fields: list[RankedFields]
) -> None:
    files = ResultFiles(tmp_path)
    save_first_kernels(comparisons[:1], files)
    assert save_first_kernels(fields, files) == fields
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} == {
        "preferred_images.csv",
        "receptive_fields.csv",
        "kernel_ranking/orientation/conv1_preferred_images.png",
        "kernel_ranking/orientation/conv1_receptive_fields.png",
        "kernel_ranking/orientation/conv1_size_tuning.png",
    }


@pytest.mark.parametrize("function", [compare_preferred_images, map_ranked_fields])
def test_a_count_below_1_is_refused(function: Callable[..., Any], rankings: Rankings) -> None:
    with pytest.raises(ValueError, match="count must be at least 1; got 0"):
        list(function(load_demo_network(), rankings, 0))
