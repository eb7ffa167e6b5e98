"""Images are rounded before they are measured, and kept in few bytes, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from climbing import GRAY, Climber
from kept import kept_images
from PIL import Image
from torch import nn

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization, AscentSettings
from neurovis.maximization.kept_images import (
    ImageKeeper,
    KeptImage,
    highest_levels,
    load_kept,
    save_kept,
)
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.parametrizations import FixedMagnitude

RGB, RGBD = InputSpec.rgb(20), InputSpec.rgbd(20)


def network_of(channels: int) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(channels, 5, 5), nn.ReLU(), nn.Conv2d(5, 4, 3))


def climbed(
    climb: Climber, spec: InputSpec, folder: Path, **options: Any
) -> ActivationMaximization:
    am = ActivationMaximization(
        network_of(spec.channels), "2", [1, 3], spec, steps=6, batch_size=1, **options
    )
    climb(am, default_root_dir=folder)
    return am


CASES: dict[str, tuple[InputSpec, dict[str, Any]]] = {
    "rgb": (RGB, {}),
    "rgb in several variants": (RGB, {"variants": 3}),
    "one unit of rgb": (RGB.resized(64), {"objective": "center"}),
    "a contrast": (RGB, {"contrast": 0.1}),
    "a spectrum": (RGB, {"parametrization": FixedMagnitude(torch.rand(2, 3, 20, 20))}),
    "rgb and depth": (RGBD, {}),
    "frozen color": (RGBD, {"frozen": {"rgb": torch.rand(3, 20, 20)}}),
    "gray from an image": (GRAY, {"init": torch.rand(1, 16, 16)}),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("without_figures")
def test_what_is_read_again_is_what_was_made(case: str, climb: Climber, tmp_path: Path) -> None:
    spec, options = CASES[case]
    made = climbed(climb, spec, tmp_path, **options)
    # A second run in the folder makes nothing, and reads all.
    read = climbed(climb, spec, tmp_path, **options)
    assert read.finished_count == 2
    for one, other in zip(made.results.items, read.results.items, strict=True):
        assert one.box == other.box
        for name in ("image", "start", "curve", "target_map", "resulting_map"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        assert one.activation == other.activation
    # And it is of these very pixels that the activation is.
    response = LayerResponse(network_of(spec.channels), "2", spec)
    with torch.no_grad():
        own = AscentSettings(objective=options.get("objective", "mean")).resolved_objective(
            response(read.results.images)
        )
    for row, item in enumerate(read.results.items):
        assert item.activation == pytest.approx(own[row, item.kernels[0]].item(), rel=1e-5)
    if "frozen" in options:
        for item in read.results.items:
            assert torch.equal(item.image[:3], options["frozen"]["rgb"])


def test_a_picture_of_rgb_holds_all_of_an_image(climb: Climber, tmp_path: Path) -> None:
    am = climbed(climb, RGB, tmp_path)
    for item in am.results.items:
        path = tmp_path / "images" / f"{item.file_name}.png"
        with Image.open(path) as picture:
            pixels = np.asarray(picture).transpose(2, 0, 1) / np.float32(255)
        assert np.array_equal(pixels, item.image.numpy())
        assert path.samefile(tmp_path / "finished" / "2" / path.name), "it is there twice"


def test_a_picture_that_was_changed_is_made_again(climb: Climber, tmp_path: Path) -> None:
    made = climbed(climb, RGB, tmp_path)
    path = tmp_path / "finished" / "2" / "kernel_0003.png"
    content = path.read_bytes()
    path.unlink()
    Image.new("RGB", (20, 20)).save(path)
    again = climbed(climb, RGB, tmp_path)
    assert path.read_bytes() == content
    assert torch.equal(again.results.images, made.results.images)


def test_nothing_that_needs_space_is_there_twice(climb: Climber, tmp_path: Path) -> None:
    spec = RGB.resized(96)
    am = climbed(climb, spec, tmp_path)
    files = {path.stat().st_ino: path for path in tmp_path.rglob("*") if path.is_file()}
    sizes = {path.relative_to(tmp_path).parts[0]: 0 for path in files.values()}
    for path in files.values():
        sizes[path.relative_to(tmp_path).parts[0]] += path.stat().st_size
    # A picture is found under one of its two names.
    pictures = 1.1 * 2 * 96 * 96 * 3  # Bytes of 8-bit pixels of which nothing can be foretold.
    maps = sum(item.resulting_map.nbytes for item in am.results.items)
    assert sizes["finished"] + sizes.get("images", 0) < pictures + maps + 6000
    arrays = np.load(tmp_path / "results.npz")
    assert set(arrays.files) == {
        *("activations", "noise_activations", "curves", "kernels", "image_of_kernel"),
        *("modalities", "layer"),
    }
    assert kept_images(tmp_path).shape == (2, 3, 96, 96)


def test_pixels_of_a_picture_may_be_given_to_torch(tmp_path: Path) -> None:
    """torch warns of arrays that are read-only, as those of Pillow are."""
    levels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    save_kept(tmp_path / "one.npz", [KeptImage({}, {"levels_rgb": levels})], "made by this")
    (one,) = load_kept(tmp_path / "one.npz", "made by this") or ()
    np.testing.assert_array_equal(one.arrays["levels_rgb"], levels)
    assert one.arrays["levels_rgb"].flags.writeable


def test_levels_follow_from_what_is_asked() -> None:
    def levels(**options: Any) -> dict[str, int]:
        return highest_levels(RGBD, AscentSettings(**options))

    assert levels() == levels(parametrization="pixel") == {"rgb": 255, "depth": 65535}
    assert levels(luminance={"depth": 0.5}) == {"rgb": 255, "depth": 65535}
    assert levels(contrast=0.1) == {"rgb": 65535, "depth": 65535}
    assert levels(parametrization="fixed_magnitude")["rgb"] == 255
    pictures = FixedMagnitude(torch.rand(1, 4, 20, 20))
    assert levels(parametrization=pictures)["rgb"] == 65535
    assert levels(frozen={"rgb": torch.rand(3, 20, 20)}) == {"rgb": 0, "depth": 65535}


def test_rounding_is_to_the_nearest_value_and_changes_nothing_the_second_time() -> None:
    keeper = ImageKeeper(RGBD, AscentSettings())
    images = torch.rand(2, 4, 20, 20)
    rounded = keeper.rounded(images)
    assert (rounded - images)[:, :3].abs().max() <= 0.5001 / 255
    assert (rounded - images)[:, 3:].abs().max() <= 0.51 / 65535
    assert torch.equal(keeper.rounded(rounded), rounded)
    ends = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 4, 20, 20)
    assert torch.equal(keeper.rounded(ends), ends)


@pytest.mark.usefixtures("without_figures")
def test_a_run_of_unrounded_images_is_refused(climb: Climber, tmp_path: Path) -> None:
    """As it was made before images were rounded: its manifest tells no levels."""
    climbed(climb, RGB, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["settings"]["levels"]
    manifest["complete"] = False
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"unfinished run that differs in settings\.levels"):
        climbed(climb, RGB, tmp_path)
