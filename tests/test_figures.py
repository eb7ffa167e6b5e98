from __future__ import annotations

import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from legible import assert_legible, assert_no_text_over_pictures, contains, texts
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from neurovis.figures import (
    curve_figure,
    feature_map_figure,
    labeled_grid,
    modality_rows,
    render,
    save_png,
    signature_figure,
    tile,
)
from neurovis.inputs import InputSpec
from neurovis.modality import Modality

pytestmark = pytest.mark.drawn

MULTI = InputSpec((Modality("rgb", 3), Modality("depth", 1), Modality("infrared", 2)), 16)
SPECS = [InputSpec.rgb(16), InputSpec.rgbd(16), MULTI]
LONG = "features.denseblock4.denselayer16.a_name_that_never_ends." * 3 + "conv2 $x_1$, kernel 511"


class TestModalityRows:
    def test_labels_and_values(self) -> None:
        images = torch.rand(2, 6, 5, 7)
        rows = modality_rows(images, MULTI)
        assert list(rows) == ["rgb", "depth", "infrared[0]", "infrared[1]"]
        assert torch.equal(rows["rgb"], images[:, :3])
        for channel in range(3):
            assert torch.equal(rows["infrared[1]"][:, channel], images[:, 5])

    def test_three_channels_that_are_not_rgb_are_three_grays(self) -> None:
        spec = InputSpec((Modality("normals", 3),), 4)
        assert list(modality_rows(torch.rand(1, 3, 4, 4), spec)) == [
            "normals[0]",
            "normals[1]",
            "normals[2]",
        ]

    def test_clips(self) -> None:
        rows = modality_rows(
            torch.tensor([-1.0, 2.0]).view(2, 1, 1, 1).expand(2, 4, 1, 1), SPECS[1]
        )
        assert rows["depth"].flatten().unique().tolist() == [0.0, 1.0]

    def test_wrong_channels(self) -> None:
        with pytest.raises(ValueError, match=r"got shape \(1, 2, 4, 4\)"):
            modality_rows(torch.rand(1, 2, 4, 4), MULTI)
        with pytest.raises(ValueError, match=r"must be \(N, C, H, W\)"):
            modality_rows(torch.rand(6, 4, 4), MULTI)


