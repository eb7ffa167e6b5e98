"""Rankings as a whole: order, evidence, tables, rankings of one's own."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from gabor_bank import gabor_network
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset
from typing_extensions import override

from neurovis import InputSpec, rank_kernels
from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.layers import ArgumentError
from neurovis.tuning import (
    RANKINGS,
    KernelRanking,
    Rankings,
    RankingSettings,
    TuningProbe,
    register_ranking,
)
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.rankings import AnyRanking, GratingRanking, ImageRanking, Scores
from neurovis.tuning.rankings.base import ImageResponses
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.stimuli import Gratings

RGB, RGBD = InputSpec.rgb(32), demo_input_spec().resized(32)
FEW: dict[str, Any] = {"orientations": 8, "phases": 4, "spatial_frequencies": [0.1, 0.2]}
CLASSES = ["circle", "cross", "ring"]


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(3, 6, 7), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU())
    network[0].weight.data[4] = 0
    network[0].bias.data[4] = -1.0
    return network


def labeled(count: int = 21, spec: InputSpec = RGB) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(count, *spec.shape, generator=generator)
    return images, torch.randint(0, len(CLASSES), (count,), generator=generator)


def test_a_part_that_begins_with_a_compiled_layer(network: nn.Module) -> None:
    expected = rank_kernels(network, "1", input_spec=RGB, **FEW).only
    compiled = torch.compile(network[0], backend="eager")
    found = rank_kernels(
        nn.Sequential(nn.Sequential(compiled, *network[1:])), "0.1", input_spec=RGB, **FEW
    )
    torch.testing.assert_close(found.only.score, expected.score, equal_nan=True)


def test_the_order_has_the_highest_first_and_the_dead_last(network: nn.Module) -> None:
    found = rank_kernels(network, "1", input_spec=RGB, **FEW).only
    assert isinstance(found, KernelRanking)
    assert (found.layer, found.by) == ("1", "orientation")
    assert found.dead.tolist() == [k == 4 for k in range(6)]
    assert found.order[-1] == 4
    assert found.score[4].isnan()
    assert found.null_percentile[4].isnan()
    scores = found.score[found.order][:-1]
    assert (scores.diff() <= 0).all()
    assert found.top(3) == found.order[:3]
    assert found.ranks[found.order].tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="5 of 6 kernels"):
        found.top(6)


def test_all_layers_and_rankings_at_once(network: nn.Module) -> None:
    by = ["orientation", "spatial_frequency", "phase", "color", "weight"]
    found = rank_kernels(network, ["0", "1", "3"], by, input_spec=RGB, **FEW)
    assert [(item.layer, item.by) for item in found] == [(la, b) for la in "013" for b in by]
    alone = rank_kernels(network, "3", "phase", input_spec=RGB, **FEW).only
    assert torch.equal(found["3", "phase"].score.nan_to_num(), alone.score.nan_to_num())
    with pytest.raises(KeyError, match="several rankings"):
        found["3"]
    with pytest.raises(KeyError, match="no ranking"):
        found["3", "modality"]
    with pytest.raises(ValueError, match="15 rankings"):
        found.top(2)


def test_what_does_not_apply_says_so_and_has_no_numbers(network: nn.Module, tmp_path: Path) -> None:
    found = rank_kernels(network, ["0", "1"], ["phase", "weight"], input_spec=RGB, **FEW)
    assert "cut off at 0" in found["0", "phase"].reason
    assert "needs a convolution" in found["1", "weight"].reason
    assert found["1", "phase"].reason is None
    assert found["0", "weight"].reason is None
    assert found["0", "phase"].score.isnan().all()
    with pytest.raises(ValueError, match="cut off at 0"):
        found["0", "phase"].top(1)
    found.to_csv(tmp_path / "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    stated = [row for row in rows if row["note"].startswith("not applicable")]
    assert len(stated) == 12
    assert all(row["score"] == row["rank"] == row["dead"] == "" for row in stated)


def test_the_table(network: nn.Module, tmp_path: Path) -> None:
    found = rank_kernels(network, "1", input_spec=RGB, **FEW)
    found.to_csv(tmp_path / "deep" / "results.csv")
    rows = list(csv.DictReader((tmp_path / "deep" / "results.csv").open()))
    assert list(rows[0])[:10] == [
        *("layer", "kernel", "by", "score", "rank", "null_percentile", "reliability", "dead"),
        *("preferred_orientation", "preferred_spatial_frequency"),
    ]
    assert [int(row["kernel"]) for row in rows] == found.only.order
    assert float(rows[0]["score"]) == pytest.approx(
        found.only.score.nan_to_num().max().item(), rel=1e-4
    )
    assert rows[-1]["score"] == ""
    assert rows[-1]["dead"] == "True"


@pytest.mark.parametrize("stand_in", [False, True])
def test_the_network_is_left_as_it_was(network: nn.Module, stand_in: bool) -> None:
    network.train()
    network[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    trainer = quiet_trainer() if stand_in else None
    rank_kernels(network, ["0", "3"], input_spec=RGB, trainer=trainer, **FEW)
    assert network.training
    assert network[1].training
    assert network[2].weight.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    # A Trainer seeds its dataloaders, as always.
    assert stand_in or torch.equal(state, torch.get_rng_state())


def quiet_trainer(**options: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(**{**quiet, **options})


def test_the_trainer_gives_the_same(network: nn.Module) -> None:
    images, labels = labeled()
    shown: dict[str, Any] = {"images": images, "labels": labels, "classes": CLASSES, **FEW}
    # Of each kind of stimuli.
    by = ["orientation", "color", "size", "sparseness", "class", "category", "activation"]
    by += ["texture", "curvature", "weight"]
    plain = rank_kernels(network, ["0", "1"], by, input_spec=RGB, **shown)
    probe = TuningProbe(network, ["0", "1"], by, input_spec=RGB, batch_size=50, **shown)
    probe.run(quiet_trainer())
    for one, other in zip(plain, probe.results, strict=True):
        for name in ("score", "null_percentile", "reliability"):
            pair = getattr(one, name), getattr(other, name)
            assert torch.allclose(*pair, atol=1e-5, equal_nan=True), (one.layer, one.by, name)


def test_a_probe_may_be_shown_all_again(network: nn.Module) -> None:
    probe = TuningProbe(network, "1", input_spec=RGB, **FEW)
    trainer = quiet_trainer()
    for _ in range(2):
        trainer.predict(probe, return_predictions=False)
        expected = rank_kernels(network, "1", input_spec=RGB, **FEW).only
        for name in ("score", "null_percentile"):
            pair = getattr(probe.results.only, name), getattr(expected, name)
            assert torch.allclose(*pair, atol=1e-6, equal_nan=True)
        network[0].weight.data += torch.randn(network[0].weight.shape)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit_predict_batches": 2}, "needs all stimuli"),
        ({"fast_dev_run": True}, "needs all stimuli"),
        ({"precision": "bf16-mixed"}, "float32; got precision bf16-mixed"),
        ({"devices": 2, "strategy": "ddp_spawn"}, 'strategy="ddp"'),
    ],
)
def test_trainers_that_would_lose_something(
    network: nn.Module, options: dict[str, Any], said: str
) -> None:
    trainer = quiet_trainer(**options)
    probe = TuningProbe(network, "1", input_spec=RGB, **FEW)
    probe.trainer = trainer
    with pytest.raises(ValueError, match=said):
        probe.setup("predict")


def test_each_stimulus_is_shown_once_for_all(
    network: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, forward = [], nn.Conv2d.forward

    def counted(layer: nn.Conv2d, images: Tensor) -> Tensor:
        if layer is network[0]:
            shown.append(len(images))
        return forward(layer, images)

    # What a hook of the network's counts is undone.
    monkeypatch.setattr(nn.Conv2d, "forward", counted)
    by = ["orientation", "spatial_frequency", "phase"]
    rank_kernels(network, ["0", "1", "2", "3"], by, input_spec=RGB, **FEW)
    stimuli = 8 * 2 * 4 + 1
    before = sum(shown)
    rank_kernels(network, "0", "orientation", input_spec=RGB, **FEW)
    alone = sum(shown) - before
    # Beside the stimuli there are a few trial images.
    assert stimuli < alone <= stimuli + 80
    assert before <= stimuli + 80


def test_sparseness_and_class_selectivity_are_what_the_formulas_say(network: nn.Module) -> None:
    images, labels = labeled()
    found = rank_kernels(
        network, "1", ["sparseness", "class", "activation"],
        input_spec=RGB, images=images, labels=labels, classes=CLASSES,
    )  # fmt: skip
    with torch.no_grad():
        responses = network[:2](RGB.to_network(images))[:, :, 13, 13].double()
    for kernel, r in enumerate(responses.T.tolist()):
        n = len(r)
        squares = sum(x * x for x in r) / n
        sparse = found["1", "sparseness"].score[kernel].item()
        means = [
            sum(x for x, label in zip(r, labels.tolist(), strict=True) if label == c)
            / labels.tolist().count(c)
            for c in range(3)
        ]
        best = max(means)
        others = (sum(means) - best) / 2
        if squares == 0:
            assert kernel == 4
            assert math.isnan(sparse)
            continue
        assert sparse == pytest.approx((1 - (sum(r) / n) ** 2 / squares) / (1 - 1 / n), abs=1e-5)
        by_class = found["1", "class"]
        assert by_class.score[kernel] == pytest.approx((best - others) / (best + others), abs=1e-5)
        assert by_class.values["preferred_class"][kernel] == CLASSES[means.index(best)]
        by_activation = found["1", "activation"]
        assert by_activation.score[kernel] == pytest.approx(sum(r) / n, abs=1e-5)
        assert by_activation.values["max_activation"][kernel] == pytest.approx(max(r), abs=1e-5)
    assert all(item.dead.tolist() == [k == 4 for k in range(6)] for item in found)


def test_few_images_and_rare_classes(network: nn.Module) -> None:
    images, _ = labeled(7)
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 2])  # Half of the images are of one class.
    by = ["class", "sparseness"]
    rare = rank_kernels(network, "1", by, input_spec=RGB, images=images, labels=labels)
    assert rare["1", "class"].score.isfinite().sum() >= 4
    few = rank_kernels(network, "1", by, input_spec=RGB, images=images[:3], labels=labels[:3])
    assert few["1", "class"].score.isfinite().any()
    assert few["1", "class"].reliability.isnan().all()
    missing = rank_kernels(
        network, "1", "class", input_spec=RGB, images=images[:4], labels=labels[:4],
        classes=CLASSES,
    ).only  # fmt: skip
    assert set(missing.values["preferred_class"]) <= {"circle", "cross", ""}
    with pytest.raises(ValueError, match="all images are of"):
        rank_kernels(network, "1", "class", input_spec=RGB, images=images, labels=labels * 0)


def test_all_rankings_and_why_some_do_not_apply(network: nn.Module) -> None:
    spec = InputSpec.rgb(16)
    options: dict[str, Any] = {"input_spec": spec, "null_kernels": 4, "batch_size": 200, **FEW}
    found = rank_kernels(network, ["0", "1"], "all", **options)
    assert [item.by for item in found] == [*RANKINGS] * 2
    reasons = {item.by: item.reason for item in found if item.layer == "1"}
    assert "needs images to show" in reasons["texture"]
    assert "needs images to show" in reasons["class"]
    assert "compares two modalities" in reasons["modality"]
    assert "for networks of video" in reasons["direction"]
    assert "needs a convolution" in reasons["weight"]
    assert reasons["orientation"] is reasons["phase"] is reasons["curvature"] is None
    assert found["0", "phase"].reason is not None
    alone = rank_kernels(network, "1", "orientation", **options).only
    assert torch.equal(found["1", "orientation"].score.nan_to_num(), alone.score.nan_to_num())
    images, labels = labeled(8, spec)[0], torch.arange(8) % 2
    flat = rank_kernels(network, "1", "all", images=images, **options)
    assert flat["1", "texture"].reason is flat["1", "activation"].reason is None
    assert "needs images with labels" in flat["1", "category"].reason
    few = rank_kernels(network, "1", "all", images=images[:2], labels=labels[:2] * 0, **options)
    assert "all images are of" in few["1", "class"].reason
    few = rank_kernels(network, "1", "all", images=images[:2], labels=labels[:2], **options)
    assert "two or more images" in few["1", "category"].reason
    every = rank_kernels(network, "1", ["all"], images=images, labels=labels, **options)
    assert {item.by for item in every if item.reason is not None} == {
        *("modality", "direction", "temporal_frequency", "weight", "predictable")  # 8 images.
    }


def test_images_may_be_a_dataset(network: nn.Module) -> None:
    images, labels = labeled()

    class Pictures(Dataset[Any]):
        classes = CLASSES

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            return images[index], int(labels[index])

    one = rank_kernels(network, "1", "class", input_spec=RGB, images=Pictures()).only
    same = rank_kernels(
        network, "1", "class", input_spec=RGB, images=TensorDataset(images, labels), classes=CLASSES
    ).only
    assert torch.equal(one.score.nan_to_num(), same.score.nan_to_num())
    assert one.values == same.values


def test_halves_of_the_stimuli_tell_structure_from_chance() -> None:
    torch.manual_seed(0)
    bank = gabor_network([0, 30, 60, 90, 120, 150], 6.0, 3.0, size=15)
    noise = nn.Sequential(nn.Conv2d(3, 6, 15))
    frequencies = [0.12, 0.15, 0.18, 0.2]
    tuned, untuned = (
        rank_kernels(net, layer, input_spec=RGB, spatial_frequencies=frequencies).only
        for net, layer in ((bank, "conv"), (noise, "0"))
    )
    assert tuned.reliability.min() > 0.95
    assert tuned.null_percentile.min() > 99
    assert untuned.reliability.median() < 0.9


def test_modalities_of_an_rgbd_network() -> None:
    network = load_demo_network()
    rgb_only, depth_only = (
        gabor_network([0, 90], gains=(1, 1, 1, 0)),
        gabor_network([0, 90], gains=(0, 0, 0, 1)),
    )
    frequencies = [0.125, 1 / 6]
    for net, sign, word in ((rgb_only, -1, "rgb"), (depth_only, 1, "depth")):
        found = rank_kernels(
            net, "conv", "modality", input_spec=RGBD, spatial_frequencies=frequencies
        ).only
        assert found.score.tolist() == pytest.approx([sign] * 2, abs=1e-4)
        assert list(found.values["preferred_modality"]) == [word] * 2
        assert found.values["modality_weight"].tolist() == pytest.approx([(1 + sign) / 2] * 2)
    found = rank_kernels(network, "conv1", "modality", input_spec=demo_input_spec(), **FEW).only
    weights = network.conv1.weight.detach()
    norms = weights[:, :3].flatten(1).norm(dim=1), weights[:, 3:].flatten(1).norm(dim=1)
    expected = norms[1] / (norms[0] + norms[1])
    assert torch.allclose(found.values["modality_weight"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("gains", "score"), [((1, 1, 1, 1), -0.5), ((1, 1, 1, 3), 0.0), ((0.5, 0.5, -0.5, 1.5), 0.5)]
)
def test_modality_and_weight(gains: tuple[float, ...], score: float) -> None:
    """For linear kernels whose channels differ by a factor it is arithmetic."""
    network = gabor_network([0, 90], gains=gains)
    found = rank_kernels(network, "conv", ["modality", "weight"], input_spec=RGBD, **FEW)
    assert found["conv", "modality"].score.tolist() == pytest.approx([score] * 2, abs=1e-4)
    alike = gabor_network([0, 90], gains=(1,)).conv.weight.detach().abs().sum((1, 2, 3))
    expected = sum(map(abs, gains)) * alike
    assert found["conv", "weight"].score.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("gains", "score"),
    [((1, 1, 1), 0.0), ((1, -1, 0), 1.0), ((1, 0, 0), 2 / 3), ((1, 1, -1), 0.8)],
)
def test_color(gains: tuple[float, ...], score: float) -> None:
    """For linear kernels whose channels differ by a factor it is arithmetic."""
    network = gabor_network([0, 90], gains=gains)
    spec = InputSpec.rgb(32, mean=(0.5,) * 3, std=(0.5,) * 3)
    found = rank_kernels(network, "conv", "color", input_spec=spec, **FEW).only
    assert found.score.tolist() == pytest.approx([score] * 2, abs=1e-4)


def test_a_ranking_of_one_s_own(network: nn.Module) -> None:
    class BarsRanking(GratingRanking):
        """How much more a kernel responds to horizontal than to vertical bars."""

        name = "bars"
        score_name = "R(0) - R(90)"
        split = "spatial_frequency"

        @override
        def score(self, responses: GratingResponses, layer: RankedLayer) -> Scores:
            tuning = responses.tuning[:, 0].sum(2)
            horizontal, vertical = (responses.orientations.tolist().index(a) for a in (0, 90))
            score = tuning[:, horizontal] - tuning[:, vertical]
            return Scores(score, responses.dead, curve=tuning)

    found = rank_kernels(
        network, "1", [BarsRanking(), "orientation"], input_spec=RGB,
        **{**FEW, "orientations": 16},
    )  # fmt: skip
    assert found["1", "bars"].null_percentile.isfinite().sum() == 5
    register_ranking(BarsRanking())
    try:
        assert rank_kernels(network, "1", "bars", input_spec=RGB, **FEW).only.by == "bars"
    finally:
        del RANKINGS["bars"]
    with pytest.raises(ValueError, match='there is a ranking "orientation" already'):
        register_ranking(type("Mine", (BarsRanking,), {"name": "orientation"})())


class PeakRanking(GratingRanking):
    """The response to the best grating."""

    name = score_name = "peak"

    @override
    def score(self, responses: GratingResponses, layer: RankedLayer) -> Scores:
        return Scores(responses.tuning.flatten(1).amax(1), responses.dead)


class FaintPeakRanking(PeakRanking):
    """The same, of gratings of the ranking's own: at half of the contrast."""

    name = "faint_peak"
    set_name = "faint gratings"

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> Gratings:
        return replace(settings, contrast=settings.contrast / 2).gratings(spec)


