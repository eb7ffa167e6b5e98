from __future__ import annotations

import math
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pytest
import torch
from legible import assert_legible, assert_no_text_over_pictures, contains, texts
from matplotlib.figure import Figure
from torch import Tensor

from neurovis.figures import (
    first_and_now_figure,
    randomization_figure,
    render,
    saliency_figure,
)
from neurovis.inputs import InputSpec
from neurovis.modality import Modality

pytestmark = pytest.mark.drawn

RGB, RGBD = InputSpec.rgb(16), InputSpec.rgbd(16)
MULTI = InputSpec((Modality("rgb", 3), Modality("depth", 1), Modality("infrared", 2)), 16)
LONG = "features.denseblock4.denselayer16.a_name_that_never_ends." * 3 + "conv2 $x_1$, kernel 511"
MINUS = "\N{MINUS SIGN}"
RHO = "\N{GREEK SMALL LETTER RHO}"
RED = (217, 51, 38)
#: Pixels of 16 x 16 are enlarged so many times, and panels stand so far from each other.
FACTOR, PITCH = 8, 128 + 8

Page = npt.NDArray[np.uint8]


def viridis(level: float) -> tuple[int, ...]:
    """What matplotlib itself says."""
    return tuple(round(255 * part) for part in matplotlib.colormaps["viridis"](level)[:3])


def place(page: Page, picture: Tensor) -> tuple[int, int]:
    """Row and column of the only place where an image ``(3, 16, 16)`` stands on a page."""
    part = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    part = part.repeat(FACTOR, 0).repeat(FACTOR, 1)
    height, width = part.shape[:2]
    (found,) = [
        (int(row), int(column))
        for row, column in zip(*np.nonzero((page == part[0, 0]).all(axis=2)), strict=True)
        if np.array_equal(page[row : row + height, column : column + width], part)
    ]
    return found


def panel(page: Page, image: Tensor, column: int, row: int = 0) -> Page:
    """The panel so many columns to the right of an image and rows below, ``(16, 16, 3)``."""
    top, left = place(page, image)
    top, left = top + row * (128 + 3), left + column * PITCH
    whole = page[top : top + 128, left : left + 128]
    small = whole[::FACTOR, ::FACTOR]
    assert np.array_equal(small.repeat(FACTOR, 0).repeat(FACTOR, 1), whole)
    return small


def images_of(number: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 256, (number, channels, 16, 16), generator=generator) / 255


def maps_of(number: int, spec: InputSpec | None) -> dict[str, Tensor]:
    names = [modality.name for modality in spec.modalities] if spec else [""]
    return {name: torch.randn(number, 16, 16) for name in names}


def saliency(maps: Tensor | dict[str, Tensor], signed: bool = False, **more: Any) -> Figure:
    """A figure of as many images as there are maps, with rgb alone unless there is depth."""
    maps = maps if isinstance(maps, dict) else {"": maps}
    spec = RGBD if "depth" in maps else RGB
    number = len(next(iter(maps.values())))
    images = images_of(number, spec.channels)
    return saliency_figure(images, maps, ["label"] * number, spec, "title", signed, **more)


class TestSaliencyFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("spec", [RGB, RGBD, MULTI, None], ids=["1", "2", "3", "none"])
    @pytest.mark.parametrize(("number", "signed"), [(1, True), (4, False), (9, True)])
    @pytest.mark.parametrize("with_first", [False, True])
    def test_legible(
        self, spec: InputSpec | None, number: int, signed: bool, with_first: bool
    ) -> None:
        maps = {name: 1e-12 * one for name, one in maps_of(number, spec).items()}
        first = ("first (step 0)", maps_of(number, spec)) if with_first else None
        images = images_of(number, spec.channels if spec else 5)
        labels = [LONG, *(f"kernel {kernel}: 12.3" for kernel in range(1, number))]
        figure = saliency_figure(images, maps, labels, spec, LONG, signed, [LONG], first)
        assert_legible(figure)
        assert_no_text_over_pictures(figure)
        assert "kernel 1: 12.3" in texts(figure) or number == 1

    def test_a_hot_pixel_is_at_its_place_in_map_and_overlay(self) -> None:
        maps = torch.zeros(2, 16, 16)
        maps[0, 3, 11], maps[1, 14, 2] = 2.0, 0.001
        page = render(saliency(maps))
        for image, (row, column) in zip(images_of(2), [(3, 11), (14, 2)], strict=True):
            gray = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
            over, only = panel(page, image, 1), panel(page, image, 2)
            for picture in (over, only):
                assert tuple(picture[row, column]) == viridis(1.0)
            over[row, column], only[row, column] = 0, viridis(0.0)
            assert (only == viridis(0.0)).all()
            # Elsewhere the picture is gray, dimmed, and otherwise itself.
            gray[row, column] = 0
            assert np.abs(over[..., 0] - 255 * 0.55 * gray.numpy()).max() < 1
            assert (over == over[..., :1]).all()

    @pytest.mark.parametrize("signed", [False, True])
    def test_opacity_is_the_maps_size(self, signed: bool) -> None:
        maps = torch.ones(1, 16, 16)
        maps[0, 0, 0] = 0.5
        image = images_of(1)[0]
        over = panel(render(saliency(maps, signed)), image, 1).astype(float)
        gray = float(image[:, 0, 0] @ torch.tensor([0.299, 0.587, 0.114]))
        # Half a color that has a sign would be half black.
        color = over[1, 1] if signed else np.array(viridis(0.5))
        expected = 0.5 * 255 * 0.55 * gray + 0.5 * color
        assert np.abs(over[0, 0] - expected).max() < 2

    @pytest.mark.parametrize("column", [1, 2])
    def test_signs_have_colors_of_their_own_and_equal_weight(self, column: int) -> None:
        maps = torch.ones(1, 16, 16)
        maps[0, 8:] = -1
        maps[0, 0, :3] = torch.tensor([0.0, 0.5, -0.5])
        image = images_of(1)[0]
        picture = panel(render(saliency(maps, signed=True)), image, column).astype(float)
        mirrored = panel(render(saliency(-maps, signed=True)), image, column).astype(float)
        positive, negative = picture[4, 4], picture[12, 12]
        assert np.array_equal(mirrored[4, 4], negative)
        assert np.array_equal(mirrored[12, 12], positive)
        assert positive[0] > positive[2] + 150, "orange"
        assert negative[2] > negative[0] + 100, "blue"
        light = np.array([0.299, 0.587, 0.114])
        assert abs(positive @ light - negative @ light) < 5
        for color in (positive, negative):
            assert np.abs(color - RED).max() > 100
        if column == 2:
            assert not picture[0, 0].any(), "0 is black"
            assert np.abs(picture[0, 1] - positive / 2).max() <= 1
            assert np.abs(picture[0, 2] - negative / 2).max() <= 1

    def test_without_sign_sizes_are_shown(self) -> None:
        maps = -torch.rand(1, 16, 16)
        assert np.array_equal(render(saliency(maps)), render(saliency(maps.abs())))
        assert not np.array_equal(render(saliency(maps, True)), render(saliency(-maps, True)))

    def test_colors_end_at_the_percentile_of_what_is_not_0(self) -> None:
        maps = torch.zeros(1, 16, 16)
        values = torch.randn(200, generator=torch.Generator().manual_seed(0)).abs() + 0.1
        maps.view(-1)[torch.randperm(256)[:200]] = values
        end = np.percentile(values.numpy(), 99.5, method="inverted_cdf")
        assert end < values.max()
        stated = texts(saliency(maps)).replace(" | ", " ")
        assert "99.5th percentile of the map where it is not 0" in stated
        assert f" map 0 {end:#.3g} highest {values.max():#.3g}" in stated
        stated = texts(saliency(-maps, signed=True)).replace(" | ", " ")
        assert "99.5th percentile of |map|" in stated
        assert f" map {MINUS}{end:#.3g} 0 {end:#.3g} lowest {MINUS}{values.max():#.3g}" in stated
        assert "highest 0" in stated

    def test_outliers_do_not_darken_a_map(self) -> None:
        maps = torch.ones(1, 16, 16)
        maps[0, 5, 5] = 1e6
        picture = panel(render(saliency(maps)), images_of(1)[0], 2)
        assert (picture == viridis(1.0)).all()

    def test_modalities_share_a_scale_and_the_first_map_has_its_own(self) -> None:
        maps = {"rgb": torch.full((1, 16, 16), 2.0), "depth": torch.full((1, 16, 16), 0.5)}
        first = {"depth": torch.full((1, 16, 16), 30.0), "rgb": torch.full((1, 16, 16), 15.0)}
        figure = saliency(maps, first=("first (step 0)", first))
        page, image = render(figure), images_of(1, 4)[0, :3]
        levels = [(1, 0, 1.0), (2, 0, 1.0), (2, 1, 0.25), (3, 0, 0.5), (3, 1, 1.0)]
        for column, row, level in levels:
            assert (panel(page, image, column, row) == viridis(level)).all(), (column, row)
        stated = texts(figure).replace(" | ", " ")
        assert "0 2.00 rgb: constant 2.00; depth: constant 0.500" in stated
        assert "first (step 0) 0 30.0 rgb: constant 15.0; depth: constant 30.0" in stated

    def test_images_do_not_share_a_scale(self) -> None:
        maps = torch.ones(2, 16, 16)
        maps[1] *= 1000
        page = render(saliency(maps))
        for image in images_of(2):
            assert (panel(page, image, 2) == viridis(1.0)).all()

    @pytest.mark.parametrize(
        ("maps", "words"),
        [
            ({"": torch.zeros(1, 16, 16)}, "0 everywhere"),
            ({"": torch.full((1, 16, 16), 0.3)}, "constant 0.300"),
            (
                {"rgb": torch.rand(1, 16, 16), "depth": torch.zeros(1, 16, 16)},
                "depth: 0 everywhere",
            ),
            ({"": torch.full((1, 16, 16), math.nan)}, "no finite value (red)"),
        ],
        ids=["zero", "constant", "one", "nan"],
    )
    @pytest.mark.parametrize("signed", [False, True])
    def test_says_what_is_odd(self, maps: dict[str, Tensor], words: str, signed: bool) -> None:
        figure = saliency(maps, signed)
        assert words in texts(figure).replace(" | ", " ")
        assert_legible(figure)

    def test_a_map_of_zeros_is_drawn_as_zeros_and_has_no_key(self) -> None:
        figure = saliency(torch.zeros(1, 16, 16))
        page, image = render(figure), images_of(1)[0]
        assert (panel(page, image, 2) == viridis(0.0)).all()
        assert not (page == viridis(1.0)).all(axis=2).any()

    @pytest.mark.parametrize("signed", [False, True])
    def test_what_is_not_finite_is_red_and_counted(self, signed: bool) -> None:
        maps = torch.rand(1, 16, 16)
        maps[0, 0, 0], maps[0, 15, 15], maps[0, 7, 3] = math.nan, math.inf, -math.inf
        figure = saliency(maps, signed)
        page, image = render(figure), images_of(1)[0]
        assert "3 not finite (red)" in texts(figure).replace(" | ", " ")
        for column in (1, 2):
            red = (panel(page, image, column) == RED).all(axis=2)
            assert list(zip(*map(list, np.nonzero(red)), strict=True)) == [(0, 0), (7, 3), (15, 15)]

    def test_one_map_for_all_modalities(self) -> None:
        maps = torch.zeros(1, 16, 16)
        maps[0, 3, 11] = 1
        images = images_of(1, 4)
        page = render(saliency_figure(images, {"": maps}, ["0"], RGBD, "t", False))
        for column, row in [(1, 0), (1, 1), (2, 0)]:
            assert tuple(panel(page, images[0, :3], column, row)[3, 11]) == viridis(1.0)

    def test_each_modality_over_its_own_picture(self) -> None:
        maps = torch.zeros(2, 1, 16, 16)
        maps[0, 0, 3, 11], maps[1, 0, 12, 4] = 1, 1
        images = images_of(1, 4)
        by_name = {"depth": maps[1], "rgb": maps[0]}
        page = render(saliency_figure(images, by_name, ["0"], RGBD, "t", False))
        for column in (1, 2):
            for row, (down, right) in enumerate([(3, 11), (12, 4)]):
                hot = (panel(page, images[0, :3], column, row) == viridis(1.0)).all(axis=2)
                assert np.argwhere(hot).tolist() == [[down, right]]
        depth = (panel(page, images[0, :3], 0, 1) / 255)[..., 0]
        assert np.allclose(depth, images[0, 3], atol=1e-6)

    def test_channels_that_are_no_colors_are_shown_as_their_mean(self) -> None:
        images = images_of(1, 6)
        figure = saliency_figure(images, maps_of(1, MULTI), ["0"], MULTI, "t", False)
        assert "infrared (mean of 2)" in texts(figure).replace(" | ", " ")
        mean = panel(render(figure), images[0, :3], 0, 2) / 255
        assert np.abs(mean - images[0, 4:].mean(0).numpy()[..., None]).max() < 0.6 / 255

    def test_a_single_mean_is_named_too(self) -> None:
        spec = InputSpec((Modality("normals", 3),), 16)
        figure = saliency_figure(images_of(1), maps_of(1, spec), ["0"], spec, "t", False)
        assert "normals (mean of 3)" in texts(figure).replace(" | ", " ")

    @pytest.mark.parametrize(
        ("channels", "words"), [(1, "image scaled"), (3, "image scaled"), (5, "mean of 5 channels")]
    )
    def test_images_in_unknown_units(self, channels: int, words: str) -> None:
        images = torch.zeros(2, channels, 16, 16)
        images[0], images[1] = -2, 6
        figure = saliency_figure(images, maps_of(2, None), ["0", "1"], None, "t", True)
        stated = texts(figure).replace(" | ", " ")
        assert words in stated
        assert f"own range: black {MINUS}2.00, white 6.00" in stated
        assert contains(render(figure), np.zeros((128, 128, 3), np.uint8))

    def test_color_in_unknown_units(self) -> None:
        images = images_of(2)
        images[0, 0, 0, 0], images[0, 0, 0, 1] = 0, 1
        figure = saliency_figure(3 * images - 1, maps_of(2, None), ["0", "1"], None, "t", True)
        assert place(render(figure), images[0])

    def test_headings_notes_and_labels(self) -> None:
        maps = maps_of(1, RGB)
        figure = saliency_figure(
            *(images_of(1), maps, ["kernel 5: 12.3"], RGB, "the title", True),
            notes=["a note", "another"],
            first=("first (step 0)", maps),
        )
        words = [text.get_text() for text in figure.texts]
        assert words[:3] == ["the title", "a note", "another"]
        for word in ("kernel 5: 12.3", "image", "map over image", "map", "first (step 0)"):
            assert words.count(word) == 1
        assert "first" not in texts(saliency(maps))

    def test_many_images_make_a_grid(self) -> None:
        figure = saliency(torch.rand(30, 16, 16))
        height, width, _ = render(figure).shape
        assert 0.5 < width / height < 2
        assert width < 2500

    def test_large_images_shrink(self) -> None:
        images, spec = torch.rand(2, 3, 600, 400), InputSpec.rgb((600, 400))
        maps = {"rgb": torch.rand(2, 600, 400)}
        figure = saliency_figure(images, maps, ["0", "1"], spec, LONG, True)
        assert render(figure).shape[1] < 1300
        assert_legible(figure)
        assert_no_text_over_pictures(figure)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_other_precisions(self, dtype: torch.dtype) -> None:
        images, maps = images_of(1), torch.rand(1, 16, 16)
        single, other = (
            render(
                saliency_figure(
                    images.to(kind), {"rgb": maps.to(kind).requires_grad_()}, ["0"], RGB, "t", True
                )
            )
            for kind in (torch.float32, dtype)
        )
        assert (np.abs(single.astype(int) - other) <= 3).mean() > 0.98

    def test_what_is_given_stays_as_it_is(self) -> None:
        images, maps = images_of(1), torch.randn(1, 16, 16)
        before = images.clone(), maps.clone()
        saliency_figure(images, {"": maps}, ["0"], None, "t", False, first=("f", {"": maps}))
        assert torch.equal(images, before[0])
        assert torch.equal(maps, before[1])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"labels": ["a"]}, "got 1 for 2"),
            ({"images": torch.rand(0, 4, 16, 16)}, r"B > 0; got \(0, 4, 16, 16\)"),
            ({"images": torch.rand(4, 16, 16)}, r"got \(4, 16, 16\)"),
            ({"images": torch.rand(2, 3, 16, 16)}, r"got shape \(2, 3, 16, 16\)"),
            ({"maps": {"rgb": torch.rand(2, 16, 16)}}, r"\['rgb', 'depth'\].*got \['rgb'\]"),
            ({"maps": {}}, r"got \[\]"),
            ({"maps": {"": torch.rand(2, 8, 8)}}, r"maps\[''\] must be \(2, 16, 16\).*\(2, 8, 8\)"),
            ({"first": ("f", {"": torch.rand(1, 16, 16)})}, r"first\[''\] must be.*\(1, 16, 16\)"),
            ({"first": ("f", {"": torch.rand(2, 16, 16)})}, r"first has maps of \[''\]"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"images": images_of(2, 4), "maps": maps_of(2, RGBD)}
        good |= {"labels": ["a", "b"], "spec": RGBD, "title": "t", "signed": True}
        saliency_figure(**good)
        with pytest.raises(ValueError, match=message):
            saliency_figure(**{**good, **change})