class TestTile:
    def test_against_a_literal_loop(self) -> None:
        pictures = torch.rand(5, 3, 4, 6)
        whole = tile(pictures, columns=3, padding=2, background=0.25)
        expected = torch.full((3, 2 * (4 + 2) + 2, 3 * (6 + 2) + 2), 0.25)
        for index in range(5):
            top, left = 2 + index // 3 * 6, 2 + index % 3 * 8
            expected[:, top : top + 4, left : left + 6] = pictures[index]
        assert torch.equal(whole, expected)

    def test_channels_last(self) -> None:
        pictures = torch.rand(5, 3, 4, 6)
        assert torch.equal(tile(pictures.to(memory_format=torch.channels_last)), tile(pictures))

    def test_small_pictures_become_squares(self) -> None:
        picture = torch.tensor([[0.0, 1.0]]).expand(1, 3, 1, 2)
        enlarged = tile(picture, padding=0, min_size=5)
        assert enlarged[0].tolist() == [[0.0] * 3 + [1.0] * 3] * 3

    @pytest.mark.parametrize(
        ("number", "columns"), [(1, 1), (2, 2), (3, 2), (7, 3), (64, 8), (12, 4)]
    )
    def test_about_square(self, number: int, columns: int) -> None:
        assert tile(torch.zeros(number, 3, 2, 2), padding=0).shape[2] == 2 * columns

    @pytest.mark.parametrize(
        ("shape", "columns", "message"),
        [
            ((0, 3, 2, 2), None, "N > 0"),
            ((2, 1, 2, 2), None, "3, H, W"),
            ((2, 3, 2, 2), 0, "got 0"),
        ],
    )
    def test_bad_input(self, shape: tuple[int, ...], columns: int | None, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tile(torch.zeros(shape), columns)


class TestLabeledGrid:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("number", [1, 2, 7, 16, 64])
    @pytest.mark.parametrize("spec", SPECS, ids=["1", "2", "3"])
    def test_legible(self, number: int, spec: InputSpec) -> None:
        labels = [f"kernel {kernel}: 0.{kernel}" for kernel in range(number)]
        figure = labeled_grid(torch.rand(number, *spec.shape), labels, spec, LONG)
        assert_legible(figure)
        assert_no_text_over_pictures(figure)

    def test_many_cells(self) -> None:
        labels = [str(kernel) for kernel in range(512)]
        figure = labeled_grid(torch.rand(512, 3, 16, 16), labels, SPECS[0], "conv5")
        height, width, _ = render(figure).shape
        assert width < 2500
        assert 0.6 < width / height < 1.7
        assert [text.get_text() for text in figure.texts][1:] == labels

    def test_long_labels_are_wrapped(self) -> None:
        labels = [LONG, "short", "group 3 of conv1, kernels 1 2 3 4 5 6 7 8 9 10"]
        assert_legible(labeled_grid(torch.rand(3, 3, 16, 16), labels, SPECS[0], "t"))

    @pytest.mark.parametrize("spec", SPECS, ids=["1", "2", "3"])
    def test_captions_stand_below_images(self, spec: InputSpec) -> None:
        short, part = "stable d′ 3.2", "a_judge_of_a_long_name: predicts held-out pictures 0.91"
        captions = [short, "", f"{part} · {short} · {LONG}", f"{part} · {short}", short]
        labels = ["kernel 3: 12.3", LONG, "kernel 4", "kernel 5", "kernel 6"]
        images = torch.rand(5, *spec.shape)
        figure = labeled_grid(images, labels, spec, "t", columns=2, captions=captions)
        assert_legible(figure)
        assert_no_text_over_pictures(figure)
        places = {text.get_text(): text.get_position()[1] for text in figure.texts}
        # Places are counted from below.
        caption = next(place for words, place in places.items() if "pictures 0.91" in words)
        assert places["kernel 4"] > caption > places["kernel 6"]
        plain = render(labeled_grid(images, labels, spec, "t", columns=2, captions=[""] * 5))
        assert np.array_equal(plain, render(labeled_grid(images, labels, spec, "t", columns=2)))

    def test_images_are_on_the_page_pixel_for_pixel(self) -> None:
        images = torch.randint(0, 256, (2, 3, 100, 100)) / 255
        page = render(labeled_grid(images, ["0", "1"], SPECS[0], "title"))
        for image in images:
            assert contains(page, (image * 255).round().byte().permute(1, 2, 0).numpy())

    def test_large_images_of_large_grids_shrink(self) -> None:
        labels = [str(index) for index in range(100)]
        figure = labeled_grid(torch.rand(100, 3, 300, 300), labels, InputSpec.rgb(300), "title")
        assert render(figure).shape[1] < 2000

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="got 1 for 2"):
            labeled_grid(torch.rand(2, 3, 8, 8), ["a"], SPECS[0], "t")
        with pytest.raises(ValueError, match="got 0 for 0"):
            labeled_grid(torch.rand(0, 3, 8, 8), [], SPECS[0], "t")


class TestSignatureFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("spec", SPECS, ids=["1", "2", "3"])
    @pytest.mark.parametrize("size", [(1, 1), (13, 13), (55, 31), (300, 300)])
    def test_legible(self, spec: InputSpec, size: tuple[int, int]) -> None:
        images = torch.rand(2, *spec.shape)
        figure = signature_figure(*images, torch.ones(size), torch.randn(size), spec, LONG)
        assert_legible(figure)
        assert_no_text_over_pictures(figure)

    def test_states_the_values(self) -> None:
        target = torch.zeros(2, 2)
        target[0, 0] = 1
        result = torch.tensor([[-0.31, 0.0], [1.0, 4.2]])
        stated = texts(_signature(target, result))
        for words in ("initial image", "preferred image", "target map", "resulting map"):
            assert words in stated
        assert "black 0, white 1.00" in stated
        assert "black \N{MINUS SIGN}0.310, white 4.20" in stated

    def test_uniform_target_is_white(self) -> None:
        page = render(_signature(torch.ones(3, 3), torch.zeros(3, 3)))
        assert contains(page, np.full((80, 80, 3), 255, np.uint8))

    def test_constant_and_not_finite(self) -> None:
        assert "constant 5.00" in texts(_signature(torch.ones(1, 1), torch.full((1, 1), 5.0)))
        result = torch.tensor([[math.nan, 1.0], [2.0, math.inf]])
        figure = _signature(torch.ones(2, 2), result)
        assert "black 1.00, white 2.00, 2 not finite (red)" in " ".join(texts(figure).split(" | "))
        assert "no finite value" in texts(_signature(torch.ones(1, 1), torch.tensor([[math.nan]])))

    def test_bad_map(self) -> None:
        with pytest.raises(ValueError, match=r"resulting_map must be \(H', W'\)"):
            _signature(torch.ones(2, 2), torch.ones(1, 2, 2))


