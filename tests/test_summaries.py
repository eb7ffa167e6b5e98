from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neurovis.observation import Histogram, Observation
from neurovis.summaries import (
    log_histogram,
    log_observation,
    log_picture,
    log_scalars,
    picture_path,
)

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


class MlflowClient:
    """As much of mlflow's client as is needed."""

    def __init__(self) -> None:
        self.images: list[tuple[Any, ...]] = []

    def log_image(self, run_id: str, image: Any, artifact_file: str | None = None) -> None:
        self.images.append((run_id, image.shape, artifact_file))


class CometExperiment:
    """As much of comet_ml's experiment as is needed."""

    def __init__(self) -> None:
        self.images: list[tuple[Any, ...]] = []

    def log_image(self, image_data: Any, name: str | None = None, step: int | None = None) -> None:
        self.images.append((image_data.shape, name, step))

    def log_histogram_3d(self, *_: Any, **__: Any) -> None:
        raise AssertionError("it makes bins of its own")


class ClientLogger:
    """A logger whose experiment logs images, and itself not."""

    def __init__(self, experiment: Any, run_id: str | None = None) -> None:
        self.experiment = experiment
        self.run_id = run_id


class OtherClient:
    def log_image(self, *_: Any, **__: Any) -> None:
        raise AssertionError("nobody knows what it wants")


def test_every_logger_that_takes_images_gets_them(tmp_path: Path) -> None:
    board, wandb = TensorBoardLike(), WandbLike()
    mlflow, comet = MlflowClient(), CometExperiment()
    loggers = [NumbersOnly(), board, wandb, ClientLogger(mlflow, "0123"), ClientLogger(comet)]
    log_picture(loggers, "maps/conv 1", PICTURE, 7, tmp_path)
    assert board.experiment.images == [("maps/conv 1", (6, 9, 3), 7, "HWC")]
    assert wandb.images == [("maps/conv 1", [(6, 9, 3)], 7)]
    ((run_id, shape, artifact),) = mlflow.images
    assert (run_id, shape, artifact) == ("0123", (6, 9, 3), str(picture_path("maps/conv 1", 7)))
    assert comet.images == [((6, 9, 3), "maps/conv 1", 7)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "loggers", [[], [NumbersOnly()], [object()], [ClientLogger(OtherClient())]]
)
def test_a_file_where_no_logger_takes_images(loggers: list[object], tmp_path: Path) -> None:
    log_picture(loggers, "maps/conv1", PICTURE, 7, tmp_path)
    file = tmp_path / "maps" / "conv1" / "step_00000007.png"
    assert np.array_equal(np.asarray(Image.open(file)), PICTURE)


def test_nothing_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log_picture([], "maps/conv1", PICTURE, 7, None)
    assert list(tmp_path.iterdir()) == []


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


class TestHistogram:
    @pytest.mark.parametrize("shape", [(1000,), (4, 6, 5, 5), (1,)])
    def test_counts_are_numpys(self, shape: tuple[int, ...]) -> None:
        values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        found = Histogram.of(values, bins=7)
        low, high = values.min().item(), values.max().item()
        limits = (low, high) if low < high else (low - 0.5, high + 0.5)
        counts, edges = np.histogram(values.double().numpy(), 7, limits)
        assert found.counts == counts.tolist()
        np.testing.assert_allclose(found.edges, edges, rtol=1e-6)
        assert found.total == pytest.approx(values.double().sum().item())
        assert found.total_squared == pytest.approx(values.double().square().sum().item())

    def test_what_is_not_finite_is_left_out(self) -> None:
        values = torch.tensor([1.0, torch.nan, 3.0, torch.inf, -torch.inf, 3.0])
        found = Histogram.of(values, bins=2)
        assert (found.edges, found.counts, found.total) == ([1.0, 2.0, 3.0], [1, 2], 7.0)

    @pytest.mark.parametrize("values", [torch.zeros(0), torch.full((3,), torch.nan)])
    def test_nothing(self, values: torch.Tensor) -> None:
        found = Histogram.of(values)
        assert (sum(found.counts), found.total, found.total_squared) == (0, 0.0, 0.0)
        assert len(found.edges) == len(found.counts) + 1

    def test_constant_and_huge_values(self) -> None:
        assert Histogram.of(torch.full((5,), 2.0), bins=4).counts == [0, 0, 5, 0]
        for value in (1e-30, 1e20, -1e9, 3e38):
            found = Histogram.of(torch.full((5,), value))
            assert sum(found.counts) == 5, value
            assert found.edges[0] < found.edges[-1], value

    def test_a_range_that_is_too_wide_for_its_type(self) -> None:
        found = Histogram.of(torch.tensor([-3e38, 0.0, 3e38]), bins=3)
        assert found.counts == [1, 1, 1]

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64])
    def test_types(self, dtype: torch.dtype) -> None:
        values = torch.arange(10, dtype=dtype)
        assert Histogram.of(values, bins=5).counts == [2, 2, 2, 2, 2]

    def test_under_gradients(self) -> None:
        assert sum(Histogram.of(torch.rand(3, requires_grad=True)).counts) == 3

    def test_as_tensorboard_reads_it(self, tmp_path: Path) -> None:
        from lightning.pytorch.loggers import TensorBoardLogger
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        values = torch.randn(500, generator=torch.Generator().manual_seed(0))
        logger = TensorBoardLogger(tmp_path)
        for step in (3, 9):
            log_histogram([NumbersOnly(), logger], "maps", Histogram.of(values), step)
        logger.save()
        events = EventAccumulator(logger.log_dir, {"histograms": 0}).Reload().Histograms("maps")
        assert [event.step for event in events] == [3, 9]
        found = events[0].histogram_value
        assert (found.num, sum(found.bucket)) == (500, 500)
        assert found.min == pytest.approx(values.min().item())
        assert found.max == pytest.approx(values.max().item())
        # Each bucket ends at its limit.
        below = [(values <= limit + 1e-6).sum().item() for limit in found.bucket_limit]
        np.testing.assert_allclose(np.cumsum(found.bucket), below, atol=1)


