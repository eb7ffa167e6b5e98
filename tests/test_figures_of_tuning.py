from __future__ import annotations

import math
from typing import Any

import matplotlib.style
import numpy as np
import pytest
import torch
from drawn import Array, areas, assert_nothing_under_texts, backdrop, lines
from legible import assert_legible, contains, texts
from matplotlib import colormaps
from matplotlib.colors import rgb_to_hsv
from matplotlib.figure import Figure
from torch import Tensor

from neurovis.figures import (
    grating_preference_figure,
    kernel_sheet_figure,
    orientation_colors,
    orientation_key,
    orientation_map_figure,
    receptive_field_figure,
    render,
    score_histogram,
    size_tuning_figure,
)
from neurovis.inputs import InputSpec

pytestmark = pytest.mark.drawn

RGB, RGBD = InputSpec.rgb(16), InputSpec.rgbd(16)
LONG = "features.denseblock4.denselayer16.a_name_that_never_ends." * 3 + "conv2 $x_1$, kernel 511"
ANGLES = torch.arange(12) * 15.0
CYCLES = torch.tensor([0.05, 0.1, 0.2, 0.3])
BLUE, ORANGE, GRAY, INK, BAR = "#0072b2", "#d55e00", "#777777", "#222222", "#9cc3e2"


def assert_readable(figure: Figure) -> None:
    assert_legible(figure)
    assert_nothing_under_texts(figure)


def viridis(levels: Array) -> Array:
    colors: Array = np.asarray(colormaps["viridis"](levels))[..., :3]
    return (255 * colors).round().astype(np.uint8)


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


