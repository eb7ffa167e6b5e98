"""Kernels against distributions of neurons: the score, its interval, the null, and the files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from drawn import assert_readable
from gabor_bank import gabor_network
from legible import texts
from torch import nn

from neurovis.figures import (
    CountedKernels,
    ScoreCell,
    distribution_figure,
    reference_score_figure,
)
from neurovis.inputs import InputSpec
from neurovis.tuning import (
    RANKINGS,
    Rankings,
    ReferenceScores,
    load_reference,
    rank_kernels,
    score_against_reference,
)
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.measures import spatial_frequency_bandwidth
from neurovis.tuning.reference import Distribution
from neurovis.tuning.reference_similarity import (
    expected_similarity,
    property_score,
    similarity,
)

MACAQUE = load_reference("macaque_v1")
NO_NULL = np.empty(0)
#: What brain-score's test expects of these distributions scored against themselves.
CEILINGS = {
    "surround_suppression": 0.958,
    "preferred_size": 0.956,
    "surround_diameter": 0.955,
    "preferred_orientation": 0.962,
    "preferred_spatial_frequency": 0.967,
    "spatial_frequency_selective": 0.963,
    "spatial_frequency_ratio": 0.933,
}


def values_of(cells: Distribution, counts: object = None) -> np.ndarray:
    """Values in the middles of the bins, as many in each as were counted."""
    middles = (cells.edges[1:] + cells.edges[:-1]) / 2
    return middles.repeat(np.asarray(cells.counts if counts is None else counts))


class TestSimilarity:
    @pytest.mark.parametrize("name", CEILINGS)
    def test_ceilings_are_those_of_brain_score(self, name: str) -> None:
        counts = MACAQUE.distributions[name].counts
        assert expected_similarity(counts, counts) == pytest.approx(CEILINGS[name], abs=0.005)

    def test_distance_is_scipy_s_over_the_largest_possible(self) -> None:
        random = np.random.default_rng(3)
        one, other = random.integers(0, 20, (2, 7))
        edges = np.arange(7)
        distance = scipy.stats.ks_2samp(edges.repeat(one), edges.repeat(other)).statistic
        farthest = max(
            scipy.stats.ks_2samp([place], edges.repeat(other)).statistic for place in edges
        )
        assert similarity(one, other) == pytest.approx(1 - distance / farthest)

    def test_of_two_known_distributions(self) -> None:
        # Shares 1/2, 1/2, 0 and 1/4, 1/4, 1/2: 1/2 apart, where 3/4 is the most.
        assert similarity(np.array([3, 3, 0]), np.array([1, 1, 2])) == pytest.approx(1 / 3)

    @pytest.mark.parametrize("name", MACAQUE.distributions)
    def test_of_the_cells_themselves_is_1(self, name: str) -> None:
        cells = MACAQUE.distributions[name]
        found = property_score("layer", values_of(cells), NO_NULL, cells)
        assert similarity(cells.counts, cells.counts) == 1
        assert found.score == 1
        assert found.interval[0] < 1 == found.interval[1]
        assert found.kernel_counts.tolist() == cells.counts.tolist()

    def test_kernels_beyond_the_emptier_end_score_0(self) -> None:
        cells = MACAQUE.distributions["preferred_spatial_frequency"]
        found = property_score("layer", np.full(40, 1e-3), NO_NULL, cells)
        assert found.score == pytest.approx(0)


class TestUncertainty:
    @pytest.mark.parametrize("share_of_flat", [0.0, 0.6, 1.0])
    def test_interval_covers_the_score_of_endless_kernels_and_cells(
        self, share_of_flat: float
    ) -> None:
        random = np.random.default_rng(5)
        cells = MACAQUE.distributions["preferred_spatial_frequency"]
        shares = cells.counts / cells.counts.sum()
        flat = np.full(len(shares), 1 / len(shares))
        kernels = (1 - share_of_flat) * shares + share_of_flat * flat
        # As many kernels as make the sampling of kernels negligible.
        endless = np.round(1e6 * kernels).astype(int)
        true = expected_similarity(endless, cells.counts)
        true /= expected_similarity(cells.counts, cells.counts)
        covered = []
        for _ in range(60):
            counts = random.multinomial(int(cells.counts.sum()), shares)
            drawn = Distribution(cells.name, cells.edges, counts, "")
            values = values_of(cells, random.multinomial(96, kernels))
            low, high = property_score("layer", values, NO_NULL, drawn).interval
            covered.append(low <= min(true, 1) <= high)
        assert np.mean(covered) >= 0.9

    def test_interval_narrows_with_the_number_of_kernels(self) -> None:
        cells = MACAQUE.distributions["preferred_spatial_frequency"]
        values = values_of(cells)
        few, many = (
            property_score("layer", values[::step], NO_NULL, cells).interval for step in (16, 1)
        )
        assert many[1] - many[0] < few[1] - few[0]

    def test_properties_share_kernels_but_no_neurons(self) -> None:
        """The mean varies as much as it does for one and the same kernels in other studies."""
        cells = MACAQUE.distributions["preferred_spatial_frequency"]
        other = Distribution("gOSI", cells.edges, cells.counts, "")
        values = np.full(60, 10.0)
        values[::2] = 1.2
        draws = [property_score("layer", values, NO_NULL, one).draws for one in (cells, other)]
        assert 0.5 < np.corrcoef(draws)[0, 1] < 0.95

    def test_percentile_of_kernels_like_chance_is_that_of_chance(self) -> None:
        """Layers whose kernels are drawn as the random ones are spread evenly over the null."""
        cells = MACAQUE.distributions["preferred_orientation"]
        random = np.random.default_rng(2)
        drawn = random.uniform(0, 180, (60, 1000))
        percentiles = [
            property_score("layer", one[:64], one[64:], cells).null_percentile for one in drawn
        ]
        assert scipy.stats.kstest(np.array(percentiles) / 100, "uniform").pvalue > 0.01

    def test_planted_likeness_exceeds_chance(self) -> None:
        cells = MACAQUE.distributions["spatial_frequency_ratio"]
        null = np.random.default_rng(2).uniform(0, 100, 200)
        found = property_score("layer", values_of(cells), null, cells)
        assert found.exceeds_null
        assert found.null_score < found.interval[0]


class TestCriteria:
    def test_ratio_of_a_gaussian_at_the_level_of_recordings(self) -> None:
        center, sigma = 0.15, 0.04
        frequencies = torch.linspace(0.02, 0.35, 34)
        curve = torch.exp(-(((frequencies - center) / sigma) ** 2) / 2)
        # exp(-x^2 / 2) is 1 / sqrt 2 where x^2 is log 2.
        half = sigma * math.sqrt(math.log(2))
        expected = math.log2((center + half) / (center - half))
        found = spatial_frequency_bandwidth(curve, frequencies, level=math.sqrt(0.5))
        assert found.item() == pytest.approx(expected, rel=1e-4)
        with pytest.raises(ValueError, match=r"level must be between 0 and 1; got 1\.5"):
            spatial_frequency_bandwidth(curve, frequencies, level=1.5)

    def test_f0_with_and_without_the_blank(self) -> None:
        angles = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
        table = (1 + 2 * angles.cos()).relu().view(1, 1, 1, 1, 8)
        responses = GratingResponses(
            table, torch.ones(1, dtype=torch.float64), True, torch.zeros(1), torch.ones(1), ["all"]
        )
        scores = RANKINGS["phase"].score(responses, None)  # type: ignore[arg-type]
        spectrum = np.abs(np.fft.rfft(table.flatten().numpy())) / 8
        assert scores.score.item() == pytest.approx(2 * spectrum[1] / (spectrum[0] - 1))
        with_blank = scores.values["f1_f0_with_blank"]
        assert with_blank[0].item() == pytest.approx(2 * spectrum[1] / spectrum[0])

    def test_orientations_are_counted_around_the_circle(self) -> None:
        cells = MACAQUE.distributions["preferred_orientation"]
        assert cells.bins(np.array([0.0, 179.0, 157.4, 160.0, 90.0])).tolist() == [0, 0, 3, 0, 2]

    def test_undefined_values_are_in_no_bin(self) -> None:
        cells = MACAQUE.distributions["spatial_frequency_ratio"]
        assert cells.bins(np.array([math.nan, 5.0, 100.0])).tolist() == [-1, 0, 9]


SPEC = InputSpec.rgb(48)
BY = ["orientation", "spatial_frequency"]


@pytest.fixture(scope="module")
def ranked() -> Rankings:
    network = gabor_network([0, 30, 60, 90, 120, 150], relu=True, padding=7)
    found = rank_kernels(
        *(network, ["conv", "relu"], [*BY, "phase"]),
        input_spec=SPEC,
        null_kernels=20,
        orientations=8,
        reference="macaque_v1",
        pixels_per_degree=12.0,
    )
    return found


@pytest.fixture
def scores(ranked: Rankings) -> ReferenceScores:
    assert ranked.reference_scores is not None
    return ranked.reference_scores


class TestRankings:
    def test_properties_in_degrees_follow_the_pixels_per_degree(
        self, scores: ReferenceScores
    ) -> None:
        # One cycle in 6 pixels of 1/12 degree is 2 cycles per degree.
        found = scores["conv", "preferred_spatial_frequency"]
        counts = found.kernel_counts
        assert counts.argmax() in (4, 5)
        assert counts.sum() == counts.max() == 6

    def test_properties_in_degrees_are_left_out_with_a_word(self, ranked: Rankings) -> None:
        found = score_against_reference(ranked, "macaque_v1")
        assert "preferred_spatial_frequency" not in found.properties
        assert (
            "macaque_v1: preferred_spatial_frequency, preferred_size, surround_diameter: "
            "in degrees of visual angle; give pixels_per_degree"
        ) in found.notes

    def test_what_no_ranking_gives_is_said(self, scores: ReferenceScores) -> None:
        assert (
            "macaque_v1: surround_suppression, preferred_size, surround_diameter, surround_ratio: "
            "given by no ranking here"
        ) in scores.notes

    def test_other_units_and_other_names_are_said(self, ranked: Rankings, tmp_path: Path) -> None:
        path = tmp_path / "mine.csv"
        path.write_text("gOSI,F1/F0\n41,0.2\n18,2.2\n")
        notes = score_against_reference(ranked, path).notes
        assert "mine: gOSI: all kernels are beyond its bins; are the units the same?" in notes
        path.write_text("gosi\n0.41\n0.18\n")
        *_, last = score_against_reference(ranked, path).notes
        assert last.startswith("mine: nothing was compared; these rankings give F1/F0, ")
        assert "gOSI" in last

    def test_the_mean_is_over_what_all_layers_have(self, ranked: Rankings, tmp_path: Path) -> None:
        path = tmp_path / "mine.csv"
        path.write_text("cell,F1/F0,gOSI\na,0.2,0.5\nb,1.2,0.7\nc,1.6,\n")
        found = score_against_reference(ranked, path)
        assert found.properties == ["gOSI", "F1/F0"]
        for layer in ("conv", "relu"):
            assert found[layer, "mean"].score == pytest.approx(found[layer, "gOSI"].score)
        assert "mine: the mean is over gOSI" in found.notes
        both = score_against_reference(ranked, path, mean_over=found.properties)
        assert both.layers[0] == "relu"
        assert [item.layer for item in both.items if item.name == "mean"] == ["relu"]

    def test_the_mean_is_over_known_properties(self, ranked: Rankings) -> None:
        with pytest.raises(ValueError, match="mean_over has size, which macaque_v1 does not have"):
            score_against_reference(ranked, "macaque_v1", mean_over=["size"])

    def test_rows_have_both_numbers_and_the_source(self, scores: ReferenceScores) -> None:
        rows = {(row["layer"], row["property"]): row for row in scores.rows()}
        row = rows["relu", "preferred_orientation"]
        assert (row["kernels"], row["cells"]) == (6, 385)
        assert row["source"] == "De Valois, Yund & Hepler 1982"
        parts = [scores["relu", name].score for name in scores.properties]
        assert rows["relu", "mean"]["score"] == pytest.approx(np.mean(parts))
        assert 0 <= row["low"] <= row["score"] <= row["high"] <= 1  # type: ignore[operator]

    def test_layers_are_in_the_order_of_their_means(self, scores: ReferenceScores) -> None:
        means = [scores[layer, "mean"].score for layer in scores.layers]
        assert means == sorted(means, reverse=True)

    def test_a_layer_of_few_kernels_has_no_distribution(self) -> None:
        found = rank_kernels(
            *(gabor_network([0.0, 90.0]), "conv"),
            input_spec=SPEC,
            null_kernels=0,
            orientations=4,
            reference="macaque_v1",
        ).reference_scores
        assert found is not None
        assert not found.items
        assert "macaque_v1: preferred_orientation: fewer than 3 kernels have a value" in found.notes
        assert "nothing" in repr(found)

    def test_dead_kernels_do_not_count(self) -> None:
        network = gabor_network([0, 30, 60, 90, 120])
        with torch.no_grad():
            network.conv.weight[2] *= 1e-9
        found = rank_kernels(
            network, "conv", input_spec=SPEC, null_kernels=0, reference="macaque_v1"
        ).reference_scores
        assert found is not None
        score = found["conv", "preferred_orientation"]
        assert score.kernel_counts.sum() == 4
        assert math.isnan(score.null_score)
        assert math.isnan(score.null_percentile)

    @pytest.mark.drawn
    def test_figures_without_random_kernels(self) -> None:
        found = rank_kernels(
            *(gabor_network([0, 45, 90, 135]), "conv"),
            input_spec=SPEC,
            null_kernels=0,
            orientations=8,
            reference="macaque_v1",
        ).reference_scores
        assert found is not None
        assert_readable(found.figure())
        assert "null" not in texts(found.figure())
        assert "random" not in texts(found.histogram("preferred_orientation"))

    @pytest.mark.drawn
    def test_figures_can_be_read(self, scores: ReferenceScores) -> None:
        assert_readable(scores.figure(step=12))
        for name in scores.properties:
            assert_readable(scores.histogram(name))
        assert "null" in texts(scores.figure())
        with pytest.raises(ValueError, match="size was not compared"):
            scores.histogram("size")


@pytest.mark.drawn
@pytest.mark.parametrize("number", [1, 14])
def test_figures_of_long_names_can_be_read(number: int) -> None:
    layers = [f"features.denseblock4.denselayer{place}.$x_1$_conv" * 2 for place in range(number)]
    cell = ScoreCell(0.876, 0.7, 1.0, 0.5, True)
    cells = {(name, layer): cell for name in ("some_property" * 3, "mean") for layer in layers}
    del cells["mean", layers[0]]
    assert_readable(reference_score_figure(cells, "t" * 200))
    counts = np.array([3, 0, 1000, 4, 0])
    counted = [CountedKernels(layer, counts, counts[::-1]) for layer in layers]
    edges = np.array([-0.0625, 0.125, 1, 1000, 12345.678, 1e6])
    assert_readable(distribution_figure(edges, counts, counted, "t" * 200, "n" * 120, ["s" * 300]))


class TestFiles:
    def test_cells_are_counted(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.csv"
        random = np.random.default_rng(0)
        octaves = random.normal(1, 1, 40)
        lines = [f"c{place},{2**octave},{place}" for place, octave in enumerate(octaves)]
        header = "name,preferred_spatial_frequency,orientation_bandwidth"
        path.write_text("\n".join([header, *lines, "c40,,"]), encoding="utf-8-sig")
        found = load_reference(path)
        assert found.name == "mine"
        assert list(found.distributions) == header.split(",")[1:]
        cells = found.distributions["preferred_spatial_frequency"]
        assert cells.counts.sum() == 40
        expected, edges = np.histogram(octaves, "sturges")
        assert cells.counts.tolist() == expected.tolist()
        np.testing.assert_allclose(cells.edges, np.exp2(edges))

    def test_counts_are_taken_as_they_are(self, tmp_path: Path) -> None:
        path = tmp_path / "counts.csv"
        path.write_text("property,low,high,count\ngOSI,0,0.5,3\ngOSI,0.5,1,9\n")
        cells = load_reference(path).distributions["gOSI"]
        assert (cells.edges.tolist(), cells.counts.tolist()) == ([0, 0.5, 1], [3, 9])

    @pytest.mark.parametrize(
        ("text", "counts"),
        [
            ("year, gOSI ,note\n2020,0.2,\n2020,0.4,3 spikes\n2020\n,,\n", {"gOSI": [1, 1]}),
            ("property,low,high,count\na,0,1,3\na,1,2,4\n,,,\n", {"a": [3, 4]}),
        ],
    )
    def test_what_spreadsheets_add_is_ignored(
        self, tmp_path: Path, text: str, counts: dict[str, list[int]]
    ) -> None:
        path = tmp_path / "mine.csv"
        path.write_text(text)
        found = load_reference(path).distributions
        assert {name: one.counts.tolist() for name, one in found.items()} == counts

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("gOSI\n0.1\nO.5\n", "gOSI must be a number, or empty where unknown; got 'O.5'"),
            ("gOSI\n0.1\n0.1\n", "no column of different numbers"),
            ("gOSI\n0.1\n0.10\n", "gOSI of reference mine must have two or more different"),
            ("gOSI;F1/F0\n0.1;1\n", "no column of different numbers"),
            ("", "no column of different numbers"),
            ("cell,gOSI\na,0,4\nb,1,2\n", "more cells than the 2 names .* a, ?0, ?4; write"),
            ("gOSI,gOSI\n0.1,0.2\n0.3,0.4\n", "reference mine has two columns gOSI"),
            ("property,low,count\na,0,1\na,1,2\n", "high of a must be a number.*got ''"),
            (
                "property,low,high,count\n"
                "preferred_orientation,0,180,1\npreferred_orientation,180,360,2\n",
                "must span 180 degrees, after which it repeats; got 0 to 360",
            ),
            ("preferred_size\n0\n1\n", "preferred_size must be positive; got 0"),
            ("property,low,high,count\na,0,1,2\na,2,3,4\n", "begin where the one before ends"),
            ("property,low,high,count\na,0,1,2\na,1,1,4\n", "2 or more bins with rising edges"),
            ("property,low,high,count\na,0,1,0\na,1,2,0\n", "counts of a must be 0 or more"),
            ("property,low,high,count\na,0,1,x\na,1,2,0\n", "count of a must be a number"),
        ],
    )
    def test_what_is_no_reference_is_refused(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "mine.csv"
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_reference(path)

    def test_unknown_names_are_refused(self) -> None:
        with pytest.raises(ValueError, match='"macaque_v2" not found; did you mean "macaque_v1"'):
            load_reference("macaque_v2")
        with pytest.raises(ValueError, match=r"not found; give macaque_v1, or a CSV file"):
            load_reference("cells.csv")

    @pytest.mark.parametrize("value", [0.0, -3.0, math.inf, math.nan])
    def test_pixels_per_degree_must_be_positive(self, value: float) -> None:
        with pytest.raises(ValueError, match="pixels_per_degree must be a positive number"):
            score_against_reference([], "macaque_v1", pixels_per_degree=value)

    def test_pixels_per_degree_are_for_a_reference(self) -> None:
        with pytest.raises(ValueError, match="give a reference too, such as macaque_v1"):
            rank_kernels(nn.Conv2d(3, 2, 3), "", pixels_per_degree=4)