def test_a_ranking_with_stimuli_of_its_own() -> None:
    """A convolution's response is linear in the contrast."""
    both = [PeakRanking(), FaintPeakRanking()]
    found = rank_kernels(gabor_network([0, 90]), "conv", both, input_spec=RGB, **FEW)
    full, half = found["conv", "peak"].score, found["conv", "faint_peak"].score
    assert full.min() > 0
    assert torch.allclose(half, full / 2, rtol=1e-5)


def named(ranking: AnyRanking, name: str) -> AnyRanking:
    """Return a ranking of the same kind under another name."""
    return type("Renamed", (type(ranking),), {"name": name})()


@pytest.mark.parametrize(
    ("known", "name"),
    [
        *((known, "gratings") for known in ("border_ownership", "activation", "size")),
        *(("border_ownership", name) for name in ("images", "best gratings")),
    ],
)
def test_a_ranking_may_be_called_as_stimuli_are(network: nn.Module, known: str, name: str) -> None:
    own = named(RANKINGS[known], name)
    others = ["orientation", "color", "sparseness", known]
    options: dict[str, Any] = {**FEW, "input_spec": InputSpec.rgb(16), "null_kernels": 3}
    options["images"] = labeled(8, options["input_spec"])[0]
    found = rank_kernels(network, "1", [own, *others], **options)
    for by in others:
        alone = rank_kernels(network, "1", by, **options).only
        assert torch.equal(found["1", by].score.nan_to_num(), alone.score.nan_to_num())
    assert torch.equal(found["1", name].score.nan_to_num(), found["1", known].score.nan_to_num())


