"""What is logged of a ranking, and the figures made of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

from neurovis.inputs import InputSpec
from neurovis.observation import Observation
from neurovis.tuning import KernelRanking, Rankings, drawing, rank_kernels
from neurovis.tuning.ranking_observation import kendall_tau, ranking_observation

SPEC = InputSpec.rgb(24)
TAG = "kernel_ranking/orientation/0"


@pytest.fixture(scope="module")
def rankings() -> Rankings:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 9, 5), nn.ReLU(), nn.Conv2d(9, 4, 3))
    network[0].weight.data[3] = 0
    by = ["orientation", "spatial_frequency", "phase", "color", "weight", "activation"]
    return rank_kernels(
        network, ["0", "1", "2"], by, input_spec=SPEC, orientations=8,
        images=torch.rand(6, *SPEC.shape),
    )  # fmt: skip


def with_scores(ranking: KernelRanking, *scores: float) -> KernelRanking:
    return replace(ranking, score=torch.tensor(scores, dtype=torch.float64))


def test_numbers(rankings: Rankings) -> None:
    ranking = rankings["0", "orientation"]
    seen = ranking_observation(ranking, step=7)
    scores = [score for score in ranking.score.tolist() if score == score]
    assert seen.scalars[f"{TAG}/median"] == pytest.approx(
        sorted(scores)[3] / 2 + sorted(scores)[4] / 2
    )
    assert seen.scalars[f"{TAG}/dead"] == pytest.approx(1 / 9)
    high = ranking.null_score.sort().values[189]  # 5 % of 200 are above it.
    above = sum(score > high for score in scores) / 8
    assert seen.scalars[f"{TAG}/above_null"] == pytest.approx(above)
    assert f"{TAG}/kendall_tau" not in seen.scalars
    assert sum(seen.histograms[f"{TAG}/scores"].counts) == 8
    assert sum(seen.histograms[f"{TAG}/null_scores"].counts) == 200
    # TensorBoard shows one kind of data under a tag.
    kinds = [set(seen.pictures), set(seen.scalars), set(seen.histograms)]
    assert sum(map(len, kinds)) == len(set.union(*kinds))


@pytest.mark.drawn
def test_pictures(rankings: Rankings) -> None:
    # Each kind of score, on a rectified layer; and where weights are drawn, or nothing.
    others = [("0", "orientation"), ("0", "phase"), ("0", "weight"), ("2", "orientation")]
    for ranking in [
        *(one for one in rankings if one.layer == "1"),
        *map(rankings.__getitem__, others),
    ]:
        seen = ranking_observation(ranking, ranking, count=4)
        if ranking.reason is not None:
            assert seen == Observation()
            continue
        tag = f"kernel_ranking/{ranking.by}/{ranking.layer}"
        wanted = {tag, f"{tag}/histogram"}
        if ranking.by == "orientation":
            wanted.add(f"{tag}/orientation_map")
        assert set(seen.pictures) == wanted
        assert all(picture.std() > 0 for picture in seen.pictures.values())
        assert seen.scalars[f"{tag}/kendall_tau"] == pytest.approx(1)
        assert set(seen.descriptions) == seen.tags
        assert ranking.score_name in seen.descriptions[f"{tag}/median"]


def test_sheets(rankings: Rankings) -> None:
    for by in ("orientation", "spatial_frequency", "phase", "color"):
        figure = rankings["1", by].sheet(rankings["1", by].top(1)[0])
        assert any("kernel" in text.get_text() for text in figure.texts)
    with pytest.raises(ValueError, match='"weight" has none'):
        rankings["0", "weight"].sheet(0)
    with pytest.raises(ValueError, match="kernel 9 is out of range"):
        rankings["0", "orientation"].sheet(9)
    with pytest.raises(ValueError, match="no preferred orientations"):
        rankings["0", "color"].orientation_map()
    with pytest.raises(ValueError, match="cut off at 0"):
        rankings["0", "phase"].figure()


def test_kendall_tau_is_scipy_s(rankings: Rankings) -> None:
    ranking, nan = rankings["0", "orientation"], float("nan")
    first = with_scores(ranking, 0.1, 0.5, 0.5, 0.9, nan, 0.2, 0.3, 0.0, 0.7)
    second = with_scores(ranking, 0.2, 0.1, 0.5, 0.8, 0.1, nan, 0.3, 0.3, 0.6)
    known = [0, 1, 2, 3, 6, 7, 8]
    expected = kendalltau(first.score[known].numpy(), second.score[known].numpy()).statistic
    assert kendall_tau(first, second) == pytest.approx(expected, abs=1e-6)
    flat = with_scores(ranking, *[0.3] * 9)
    assert math.isnan(kendall_tau(first, flat))
    assert math.isnan(kendall_tau(first, with_scores(ranking, *[nan] * 8, 1.0)))


def test_a_layer_that_is_dead_as_a_whole_is_drawn(rankings: Rankings) -> None:
    ranking = rankings["0", "orientation"]
    dead = replace(
        with_scores(ranking, *[float("nan")] * 9),
        dead=torch.ones(9, dtype=torch.bool),
        null_percentile=torch.full((9,), torch.nan),
    )
    seen = ranking_observation(dead)
    assert seen.scalars[f"{TAG}/dead"] == 1
    assert f"{TAG}/median" not in seen.scalars
    assert TAG in seen.pictures


def test_first_and_now(rankings: Rankings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across stand the scores at first, up those now; the notes count who gained."""
    given: list[tuple[Any, ...]] = []
    plain = drawing.score_change_figure

    def remembering(*arguments: Any) -> Any:
        given.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(drawing, "score_change_figure", remembering)
    now = rankings["0", "orientation"]
    first = replace(now, score=now.score - torch.tensor([0.1, -0.1] * 4 + [0.1]))
    seen = ranking_observation(now, step=9, first=(4, first))
    assert f"{TAG}/first_and_now" in seen.pictures
    ((before, after, names, title, limits, notes),) = given
    assert torch.equal(before.nan_to_num(), first.score.nan_to_num())
    assert torch.equal(after.nan_to_num(), now.score.nan_to_num())
    assert names == ("gOSI at first, step 4", "gOSI now")
    assert title.endswith("step 9")
    expected = np.percentile(now.null_score.numpy(), 95, method="inverted_cdf")
    assert limits == pytest.approx((expected, expected), rel=1e-5)
    # Kernel 3 is dead, and its score is nothing.
    assert notes[0].startswith("5 of 9 kernels score more than at first")
    assert f"{TAG}/first_and_now" not in ranking_observation(now).pictures
