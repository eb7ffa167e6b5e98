"""Orientation as color: the key, the colors, and maps of kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from drawn import Array, assert_readable, backdrop, corners
from matplotlib.colors import rgb_to_hsv
from torch import Tensor

from neurovis.figures import (
    orientation_colors,
    orientation_key,
    orientation_map_figure,
    render,
)

pytestmark = pytest.mark.drawn

LONG = "features.denseblock4.denselayer16.a_name_that_never_ends." * 3 + "conv2 $x_1$, kernel 511"


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
    """Angles, read off the rendered legend."""

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