def test_all_rankings_but_the_one_that_compares_frequencies(network: nn.Module) -> None:
    options: dict[str, Any] = {
        "input_spec": InputSpec.rgb(16),
        "null_kernels": 0,
        "orientations": 4,
    }
    found = rank_kernels(network, "1", "all", spatial_frequencies=[0.2], **options)
    assert "give at least 2" in found["1", "spatial_frequency"].reason
    assert found["1", "orientation"].reason is None
    both = ["orientation", "spatial_frequency"]
    with pytest.raises(ValueError, match="give at least 2"):
        rank_kernels(network, "1", both, spatial_frequencies=[0.2], **options)
    for wrong in ({"spatial_frequencies": [0.01]}, {"contrast": 2.0}, {"aperture": -1.0}):
        with pytest.raises(ArgumentError, match=next(iter(wrong)).replace("ies", "y")[:8]):
            rank_kernels(network, "1", "all", **options, **wrong)


def test_a_ranking_that_gives_too_little_is_named(network: nn.Module) -> None:
    class Short(ImageRanking):
        name = score_name = "short"

        @override
        def metric(self, kernels: int, classes: int) -> Any:
            return RANKINGS["activation"].metric(kernels, classes)

        @override
        def score(self, responses: ImageResponses, layer: RankedLayer) -> Scores:
            return Scores(responses.values[:2, 0], torch.zeros(2, dtype=torch.bool))

    with pytest.raises(ValueError, match='"short" gives 2 values of score for the 6 kernels'):
        rank_kernels(network, "1", Short(), input_spec=RGB, images=labeled()[0])