def first_and_now(first: Tensor, now: Tensor, **more: Any) -> Figure:
    labels = [f"{kernel}: r 0.42" for kernel in range(len(first))]
    return first_and_now_figure(first, now, labels, ("step 0", "step 120"), "title", **more)


class TestFirstAndNowFigure:
    @pytest.mark.parametrize("size", [(5, 1, 1), (1, 7, 7), (64, 13, 13), (12, 60, 224)])
    def test_legible(self, size: tuple[int, int, int]) -> None:
        labels = [f"{kernel}: r {MINUS}0.42" for kernel in range(size[0])]
        rows = ("step 0", "step 12345")
        figure = first_and_now_figure(
            torch.randn(size), torch.randn(size), labels, rows, LONG, [LONG]
        )
        assert_legible(figure)
        assert_no_text_over_pictures(figure)
        assert [text.get_text() for text in figure.texts if ": r" in text.get_text()] == labels
        assert render(figure).shape[1] < 1400

    def test_a_scale_for_each_moment(self) -> None:
        first = torch.tensor([[[-1.0, 0.0]], [[1.0, 3.0]]])
        now = torch.tensor([[[0.0, 100.0]], [[400.0, 300.0]]])
        figure = first_and_now(first, now)
        stated = texts(figure)
        assert f"step 0: black {MINUS}1.00, white 3.00" in stated
        assert "step 120: black 0, white 400" in stated
        expected = [[0, 255 / 4, 255 / 2, 255], [0, 255 / 4, 255, 3 * 255 / 4]]
        page = render(figure)
        for kernel in range(2):
            column = np.concatenate(
                [
                    np.tile(np.round(row[2 * kernel : 2 * kernel + 2]).repeat(64), (64, 1))
                    for row in np.array(expected)
                ]
            ).astype(np.uint8)
            assert contains(page, column[:64, :, None].repeat(3, 2))
            assert contains(page, column[64:, :, None].repeat(3, 2))

    def test_first_stands_over_now(self) -> None:
        first, now = torch.rand(2, 1, 8, 8)
        swapped = render(first_and_now(now, first))
        figure = first_and_now(first, now)
        names = {text.get_text(): text.get_position()[1] for text in figure.texts}
        assert names["step 0"] > names["step 120"]
        assert not np.array_equal(render(figure), swapped)

    def test_says_what_is_odd(self) -> None:
        first, now = torch.rand(2, 4, 5, 5)
        first[1] = first[2] = 0.5
        now[0, 0, 0] = math.nan
        stated = texts(first_and_now(first, now)).split(" | ")
        assert any(line.startswith("step 0:") and line.endswith("; 2 constant") for line in stated)
        assert any(line.endswith("1 not finite (red)") for line in stated)
        dead = texts(first_and_now(torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)))
        assert "step 0: constant 0; 2 constant" in dead

    def test_notes(self) -> None:
        words = [text.get_text() for text in first_and_now(*torch.rand(2, 1, 3, 3)).texts]
        more = first_and_now(*torch.rand(2, 1, 3, 3), notes=["a note"]).texts
        assert "a note" not in words
        assert more[1].get_text() == "a note"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"now": torch.rand(2, 5, 4)}, r"got \(2, 5, 5\) and \(2, 5, 4\)"),
            ({"labels": ["a"]}, "got 1 for 2"),
            ({"rows": ("now", "now")}, "'now' twice"),
            ({"first": torch.rand(0, 5, 5), "now": torch.rand(0, 5, 5)}, "K > 0"),
            ({"first": torch.rand(5, 5), "now": torch.rand(5, 5)}, r"got \(5, 5\)"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"first": torch.rand(2, 5, 5), "now": torch.rand(2, 5, 5)}
        good |= {"labels": ["a", "b"], "rows": ("first", "now"), "title": "t"}
        first_and_now_figure(**good)
        with pytest.raises(ValueError, match=message):
            first_and_now_figure(**{**good, **change})


