"""What training did to preferred images and to scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drawn import areas, assert_nothing_under_texts, backdrop, lines
from legible import assert_legible, texts
from matplotlib.figure import Figure
from torch import Tensor

from neurovis.figures import first_and_now_images, render, score_change_figure
from neurovis.inputs import InputSpec
from neurovis.modality import Modality

pytestmark = pytest.mark.drawn

BLUE, ORANGE, GRAY = "#0072b2", "#d55e00", "#777777"
RGBD = InputSpec.rgbd(96)
MULTI = InputSpec((Modality("rgb", 3), Modality("depth", 1), Modality("infrared", 2)), 16)
LONG = "features.denseblock4.denselayer16." * 4 + "conv2 $x_1$"
ROWS = ("first, step 3", "now, step 120")


class TestImages:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("number", [1, 8, 40])
    @pytest.mark.parametrize("spec", [InputSpec.rgb(16), RGBD, MULTI], ids=["1", "2", "3"])
    def test_legible(self, number: int, spec: InputSpec) -> None:
        first, now = torch.rand(2, number, *spec.shape)
        labels = [f"kernel {kernel}: first image 1.23e+03 then" for kernel in range(number)]
        figure = first_and_now_images(first, now, labels, ROWS, spec, LONG, [LONG])
        assert_legible(figure)
        assert_nothing_under_texts(figure)

    def test_each_image_stands_where_it_belongs(self) -> None:
        levels = torch.randint(0, 256, (2, 2, *RGBD.shape), generator=torch.Generator())
        first, now = levels / 255
        figure = first_and_now_images(first, now, ["a", "b"], ROWS, RGBD, "t")
        page = backdrop(figure)
        parts = [
            image[channels].expand(3, -1, -1).permute(1, 2, 0).byte().numpy()
            for image in levels.flatten(0, 1)
            for channels in (slice(0, 3), slice(3, 4))
        ]
        tops = [_place(page, part)[0] for part in parts]
        assert tops[:4] == tops[:2] * 2, "the images of a moment stand side by side"
        assert tops[0] < tops[1] < tops[4] < tops[5]
        assert _place(page, parts[0])[1] == _place(page, parts[4])[1], "one above the other"
        for name in ROWS:
            assert f"{name}: rgb" in texts(figure)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"now": torch.rand(2, 3, 5, 4)}, r"\(2, 3, 4, 4\) and \(2, 3, 5, 4\)"),
            ({"first": torch.rand(0, 3, 4, 4), "now": torch.rand(0, 3, 4, 4)}, "N > 0"),
            ({"labels": ["a"]}, "got 1 for 2"),
            ({"rows": ("a", "a")}, "'a' twice"),
        ],
    )
    def test_misuse(self, change: dict[str, Any], message: str) -> None:
        good = {
            "first": torch.rand(2, 3, 4, 4),
            "now": torch.rand(2, 3, 4, 4),
            "labels": ["a", "b"],
            "rows": ROWS,
            "spec": InputSpec.rgb(4),
            "title": "t",
        }
        first_and_now_images(**good)
        with pytest.raises(ValueError, match=message):
            first_and_now_images(**{**good, **change})


def _place(page: Any, part: Any) -> tuple[int, int]:
    """The upper left corner of a picture on a page."""
    height, width = part.shape[:2]
    starts = np.argwhere((page == part[0, 0]).all(axis=2))
    found = [
        (int(row), int(column))
        for row, column in starts
        if np.array_equal(page[row : row + height, column : column + width], part)
    ]
    assert len(found) == 1
    return found[0]


def changes(first: Tensor, now: Tensor, **more: Any) -> Figure:
    return score_change_figure(first, now, ("gOSI at first", "gOSI now"), "title", **more)


class TestScores:
    def test_places(self) -> None:
        """Ticks tell where 0 and 0.5 are; every dot's middle is measured against them."""
        first, now = torch.tensor([0.0, 0.5, 0.1]), torch.tensor([0.5, 0.0, 0.2])
        figure = changes(first, now, limits=(0.2, 0.4))
        middles = np.array([corners[:-1].mean(0) for corners in areas(figure, BLUE)])
        assert len(middles) == 3
        origin = np.array([middles[:, 0].min(), middles[:, 1].max()])
        unit = 2 * np.array([np.ptp(middles[:, 0]), -np.ptp(middles[:, 1])])
        scores = (middles - origin) / unit
        np.testing.assert_allclose(scores, torch.stack([first, now], 1), atol=1e-3)
        upright, level = (np.array(points) for points in lines(figure, ORANGE))
        np.testing.assert_allclose((upright[:, 0] - origin[0]) / unit[0], 0.2, atol=1e-3)
        np.testing.assert_allclose((level[:, 1] - origin[1]) / unit[1], 0.4, atol=1e-3)
        (diagonal,) = lines(figure, GRAY)
        np.testing.assert_allclose(*((diagonal - origin) / unit).T, atol=1e-3)

    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("number", [1, 24, 512])
    def test_legible(self, number: int) -> None:
        first, now = torch.rand(2, number, generator=torch.Generator().manual_seed(number))
        figure = score_change_figure(first, now, (LONG, LONG), LONG, (0.3, 0.4), (LONG,))
        assert_legible(figure)
        assert_nothing_under_texts(figure)

    def test_names_of_those_that_changed_most(self) -> None:
        first = torch.linspace(0, 1, 40)
        now = first.clone()
        now[[7, 30]] = torch.tensor([0.9, 0.1])
        words = texts(changes(first, now)).split(" | ")
        assert "7" in words
        assert "30" in words

    def test_what_has_no_score(self) -> None:
        first = torch.tensor([0.1, torch.nan, 0.3, torch.inf])
        figure = changes(first, torch.tensor([0.2, 0.1, torch.nan, 0.1]))
        assert "3 of 4 kernels without a score then or now (left out)" in texts(figure)
        assert len(areas(figure, BLUE)) == 1
        assert "orange" not in texts(figure)
        nothing = torch.full((2,), torch.nan)
        assert render(changes(nothing, nothing)).std() > 0

    @pytest.mark.parametrize("shapes", [((2,), (3,)), ((0,), (0,)), ((2, 2), (2, 2))])
    def test_misuse(self, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        with pytest.raises(ValueError, match="first and now must both be"):
            changes(*(torch.rand(shape) for shape in shapes))