def _signature(target: Tensor, result: Tensor) -> Figure:
    images = torch.full((2, 3, 16, 16), 0.5)
    return signature_figure(*images, target, result, InputSpec.rgb(16), "a kernel")


class TestFeatureMapFigure:
    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("spec", [*SPECS, None], ids=["1", "2", "3", "none"])
    @pytest.mark.parametrize("size", [(5, 1, 1), (1, 7, 7), (64, 20, 30)])
    def test_legible(self, spec: InputSpec | None, size: tuple[int, int, int]) -> None:
        image = torch.rand(spec.shape) if spec else torch.randn(12, 16, 16)
        figure = feature_map_figure(image, torch.randn(size), range(size[0]), spec, LONG)
        assert_legible(figure)
        assert_no_text_over_pictures(figure)

    def test_one_range_for_all_maps(self) -> None:
        maps = torch.tensor([[[-0.31, 0.0]], [[2.0, 4.2]]])
        figure = feature_map_figure(torch.rand(3, 8, 8), maps, [3, 17], InputSpec.rgb(8), "t")
        stated = texts(figure)
        assert "2 feature maps: black \N{MINUS SIGN}0.310, white 4.20" in stated
        assert "| 3 |" in stated
        assert "17" in stated
        page = render(figure)
        level = round(255 * (2.0 + 0.31) / (4.2 + 0.31))
        assert (page == level).all(axis=2).sum() >= 40 * 40

    @pytest.mark.parametrize(
        ("maps", "words"),
        [
            (torch.zeros(2, 3, 3), "constant 0"),
            (torch.full((2, 3, 3), math.nan), "no finite value"),
            (torch.tensor([[[1.0, math.nan]], [[0.0, 3.0]]]), "white 3.00, 1 not finite (red)"),
            (torch.tensor([[[1.0, 1.0]], [[0.0, 3.0]]]), "white 3.00; 1 constant"),
            (torch.tensor([[[-3e38, 3e38]]]), "black \N{MINUS SIGN}3.00e+38, white 3.00e+38"),
        ],
    )
    def test_says_what_is_odd(self, maps: Tensor, words: str) -> None:
        figure = feature_map_figure(
            torch.rand(3, 8, 8), maps, range(len(maps)), InputSpec.rgb(8), "t"
        )
        assert words in texts(figure)
        assert len(np.unique(render(figure))) > 1

    def test_image_in_unknown_units_is_said_to_be_scaled(self) -> None:
        image = torch.tensor([-2.0, 6.0]).view(1, 1, 2)
        stated = texts(feature_map_figure(image, torch.rand(1, 3, 3), [0], None, "t"))
        assert "own range: black \N{MINUS SIGN}2.00, white 6.00" in stated

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_other_precisions(self, dtype: torch.dtype) -> None:
        image, maps = torch.rand(3, 8, 8), torch.rand(3, 5, 5)
        single, other = (
            render(feature_map_figure(image.to(kind), maps.to(kind), range(3), None, "t"))
            for kind in (torch.float32, dtype)
        )
        # Texts of rounded ranges may differ; pictures do by their rounding.
        assert (np.abs(single.astype(int) - other) <= 2).mean() > 0.98

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="and 2 kernels"):
            feature_map_figure(torch.rand(3, 8, 8), torch.rand(3, 2, 2), [0, 1], None, "t")
        with pytest.raises(ValueError, match="K > 0"):
            feature_map_figure(torch.rand(3, 8, 8), torch.rand(0, 2, 2), [], None, "t")


class TestCurveFigure:
    @pytest.mark.parametrize(("kernels", "steps"), [(1, 1), (3, 128), (10, 50), (64, 512)])
    def test_legible(self, kernels: int, steps: int) -> None:
        labels = [f"kernel {kernel} of {LONG}" for kernel in range(kernels)]
        figure = curve_figure(torch.rand(kernels, steps), labels, LONG, "activation")
        assert_legible(figure)

    def test_few_are_named_and_many_are_a_bundle(self) -> None:
        assert "kernel 2" in texts(_curves(3))
        assert "kernel 2" not in texts(_curves(11))
        assert "median" in texts(_curves(11))

    def test_gaps(self) -> None:
        curves = torch.rand(12, 9)
        curves[:, 4] = math.nan
        curves[3, 5] = math.inf
        figure = curve_figure(curves, [""] * 12, "t", "y")
        assert_legible(figure)
        drawn = np.stack([line.get_ydata() for line in figure.axes[0].lines[:12]])
        assert (np.isfinite(drawn) == np.isfinite(curves.numpy())).all()

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="one label for each"):
            curve_figure(torch.rand(2, 5), ["a"], "t", "y")
        with pytest.raises(ValueError, match=r"\(2, 0\)"):
            curve_figure(torch.rand(2, 0), ["a", "b"], "t", "y")


