from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.pictures import (
    StretchedWarning,
    ZeroDepthWarning,
    find_pictures,
    read_picture,
)

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "rgbd"
pytestmark = pytest.mark.filterwarnings("ignore:.*which changes its proportions")

PERFECT = {"rgb": "*_RGB.png", "depth": "*_perfect_depth.tiff"}


def _gray(size: int | tuple[int, int] = 4, **options: object) -> InputSpec:
    return InputSpec((Modality("depth", 1, **options),), size)  # type: ignore[arg-type]


def _save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def _color(path: Path, size: tuple[int, int] = (6, 8)) -> Path:
    random = np.random.default_rng(len(path.name))
    return _save(path, random.integers(0, 256, (*size, 3), dtype=np.uint8))


def _depth(path: Path, size: tuple[int, int] = (6, 8), value: float = 0.5) -> Path:
    return _save(path, np.full(size, value, np.float32))


# Reading


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp"])
def test_a_color_picture_of_the_right_size_comes_exactly(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    image = read_picture(_save(tmp_path / f"picture.{suffix}", pixels), InputSpec.rgb((12, 9)))
    np.testing.assert_allclose(image.permute(1, 2, 0) * 255, pixels, atol=1e-3)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_pictures_are_resized_as_pillow_does(tmp_path: Path, name: Any) -> None:
    path = _color(tmp_path / "picture.png", (30, 24))
    image = read_picture(path, replace(InputSpec.rgb((12, 10)), interpolation=name))
    resample = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[name]
    expected = np.asarray(Image.open(path).resize((10, 12), resample))
    np.testing.assert_allclose(image.permute(1, 2, 0) * 255, expected, atol=1.5)


def test_labels_are_resized_to_their_nearest(tmp_path: Path) -> None:
    path = _save(tmp_path / "labels.png", np.array([[0, 0, 0, 255]], dtype=np.uint8))
    spec = InputSpec((Modality("gray", 1),), (1, 2), interpolation="nearest")
    assert read_picture(path, spec).flatten().tolist() == [0, 1]


def test_pictures_are_resized_and_made_gray(tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.jpg")
    image = read_picture(tmp_path / "red.jpg", InputSpec((Modality("gray", 1),), size=(8, 8)))
    assert image.shape == (1, 8, 8)
    torch.testing.assert_close(image, torch.full((1, 8, 8), 0.299), atol=0.02, rtol=0)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_other_kinds_of_color_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tiff" if mode == "CMYK" else "png"
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(tmp_path / f"x.{suffix}")
    image = read_picture(tmp_path / f"x.{suffix}", InputSpec.rgb(8))
    torch.testing.assert_close(image, torch.ones(3, 8, 8))


@pytest.mark.parametrize(
    ("dtype", "suffix", "unit"),
    [
        (np.float32, "tiff", 1.0),
        (np.uint16, "png", 1000.0),
        (np.uint16, "tiff", 1000.0),
        (np.dtype(">u2"), "tiff", 1000.0),
        (np.int32, "tiff", 1000.0),
    ],
)
def test_deep_files_hold_the_modalitys_unit(
    tmp_path: Path, dtype: np.dtype, suffix: str, unit: float
) -> None:
    meters = np.linspace(0.5, 1.5, 48).reshape(6, 8)
    stored = (meters * unit).astype(dtype)
    path = _save(tmp_path / f"depth.{suffix}", stored)
    image = read_picture(path, _gray((6, 8), range=(0.5 * unit, 2.5 * unit)))
    expected = (stored.astype(np.float64) / unit - 0.5) / 2
    np.testing.assert_allclose(image[0], expected, atol=1e-6)


def test_eight_bits_are_zero_to_one_whatever_the_range(tmp_path: Path) -> None:
    path = _save(tmp_path / "depth.png", np.full((4, 4), 51, np.uint8))
    image = read_picture(path, _gray(range=(0.3, 2.0)))
    torch.testing.assert_close(image, torch.full((1, 4, 4), 0.2))


def test_few_values_out_of_range_are_clipped_and_counted(tmp_path: Path) -> None:
    depth = np.full((4, 4), 1.0, np.float32)
    depth[0, :3] = (0.0, 0.25, 9.5)
    path = _save(tmp_path / "depth.tiff", depth)
    with pytest.warns(UserWarning, match=r"0 to 9.5: 3 pixels \(18.8%\) .* 0.5 to 1.5") as caught:
        image = read_picture(path, _gray(range=(0.5, 1.5)))
    assert [one.category for one in caught] == [UserWarning, ZeroDepthWarning]
    assert image[0, 0].tolist() == [0, 0, 1, 0.5]


def test_a_limit_that_float32_cannot_hold_is_within_the_range(tmp_path: Path) -> None:
    path = _depth(tmp_path / "depth.tiff", value=1.1)
    assert float(np.float32(1.1)) > 1.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(path, _gray((6, 8), range=(0.1, 1.1))).max() == 1


def test_a_file_of_another_unit_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = _save(tmp_path / "depth.png", np.full((4, 4), 1500, np.uint16))
    with pytest.raises(ValueError, match=r"1500 to 1500: 16 pixels .*--input.depth_range"):
        read_picture(path, _gray(range=(0.3, 2.0)))


@pytest.mark.parametrize(
    "values",
    [
        (1.42749, 1.57351),
        (-31.41596, -2.71821),
        (1.23456e-7, 9.87654e-6),
        (12345, 54321),
        (1500, 1500),
        (0, 31.41512),
    ],
)
def test_the_range_that_is_suggested_clips_nothing(
    tmp_path: Path, values: tuple[float, float]
) -> None:
    path = _save(tmp_path / "depth.tiff", np.linspace(*values, 16, dtype=np.float32).reshape(4, 4))
    with pytest.raises(ValueError, match=r"--input\.depth_range") as error:
        read_picture(path, _gray(range=(1e6, 2e6)))
    low, high = yaml.safe_load(str(error.value).split('--input.depth_range "')[1].rstrip('"'))
    assert max(values) - min(values) <= high - low <= (max(values) - min(values)) * 1.1 + 2
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ZeroDepthWarning)
        image = read_picture(path, _gray(range=(float(low), float(high))))
    expected = (np.array(Image.open(path)).astype(float) - float(low)) / (float(high) - float(low))
    np.testing.assert_allclose(image[0], expected, atol=1e-6)


def test_a_range_of_another_modality_is_named_as_an_option(tmp_path: Path) -> None:
    stored = np.arange(300, 316, dtype=np.uint16).reshape(4, 4)
    path = _save(tmp_path / "nir.png", stored)
    with pytest.raises(ValueError, match=r"0 to 1 of modality \"nir\"; give") as error:
        read_picture(path, InputSpec((Modality("nir", 1),), 4))
    message = str(error.value)
    entry = "[{name: nir, channels: 1, range: [0, 65535]}]"
    assert f"--input.modalities '{entry}'" in message
    assert f"input: {{modalities: {entry}}}" in message
    modalities = tuple(Modality(**one) for one in yaml.safe_load(entry))
    image = read_picture(path, InputSpec(modalities, 4))
    np.testing.assert_allclose(image[0] * 65535, stored, atol=0.01)
    _save(tmp_path / "x_nir.tiff", np.full((4, 4), -3.5, np.float32))
    _color(tmp_path / "x_rgb.png", (4, 4))
    both = InputSpec((*InputSpec.rgb(4).modalities, Modality("nir", 1)), 4)
    with pytest.raises(ValueError, match=r"'\[\.\.\., \{name: nir, .*\[-3\.501, -3\.499\]\}\]'"):
        read_picture(tmp_path / "x_rgb.png", both)


def test_depths_of_zero_are_counted(tmp_path: Path) -> None:
    depth = np.full((4, 4), 1.5, np.float32)
    depth[0] = 0
    path = _save(tmp_path / "depth.tiff", depth)
    with pytest.warns(ZeroDepthWarning, match=r"^4 pixels \(25\.0%\) of .* \"not measured\""):
        assert read_picture(path, _gray(range=(0, 2)))[0, 0].tolist() == [0, 0, 0, 0]
    _save(tmp_path / "zero.tiff", depth * 0)
    _save(tmp_path / "eight.png", depth.astype(np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZeroDepthWarning)
        read_picture(tmp_path / "zero.tiff", _gray())
        read_picture(tmp_path / "eight.png", _gray())
        read_picture(path, InputSpec((Modality("height", 1, range=(0, 2)),), 4))
        read_picture(path, _gray(range=(-2, 2)))


def test_changed_proportions_are_said(tmp_path: Path) -> None:
    path = _color(tmp_path / "x.png", (30, 40))
    np.save(tmp_path / "x.npy", np.zeros((3, 30, 40)))
    for file in (path, tmp_path / "x.npy"):
        for size in (15, (20, 20)):
            with pytest.warns(StretchedWarning, match=r"40 x 30 pixels .* by 33%; .*--input\.size"):
                read_picture(file, InputSpec.rgb(size))
        with pytest.warns(StretchedWarning, match=r"to 60 x 30, which .* by 50%"):
            read_picture(file, InputSpec.rgb((30, 60)))
        with pytest.warns(StretchedWarning, match=r"to 38 x 30, which .* by 5%"):
            read_picture(file, InputSpec.rgb((30, 38)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_picture(file, InputSpec.rgb((60, 80)))
            read_picture(file, InputSpec.rgb((30, 39)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_counted(tmp_path: Path, value: float) -> None:
    depth = np.full((4, 4), 0.5, np.float32)
    depth[1, :2] = value
    np.save(tmp_path / "depth.npy", depth[None])
    for path in (_save(tmp_path / "depth.tiff", depth), tmp_path / "depth.npy"):
        with pytest.raises(ValueError, match="2 values of 16 that are not finite"):
            read_picture(path, _gray())


@pytest.mark.parametrize("mode", ["RGB", "F"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path: Path, mode: str, orientation: int) -> None:
    upright = np.zeros((4, 6), np.uint8)
    upright[0, :3] = 255
    # What a camera that was held in this way stores: the inverse of what EXIF asks for.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    if mode == "F":
        picture, path = Image.fromarray((stored / 255).astype(np.float32)), tmp_path / "x.tiff"
    else:
        picture, path = Image.fromarray(stored.copy()).convert("RGB"), tmp_path / "x.png"
    picture.save(path, exif=exif)
    image = read_picture(path, _gray((4, 6)))
    np.testing.assert_allclose(image[0], upright / 255, atol=1e-6)


def test_arrays_serve_any_modalities(tmp_path: Path) -> None:
    array = np.random.default_rng(0).uniform(size=(4, 6, 6)).astype(np.float32)
    np.save(tmp_path / "rgbd.npy", array)
    np.testing.assert_allclose(
        read_picture(tmp_path / "rgbd.npy", InputSpec.rgbd(6)), array, atol=1e-6
    )


def test_a_pair_is_read_in_the_order_of_the_modalities(tmp_path: Path) -> None:
    color = _color(tmp_path / "X_RGB.png")
    _depth(tmp_path / "X_perfect_depth.tiff", value=1.0)
    spec = InputSpec.rgbd((6, 8), depth_range=(0.5, 2.5))
    image = read_picture(color, spec)
    pixels = np.asarray(Image.open(color))
    np.testing.assert_allclose(image[:3].permute(1, 2, 0) * 255, pixels, atol=1e-3)
    torch.testing.assert_close(image[3], torch.full((6, 8), 0.25))
    swapped = InputSpec(spec.modalities[::-1], spec.size)
    other = read_picture(tmp_path / "X_perfect_depth.tiff", swapped)
    torch.testing.assert_close(other, torch.cat([image[3:], image[:3]]))


def test_what_is_no_picture_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    whole = _color(tmp_path / "whole.png", (64, 64)).read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    jpeg = tmp_path / "whole.jpg"
    Image.open(tmp_path / "whole.png").save(jpeg)
    (tmp_path / "truncated.jpg").write_bytes(jpeg.read_bytes()[:-600])
    Image.new("RGB", (8, 8)).save(tmp_path / "rare.png", format="eps")
    np.save(tmp_path / "three.npy", np.zeros((3, 4, 4)))
    np.save(tmp_path / "wide.npy", np.full((3, 4, 4), 7.0))
    np.save(tmp_path / "none.npy", np.zeros((3, 0, 4)))
    np.save(tmp_path / "complex.npy", np.zeros((3, 4, 4), complex))
    np.save(tmp_path / "code.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "several", x=np.zeros(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    _depth(tmp_path / "depth.tiff")
    rgb, rgbd = InputSpec.rgb(4), InputSpec.rgbd(4)
    normals = InputSpec((Modality("normals", 2),), 4)
    for name, spec, message in (
        ("text.png", rgb, r"text\.png\" is not a picture"),
        ("empty.png", rgb, "is not a picture"),
        ("truncated.png", rgb, "is not a picture that can be read"),
        ("truncated.jpg", rgb, "is not a picture that can be read"),
        ("rare.png", rgb, "is not a picture that can be read: it is no PNG, JPEG"),
        ("text.png", rgbd, r"of no modality \(rgb, depth\).* a \.npy file \(C, H, W\)"),
        ("three.npy", rgbd, r"shape \(3, 4, 4\); expected \(4, H, W\)"),
        ("none.npy", rgb, r"shape \(3, 0, 4\)"),
        ("wide.npy", rgb, r"outside \[0, 1\]"),
        ("complex.npy", rgb, "is not a NumPy file of numbers"),
        ("code.npy", rgb, "is not a NumPy file of numbers"),
        ("several.npy", rgb, "is not a NumPy file of numbers"),
        ("depth.tiff", rgb, 'a 16-bit or float picture, and modality "rgb" has 3 channels'),
        ("whole.png", normals, 'a color picture, and modality "normals" has 2 channels'),
    ):
        with pytest.raises(ValueError, match=message):
            read_picture(tmp_path / name, spec)
    with pytest.raises(ValueError, match="is a folder"):
        read_picture(tmp_path, rgb)
    with pytest.raises(FileNotFoundError, match="there is no picture"):
        read_picture(tmp_path / "absent.png", rgb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="more pixels than can be meant"):
        read_picture(tmp_path / "whole.png", rgb)


def test_files_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    spec = InputSpec.rgbd(8)
    _color(tmp_path / "a_rgb.png", (6, 8))
    _depth(tmp_path / "a_depth.tiff", (8, 6))
    with pytest.raises(ValueError, match="do not show the same frame"):
        read_picture(tmp_path / "a_rgb.png", spec)
    _color(tmp_path / "b_rgb.png")
    _color(tmp_path / "b_depth.png")
    with pytest.raises(ValueError, match='a color picture, and modality "depth" has 1 channel;'):
        read_picture(tmp_path / "b_rgb.png", spec)
    _color(tmp_path / "c_rgb.png", (12, 16))
    Image.new("RGB", (8, 6), (51, 51, 51)).save(tmp_path / "c_depth.png")
    image = read_picture(tmp_path / "c_rgb.png", spec)  # Another size, and gray stored as color.
    torch.testing.assert_close(image[3], torch.full((8, 8), 0.2))


# Finding


def _names(found: list) -> list[tuple[str, list[str]]]:
    return [(image.name, [path.name for path in image.files.values()]) for image in found]


def test_a_folder_is_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", ".hidden.png", "inside/c.png"):
        _color(tmp_path / name)
    np.save(tmp_path / "d.npy", np.zeros((3, 4, 4)))
    (tmp_path / "readme.txt").write_text("")
    (tmp_path / "broken.png").symlink_to(tmp_path / "absent.png")
    spec = InputSpec.rgb(4)
    expected = [("a", ["a.png"]), ("b", ["b.JPG"]), ("d", ["d.npy"])]
    assert _names(find_pictures(tmp_path, spec)) == expected
    twice = find_pictures([tmp_path / "b.JPG", tmp_path], spec)
    assert [image.name for image in twice] == ["b", "a", "d"]
    assert _names(find_pictures(tmp_path, spec, {"rgb": "*.png"})) == [("a", ["a.png"])]


def test_files_of_an_image_are_found_by_their_endings(tmp_path: Path) -> None:
    _color(tmp_path / "X_RGB.png")
    _depth(tmp_path / "X_perfect_depth.tiff")
    _color(tmp_path / "X_2 rgb.jpg")
    _depth(tmp_path / "X_2 Depth.TIFF")
    np.save(tmp_path / "Y.npy", np.zeros((4, 4, 4)))
    _color(tmp_path / "X_mask.png")
    spec = InputSpec.rgbd(4)
    with pytest.warns(UserWarning, match=r"1 of 6 pictures in .* left out, such as .X_mask\.png"):
        found = find_pictures(tmp_path, spec)
    pair = ("X", ["X_RGB.png", "X_perfect_depth.tiff"])
    assert _names(found) == [
        ("X_2", ["X_2 rgb.jpg", "X_2 Depth.TIFF"]),
        pair,
        ("Y", ["Y.npy", "Y.npy"]),
    ]
    for name in pair[1]:
        assert _names(find_pictures(tmp_path / name, spec)) == [pair]
    both = [tmp_path / name for name in reversed(pair[1])]
    assert _names(find_pictures(both, spec)) == [pair]
    assert pickle.loads(pickle.dumps(found)) == found


def test_the_longest_ending_and_the_longest_beginning_decide(tmp_path: Path) -> None:
    spec = InputSpec((Modality("ir", 1), Modality("nir", 1)), 4)
    for name in ("1_ir.png", "1_nir.png", "10_ir.png", "10_nir.png"):
        _color(tmp_path / name)
    assert _names(find_pictures(tmp_path, spec)) == [
        ("10", ["10_ir.png", "10_nir.png"]),
        ("1", ["1_ir.png", "1_nir.png"]),
    ]
    for name in ("1ir.png", "1nir.png", "10ir.png", "10nir.png"):
        _color(tmp_path / "plain" / name)
    assert _names(find_pictures(tmp_path / "plain", spec)) == [
        ("10", ["10ir.png", "10nir.png"]),
        ("1", ["1ir.png", "1nir.png"]),
    ]


def test_an_image_may_be_all_that_a_name_says(tmp_path: Path) -> None:
    _color(tmp_path / "rgb.png")
    _depth(tmp_path / "depth.tiff")
    found = find_pictures(tmp_path, InputSpec.rgbd(4))
    assert _names(found) == [("rgb", ["rgb.png", "depth.tiff"])]


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (["X_rgb.png"], "", r"no depth picture to go with .*X_rgb\.png.*\*_depth\.png"),
        (["X_rgb.png"], "X_rgb.png", "no depth picture to go with"),
        (["X_depth.png"], "", "no rgb picture to go with .*X_depth"),
        (["X_rgb.png", "X_depth.png", "Z_rgb.png"], "", "no depth picture to go with .*Z_rgb"),
        (["X_rgb.png", "X_depth.png", "Z_depth.png"], "", "no rgb picture to go with .*Z_depth"),
        (["X_depth.png"], "X_depth.png", "no rgb picture to go with .*X_depth"),
        (
            ["X_rgb.png", "X_depth.png", "X_stereo_depth.png"],
            "",
            r"2 pictures of depth: X_depth\.png, X_stereo_depth\.png; names .* or patterns say",
        ),
        (["X_rgb.png", "X_rgb.jpg", "X_depth.png"], "X_depth.png", "2 pictures of rgb"),
        (["a.png", "b.png"], "", "there is no picture in .*must begin alike"),
        (["a.png", "b.png"], "a.png", r"a\.png. is of no modality \(rgb, depth\)"),
    ],
)
def test_missing_and_ambiguous_partners_are_named(
    tmp_path: Path, names: list[str], given: str, message: str
) -> None:
    for name in names:
        _color(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=message):
            find_pictures(tmp_path / given, InputSpec.rgbd(4))


def test_one_bad_image_does_not_hide_another_that_is_asked_for(tmp_path: Path) -> None:
    for name in ("X_rgb.png", "X_depth.png", "Y_rgb.png", "Z_depth.png"):
        _color(tmp_path / name)
    found = find_pictures(tmp_path / "X_rgb.png", InputSpec.rgbd(4))
    assert _names(found) == [("X", ["X_rgb.png", "X_depth.png"])]


def test_patterns_tell_files_apart(tmp_path: Path) -> None:
    spec = InputSpec.rgbd(4)
    for name in ("X_RGB.png", "X_perfect_depth.tiff", "X_stereo_depth.tiff", "X_mask.png"):
        _color(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # They are left out on purpose.
        found = find_pictures(tmp_path, spec, PERFECT)
    assert _names(found) == [("X", ["X_RGB.png", "X_perfect_depth.tiff"])]
    assert find_pictures(tmp_path / "X_RGB.png", spec, PERFECT) == found
    with pytest.raises(ValueError, match=r"X_mask\.png. is of no modality"):
        find_pictures(tmp_path / "X_mask.png", spec, PERFECT)


def test_patterns_reach_into_folders(tmp_path: Path) -> None:
    spec = InputSpec.rgbd(4)
    patterns = {"rgb": "rgb/*.png", "depth": "depth/*.tiff"}
    for number in ("0001", "0002"):
        _color(tmp_path / "rgb" / f"{number}.png")
        _depth(tmp_path / "depth" / f"{number}.tiff")
    found = find_pictures(tmp_path, spec, patterns)
    assert _names(found) == [
        ("0001", ["0001.png", "0001.tiff"]),
        ("0002", ["0002.png", "0002.tiff"]),
    ]
    assert find_pictures(tmp_path / "depth" / "0002.tiff", spec, patterns) == found[1:]
    (tmp_path / "depth" / "0001.tiff").unlink()
    with pytest.raises(ValueError, match=r"no depth picture to go with .*0001\.png"):
        find_pictures(tmp_path, spec, patterns)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"rgb": "*_RGB.png"}, r"one for each modality \(rgb, depth\); got rgb"),
        ({**PERFECT, "mask": "*_mask.png"}, "got rgb, depth, mask"),
        ({**PERFECT, "depth": "depth.tiff"}, 'one "\\*".*got "depth.tiff"'),
        ({**PERFECT, "depth": "*_*.tiff"}, 'one "\\*"'),
        ({**PERFECT, "depth": "*/depth.tiff"}, 'one "\\*"'),
        ({**PERFECT, "depth": "/data/*.tiff"}, 'one "\\*"'),
    ],
)
def test_bad_patterns_are_named(tmp_path: Path, patterns: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_pictures(tmp_path, InputSpec.rgbd(4), patterns)


def test_a_mapping_is_one_image_whatever_its_files_are_called(tmp_path: Path) -> None:
    spec = InputSpec.rgbd(4)
    files = {"depth": _depth(tmp_path / "scan.tiff"), "rgb": _color(tmp_path / "photo.png")}
    (found,) = find_pictures(files, spec)
    assert _names([found]) == [("photo", ["photo.png", "scan.tiff"])]
    assert read_picture(found, spec).shape == (4, 4, 4)
    with pytest.raises(ValueError, match="an image of rgb, depth needs a file for each; got rgb"):
        find_pictures({"rgb": tmp_path / "photo.png"}, spec)
    with pytest.raises(FileNotFoundError, match="absent"):
        find_pictures({**files, "rgb": tmp_path / "absent.png"}, spec)
    np.save(tmp_path / "half.npy", np.zeros((1, 4, 4)))
    (half,) = find_pictures({**files, "depth": tmp_path / "half.npy"}, spec)
    with pytest.raises(ValueError, match="must hold all modalities"):
        read_picture(half, spec)


def test_nothing_to_find_is_an_error(tmp_path: Path) -> None:
    spec = InputSpec.rgb(4)
    with pytest.raises(ValueError, match=r"no PNG, JPEG, TIFF or \.npy file"):
        find_pictures(tmp_path, spec)
    with pytest.raises(ValueError, match="got none"):
        find_pictures([], spec)
    with pytest.raises(FileNotFoundError, match="absent"):
        find_pictures([tmp_path / "absent"], spec)


# Not even a warning that has such a name could be sent from one process to another.
@pytest.mark.filterwarnings("ignore")
def test_names_can_be_printed(tmp_path: Path) -> None:
    _color(tmp_path / "line\nbreak \udcff 日本.png")
    (image,) = find_pictures(tmp_path, InputSpec.rgb(4))
    assert image.name == "line\ufffdbreak \ufffd 日本"
    assert read_picture(image, InputSpec.rgb(4)).shape == (3, 4, 4)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real RGB-D frames are not here")
@pytest.mark.filterwarnings("ignore:2 of 6 pictures in")
def test_real_frames_as_a_folder_and_as_files() -> None:
    spec = InputSpec.rgbd(1024, depth_range=(1.4, 1.6))
    found = find_pictures(REAL, spec)
    assert [image.name for image in found] == [
        "1_f35dd907ca111f9e7d1b7935311a2ed0",
        "4_1ec297183c8aa37a36c7d12bccd8bbd",
    ]
    for image in found:
        assert find_pictures(image.files["depth"], spec) == [image]
        read = read_picture(image.files["rgb"], spec)
        color = np.asarray(Image.open(image.files["rgb"])) / 255
        meters = np.asarray(Image.open(image.files["depth"]))
        np.testing.assert_allclose(read[:3], np.moveaxis(color, 2, 0), atol=1e-5)
        np.testing.assert_allclose(read[3] * 0.2 + 1.4, meters, atol=1e-5)
    with pytest.raises(ValueError, match=r"holds 1\.427 to 1\.574"):
        read_picture(found[0], InputSpec.rgbd(64))
