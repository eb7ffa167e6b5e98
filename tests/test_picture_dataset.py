"""Pictures in files as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neurovis.inputs import InputSpec
from neurovis.pictures import PictureDataset, find_pictures

SPEC = InputSpec.rgb(4)


def _write(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), level, dtype=np.uint8)).save(path)


def test_folders_are_classes(tmp_path: Path) -> None:
    for name, level in (("a/cat/0", 0), ("a/dog/1", 51), ("b/cat/2", 102)):
        _write(tmp_path / f"{name}.png", level)
    dataset = PictureDataset.find_classes([tmp_path / "a", tmp_path / "b"], SPEC)
    assert dataset.classes == ["cat", "dog"]
    items = [dataset[index] for index in range(len(dataset))]
    assert [(round(image.mean().item(), 4), label) for image, label in items] == [
        (0.0, 0),
        (0.2, 1),
        (0.4, 0),
    ]


def test_folders_of_folders_are_pictures(tmp_path: Path) -> None:
    _write(tmp_path / "inner" / "deep" / "x.png", 255)
    dataset = PictureDataset.find(tmp_path, SPEC)
    assert dataset.labels is None
    torch.testing.assert_close(dataset[0], torch.ones(3, 4, 4))


def test_pictures_beside_classes_are_left_out_with_a_warning(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "x.png", 0)
    _write(tmp_path / "y.png", 0)
    with pytest.warns(UserWarning, match="1 pictures in .* are left out"):
        dataset = PictureDataset.find_classes(tmp_path, SPEC)
    assert [picture.name for picture in dataset.pictures] == ["x"]


def test_pictures_that_cannot_be_read_are_tried_once(tmp_path: Path) -> None:
    _write(tmp_path / "b.png", 255)
    (tmp_path / "a.png").write_bytes(b"no picture")
    dataset = PictureDataset.find(tmp_path, SPEC)
    number, image = dataset.first_readable()
    assert (number, image.mean().item()) == (1, 1)
    assert list(dataset.left_out) == [0]
    assert "a.png" in dataset.left_out[0]
    _write(tmp_path / "a.png", 0)
    assert dataset.try_image(0) is None
    assert len(dataset.subset([1])) == 1


def test_where_none_can_be_read_the_reason_is_that_of_the_first(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a\.png"):
        PictureDataset.find(tmp_path, SPEC).first_readable()


def test_labels_are_one_for_each_picture(tmp_path: Path) -> None:
    _write(tmp_path / "a.png", 0)
    with pytest.raises(ValueError, match="labels must be one for each of 1 pictures; got 2"):
        PictureDataset(find_pictures(tmp_path, SPEC), SPEC, [0, 1])


def test_a_folder_without_folders_has_no_classes(tmp_path: Path) -> None:
    _write(tmp_path / "a.png", 0)
    with pytest.raises(ValueError, match="one folder of pictures for each class"):
        PictureDataset.find_classes(tmp_path, SPEC)
