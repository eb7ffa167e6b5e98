from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neurovis.inputs import InputSpec, Modality
from neurovis.pictures import read_picture


def test_a_colour_picture_of_the_right_size_comes_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    image = read_picture(tmp_path / "picture.png", InputSpec.rgb((12, 9)))
    np.testing.assert_allclose(image.permute(1, 2, 0) * 255, pixels, atol=1e-3)


def test_pictures_are_resized_and_made_grey(tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.jpg")
    image = read_picture(tmp_path / "red.jpg", InputSpec((Modality("grey", 1),), size=(8, 8)))
    assert image.shape == (1, 8, 8)
    torch.testing.assert_close(image, torch.full((1, 8, 8), 0.299), atol=0.02, rtol=0)


def test_arrays_serve_any_modalities(tmp_path: Path) -> None:
    array = np.random.default_rng(0).uniform(size=(4, 6, 6)).astype(np.float32)
    np.save(tmp_path / "rgbd.npy", array)
    np.testing.assert_allclose(
        read_picture(tmp_path / "rgbd.npy", InputSpec.rgbd(6)), array, atol=1e-6
    )


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    np.save(tmp_path / "three.npy", np.zeros((3, 4, 4)))
    np.save(tmp_path / "wide.npy", np.full((3, 4, 4), 7.0))
    np.save(tmp_path / "code.npy", np.array([{}]), allow_pickle=True)
    rgb, rgbd = InputSpec.rgb(4), InputSpec.rgbd(4)
    for name, spec, message in (
        ("text.png", rgb, "is not a picture"),
        ("text.png", rgbd, r"give a \.npy file \(4, H, W\)"),
        ("three.npy", rgbd, r"shape \(3, 4, 4\); expected \(4, H, W\)"),
        ("wide.npy", rgb, r"outside \[0, 1\]"),
        ("code.npy", rgb, "is not a NumPy file of numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            read_picture(tmp_path / name, spec)
    with pytest.raises(FileNotFoundError, match="there is no picture"):
        read_picture(tmp_path / "absent.png", rgb)
