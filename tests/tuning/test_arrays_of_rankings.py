"""What rankings write as arrays is what they hold, and the documentation names it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_equal
from torch import nn

from neurovis import InputSpec, rank_kernels
from neurovis.tuning import KernelRanking, Rankings

SPEC = InputSpec.rgb(24)
BY = ["orientation", "phase", "color", "weight", "class", "activation"]
CLASSES = ["circle", "cross", "ring"]
#: Of gratings.
SHOWN = {"tuning", "modulations", "orientations", "spatial_frequencies", "blank", "is_rectified"}


@pytest.fixture(scope="module")
def rankings() -> Rankings:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 7, 5), nn.ReLU())
    network[0].weight.data[3] = 0
    generator = torch.Generator().manual_seed(4)
    return rank_kernels(
        network, ["0", "1"], BY, input_spec=SPEC, null_kernels=10,
        orientations=8, phases=4, spatial_frequencies=[0.1, 0.2, 0.3],
        images=torch.rand(9, *SPEC.shape, generator=generator),
        labels=torch.arange(9) % 3, classes=CLASSES,
    )  # fmt: skip


def written(ranking: KernelRanking, folder: Path) -> dict[str, Any]:
    ranking.to_npz(folder / "deep" / "arrays.npz")
    # Without pickles: anybody can read them, and nothing is run.
    with np.load(folder / "deep" / "arrays.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("layer", ["0", "1"])
@pytest.mark.parametrize("by", BY)
def test_they_are_what_the_ranking_holds(
    rankings: Rankings, tmp_path: Path, layer: str, by: str
) -> None:
    ranking = rankings[layer, by]
    if ranking.reason is not None:
        with pytest.raises(ValueError, match=f'layer "{layer}" cannot be ranked: '):
            ranking.to_npz(tmp_path / "arrays.npz")
        assert not list(tmp_path.iterdir())
        return
    arrays = written(ranking, tmp_path)
    for name in ("layer", "by", "score_name"):
        assert str(arrays[name]) == getattr(ranking, name)
    assert tuple(arrays["notes"]) == ranking.notes
    for name in ("score", "ranks", "null_percentile", "reliability", "dead", "null_score"):
        assert_equal(arrays[name], getattr(ranking, name).numpy())
    assert arrays["dead"].dtype == bool
    assert_equal(arrays["rank_reliability"], ranking.rank_reliability)
    for name, column in ranking.values.items():
        assert_equal(arrays[name], column)
    assert ("curve" in arrays) == (ranking.curve is not None)
    if ranking.curve is not None:
        assert_equal(arrays["curve"], ranking.curve.numpy())
    assert list(arrays.get("curve_over", ())) == list(ranking.curve_over)
    assert (set(arrays) & SHOWN == SHOWN) if ranking.grating_responses else not set(arrays) & SHOWN
    if ranking.grating_responses is not None:
        responses = ranking.grating_responses
        axes = ("modulations", "orientations", "spatial_frequencies")
        assert arrays["tuning"].shape == (7, *(len(arrays[name]) for name in axes))
        for name in ("tuning", "orientations", "spatial_frequencies", "blank"):
            assert_equal(arrays[name], getattr(responses, name).numpy())
        assert list(arrays["modulations"]) == list(responses.modulations)
        assert bool(arrays["is_rectified"]) is responses.is_rectified


def test_the_score_can_be_computed_from_them(rankings: Rankings, tmp_path: Path) -> None:
    """The vector sum over orientations at each kernel's best spatial frequency."""
    arrays = written(rankings["0", "orientation"], tmp_path)
    assert arrays["orientations"].tolist() == [22.5 * index for index in range(8)]
    np.testing.assert_allclose(arrays["spatial_frequencies"], [0.1, 0.2, 0.3], rtol=1e-6)
    turns = np.exp(2j * np.deg2rad(arrays["orientations"]))
    for kernel, score in enumerate(arrays["score"]):
        responses = arrays["tuning"][kernel, 0].astype(float)
        curve = responses[:, responses.max(axis=0).argmax()]
        if arrays["dead"][kernel]:
            assert curve.sum() == 0
            continue
        vector = (curve * turns).sum()
        assert abs(vector) / curve.sum() == pytest.approx(score, rel=1e-5)
        apart = np.angle(vector, deg=True) / 2 - arrays["preferred_orientation"][kernel]
        assert abs((apart + 90) % 180 - 90) < 1e-3
        above = 100 * np.mean(arrays["null_score"] < score)
        assert arrays["null_percentile"][kernel] == pytest.approx(above)
    order = np.argsort(arrays["ranks"])
    assert (np.diff(arrays["score"][order][:-1]) <= 0).all()
    assert np.isnan(arrays["score"][order][-1])


def test_all_of_them_are_documented(rankings: Rankings, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    section = page.partition("\n## Arrays\n")[2].partition("\n## ")[0]
    described = set(re.findall(r"`([a-z_]+)`", section))
    docstring = set(re.findall(r"``([a-z_]+)``", KernelRanking.to_npz.__doc__ or ""))
    for ranking in rankings:
        if ranking.reason is None:
            common = set(written(ranking, tmp_path)) - set(ranking.values)
            assert common <= described
            assert common <= docstring


def test_columns_may_have_any_names(rankings: Rankings, tmp_path: Path) -> None:
    """Rankings of one's own give them, in any numbers or words."""
    values = {
        "score": torch.arange(7) + 0.5,
        "file": list("abcdefg"),
        "allow_pickle": torch.arange(7),
        "half": torch.full((7,), 0.5, dtype=torch.bfloat16, requires_grad=True),
    }
    ranking = replace(rankings["0", "weight"], values=values)
    arrays = written(ranking, tmp_path)
    assert_equal(arrays["score"], ranking.score.numpy())
    assert arrays["value_score"].tolist() == [index + 0.5 for index in range(7)]
    assert "".join(arrays["value_file"]) == "abcdefg"
    assert arrays["value_allow_pickle"].tolist() == list(range(7))
    assert arrays["half"].tolist() == [0.5] * 7


def test_a_file_is_written_whole_or_not_at_all(
    rankings: Rankings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(rankings["0", "orientation"], tmp_path)

    def half_of_it(file: Any, **arrays: Any) -> None:
        file.write(b"PK" + arrays["tuning"].tobytes()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", half_of_it)
    path = tmp_path / "deep" / "arrays.npz"
    with pytest.raises(OSError, match=r"No space left on device: '.*arrays\.npz'"):
        rankings["1", "orientation"].to_npz(path)
    assert list(path.parent.iterdir()) == [path]
    with np.load(path) as arrays:
        assert_equal(arrays["tuning"], before["tuning"])
