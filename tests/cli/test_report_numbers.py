"""The numbers and words of a report are so: found out anew, kernel by kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from known_report import (
    ALL,
    DEAD,
    GRATINGS,
    KERNELS,
    RANKINGS,
    SEEN,
    SPEC,
    WEAK,
    Report,
    make_report,
    size_of,
)
from torch import Tensor

from neurovis.tuning import Rankings, rank_kernels


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_report(tmp_path_factory.mktemp("report"))


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
    seen = rankings[layer, "orientation"].seen
    assert seen is not None
    table = seen.table[:, 0].numpy()
    if layer == "0":
        phases = np.exp(-2j * np.pi * np.arange(table.shape[-1]) / table.shape[-1])
        amplitude: np.ndarray[Any, Any] = 2 * np.abs((table * phases).mean(-1))
        return amplitude
    above = table.mean(-1) - seen.blank.numpy()[:, None, None]
    return np.maximum(above, 0)


def test_curves_go_through_the_strongest_response(report: Report, rankings: Rankings) -> None:
    for layer, kernel in ALL:
        seen, curves = rankings[layer, "orientation"].seen, report.cards[layer, kernel].curves
        assert curves is not None
        assert seen is not None
        assert report.layers[layer].orientations == [22.5 * number for number in range(8)]
        assert report.layers[layer].spatial_frequencies == seen.spatial_frequencies.tolist()
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
        vector = (tuning[:, frequency] * np.exp(2j * np.deg2rad(seen.orientations.numpy()))).sum()
        preferred = np.rad2deg(np.angle(vector)) / 2
        apart = (curves.preferred_orientation - preferred + 90) % 180 - 90
        assert abs(apart) < 0.1
        # Between the samples on either side of the highest.
        nearby = seen.spatial_frequencies[max(frequency - 1, 0) : frequency + 2]
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