def test_a_layer_of_one_kernel() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 1, 5), nn.ReLU())
    images, labels = labeled()
    by = ["orientation", "phase", "sparseness", "class", "activation", "weight"]
    found = rank_kernels(
        network, ["0", "1"], by, input_spec=RGB, images=images, labels=labels, null_kernels=0
    )
    applies = [item for item in found if item.reason is None]
    assert len(applies) == 3 + 5
    assert all(item.top(1) == [0] for item in applies)
    assert all(item.null_percentile.isnan().all() for item in found)


def test_a_diverged_network_is_neither_dead_nor_alive(network: nn.Module) -> None:
    network[0].weight.data[2] = torch.nan
    found = rank_kernels(network, "1", input_spec=RGB, **FEW).only
    assert found.score[2].isnan()
    assert not found.dead[2]
    assert found.score.isfinite().sum() == 4


def test_kernels_without_a_score_prefer_nothing(network: nn.Module) -> None:
    with torch.no_grad():
        network[0].weight[2] = torch.nan
        network[0].bias[4] = 1.0
    images, labels = labeled()
    by = ["phase", "curvature", "color", "class", "category", "tolerance"]
    shown: dict[str, Any] = {"images": images, "labels": labels, "null_kernels": 0, **FEW}
    for ranking in rank_kernels(network, "1", by, input_spec=RGB, **shown):
        assert ranking.score.isnan().tolist() == [False, False, True, False, True, False], ranking
        assert ranking.dead.tolist() == [False, False, False, False, True, False], ranking
        for name, column in ranking.values.items():
            known = [one for one in (column[2], column[4]) if one not in ("",) and one == one]
            assert known == [0] * (name in ("peak_response", "suppressed")), (ranking, name)


def test_rankings_are_a_sequence() -> None:
    empty = Rankings([])
    assert len(empty) == 0
    assert list(empty) == []
    with pytest.raises(ValueError, match="no ranking"):
        empty.top(1)