def _curves(kernels: int) -> Figure:
    return curve_figure(torch.rand(kernels, 9), [f"kernel {k}" for k in range(kernels)], "t", "y")


class TestOutput:
    def test_every_kind_of_picture(self, tmp_path: Path) -> None:
        levels = torch.randint(0, 256, (3, 6, 9))
        save_png(tmp_path / "new" / "tensor.png", levels / 255)
        assert np.array_equal(_read(tmp_path / "new" / "tensor.png"), levels.permute(1, 2, 0))
        save_png(tmp_path / "array.png", levels.permute(1, 2, 0).byte().numpy())
        assert np.array_equal(_read(tmp_path / "array.png"), levels.permute(1, 2, 0))
        figure = _curves(2)
        save_png(str(tmp_path / "figure.png"), figure)
        assert np.array_equal(_read(tmp_path / "figure.png"), render(figure))

    def test_a_palette_is_near_rare_colors_too(self, tmp_path: Path) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (100, 200, 3)).astype(np.uint8)
        picture[:60] = 255
        pure = np.array(list(itertools.product((0, 255), repeat=3)), np.uint8)
        picture[20:24, 10:42] = pure.repeat(4, axis=0)
        save_png(tmp_path / "picture.png", picture, colors=256)
        written = _read(tmp_path / "picture.png").astype(int)
        assert len(np.unique(written.reshape(-1, 3), axis=0)) <= 256
        assert (written[0] >= 251).all()
        # 256 cubes that hold all colors have a side of 40; median cut is off by 67 here.
        assert np.abs(written - picture).max() <= 50

    def test_clips_and_nan_is_black(self, tmp_path: Path) -> None:
        values = torch.tensor([-1.0, math.nan, 2.0]).expand(3, 1, 3)
        save_png(tmp_path / "picture.png", values)
        assert _read(tmp_path / "picture.png")[0, :, 0].tolist() == [0, 0, 255]

    def test_all_or_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        save_png(tmp_path / "picture.png", torch.zeros(3, 4, 4))
        before = (tmp_path / "picture.png").read_bytes()

        def full(*_: Any, **__: Any) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(Image.Image, "save", full)
        with pytest.raises(OSError, match="no space left"):
            save_png(tmp_path / "picture.png", torch.ones(3, 4, 4))
        assert (tmp_path / "picture.png").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]

    @pytest.mark.parametrize(
        "picture",
        [torch.zeros(1, 4, 4), torch.zeros(4, 4), np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)],
    )
    def test_bad_picture(self, tmp_path: Path, picture: Any) -> None:
        with pytest.raises(ValueError, match=r"must be .*; got \("):
            save_png(tmp_path / "picture.png", picture)
        assert not list(tmp_path.iterdir())

    def test_another_resolution_scales_the_pictures_too(self, tmp_path: Path) -> None:
        figure = labeled_grid(torch.zeros(1, 3, 100, 100), ["0"], SPECS[0], "title")
        small = render(figure)
        figure.savefig(tmp_path / "large.png", dpi=2 * figure.dpi)
        large = _read(tmp_path / "large.png")
        assert large.shape[:2] == (2 * small.shape[0], 2 * small.shape[1])
        assert contains(large, np.zeros((200, 200, 3), np.uint8))
        figure.savefig(tmp_path / "page.pdf")

    def test_users_style_has_no_say(self) -> None:
        from matplotlib import rc_context

        plain = render(_signature(torch.ones(2, 2), torch.eye(2)))
        style = {"text.color": "red", "figure.facecolor": "black", "font.size": 30.0}
        with rc_context({**style, "savefig.dpi": 30, "figure.dpi": 300}):
            styled = render(_signature(torch.ones(2, 2), torch.eye(2)))
        assert styled.shape == plain.shape
        assert styled[0, 0].tolist() == [255, 255, 255]

    def test_figures_can_be_pickled(self) -> None:
        figure = labeled_grid(torch.rand(1, 3, 16, 16), ["0"], SPECS[0], "title")
        assert np.array_equal(render(pickle.loads(pickle.dumps(figure))), render(figure))


def _read(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path).convert("RGB"))
