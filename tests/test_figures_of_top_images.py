from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drawn import assert_nothing_under_texts, backdrop
from legible import assert_legible, contains, texts
from torch import Tensor

from neurovis.figures import render
from neurovis.figures.top_images import Crop, TopImagesRow, top_images_figure
from neurovis.inputs import InputSpec
from neurovis.modality import Modality

pytestmark = pytest.mark.drawn

RGB, RGBD = InputSpec.rgb(32), InputSpec.rgbd(32)
MULTI = InputSpec((Modality("rgb", 3), Modality("depth", 1), Modality("infrared", 2)), (40, 24))
LONG = "features.denseblock4.denselayer16.a_name_that_never_ends." * 3 + "conv2 $x_1$, kernel 511"


def crop(seed: int, *shape: int, **more: Any) -> Crop:
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 255, shape, generator=generator) / 255
    return Crop(levels, **({"label": "12.3"} | more))


def row(number: int, spec: InputSpec, count: int = 9, cell: tuple[int, int] = (7, 7)) -> Any:
    crops = [crop(index, spec.channels, *cell) for index in range(count)]
    whole = torch.rand(spec.shape)
    labels = ["preferred 1.23e+04", "noise \N{MINUS SIGN}1.23e+04"]
    beside = crop(99, spec.channels, *cell, label="cropped")
    return TopImagesRow(f"kernel {number}", crops, "", whole, labels, beside)


def pixels(picture: Tensor, factor: int) -> Any:
    enlarged = picture.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    return (enlarged * 255).round().byte().movedim(0, -1).numpy()


class TestTopImagesFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("spec", [RGB, RGBD, MULTI], ids=["1", "2", "3"])
    @pytest.mark.parametrize("count", [1, 12])
    def test_legible(self, spec: InputSpec, count: int) -> None:
        rows = [row(number, spec, count) for number in range(3)]
        rows.append(TopImagesRow(LONG, rows[0].crops[:1], LONG, torch.rand(spec.shape), [LONG]))
        rows.append(TopImagesRow("kernel 7", []))
        figure = top_images_figure(rows, (7, 7), LONG, [LONG], spec)
        assert_legible(figure)
        assert_nothing_under_texts(figure)
        assert render(figure).shape[1] < 1800

    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("cell", [(1, 1), (1, 200), (84, 90), (300, 400)])
    def test_legible_whatever_the_size(self, cell: tuple[int, int]) -> None:
        spec = InputSpec.rgb((300, 400))
        crops = [Crop(torch.rand(3, *cell), str(index)) for index in range(12)]
        rows = [TopImagesRow("kernel 1", crops), row(2, spec, 3, cell)]
        figure = top_images_figure(rows, cell, "top images", [], spec)
        assert_legible(figure)
        assert_nothing_under_texts(figure)

    def test_every_crop_is_there_at_one_scale(self) -> None:
        crops = [crop(1, 3, 7, 7), crop(2, 3, 4, 7), crop(3, 3, 7, 2)]
        page = backdrop(top_images_figure([TopImagesRow("k", crops)], (7, 7), "t", [], RGB))
        for one in crops:
            assert contains(page, pixels(one.picture, 12))

    @pytest.mark.parametrize("offset", [(0, 0), (3, 0), (0, 2), (3, 2)])
    def test_a_clipped_crop_is_in_its_place(self, offset: tuple[int, int]) -> None:
        red = torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 7, 7)
        green = torch.tensor([0, 1.0, 0])[:, None, None].expand(3, 4, 5)
        crops = [Crop(red, "1"), Crop(green, "2", offset)]
        page = backdrop(top_images_figure([TopImagesRow("k", crops)], (7, 7), "t", [], RGB))
        whole, clipped = (
            np.argwhere((page == color).all(2)) for color in ([255, 0, 0], [0, 255, 0])
        )
        step = clipped.min(0) - whole.min(0)
        size = clipped.max(0) - clipped.min(0) + 1
        assert size.tolist() == [48, 60]
        assert step[0] == 12 * offset[0]
        other = top_images_figure([TopImagesRow("k", [crops[0]] * 2)], (7, 7), "t", [], RGB)
        second = np.argwhere((backdrop(other) == [255, 0, 0]).all(2))[:, 1]
        second_left = second.min() + (second.max() + 1 - second.min() - 84)
        assert clipped.min(0)[1] - second_left == 12 * offset[1]

    def test_large_crops_shrink_by_one_factor(self) -> None:
        red, green = (torch.eye(3)[index][:, None, None] for index in (0, 1))
        crops = [Crop(red.expand(3, 200, 200), "1"), Crop(green.expand(3, 100, 150), "2", (100, 0))]
        page = backdrop(
            top_images_figure([TopImagesRow("k", crops)], (200, 200), "t", [], InputSpec.rgb(224))
        )
        for color, expected in (([255, 0, 0], [112, 112]), ([0, 255, 0], [56, 84])):
            found = np.argwhere((page == color).all(2))
            assert (found.max(0) - found.min(0) + 1).tolist() == expected

    def test_each_modality_below_the_other(self) -> None:
        picture = torch.zeros(4, 7, 7)
        picture[0], picture[3] = 1, 0.6
        figure = top_images_figure([TopImagesRow("k", [Crop(picture, "1")])], (7, 7), "t", [], RGBD)
        page = backdrop(figure)
        color, depth = (
            np.argwhere((page == level).all(2)) for level in ([255, 0, 0], [153, 153, 153])
        )
        assert len(color) == len(depth) == 84 * 84
        assert depth[:, 0].min() > color[:, 0].max()
        assert depth[:, 1].min() == color[:, 1].min()
        assert "depth" in texts(figure)

    def test_says_what_it_is_given(self) -> None:
        one = row(5, RGB, 2)
        said = texts(top_images_figure([one], (7, 7), "the title", ["a note"], RGB))
        for word in ("the title", "a note", "kernel 5", "preferred", "noise", "12.3", "cropped"):
            assert word in said

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([], "at least one kernel"),
            ([TopImagesRow("k", [crop(0, 3, 8, 7)])], r"its cell of \(7, 7\)"),
            ([TopImagesRow("k", [crop(0, 3, 7, 7, offset=(0, 1))])], "fit into its cell"),
        ],
    )
    def test_refused(self, rows: list[TopImagesRow], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            top_images_figure(rows, (7, 7), "t", [], RGB)