def corners(page: Array, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Where a framed picture of this size begins."""
    frame = (page == 190).all(axis=2)
    height, width = size
    return [
        (int(row) + 1, int(column) + 1)
        for row, column in zip(*np.nonzero(frame), strict=True)
        if row + height + 1 < len(page)
        and column + width + 1 < page.shape[1]
        and frame[row, column : column + width + 2].all()
        and frame[row + height + 1, column : column + width + 2].all()
        and frame[row : row + height + 2, column].all()
        and frame[row : row + height + 2, column + width + 1].all()
    ]


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


def measured(mask: Array) -> float:
    """Orientation of some pixels by their second moments, counter-clockwise from horizontal."""
    rows, columns = np.nonzero(mask)
    assert len(rows) > 30
    up, across = rows.mean() - rows, columns - columns.mean()
    angle = math.atan2(2 * (up * across).mean(), (across**2).mean() - (up**2).mean()) / 2
    return math.degrees(angle) % 180


def apart(first: float, second: float) -> float:
    return abs((first - second + 90) % 180 - 90)


class TestOrientationKey:
    """Which angle is which, read off the rendered legend."""

    @pytest.mark.parametrize("size", [20, 40, 73])
    def test_bars_are_drawn_at_their_angles_in_the_colors_of_the_map(self, size: int) -> None:
        figure = orientation_key(size)
        page = render(figure)
        height, width = page.shape[:2]
        seen = []
        for text in figure.texts:
            if not text.get_text().endswith("°"):
                continue
            angle = float(text.get_text()[:-1])
            seen.append(angle)
            x, box = text.get_position()[0] * width, text.get_window_extent()
            above = page[: int(height - box.y1) - 1]
            half = size // 2 + 3
            piece = above[:, int(x) - half : int(x) + half].astype(float)
            assert apart(measured((piece < 225).any(axis=2)), angle) < 3, angle
            color = np.median(piece[(piece < 225).any(axis=2)], axis=0)
            cell = render(orientation_map_figure(*torch.tensor([[angle], [1.0]]), ["0"], "t"))
            top, left = corners(cell, (52, 52))[0]
            in_map = cell[top + 1, left + 1].astype(float)
            hues = rgb_to_hsv(np.stack([color, in_map]) / 255)[:, 0]
            assert abs((hues[0] - hues[1] + 0.5) % 1 - 0.5) < 0.01
            assert np.abs(color - in_map).max() < 6
        assert seen == [0, 22.5, 45, 67.5, 90, 112.5, 135, 157.5]

    def test_colors_below_are_those_of_the_bars_above(self) -> None:
        figure = orientation_key()
        page = backdrop(figure)
        bars = {
            round(text.get_position()[0] * page.shape[1]): float(text.get_text()[:-1])
            for text in figure.texts
            if text.get_text().endswith("°")
        }
        framed = np.nonzero((page == 190).all(axis=2))
        top = framed[0].min() + 1
        for column, angle in bars.items():
            (expected,) = orientation_colors(torch.tensor([angle]), torch.ones(1))
            assert np.abs(page[top, column] - 255 * expected.numpy()).max() < 5
        assert (page[framed[0].max() - 1, framed[1].min() + 1 : framed[1].max()] == 0).all()

    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("size", [20, 40, 100])
    def test_legible(self, size: int) -> None:
        assert_readable(orientation_key(size))

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="at least 20 pixels; got 5"):
            orientation_key(5)


#: What red-blind, green-blind and blue-blind eyes see, row by row.
MACHADO = (
    [
        *(0.152286, 1.052583, -0.204868),
        *(0.114503, 0.786281, 0.099216),
        *(-0.003882, -0.048116, 1.051998),
    ],
    [
        *(0.367322, 0.860646, -0.227968),
        *(0.280085, 0.672501, 0.047413),
        *(-0.011820, 0.042940, 0.968881),
    ],
    [
        *(1.255528, -0.076749, -0.178779),
        *(-0.078411, 0.930809, 0.147602),
        *(0.004733, 0.691367, 0.303900),
    ],
)


class TestOrientationColors:
    def test_cyclic_without_a_step(self) -> None:
        colors = orientation_colors(torch.arange(0, 181, 1.0), torch.ones(181))
        assert torch.allclose(colors[0], colors[180])
        assert (colors[1:] - colors[:-1]).abs().max() < 0.025
        hues = torch.tensor(rgb_to_hsv(colors.numpy())[:, 0])
        turns = (hues[1:] - hues[:-1] + 0.5) % 1 - 0.5
        assert (turns < 0).all()
        assert turns.sum().item() == pytest.approx(-1)

    def test_brightness_is_selectivity(self) -> None:
        angles = torch.full((4,), 77.0)
        colors = orientation_colors(angles, torch.tensor([0.0, 0.5, 1.0, 3.0]))
        hsv = rgb_to_hsv(colors.numpy())
        assert hsv[:, 2] == pytest.approx(hsv[2, 2] * np.array([0, 0.5, 1, 1]))
        assert hsv[1, 0] == pytest.approx(hsv[2, 0])

    def test_color_blind_eyes_tell_the_legend_apart(self) -> None:
        """By the simulation of Machado, Oliveira & Fernandes 2009 at full severity."""
        colors = orientation_colors(torch.arange(8) * 22.5, torch.ones(8)).double()
        linear = torch.where(colors > 0.04045, ((colors + 0.055) / 1.055) ** 2.4, colors / 12.92)
        for matrix in MACHADO:
            seen = (linear @ torch.tensor(matrix).view(3, 3).double().T).clamp(0, 1)
            distances = torch.cdist(lab(seen), lab(seen))
            assert distances[~torch.eye(8, dtype=torch.bool)].min() > 15

    def test_undefined_is_light_gray(self) -> None:
        nan = math.nan
        colors = orientation_colors(torch.tensor([nan, 3.0]), torch.tensor([1.0, nan]))
        assert (colors == 216 / 255).all()

    @pytest.mark.parametrize("shapes", [((3,), (2,)), ((3, 1), (3, 1))])
    def test_bad_input(self, shapes: Any) -> None:
        with pytest.raises(ValueError, match=r"needs orientation \(N,\)"):
            orientation_colors(*map(torch.rand, shapes))


def lab(linear: Tensor) -> Tensor:
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    white = torch.tensor([0.9505, 1, 1.089], dtype=torch.float64)
    xyz = linear @ torch.tensor(matrix).double().T / white
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


class TestOrientationMapFigure:
    @pytest.mark.parametrize("number", [1, 7, 96])
    def test_legible(self, number: int) -> None:
        preferred, selectivity = 180 * torch.rand(number), torch.rand(number)
        preferred[0] = math.nan
        labels = [LONG, *map(str, range(1, number))]
        figure = orientation_map_figure(preferred, selectivity, labels, LONG, notes=[LONG])
        assert_readable(figure)
        assert_readable(orientation_map_figure(preferred, selectivity, list("k" * number), "t"))

    @pytest.mark.parametrize("selectivity", [0.2, 0.6, 1.0])
    def test_cells(self, selectivity: float) -> None:
        angles = torch.tensor([0.0, 30.0, 45.0, 100.0, 170.0])
        figure = orientation_map_figure(
            angles, torch.full((5,), selectivity), list("abcde"), "t", columns=2
        )
        page = render(figure)
        places = corners(page, (52, 52))
        assert len(places) == 5
        for angle, (top, left) in zip(angles.tolist(), places, strict=True):
            cell = page[top : top + 52, left : left + 52].astype(float)
            (color,) = orientation_colors(torch.tensor([angle]), torch.tensor([selectivity]))
            assert np.abs(cell[0, 0] - 255 * color.numpy()).max() < 1
            bar = np.abs(cell - cell[0, 0]).sum(2) > 60
            assert apart(measured(bar), angle) < 3
            rows, columns = np.nonzero(bar)
            turned = math.radians(angle)
            along = columns * math.cos(turned) - rows * math.sin(turned)
            assert np.ptp(along) + 1 == pytest.approx(52 * (0.2 + 0.6 * selectivity), abs=3)

    def test_undefined_cells_have_no_bar(self) -> None:
        figure = orientation_map_figure(torch.tensor([math.nan]), torch.ones(1), ["0"], "t")
        page = render(figure)
        ((top, left),) = corners(page, (52, 52))
        assert (page[top : top + 52, left : left + 52] == 216).all()

    @pytest.mark.parametrize(("number", "labels"), [(0, 0), (3, 2)])
    def test_bad_input(self, number: int, labels: int) -> None:
        with pytest.raises(ValueError, match=f"got .*{number}.* and {labels} labels"):
            orientation_map_figure(torch.rand(number), torch.rand(number), ["a"] * labels, "t")


def fields(maps: Tensor, signed: bool = False, **more: Any) -> Figure:
    labels = [f"kernel {index}" for index in range(len(maps))]
    return receptive_field_figure({"gradient": maps}, labels, "t", {"gradient": signed}, **more)


class TestReceptiveFieldFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("number", [1, 4, pytest.param(20, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("size", [(16, 16), (40, 24), (300, 400)])
    def test_legible(self, number: int, size: tuple[int, int]) -> None:
        maps = {LONG: 1e-7 * torch.randn(number, *size), "b": torch.rand(number, *size)}
        maps["b"][0] = math.nan
        maps["b"][-1] = 0
        labels = [LONG, *(f"kernel {index}" for index in range(1, number))]
        boxes = [None, *[(2, 3, 9, 8)] * (number - 1)]
        signed = {LONG: True, "b": False}
        figure = receptive_field_figure(maps, labels, LONG, signed, boxes, notes=[LONG])
        assert_readable(figure)
        assert render(figure).shape[1] < 1750

    def test_each_map_on_its_own_scale_kernels_in_columns(self) -> None:
        maps = torch.zeros(2, 2, 16, 16)
        hot = {(0, 0): (1, 2), (0, 1): (9, 4), (1, 0): (15, 15), (1, 1): (0, 8)}
        for scale, ((way, kernel), (row, column)) in enumerate(hot.items()):
            maps[way, kernel, row, column] = 10.0**scale
        by_name = {"a": maps[0], "b": maps[1]}
        figure = receptive_field_figure(by_name, ["0", "1"], "t", {"a": False, "b": False})
        page = backdrop(figure)
        places = corners(page, (144, 144))
        for (way, kernel), (row, column) in hot.items():
            top, left = places[2 * way + kernel]
            small = page[top : top + 144, left : left + 144][4::9, 4::9]
            bright = (small == viridis(np.array(1.0))).all(axis=2)
            assert np.argwhere(bright).tolist() == [[row, column]]
        said = texts(figure)
        assert "1000" in said or "1.00e+03" in said
        assert "violet 0, yellow high" in said

    def test_signs(self) -> None:
        maps = torch.ones(1, 16, 16)
        maps[0, :, 8:] = -1
        figure = fields(maps, signed=True)
        page = backdrop(figure).astype(int)
        ((top, left),) = corners(page.astype(np.uint8), (144, 144))
        right, wrong = page[top + 70, left + 140], page[top + 70, left + 4]
        assert wrong[0] > wrong[2] + 150
        assert right[2] > right[0] + 100
        assert "blue negative, black 0, orange positive" in texts(figure).replace(" | ", " ")

    def test_boxes_hold_their_pixels(self) -> None:
        maps = torch.rand(2, 16, 16)
        for boxes in ([(4, 2, 9, 13), None], torch.tensor([[4, 2, 9, 13], [0, 0, 16, 16]])):
            figure = fields(maps, boxes=boxes)
            (top, left), (_, second) = corners(backdrop(figure), (144, 144))
            sides = [line for line in lines(figure, "#ffffff") if line[:, 0].max() < second - 2]
            points = np.concatenate(sides)
            assert points.min(0) == pytest.approx([left + 2 * 9, top + 4 * 9])
            assert points.max(0) == pytest.approx([left + 13 * 9, top + 9 * 9])
            assert len(sides) == 4
            assert "white box" in texts(figure)
        assert "white box" not in texts(fields(maps))

    def test_sides_beyond_the_image_are_not_drawn(self) -> None:
        figure = fields(torch.rand(1, 16, 16), boxes=[(-3, 5, 8, 20)])
        ((top, left),) = corners(backdrop(figure), (144, 144))
        sides = sorted(line.round(3).tolist() for line in lines(figure, "#ffffff"))
        assert sides == [
            [[left + 45, top], [left + 45, top + 72]],
            [[left + 45, top + 72], [left + 144, top + 72]],
        ]
        assert not lines(fields(torch.rand(1, 16, 16), boxes=[(20, 20, 30, 30)]), "#ffffff")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"maps": {}}, "not empty; got {}"),
            ({"maps": {"a": torch.rand(2, 4, 4), "b": torch.rand(2, 4, 5)}}, r"\(2, 4, 5\)"),
            ({"maps": {"a": torch.rand(4, 4)}}, r"\(N, H, W\)"),
            ({"labels": ["0"]}, "each of 2 kernels; got 1"),
            ({"signed": {"b": True}}, r"\['a'\]; got \['b'\]"),
            ({"boxes": [(0, 0, 1, 1)]}, "for each of 2 kernels"),
            ({"boxes": torch.rand(2, 3)}, "bottom, right"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"maps": {"a": torch.rand(2, 4, 4)}, "labels": ["0", "1"]}
        good |= {"title": "t", "signed": {"a": True}}
        receptive_field_figure(**good)
        with pytest.raises(ValueError, match=message):
            receptive_field_figure(**{**good, **change})


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


def bars(angle: float, cycles: float, size: tuple[int, int]) -> Tensor:
    """A grating by the project's convention: bars counter-clockwise from horizontal."""
    rows, columns = torch.meshgrid(*(torch.arange(float(side)) for side in size), indexing="ij")
    turned = math.radians(angle)
    across = -math.sin(turned) * columns - math.cos(turned) * rows
    return (0.5 + 0.5 * torch.sin(2 * math.pi * cycles * across)).expand(3, -1, -1)


def preference(pictures: Tensor, grating: Any, own: Any, spec: InputSpec = RGB) -> Figure:
    grating, own = torch.tensor(grating), torch.tensor(own)
    labels = [f"kernel {index}" for index in range(len(pictures))]
    return grating_preference_figure(pictures, spec, *grating.T, *own.T, labels, "t")


class TestGratingPreferenceFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("number", [1, 9])
    @pytest.mark.parametrize("size", [(16, 16), (96, 224)])
    @pytest.mark.parametrize("window", [False, True])
    def test_legible(self, number: int, size: tuple[int, int], window: bool) -> None:
        numbers = torch.rand(4, number) * torch.tensor([180, 0.35, 180, 0.35])[:, None]
        numbers[0, 0] = math.nan
        labels = [LONG, *(f"kernel {index}" for index in range(1, number))]
        figure = grating_preference_figure(
            *(torch.rand(number, 4, *size), InputSpec.rgbd(size), *numbers, labels, LONG),
            notes=[LONG],
            window=window,
        )
        assert_readable(figure)

    @pytest.mark.parametrize("size", [(36, 36), (24, 36), (27, 27)])
    @pytest.mark.parametrize("bins", [(3, 0), (0, 5), (4, 4), (-6, 3)])
    def test_marks_are_where_a_grating_peaks(
        self, size: tuple[int, int], bins: tuple[int, int]
    ) -> None:
        """Whole cycles down and to the right, so that the spectrum is two bins and nothing else."""
        down, right = bins[0] / size[0], bins[1] / size[1]
        angle = math.degrees(math.atan2(right, down)) % 180
        cycles = math.hypot(down, right)
        picture = bars(angle, cycles, size)[None]
        figure = preference(picture, [[angle, cycles]], [[angle, cycles]])
        page = backdrop(figure)
        rings = lines(figure, "#ffffff")
        crosses = lines(figure, "#ff8c2e")
        assert len(rings) == 2
        assert len(crosses) == 4
        for ring in rings:
            column, row = ring[:-1].mean(0)
            assert tuple(page[int(row), int(column)]) == tuple(viridis(np.array(1.0)))
            assert any(np.allclose(cross.mean(0), (column, row)) for cross in crosses)
        top, left = corners(page, picture_size(size))[1]
        shown = page[top:, left:][: picture_size(size)[0], : picture_size(size)[1]]
        bright = (shown == viridis(np.array(1.0))).all(axis=2)
        middle = np.argwhere(bright).mean(0)
        found = np.mean([ring[:-1].mean(0) for ring in rings], axis=0)[::-1] - (top, left)
        assert found == pytest.approx(middle + 0.5, abs=1)

    def test_large_images_keep_their_peak(self) -> None:
        picture = bars(90.0, 10 / 300, (300, 300))[None]
        page = backdrop(preference(picture, [[90.0, 0.1]], [[90.0, 10 / 300]]))
        top, left = corners(page, (144, 144))[1]
        spectrum = page[top : top + 144, left : left + 144]
        assert (spectrum == viridis(np.array(1.0))).all(axis=2).any()

    def test_numbers(self) -> None:
        figure = preference(
            torch.rand(2, 3, 16, 16),
            [[12.34, 0.125], [math.nan, 0.1]],
            [[190.0, 0.2], [math.nan, math.nan]],
        )
        said = [text.get_text() for text in figure.texts]
        assert "\N{MULTIPLICATION SIGN} 12.3°, 0.125 cycles/pixel" in said
        assert "\N{WHITE CIRCLE} 10.0°, 0.200 cycles/pixel" in said
        assert "\N{MULTIPLICATION SIGN} not defined" in said
        assert "\N{WHITE CIRCLE} not defined" in said
        assert len(lines(figure, "#ffffff")) == 2

    def test_a_gray_picture(self) -> None:
        figure = preference(torch.full((1, 3, 16, 16), 0.5), [[0.0, 0.1]], [[0.0, 0.1]])
        assert contains(backdrop(figure), np.tile(viridis(np.array(0.0)), (144, 144, 1)))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"labels": ["a"]}, r"got \(2, 3, 16, 16\) and 1 labels"),
            ({"pictures": torch.rand(3, 16, 16)}, r"got \(3, 16, 16\)"),
            ({"pictures": torch.rand(0, 3, 16, 16), "labels": []}, "N > 0"),
            ({"image_orientation": torch.rand(3)}, r"image_orientation must be \(2,\); got \(3,\)"),
            ({"spec": RGBD}, r"got shape \(2, 3, 16, 16\)"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"pictures": torch.rand(2, 3, 16, 16), "spec": RGB}
        good |= {"labels": ["a", "b"], "title": "t"}
        for name in ("preferred", "image"):
            good |= {f"{name}_orientation": torch.rand(2)}
            good |= {f"{name}_spatial_frequency": torch.rand(2)}
        grating_preference_figure(**good)
        with pytest.raises(ValueError, match=message):
            grating_preference_figure(**{**good, **change})


def picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """How large a picture is shown whose longer side is to be 144 pixels."""
    factor = math.ceil(144 / max(size))
    height, width = factor * size[0], factor * size[1]
    shrink = min(1.0, 144 / max(height, width))
    return round(height * shrink), round(width * shrink)
