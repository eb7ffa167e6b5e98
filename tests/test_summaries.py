from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurovis.summaries import log_picture, picture_path

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


class Writer:
    """As much of a TensorBoard SummaryWriter as is needed."""

    def __init__(self) -> None:
        self.images: list[tuple[Any, ...]] = []

    def add_image(self, tag: str, image: Any, global_step: int, dataformats: str) -> None:
        self.images.append((tag, image.shape, global_step, dataformats))


class TensorBoardLike:
    def __init__(self) -> None:
        self.experiment = Writer()


class WandbLike:
    """As Lightning's WandbLogger: images by the logger, not by its experiment."""

    experiment = object()

    def __init__(self) -> None:
        self.images: list[tuple[Any, ...]] = []

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.images.append((key, [image.shape for image in images], step))


class NumbersOnly:
    experiment = object()


def test_every_logger_that_takes_images_gets_them(tmp_path: Path) -> None:
    board, wandb = TensorBoardLike(), WandbLike()
    log_picture([NumbersOnly(), board, wandb], "maps/conv1", PICTURE, 7, tmp_path)
    assert board.experiment.images == [("maps/conv1", (6, 9, 3), 7, "HWC")]
    assert wandb.images == [("maps/conv1", [(6, 9, 3)], 7)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("loggers", [[], [NumbersOnly()], [object()]])
def test_a_file_where_no_logger_takes_images(loggers: list[object], tmp_path: Path) -> None:
    log_picture(loggers, "maps/conv1", PICTURE, 7, tmp_path)
    file = tmp_path / "maps" / "conv1" / "step_00000007.png"
    assert np.array_equal(np.asarray(Image.open(file)), PICTURE)


def test_nothing_without_a_folder() -> None:
    log_picture([], "maps/conv1", PICTURE, 7, None)


def test_what_a_logger_raises_is_passed_on() -> None:
    class Failing(Writer):
        def add_image(self, *_: Any, **__: Any) -> None:
            raise OSError("disk full")

    logger = TensorBoardLike()
    logger.experiment = Failing()
    with pytest.raises(OSError, match="disk full"):
        log_picture([logger], "maps/conv1", PICTURE, 7, None)


HOSTILE = [
    "..",
    "../../etc",
    "/etc/passwd",
    "a/../../b",
    "",
    ".",
    "a\0b",
    "x" * 400,
    "~",
    "C:\\a",
    "é",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_files_stay_in_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    log_picture([], f"maps/{name}", PICTURE, 3, folder)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].resolve().is_relative_to((folder / "maps").resolve())


def test_different_tags_have_different_files() -> None:
    tags = [*HOSTILE, "a_b", "a b", "a:b", "a.b", "a..b", ".a.b", "A_b"]
    assert len({picture_path(f"maps/{tag}", 0) for tag in tags}) == len(tags)


def test_layer_names_are_kept() -> None:
    assert picture_path("maps/features.10.conv_2-1", 12).parts == (
        "maps",
        "features.10.conv_2-1",
        "step_00000012.png",
    )
