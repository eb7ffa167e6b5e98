"""Figures of receptive fields, and of preferred gratings beside preferred images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from drawn import assert_readable, backdrop, corners, lines, viridis
from legible import contains, texts
from matplotlib.figure import Figure
from torch import Tensor

from neurovis.figures import (
    grating_preference_figure,
    receptive_field_figure,
    render,
)
from neurovis.inputs import InputSpec

pytestmark = pytest.mark.drawn

RGB, RGBD = InputSpec.rgb(16), InputSpec.rgbd(16)
LONG = "features.denseblock4.denselayer16.a_name_that_never_ends." * 3 + "conv2 $x_1$, kernel 511"


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
    """Return the size of a picture whose longer side is to be 144 pixels."""
    factor = math.ceil(144 / max(size))
    height, width = factor * size[0], factor * size[1]
    shrink = min(1.0, 144 / max(height, width))
    return round(height * shrink), round(width * shrink)
