from __future__ import annotations

import math
import pickle
from typing import Any

import matplotlib.style
import numpy as np
import pytest
import torch
from drawn import assert_nothing_under_texts, backdrop, lines
from legible import assert_legible, contains, texts
from matplotlib.figure import Figure
from torch import Tensor

from neurovis.figures import RankedEntry, ranking_figure, render, weight_pictures
from neurovis.inputs import InputSpec
from neurovis.modality import Modality

pytestmark = pytest.mark.drawn

RGB, RGBD = InputSpec.rgb(16), InputSpec.rgbd(16)
MULTI = InputSpec((Modality("rgb", 3), Modality("depth", 1), Modality("infrared", 2)), 16)
LONG = "features.denseblock4.denselayer16.a_name_that_never_ends." * 3 + "conv2 $x_1$, kernel 511"
ANGLES = torch.arange(16) * 11.25
BLUE, ORANGE = "#0072b2", "#d55e00"


def entry(rank: int, channels: int | None = 3, **more: Any) -> RankedEntry:
    generator = torch.Generator().manual_seed(rank)
    levels = None if channels is None else (channels, 7, 7)
    picture = levels and torch.randint(0, 256, levels, generator=generator) / 255
    curve = torch.rand(16, generator=generator)
    given = {"picture": picture, "orientations": ANGLES, "curve": curve, "preferred": 33.0}
    return RankedEntry(f"#{rank} kernel {7 * rank}", "gOSI 0.81, null 99 %", **(given | more))


def of_frequency(rank: int, **more: Any) -> RankedEntry:
    return entry(rank, orientations=None, values=torch.logspace(-4, -1, 16, 2), **more)


def polar(curve: Tensor, preferred: float | None = None) -> Figure:
    one = RankedEntry("#1", "", None, ANGLES, curve, preferred)
    return ranking_figure([one], "t")


def directions(points: np.ndarray[Any, Any], middle: np.ndarray[Any, Any]) -> Any:
    across, down = (points - middle).T
    return np.rad2deg(np.arctan2(-down, across)) % 360


class TestRankingFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("number", [1, 5, pytest.param(64, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("spec", [None, RGB, RGBD, MULTI], ids=["none", "1", "2", "3"])
    def test_legible(self, number: int, spec: InputSpec | None) -> None:
        channels = spec.channels if spec else 1
        entries = [entry(rank, channels) for rank in range(1, number)]
        entries.append(RankedEntry(LONG, LONG, torch.rand(channels, 7, 7), faded=True))
        figure = ranking_figure(entries, LONG, [LONG], spec)
        assert_legible(figure)
        assert_nothing_under_texts(figure)
        assert render(figure).shape[1] < 1750

    @pytest.mark.sampled(3)
    @pytest.mark.parametrize(
        "make",
        [
            lambda rank: RankedEntry(f"#{rank}"),
            lambda rank: RankedEntry(f"#{rank}", faded=True),
            lambda rank: RankedEntry(f"#{rank}", "0.5", torch.rand(3, 224, 160)),
            of_frequency,
            lambda rank: of_frequency(rank, channels=None, preferred=math.nan),
            lambda rank: entry(rank, None, faded=rank % 2 == 0),
            lambda rank: entry(rank, curve=torch.zeros(16)),
            lambda rank: entry(rank, curve=torch.full((16,), math.nan)),
            lambda rank: of_frequency(rank, curve=torch.tensor([math.nan] * 15 + [1.0])),
            lambda rank: (entry, of_frequency)[rank % 2](rank),
        ],
    )
    def test_legible_whatever_there_is(self, make: Any) -> None:
        figure = ranking_figure([make(rank) for rank in range(9)], "t", values_name="frequency")
        assert_legible(figure)
        assert_nothing_under_texts(figure)

    def test_in_order_row_by_row(self) -> None:
        figure = ranking_figure([entry(rank) for rank in range(1, 8)], "t", columns=3)
        places = [text.get_position() for text in figure.texts if text.get_text().startswith("#")]
        assert [text.get_text() for text in figure.texts if text.get_text().startswith("#")] == [
            f"#{rank} kernel {7 * rank}" for rank in range(1, 8)
        ]
        # From top to bottom, and from left to right.
        assert places == sorted(places, key=lambda place: (-place[1], place[0]))
        assert len({x for x, _ in places}) == 3
        assert len({y for _, y in places}) == 3

    def test_pictures_stand_under_their_labels(self) -> None:
        entries = [entry(rank, 4) for rank in range(1, 6)]
        figure = ranking_figure(entries, "t", spec=RGBD, columns=2)
        page = backdrop(figure)
        height, width = page.shape[:2]
        for one in entries:
            assert one.picture is not None
            (label,) = [text for text in figure.texts if text.get_text() == one.label]
            x, y = label.get_position()
            cell = page[int((1 - y) * height) :, int(x * width) :][:220, :110]
            color_rows = np.nonzero((cell[..., 0] != cell[..., 1]).any(axis=1))[0]
            levels = (one.picture * 255).round().byte().numpy().repeat(12, 1).repeat(12, 2)
            assert contains(cell, levels[:3].transpose(1, 2, 0))
            below = cell[color_rows.max() + 1 :]
            assert contains(below, levels[3:].repeat(3, 0).transpose(1, 2, 0))

    @pytest.mark.parametrize("peak", [0, 2, 4, 9, 15])
    def test_a_peak_points_its_way_both_ways(self, peak: int) -> None:
        curve = torch.full((16,), 0.5)
        curve[peak] = 2.0
        (outline,) = lines(polar(curve), BLUE)
        circle = lines(polar(curve), "#a0a0a0")[0]
        middle = circle[:-1].mean(0)
        radius = np.linalg.norm(circle - middle, axis=1).mean()
        sizes = np.linalg.norm(outline - middle, axis=1) / radius
        (far,) = np.nonzero(sizes > 0.99)
        angle = float(ANGLES[peak])
        assert sizes.max() == pytest.approx(1, abs=1e-6)
        assert set(directions(outline[far], middle).round(3)) == {angle, angle + 180}
        assert sizes[sizes < 0.99] == pytest.approx(0.25)
        assert np.array_equal(outline[0], outline[-1])

    def test_as_rendered(self) -> None:
        """A curve along 45 degrees is drawn from the lower left to the upper right."""
        page = render(polar(torch.cos(torch.deg2rad(ANGLES - 45)) ** 20)).astype(float)
        blue = np.abs(page - (0, 114, 178)).sum(2) < 60
        rows, columns = np.nonzero(blue)
        assert np.corrcoef(rows, columns)[0, 1] < -0.8

    def test_preferred_orientation(self) -> None:
        figure = polar(torch.rand(16), 30.0)
        middle = lines(figure, "#a0a0a0")[0][:-1].mean(0)
        for tick, angle in zip(lines(figure, ORANGE), (30, 210), strict=True):
            assert directions(tick, middle) == pytest.approx(angle)
        assert "orange the preferred orientation" in texts(figure)
        for none in (None, math.nan):
            assert not lines(polar(torch.rand(16), none), ORANGE)

    def test_other_values_are_drawn_over_octaves(self) -> None:
        cycles = torch.tensor([0.4, 0.1, 0.2])
        one = RankedEntry("#1", "", None, None, torch.tensor([1.0, 2.0, 4.0]), 0.2, values=cycles)
        figure = ranking_figure([one], "t", values_name="spatial frequency (cycles/pixel)")
        (curve,) = lines(figure, BLUE)
        x, y = curve.T
        assert x[2] - x[1] == pytest.approx(x[1] - x[0])
        frame = lines(figure, "#a0a0a0")[0]
        floor = frame[1, 1]
        assert (floor - y) / (floor - y[1]) == pytest.approx([0.5, 1, 0.25])
        assert lines(figure, ORANGE)[0][:, 0] == pytest.approx(x[1])
        said = texts(figure)
        assert "over spatial frequency (cycles/pixel) on a logarithmic axis" in said.replace(
            " | ", " "
        )
        assert "0.1 | 0.4" in said
        assert "In circles" not in said

    def test_dead_kernels_are_pale_and_without_curve(self) -> None:
        one = entry(1, faded=True)
        figure = ranking_figure([one], "t")
        assert not lines(figure, BLUE)
        words = {text.get_text(): text.get_color() for text in figure.texts}
        assert words["dead"] == words["#1 kernel 7"] == "#777777"
        assert one.picture is not None
        pale = (255 * (0.5 + one.picture / 2)).round().byte().permute(1, 2, 0).numpy()
        assert contains(backdrop(figure), pale.repeat(12, 0).repeat(12, 1))
        assert "dead" not in texts(ranking_figure([entry(1)], "t"))

    def test_silent_kernels_say_so(self) -> None:
        figure = ranking_figure([entry(1, curve=torch.zeros(16))], "t")
        assert "no response" in texts(figure)
        assert not lines(figure, BLUE)

    def test_whatever_style_the_user_has(self) -> None:
        plain = render(ranking_figure([entry(1), of_frequency(2)], "$t_1$"))
        with matplotlib.style.context("dark_background"):
            dark = render(ranking_figure([entry(1), of_frequency(2)], "$t_1$"))
        assert np.array_equal(plain, dark)

    def test_can_be_pickled(self) -> None:
        figure = ranking_figure([entry(1)], "t")
        assert np.array_equal(render(pickle.loads(pickle.dumps(figure))), render(figure))

    def test_lines_grow_with_the_resolution(self) -> None:
        figure = ranking_figure([entry(1, curve=torch.ones(16))], "t")
        found = []
        for scale in (1, 2):
            figure.set_dpi(scale * 128)
            blue = np.abs(render(figure).astype(float) - (0, 114, 178)).sum(2) < 60
            rows, columns = np.nonzero(blue)
            found.append([rows.mean(), np.ptp(rows), columns.mean(), np.ptp(columns)])
        assert np.array(found[1]) / found[0] == pytest.approx(2, rel=0.03)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    def test_other_precisions(self, dtype: torch.dtype) -> None:
        picture, curve = torch.rand(3, 5, 5), torch.rand(16)
        single, other = (
            render(
                ranking_figure(
                    [
                        RankedEntry(
                            *("#1", "", picture.to(kind).requires_grad_()),
                            *(ANGLES.to(kind), curve.to(kind).requires_grad_()),
                        )
                    ],
                    "t",
                )
            )
            for kind in (torch.float32, dtype)
        )
        assert (np.abs(single.astype(int) - other) <= 2).mean() > 0.98

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"entries": []}, "at least one entry"),
            ({"columns": 0}, "at least 1; got 0"),
            ({"entries": [entry(1), entry(2, 4)]}, r"one size; got \[\(3, 7, 7\), \(4, 7, 7\)\]"),
            ({"entries": [entry(1, 4)]}, "4 channels need a spec"),
            ({"entries": [entry(1, 3)], "spec": RGBD}, r"got shape \(1, 3, 7, 7\)"),
            ({"entries": [RankedEntry("a", "", torch.rand(7, 7))]}, r"\(C, H, W\).*\[\(7, 7\)\]"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"entries": [entry(1)], "title": "t"}
        ranking_figure(**good)
        with pytest.raises(ValueError, match=message):
            ranking_figure(**{**good, **change})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"orientations": None}, "'#1 kernel 7' has a curve.*got neither"),
            ({"values": ANGLES}, "got both"),
            ({"curve": torch.rand(8)}, r"got \(8,\) and \(16,\)"),
            ({"curve": torch.rand(16, 2)}, r"got \(16, 2\)"),
            ({"curve": torch.rand(16) - 2}, "must not be negative; its lowest response is -"),
        ],
    )
    def test_bad_entries(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            entry(1, **change)


class TestWeightPictures:
    def test_one_scale_for_each_kernel(self) -> None:
        weights = torch.randn(5, 4, 3, 3)
        weights[2] *= 1000
        weights[3] = 0
        pictures = weight_pictures(weights, RGBD)
        for kernel, picture in zip(weights, pictures, strict=True):
            largest = max(kernel.abs().max().item(), 1e-9)
            for channel, row, column in [(0, 0, 0), (3, 2, 1), (1, 1, 2)]:
                level = 0.5 + kernel[channel, row, column].item() / largest / 2
                assert picture[channel, row, column].item() == pytest.approx(level, abs=1e-6)
        assert (pictures[3] == 0.5).all()

    def test_what_is_not_finite_is_gray(self) -> None:
        weights = torch.tensor([math.nan, math.inf, 3.0, -1.5]).view(1, 4, 1, 1)
        levels = weight_pictures(weights, RGBD).flatten()
        assert levels.tolist() == [0.5, 0.5, 1.0, 0.25]

    @pytest.mark.parametrize("shape", [(2, 3, 5, 5), (2, 1, 5, 5), (4, 5, 5)])
    def test_wrong_channels(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"\(K, 4, kh, kw\)"):
            weight_pictures(torch.rand(shape), RGBD)