def randomization(maps: Tensor, correlations: Tensor | None = None, signed: bool = False) -> Figure:
    stages = ["trained", *(f"features.{layer}.conv" for layer in range(len(maps) - 1))]
    correlations = torch.zeros(maps.shape[:2]) if correlations is None else correlations
    images = images_of(maps.shape[1])
    return randomization_figure(images, maps, stages, correlations, RGB, "title", signed)


class TestRandomizationFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("spec", [RGB, MULTI, None], ids=["1", "3", "none"])
    @pytest.mark.parametrize("stages", [1, 5, 26])
    def test_legible(self, spec: InputSpec | None, stages: int) -> None:
        images = images_of(2, spec.channels if spec else 5)
        names = [LONG, *(f"features.{layer}.expand3x3" for layer in range(1, stages))]
        figure = randomization_figure(
            *(images, torch.randn(stages, 2, 16, 16), names, torch.randn(stages, 2)),
            *(spec, LONG, True, [LONG]),
        )
        assert_legible(figure)
        assert_no_text_over_pictures(figure)
        assert render(figure).shape[1] < 1700

    def test_maps_stand_in_order_each_on_its_own_scale(self) -> None:
        maps = torch.zeros(3, 2, 16, 16)
        hot = {(0, 0): (1, 2), (1, 0): (3, 4), (2, 0): (5, 6), (0, 1): (7, 8), (1, 1): (9, 10)}
        for scale, ((stage, image), (row, column)) in enumerate(hot.items()):
            maps[stage, image, row, column] = 10.0**scale
        page = render(randomization(maps))
        for (stage, image), (row, column) in hot.items():
            bright = (panel(page, images_of(2)[image], 1 + stage) == viridis(1.0)).all(axis=2)
            assert np.argwhere(bright).tolist() == [[row, column]]
        assert (panel(page, images_of(2)[1], 3) == viridis(0.0)).all()

    def test_signs(self) -> None:
        maps = torch.ones(1, 1, 16, 16)
        maps[..., 8:, :] = -1
        picture = panel(render(randomization(maps, signed=True)), images_of(1)[0], 1).astype(int)
        assert picture[0, 0, 0] > picture[0, 0, 2] + 150
        assert picture[8, 0, 2] > picture[8, 0, 0] + 100
        assert "blue negative, black 0, orange positive" in texts(randomization(maps, signed=True))

    def test_states_the_correlations_under_their_maps(self) -> None:
        maps = torch.rand(4, 2, 16, 16)
        maps[2, 1], maps[3, 0, 0, 0] = 0.5, math.inf
        correlations = torch.tensor(
            [[1.0, 1.0], [0.123, -0.456], [-0.001, math.nan], [math.nan, math.nan]]
        )
        figure = randomization(maps, correlations)
        words = [text.get_text() for text in figure.texts]
        assert [word for word in words if word.startswith((RHO, "constant", "finite"))] == [
            *(f"{RHO} 1.00", f"{RHO} 0.12", f"{RHO} 0.00", f"{RHO} not defined; 1 not"),
            *("finite (red)", f"{RHO} 1.00", f"{RHO} {MINUS}0.46"),
            *("constant map", f"{RHO} not defined"),
        ]
        heading = texts(figure).split(" | image")[0].replace(" | ", " ")
        assert "each map on its own scale" in heading
        assert "99.5th percentile" in heading
        assert f"{RHO}: rank correlation with the first map" in heading

    def test_names_stand_over_their_maps(self) -> None:
        figure = randomization(torch.rand(3, 1, 16, 16))
        names = ["image", "trained", "features.0.conv", "features.1.conv"]
        across = {text.get_text(): text.get_position()[0] for text in figure.texts}
        page = render(figure)
        _, left = place(page, images_of(1)[0])
        for column, name in enumerate(names):
            middle = left + column * PITCH + 64
            assert abs(across[name] * page.shape[1] - middle) < 1

    def test_short_names_stand_level_with_the_end_of_long_ones(self) -> None:
        stages = ["trained", "features.12.expand3x3.0.convolution"]
        figure = randomization_figure(
            *(images_of(1), torch.rand(2, 1, 16, 16), stages, torch.ones(2, 1), RGB, "t", False)
        )
        down = {text.get_text(): text.get_position()[1] for text in figure.texts}
        assert down["image"] == down["trained"] == down["convolution"]
        assert down["image"] < down["features.12."]

    def test_many_stages_wrap(self) -> None:
        maps = torch.zeros(26, 1, 16, 16)
        figure = randomization(maps)
        words = [text.get_text() for text in figure.texts]
        assert words.count("constant map") == 26
        rows = {text.get_position()[1] for text in figure.texts if "constant" in text.get_text()}
        assert len(rows) == 2

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"maps": torch.rand(3, 1, 16, 16)}, r"\(3, 2, 16, 16\); got \(3, 1, 16, 16\)"),
            ({"maps": torch.rand(3, 2, 8, 8)}, r"\(3, 2, 16, 16\); got \(3, 2, 8, 8\)"),
            ({"stages": ["a"]}, r"\(1, 2, 16, 16\); got \(3, 2, 16, 16\)"),
            ({"stages": [], "maps": torch.rand(0, 2, 16, 16)}, "S > 0"),
            ({"correlations": torch.rand(2, 3)}, r"= \(3, 2\); got \(2, 3\)"),
            ({"images": torch.rand(3, 16, 16)}, r"got \(3, 16, 16\)"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], message: str) -> None:
        good: dict[str, Any] = {"images": images_of(2), "maps": torch.rand(3, 2, 16, 16)}
        good |= {"stages": ["a", "b", "c"], "correlations": torch.rand(3, 2), "spec": RGB}
        good |= {"title": "t", "signed": True}
        randomization_figure(**good)
        with pytest.raises(ValueError, match=message):
            randomization_figure(**{**good, **change})