class MetricsLogger:
    def __init__(self) -> None:
        self.metrics: list[tuple[dict[str, float], int]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.metrics.append((metrics, step))
        metrics.clear()  # It is theirs to change.


class TestScalars:
    def test_every_logger_gets_its_own(self, tmp_path: Path) -> None:
        scalars = {"a/mean": 1.5, "a/dead": 0.0}
        seen: list[dict[str, float]] = []

        class Keeping(MetricsLogger):
            def log_metrics(self, metrics: dict[str, float], step: int) -> None:
                seen.append(dict(metrics))
                super().log_metrics(metrics, step)

        log_scalars([Keeping(), object(), Keeping()], scalars, 4, tmp_path)
        assert seen == [scalars, scalars] == [{"a/mean": 1.5, "a/dead": 0.0}] * 2
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("loggers", [[], [object()], [NumbersOnly()]])
    def test_a_file_where_there_is_no_logger(self, loggers: list[object], tmp_path: Path) -> None:
        folder = tmp_path / "new" / "folder"
        log_scalars(loggers, {"a/mean": 1.5, "a,b": float("nan")}, 4, folder)
        log_scalars(loggers, {"a/mean": 2.5}, 9, folder)
        with open(folder / "scalars.csv", newline="") as file:
            rows = list(csv.reader(file))
        assert rows == [
            ["step", "tag", "value"],
            ["4", "a/mean", "1.5"],
            ["4", "a,b", "nan"],
            ["9", "a/mean", "2.5"],
        ]

    def test_nothing_to_log_or_nowhere(self, tmp_path: Path) -> None:
        log_scalars([], {}, 4, tmp_path)
        log_scalars([], {"a": 1.0}, 4, None)
        logger = MetricsLogger()
        log_scalars([logger], {}, 4, tmp_path)
        assert not logger.metrics
        assert not list(tmp_path.iterdir())


def test_an_observation_is_logged_as_a_whole(tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []

    class Board:
        experiment: Any

        def __init__(self) -> None:
            self.experiment = self

        def add_image(self, tag: str, *_: Any, **__: Any) -> None:
            calls.append(("image", tag))

        def add_histogram_raw(self, tag: str, **__: Any) -> None:
            calls.append(("histogram", tag))

        def log_metrics(self, metrics: dict[str, float], step: int) -> None:
            calls.append(("scalars", *metrics, step))

    seen = Observation({"p": PICTURE}, {"a": 1.0, "b": 2.0}, {"h": Histogram.of(torch.rand(3))})
    log_observation(iter([Board()]), seen, 7, tmp_path)
    assert sorted(calls) == [("histogram", "h"), ("image", "p"), ("scalars", "a", "b", 7)]
    assert not list(tmp_path.iterdir())
    log_observation([], seen, 7, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"p", "scalars.csv"}


def test_a_logger_that_fails_does_not_deprive_the_others(tmp_path: Path) -> None:
    class Failing(TensorBoardLike):
        def __init__(self) -> None:
            self.experiment: Any = self

        def fail(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("no route")

        add_image = add_histogram_raw = log_metrics = fail

    board, metrics = TensorBoardLike(), MetricsLogger()
    seen = Observation({"p": PICTURE, "q": PICTURE}, {"a": 1.0}, {"h": Histogram.of(torch.rand(3))})
    with pytest.raises(ConnectionError, match="no route"):
        log_observation([Failing(), board, metrics], seen, 7, tmp_path)
    assert [image[0] for image in board.experiment.images] == ["p", "q"]
    assert len(metrics.metrics) == 1


def test_observations_share_nothing() -> None:
    Observation().scalars["a"] = 1.0
    assert Observation().scalars == {}
