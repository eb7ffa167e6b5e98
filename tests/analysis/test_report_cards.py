"""The numbers, words and pictures of a report are so: found out anew, kernel by kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from known_report import (
    ALL,
    ASLEEP,
    DEAD,
    FIELD_IMAGES,
    GRATINGS,
    KERNELS,
    RANKINGS,
    ROUNDED,
    SEEN,
    SPEC,
    TOP,
    WEAK,
    Net,
    Report,
    central_responses,
    image_of,
    maps_of,
    number_of,
    pixels_of,
    report_in,
    size_of,
)
from lightning.pytorch import Trainer
from scipy.stats import spearmanr
from torch import Tensor, nn

from neurovis.analysis import make_report
from neurovis.maximization import ActivationMaximization
from neurovis.tuning import Rankings, rank_kernels
from neurovis.tuning.stimuli import DenseNoise


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_in(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def rankings(report: Report) -> Rankings:
    return rank_kernels(report.network, list(KERNELS), RANKINGS, input_spec=SPEC, **GRATINGS)


def test_there_are_the_layers_with_what_their_units_see(report: Report) -> None:
    assert {name: layer.kernels for name, layer in report.layers.items()} == KERNELS
    for name, part in SEEN.items():
        assert report.layers[name].receptive_field == size_of(part)
    assert report.layers["0"].response == "F1 amplitude"
    assert report.layers["3"].response == "response above the blank's"


def test_scores_are_those_of_the_rankings(report: Report, rankings: Rankings) -> None:
    preferred = []
    for layer, kernel in ALL:
        scores = report.cards[layer, kernel].scores
        assert list(scores) == list(RANKINGS)
        for by, score in scores.items():
            ranking = rankings[layer, by]
            assert score.silent == bool(ranking.dead[kernel]) == ((layer, kernel) == DEAD)
            if score.silent:
                assert math.isnan(score.value)
                assert (score.rank, score.preferred) == (None, "")
                continue
            column = ranking.values[f"preferred_{by}"]
            assert isinstance(column, Tensor)
            value = column[kernel].item()
            assert value == value
            words = f"{round(value) % 180}°" if by == "orientation" else f"{value:.3g} c/px"
            assert score.preferred == words
            preferred.append(words)
            assert score.rank == 1 + int((ranking.score > ranking.score[kernel]).sum())
            for given, expected in (
                (score.value, ranking.score),
                (score.null_percentile, ranking.null_percentile),
                (score.reliability, ranking.reliability),
            ):
                assert given == pytest.approx(expected[kernel].item(), abs=1e-4)
    assert len(set(preferred)) >= 8


def _tuning(rankings: Rankings, layer: str) -> np.ndarray[Any, Any]:
    """Responses without phase ``(K, O, F)``, literally."""
    responses = rankings[layer, "orientation"].grating_responses
    assert responses is not None
    table = responses.table[:, 0].numpy()
    if layer == "0":
        phases = np.exp(-2j * np.pi * np.arange(table.shape[-1]) / table.shape[-1])
        amplitude: np.ndarray[Any, Any] = 2 * np.abs((table * phases).mean(-1))
        return amplitude
    above = table.mean(-1) - responses.blank.numpy()[:, None, None]
    return np.maximum(above, 0)


def test_curves_go_through_the_strongest_response(report: Report, rankings: Rankings) -> None:
    for layer, kernel in ALL:
        responses, curves = (
            rankings[layer, "orientation"].grating_responses,
            report.cards[layer, kernel].curves,
        )
        assert curves is not None
        assert responses is not None
        assert report.layers[layer].orientations == [22.5 * number for number in range(8)]
        assert report.layers[layer].spatial_frequencies == responses.spatial_frequencies.tolist()
        tuning = _tuning(rankings, layer)[kernel]
        orientation, frequency = np.unravel_index(tuning.argmax(), tuning.shape)
        tolerance = 1e-4 * tuning.max()
        np.testing.assert_allclose(curves.orientation, tuning[:, frequency], atol=tolerance)
        np.testing.assert_allclose(curves.spatial_frequency, tuning[orientation], atol=tolerance)
        if (layer, kernel) == DEAD:
            assert max(curves.orientation) == 0
            assert math.isnan(curves.preferred_spatial_frequency)
            continue
        assert np.ptp(curves.orientation) > 0.5 * tuning.max()
        vector = (
            tuning[:, frequency] * np.exp(2j * np.deg2rad(responses.orientations.numpy()))
        ).sum()
        preferred = np.rad2deg(np.angle(vector)) / 2
        apart = (curves.preferred_orientation - preferred + 90) % 180 - 90
        assert abs(apart) < 0.1
        # Between the samples on either side of the highest.
        nearby = responses.spatial_frequencies[max(frequency - 1, 0) : frequency + 2]
        assert nearby[0] <= curves.preferred_spatial_frequency <= nearby[-1]
        expected = rankings[layer, "orientation"].values["preferred_spatial_frequency"]
        assert isinstance(expected, Tensor)
        assert curves.preferred_spatial_frequency == pytest.approx(
            expected[kernel].item(), rel=1e-3
        )


def test_remarks_say_what_is_to_be_known_of_a_kernel(report: Report) -> None:
    stronger = []
    for key, card in report.cards.items():
        silent = "; 2 of them silent" if key == DEAD else ""
        expected = [f"activation: of the best of 2 variants{silent}"]
        assert card.evidence is not None
        if key == DEAD:
            expected.append("silent for all images")
        elif card.top_activation > card.evidence.activation:
            expected.append("real pictures drive it more than its preferred image")
            stronger.append(key)
        if key == WEAK:
            expected.append(
                "gratings hardly drive it: less than 5 % of the layer's most responsive kernel"
            )
        assert card.remarks == expected
    assert 0 < len(stronger) < len(report.cards) - 1


# Pictures.


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
        colors = pixels_of(picture, (down, across))
        gray = np.ptp(colors, axis=-1) < 0.02
        assert gray[expected == 0].all()
        if (layer, kernel) == DEAD:
            assert gray.all()
            continue
        clear = np.abs(expected) > 0.3 * np.abs(expected).max()
        assert clear.sum() >= 6
        orange = colors[..., 0] > colors[..., 2]  # Positive; blue is negative.
        assert not gray[clear].any()
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


def test_the_head_of_the_page_says_what_was_shown(report: Report) -> None:
    facts = report.page.facts
    assert report.page.title == "Kernels of Net"
    assert facts["network"].startswith("Net; ")
    assert facts["input"] == "gray (1); 32 x 32 pixels"
    assert facts["null"] == f"{GRATINGS['null_kernels']} random kernels of each layer's shape"
    assert facts["top images"] == f"of {len(report.images)} images, by their most active unit"
    assert facts["saliency"] == "input_x_gradient of the most active unit, on photo_0"
    assert facts["receptive fields"] == f"mean of {FIELD_IMAGES} images of dense noise"
    meanings = {measure.name: measure.meaning for measure in report.page.measures}
    assert list(meanings) == list(RANKINGS)
    assert all(meanings.values())


def test_an_objective_without_kernels_is_refused() -> None:
    module = ActivationMaximization(Net(), "0", input_spec=SPEC, objective="deep_dream")
    with pytest.raises(ValueError, match="the objective reads a layer"):
        make_report(Net(), module, Rankings())


def test_cards_say_how_well_models_predict(report: Report, tmp_path: Path) -> None:
    pictures = torch.rand(16, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    network = report.network
    found = rank_kernels(network, "0", "predictable", input_spec=SPEC, images=pictures)
    preferred = ActivationMaximization(network, "0", [0], SPEC, objective="center", steps=1)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(preferred)
    (card,) = make_report(network, preferred, found, field_images=0).cards
    (remark,) = (one for one in card.remarks if "predicts" in one)
    assert remark.startswith("linear model predicts its responses to held-out pictures: R² 1.00 ±")
    assert card.scores["predictable"].preferred == "linear"
    poor = replace(found.only, score=found.only.score * 0.1)
    (card,) = make_report(network, preferred, Rankings([poor]), field_images=0).cards
    assert any(one.startswith("no simple model predicts") for one in card.remarks)
