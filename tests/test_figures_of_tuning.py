"""Figures of tuning: a kernel's sheet, histograms of scores, and size tuning."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.style
import numpy as np
import pytest
import torch
from drawn import Array, areas, assert_readable, backdrop, corners, lines, viridis
from legible import texts
from matplotlib.figure import Figure
from torch import Tensor

from neurovis.figures import (
    kernel_sheet_figure,
    null_limit,
    render,
    score_histogram,
    size_tuning_figure,
)
from neurovis.inputs import InputSpec
from neurovis.tuning.scoring import null_percentiles

pytestmark = pytest.mark.drawn

RGB, RGBD = InputSpec.rgb(16), InputSpec.rgbd(16)
LONG = "features.denseblock4.denselayer16.a_name_that_never_ends." * 3 + "conv2 $x_1$, kernel 511"
ANGLES = torch.arange(12) * 15.0
CYCLES = torch.tensor([0.05, 0.1, 0.2, 0.3])
BLUE, ORANGE, GRAY, INK, BAR = "#0072b2", "#d55e00", "#777777", "#222222", "#9cc3e2"


def responses_of(seed: int = 0) -> Tensor:
    return 5 * torch.rand(12, 4, generator=torch.Generator().manual_seed(seed))


def sheet(responses: Tensor, blank: float | None = None, **more: Any) -> Figure:
    return kernel_sheet_figure("t", ANGLES, CYCLES, responses, blank, response_name="F1", **more)


class TestKernelSheetFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("scale", [1e-9, 1.0, 123456.0])
    @pytest.mark.parametrize("spec", [None, RGB, RGBD], ids=["0", "1", "2"])
    def test_legible(self, scale: float, spec: InputSpec | None) -> None:
        picture = None if spec is None else torch.rand(spec.channels, 9, 5)
        figure = kernel_sheet_figure(
            *(LONG, ANGLES + 7, CYCLES, scale * responses_of(), 0.3 * scale),
            response_name="F1 amplitude",
            picture=picture,
            spec=spec,
            notes=[LONG],
            preferred_orientation=179.6,
            preferred_spatial_frequency=0.123,
        )
        assert_readable(figure)

    @pytest.mark.sampled(3)
    @pytest.mark.parametrize(("orientations", "frequencies"), [(1, 1), (4, 2), (36, 16), (180, 3)])
    def test_legible_at_other_sizes(self, orientations: int, frequencies: int) -> None:
        angles = torch.arange(orientations) * 180 / orientations
        cycles = torch.logspace(-6, -1.5, frequencies, 2)
        for values in (torch.rand, torch.zeros):
            figure = kernel_sheet_figure("t", angles, cycles, values(orientations, frequencies), 0)
            assert_readable(figure)

    def test_curves_run_through_the_largest_response(self) -> None:
        responses = responses_of()
        responses[7, 2] = 6.0
        upper, circle, lower = lines(sheet(responses), BLUE)
        x, y = upper.T
        assert (x - x[0]) / (x[-1] - x[0]) == pytest.approx(np.arange(13) / 12)
        column = responses[[*range(12), 0], 2].numpy()
        assert (y - y[7]) / (y[0] - y[7]) == pytest.approx((6 - column) / (6 - column[0]), abs=1e-5)
        middle = (circle[:12] + circle[12:24]).mean(0) / 2
        across, down = (circle - middle).T
        turned = np.rad2deg(np.arctan2(-down, across)) % 360
        assert turned[:24] == pytest.approx(np.arange(24) * 15.0, abs=1e-3)
        sizes = np.hypot(across, down)
        assert sizes / sizes[7] == pytest.approx(
            np.concatenate([column[:12]] * 2 + [column[:1]]) / 6
        )
        x, y = lower.T
        octaves = np.log2(CYCLES.numpy())
        assert (x - x[0]) / (x[-1] - x[0]) == pytest.approx(
            (octaves - octaves[0]) / (octaves[-1] - octaves[0]), abs=1e-5
        )
        row = responses[7].numpy()
        assert (y - y[2]) / (y[0] - y[2]) == pytest.approx((6 - row) / (6 - row[0]), abs=1e-5)
        assert "Orientation, at 0.2 cycles/pixel" in texts(sheet(responses))
        assert "Spatial frequency, at 105°" in texts(sheet(responses))

    def test_a_curve_that_begins_elsewhere_closes_there(self) -> None:
        figure = kernel_sheet_figure(
            "t", ANGLES + 10, CYCLES, responses_of(), preferred_orientation=3.0
        )
        upper, circle, _ = lines(figure, BLUE)
        assert upper[0, 1] == upper[-1, 1]
        # Bars at 3 degrees are bars at 183 degrees, which is where this axis has them.
        marker = next(line for line in lines(figure, ORANGE) if len(line) == 2)
        share = (marker[0, 0] - upper[0, 0]) / (upper[-1, 0] - upper[0, 0])
        assert share == pytest.approx(173 / 180)
        across, down = (circle[0] - (circle[:12] + circle[12:24]).mean(0) / 2).tolist()
        assert math.degrees(math.atan2(-down, across)) == pytest.approx(10)

    def test_map_and_its_colors(self) -> None:
        responses = responses_of()
        responses[3, 1] = math.nan
        levels = (responses / responses.nan_to_num(0).max()).flip(0).numpy()
        expected = viridis((np.nan_to_num(levels) * 256).round() / 256)
        expected[8, 1] = (217, 51, 38)
        rows, columns = np.arange(220) * 12 // 220, np.arange(380) * 4 // 380
        page = backdrop(sheet(responses))
        found = [
            np.abs(
                page[top : top + 220, left : left + 380].astype(int) - expected[rows][:, columns]
            )
            for top, left in corners(page, (220, 380))
        ]
        assert min(int(one.max()) for one in found) <= 2

    def test_marks(self) -> None:
        marked = sheet(
            responses_of(), 1.0, preferred_orientation=-150.0, preferred_spatial_frequency=0.1
        )
        said = texts(marked)
        assert "preferred 30.0°" in said
        assert "preferred 0.100" in said
        assert said.count("blank") == 2
        upper, _, lower = lines(marked, BLUE)
        levels = [line for line in lines(marked, GRAY) if len(line) == 2]
        assert len(levels) == 2
        across = [line[:, 0] for line in lines(marked, ORANGE) if len(line) == 2]
        assert across[0] == pytest.approx(upper[2, 0])
        assert across[-1] == pytest.approx(lower[1, 0])
        plain = sheet(responses_of(), preferred_orientation=math.nan)
        assert "blank" not in texts(plain)
        assert "preferred" not in texts(plain)

    def test_the_blank_is_at_its_height(self) -> None:
        responses = torch.full((12, 4), 2.0)
        responses[0, 0], responses[1, 0] = 3.0, 1.0
        figure = sheet(responses, 1.0)
        upper = lines(figure, BLUE)[0]
        level = next(line for line in lines(figure, GRAY) if len(line) == 2)
        assert level[:, 1] == pytest.approx(upper[1, 1])

    def test_gaps(self) -> None:
        responses = responses_of()
        responses[0, 0], responses[4, 0] = 9.0, math.nan
        upper = lines(sheet(responses), BLUE)[0]
        assert np.isnan(upper).any(axis=1).tolist() == [index == 4 for index in range(13)]

    def test_whatever_style_the_user_has(self) -> None:
        with matplotlib.style.context("dark_background"):
            dark = render(sheet(responses_of(), 0.1))
        assert np.array_equal(dark, render(sheet(responses_of(), 0.1)))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"responses": torch.rand(4, 12)}, r"\(12,\), \(4,\) and \(4, 12\)"),
            ({"orientations": torch.rand(12, 1)}, r"got \(12, 1\)"),
            ({"responses": torch.rand(12, 4) - 3}, "must not be negative; the lowest is -"),
            ({"orientations": torch.linspace(0, 180, 12)}, "below 180 degrees; got .*180.0"),
            ({"orientations": ANGLES.flip(0)}, r"must rise.*got \[165.0"),
            ({"spatial_frequencies": CYCLES.flip(0)}, "must be positive and rise"),
            ({"spatial_frequencies": CYCLES - 0.05}, "must be positive and rise"),
            ({"picture": torch.rand(3, 5, 5)}, "spec missing"),
            ({"picture": torch.rand(5, 5), "spec": RGB}, r"got \(5, 5\), spec given"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"orientations": ANGLES, "spatial_frequencies": CYCLES}
        good |= {"title": "t", "responses": responses_of()}
        kernel_sheet_figure(**good)
        with pytest.raises(ValueError, match=message):
            kernel_sheet_figure(**{**good, **change})


def heights(figure: Figure) -> Array:
    """Of the bars of a histogram, in kernels."""
    ticks = {
        text.get_text(): (1 - text.get_position()[1]) * figure.bbox.height
        for text in figure.texts
        if text.get_text().isdigit() and text.get_ha() == "right"
    }
    (low, first), (high, last) = list(ticks.items())[:2]
    one = (first - last) / (int(high) - int(low))
    return np.array([np.ptp(bar[:, 1]) for bar in areas(figure, BAR)[1:]]) / one


class TestScoreHistogram:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize(
        "number",
        [
            1,
            pytest.param(3, marks=pytest.mark.slow),
            64,
            pytest.param(2048, marks=pytest.mark.slow),
        ],
    )
    @pytest.mark.parametrize("split", [None, 0.7])
    @pytest.mark.parametrize("with_null", [False, True])
    def test_legible(self, number: int, split: float | None, with_null: bool) -> None:
        scores = torch.rand(number)
        scores[::7] = math.nan
        null = torch.rand(500) / 2 if with_null else None
        assert_readable(score_histogram(scores, null, LONG, LONG, split, notes=[LONG]))
        assert_readable(score_histogram(1e6 * scores, null, "t", "x", split))

    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("split", [-0.99, 0.0, 0.99])
    def test_legible_with_a_split_at_the_side(self, split: float) -> None:
        figure = score_histogram(torch.rand(9), None, "t", "x", split, (-1, 1))
        assert_readable(figure)

    def test_counts(self) -> None:
        scores = torch.rand(100)
        figure = score_histogram(scores, None, "t", "x", limits=(0, 1))
        counts, _ = np.histogram(scores.numpy(), 20, (0, 1))
        assert heights(figure) == pytest.approx(counts, abs=1e-6)

    @pytest.mark.parametrize("size", [1, 7, 48, 200])
    def test_above_the_limit_is_above_95_percent(self, size: int) -> None:
        null, scores = torch.rand(size).round(decimals=2), torch.rand(300).round(decimals=2)
        limit = null_limit(null)
        assert torch.equal(scores > limit, null_percentiles(scores, null) >= 95)

    def test_the_null_has_the_area_of_the_kernels(self) -> None:
        scores, null = torch.rand(50), torch.rand(2000) ** 2
        null[:3] = math.nan
        figure = score_histogram(scores, null, "t", "x", limits=(0, 1))
        outline = max(lines(figure, INK), key=len)
        steps = outline[0, 1] - outline[1:-1:2, 1]
        counts, edges = np.histogram(null[3:].numpy(), len(steps), (0, 1))
        assert steps / steps.sum() == pytest.approx(counts / 1997, abs=1e-6)
        bars = [np.ptp(bar[:, 1]) for bar in areas(figure, BAR)[1:]]
        assert sum(bars) == pytest.approx(steps.sum())
        assert np.ptp(outline[:, 0]) / (len(edges) - 1) == pytest.approx(560 / len(steps))

    def test_numbers(self) -> None:
        scores = torch.tensor([0.1, 0.5, 0.6, 0.9, math.nan, math.inf])
        null = torch.linspace(0, 0.5, 101)
        figure = score_histogram(
            scores, null, "t", "x", null_name="random kernels", limits=(0, 0.8)
        )
        said = texts(figure)
        for words in (
            *("kernels, n = 4", "median 0.550", "random kernels, n = 101", "median 0.250"),
            *("95th percentile 0.475", "2 of 6 kernels not defined (left out)"),
            *("1 of 6 kernels beyond the axis", "3 of 4 kernels (75 %) above the 95th percentile"),
        ):
            assert words in said, words
        low, high = lines(figure, BLUE)[-1][0, 0], lines(figure, ORANGE)[-1][0, 0]
        outline = max(lines(figure, INK), key=len)
        places = (np.array([low, high]) - outline[0, 0]) / np.ptp(outline[:, 0]) * 0.8
        assert places == pytest.approx([0.55, 0.475], abs=1e-3)

    def test_split(self) -> None:
        figure = score_histogram(torch.tensor([0.1, 0.2, 1.5]), None, "t", "F1/F0", split=1.0)
        across = {text.get_text(): text.get_window_extent() for text in figure.texts}
        line = max(lines(figure, INK), key=lambda points: np.ptp(points[:, 1]))
        at = line[0, 0]
        tick = across["1.00"]
        assert (tick.x0 + tick.x1) / 2 == pytest.approx(at, abs=1)
        assert across["complex: 2"].x1 < at < across["simple: 1"].x0
        assert "complex" not in texts(score_histogram(torch.rand(3), None, "t", "x"))

    def test_nothing_defined(self) -> None:
        figure = score_histogram(torch.full((3,), math.nan), torch.full((2,), math.nan), "t", "x")
        assert "3 of 3 kernels not defined" in texts(figure)
        assert_readable(figure)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"scores": torch.rand(0)}, "scores must be one-dimensional, not empty"),
            ({"scores": torch.rand(3, 2)}, r"got \(3, 2\)"),
            ({"null": torch.rand(0)}, "null must be"),
            ({"limits": (1, 0)}, r"limits must rise.*got \(1, 0\)"),
            ({"limits": (0, 1), "split": 1.0}, "the split between them"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"scores": torch.rand(9), "null": torch.rand(9)}
        good |= {"title": "t", "xlabel": "x"}
        score_histogram(**good)
        with pytest.raises(ValueError, match=message):
            score_histogram(**{**good, **change})


DIAMETERS = torch.tensor([4.0, 8.0, 16.0, 32.0])


class TestSizeTuningFigure:
    @pytest.mark.parametrize("number", [1, 5, 30])
    def test_legible(self, number: int) -> None:
        responses = torch.rand(number, 4) * 10.0 ** torch.arange(-4, number - 4)[:, None]
        responses[0] = math.nan
        labels = [LONG, *(f"kernel {index}" for index in range(1, number))]
        suppression = torch.rand(number)
        suppression[0] = math.nan
        figure = size_tuning_figure(
            *(DIAMETERS, responses, labels, LONG),
            suppression=suppression,
            preferred=10 * suppression,
            notes=[LONG],
        )
        assert_readable(figure)

    def test_curves_and_peaks(self) -> None:
        responses = torch.tensor([[1.0, 4.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
        figure = size_tuning_figure(
            *(DIAMETERS, responses, ["a", "b"], "t"),
            suppression=torch.tensor([0.5, math.nan]),
            preferred=torch.tensor([8.0, math.nan]),
        )
        first, _ = lines(figure, BLUE)
        x, y = first.T
        assert np.diff(x) == pytest.approx(x[1] - x[0])
        assert (y - y[1]) / (y[0] - y[1]) == pytest.approx([1, 0, 1 / 3, 2 / 3])
        (ring,) = lines(figure, ORANGE)
        assert ring[:-1].mean(0) == pytest.approx(first[1])
        assert lines(figure, GRAY)[-1][:, 0] == pytest.approx(x[1])
        said = texts(figure).replace(" | ", " ")
        assert "a, suppression 0.50, size 8 px" in said
        assert "b, suppression not defined, size not defined" in said

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"responses": torch.rand(2, 3)}, r"got \(4,\), \(2, 3\) and 2 labels"),
            ({"labels": ["a"]}, "and 1 labels"),
            ({"diameters": DIAMETERS.flip(0)}, r"rise; got \[32.0"),
            ({"diameters": DIAMETERS - 4}, "must be positive"),
            ({"suppression": torch.rand(3)}, r"suppression must be \(2,\); got \(3,\)"),
            ({"preferred": torch.rand(2, 1)}, r"preferred must be \(2,\); got \(2, 1\)"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"diameters": DIAMETERS, "responses": torch.rand(2, 4)}
        good |= {"labels": ["a", "b"], "title": "t"}
        size_tuning_figure(**good)
        with pytest.raises(ValueError, match=message):
            size_tuning_figure(**{**good, **change})
