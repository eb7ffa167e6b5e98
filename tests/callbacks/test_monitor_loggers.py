"""What every monitor sees arrives at whatever loggers a run has."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from promise import (
    BATCHES,
    EPOCHS,
    KINDS,
    TinyModule,
    differences,
    every_monitor,
    fit,
    loader,
    one_monitor,
    outcome,
    png_steps,
    written,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typing_extensions import override

from neurovis.callbacks import FeatureMapMonitor, Monitor

STEPS = EPOCHS * BATCHES
LAST_STEPS = [BATCHES - 1, STEPS - 1]
ROOMS = {"feature_maps", "saliency", "activation_maximization", "kernel_ranking"}


def all_kinds(**options: Any) -> list[Monitor]:
    return [one_monitor(kind, **options) for kind in KINDS]


def looks_before(tag: str) -> int:
    """Preferred images of the first look are made in it, and compared with from the next on."""
    return int(tag.startswith("activation_maximization/") and tag.endswith("/first_and_now"))


def events_of(folder: str) -> EventAccumulator:
    events = EventAccumulator(folder, size_guidance={"images": 0, "scalars": 0, "histograms": 0})
    events.Reload()
    return events


class WandbLike(Logger):
    """As Lightning's WandbLogger: images by the logger, not by its experiment."""

    name = "wandb"
    version = "0"
    experiment = object()

    def __init__(self) -> None:
        super().__init__()
        self.images: list[tuple[str, int | None]] = []
        self.scalars: list[tuple[str, int | None]] = []

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.images += [(key, step) for image in images if image.shape[2] == 3]

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.scalars += [(name, step) for name in metrics]

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


class Run(NamedTuple):
    """A training with three loggers at once, and what TensorBoard reads of it."""

    folder: Path
    csv: CSVLogger
    wandb: WandbLike
    events: EventAccumulator


class TestSeveralLoggers:
    @pytest.fixture(scope="class")
    @staticmethod
    def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
        folder = tmp_path_factory.mktemp("run")
        numbers, board, wandb = CSVLogger(folder / "a"), TensorBoardLogger(folder), WandbLike()
        fit(all_kinds(), folder, logger=[numbers, board, wandb])
        return Run(folder, numbers, wandb, events_of(board.log_dir))

    @pytest.fixture(scope="class")
    @staticmethod
    def events(run: Run) -> EventAccumulator:
        return run.events

    def test_steps_are_those_of_lightnings_scalars(self, events: EventAccumulator) -> None:
        tags = events.Tags()
        assert {tag.split("/")[0] for tag in tags["images"]} == ROOMS
        for tag in tags["images"]:
            steps = [event.step for event in events.Images(tag)]
            of_losses = [event.step for event in events.Scalars("loss_epoch")]
            assert of_losses == LAST_STEPS
            assert steps == LAST_STEPS[looks_before(tag) :]
        for tag in tags["scalars"]:
            if tag.split("/")[0] in ROOMS:
                assert [event.step for event in events.Scalars(tag)] == LAST_STEPS

    def test_scalars_of_two_rooms(self, events: EventAccumulator) -> None:
        tags = events.Tags()["scalars"]
        assert "feature_maps/conv1/mean" in tags
        assert "activation_maximization/conv2/noise_activation" in tags

    def test_histograms(self, events: EventAccumulator) -> None:
        tags = events.Tags()["histograms"]
        expected = {"conv1": 4 * 10 * 10, "head": 3}
        of_maps = {tag for tag in tags if tag.startswith("feature_maps/")}
        assert of_maps == {f"feature_maps/{layer}/activations" for layer in expected}
        ranking = "kernel_ranking/orientation/conv2"
        assert set(tags) - of_maps == {f"{ranking}/scores", f"{ranking}/null_scores"}
        for layer, values in expected.items():
            tag = f"feature_maps/{layer}/activations"
            assert [event.step for event in events.Histograms(tag)] == LAST_STEPS
            assert all(e.histogram_value.num == values for e in events.Histograms(tag))

    def test_all_get_the_same(self, run: Run) -> None:
        events, wandb = run.events, run.wandb
        pictures, scalars = set(events.Tags()["images"]), set(events.Tags()["scalars"])
        assert {key for key, _ in wandb.images} == pictures
        assert {key for key, _ in wandb.scalars} == scalars - {"hp_metric"}
        assert {step for _, step in wandb.images} == set(LAST_STEPS)
        of_monitors = {step for key, step in wandb.scalars if key.split("/")[0] in ROOMS}
        assert of_monitors == set(LAST_STEPS)
        assert not png_steps(run.folder)
        with open(Path(run.csv.log_dir, "metrics.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        named = [(int(row["step"]), row["feature_maps/conv1/mean"]) for row in rows]
        of_maps = {step: float(value) for step, value in named if value}
        assert list(of_maps) == LAST_STEPS
        for event in events.Scalars("feature_maps/conv1/mean"):
            assert of_maps[event.step] == pytest.approx(event.value)


def test_one_logger_that_takes_all_leaves_nothing_to_files(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    fit(one_monitor(FeatureMapMonitor), tmp_path, logger=logger, max_epochs=1)
    assert "feature_maps/conv1" in events_of(logger.log_dir).Tags()["images"]
    assert not list(tmp_path.rglob("*.png"))


def test_on_steps_of_lightnings_scalars_when_accumulating(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    monitors = all_kinds(every_n_train_steps=1)
    fit(monitors, tmp_path, logger=logger, accumulate_grad_batches=2, max_epochs=1)
    events = events_of(logger.log_dir)
    expected = [event.step for event in events.Scalars("loss_step")]
    for tag in events.Tags()["images"]:
        assert [event.step for event in events.Images(tag)] == expected[looks_before(tag) :]


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_a_logger_of_numbers(package: str, tmp_path: Path) -> None:
    logger = pytest.importorskip(f"{package}.loggers").CSVLogger(tmp_path)
    fit(all_kinds(), tmp_path, logger=logger, max_epochs=1)
    folder = Path(logger.log_dir)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == ROOMS
    assert png_steps(folder) == LAST_STEPS[:1]
    assert not (tmp_path / "scalars.csv").exists()
    with open(folder / "metrics.csv", newline="") as file:
        columns = csv.DictReader(file).fieldnames or []
    assert {"feature_maps/conv1/dead", "activation_maximization/conv2/activation"} <= {*columns}


def test_no_logger(tmp_path: Path) -> None:
    fit(all_kinds(), tmp_path)
    folder = written(tmp_path)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == ROOMS
    assert png_steps(folder) == LAST_STEPS
    with open(folder / "scalars.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    means = [row for row in rows if row["tag"] == "feature_maps/conv1/mean"]
    assert [int(row["step"]) for row in means] == LAST_STEPS


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_runs_without_a_logger_leave_each_other_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def two() -> list[Monitor]:
        return [one_monitor(FeatureMapMonitor, layers=layer) for layer in ("conv1", "conv2")]

    with caplog.at_level(logging.INFO):
        run = fit(two(), tmp_path, max_epochs=1)
    first = files(tmp_path)
    assert all(path.is_relative_to(written(tmp_path, 0)) for path in first)
    said = [text for text in caplog.messages if "write what no logger" in text]
    assert said == [f"Monitors write what no logger of the run takes to {written(tmp_path, 0)}"]
    fit(two(), tmp_path, max_epochs=1)
    assert files(tmp_path).items() > first.items()
    assert {path.name for path in (tmp_path / "lightning_logs").iterdir()} == {
        "version_0",
        "version_1",
    }
    # The same Trainer is the same run, as with a logger.
    run.validate(TinyModule(), loader(), verbose=False)
    assert not written(tmp_path, 2).exists()
    assert len(files(written(tmp_path, 0))) > len(first)


class OtherLogger(Logger):
    """A logger that takes numbers, and names its runs."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self.save_dir_given = folder
        self.number = 3

    name, version = "mine", property(lambda self: self.number)

    @property
    @override
    def save_dir(self) -> str | None:
        return None if self.save_dir_given is None else str(self.save_dir_given)

    @override
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        pass

    @override
    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


@pytest.mark.parametrize("place", ["", "elsewhere"])
def test_an_unknown_logger(place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files go where Lightning keeps the checkpoints of such a run, and the log says where."""
    logger = OtherLogger(tmp_path / place if place else None)
    with caplog.at_level(logging.INFO):
        run = fit(
            FeatureMapMonitor("conv1", max_images=1),
            tmp_path,
            logger=logger,
            max_epochs=1,
            enable_checkpointing=True,
        )
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    folder = checkpoint.parents[1]
    assert folder == tmp_path / place / "mine" / "version_3"
    assert png_steps(folder / "feature_maps") == LAST_STEPS[:1]
    assert f"takes to {folder}" in caplog.text
    logger.number = 4
    before = files(tmp_path)
    fit(FeatureMapMonitor("conv1", max_images=1), tmp_path, logger=logger, max_epochs=1)
    assert files(tmp_path).items() > before.items()
    assert run.loggers == [logger]


@pytest.mark.parametrize("logger", [True, False])
def test_fast_dev_run_writes_nothing(logger: bool, tmp_path: Path) -> None:
    fit(all_kinds(), tmp_path, fast_dev_run=True, logger=logger)
    assert not list(tmp_path.iterdir())


class TestPytorchLightning:
    """The other package of the same name: its loggers, its Trainer, its LightningModule."""

    def test_its_tensorboard_logger(self, tmp_path: Path) -> None:
        loggers = pytest.importorskip("pytorch_lightning.loggers")
        logger = loggers.TensorBoardLogger(tmp_path)
        assert not isinstance(logger, TensorBoardLogger)
        fit(all_kinds(), tmp_path, logger=logger, max_epochs=1)
        tags = events_of(logger.log_dir).Tags()
        assert {tag.split("/")[0] for tag in tags["images"]} == ROOMS
        assert "feature_maps/conv1/activations" in tags["histograms"]
        assert "feature_maps/conv1/mean" in tags["scalars"]
        assert not list(tmp_path.rglob("*.png"))

    @pytest.mark.slow
    def test_its_trainer(self, tmp_path: Path) -> None:
        package = pytest.importorskip("pytorch_lightning")
        left = []
        for name, callbacks in {"with": every_monitor(), "without": []}.items():
            module = _of_package(package)
            logger = package.loggers.TensorBoardLogger(tmp_path / name)
            run = _its_trainer(package, tmp_path / name, callbacks=callbacks, logger=logger)
            package.seed_everything(1, verbose=False)
            run.fit(module, loader(shuffle=True), loader(seed=1))
            run.test(module, loader(seed=2), verbose=False)
            left.append(dict(module.state_dict()))
            found = {tag.split("/")[0] for tag in events_of(logger.log_dir).Tags()["images"]}
            assert found == ({*ROOMS, "feature_maps_active"} if callbacks else set())
        assert differences(*left) == []

    def test_what_is_missing_is_said(self, tmp_path: Path) -> None:
        package = pytest.importorskip("pytorch_lightning")
        module = _of_package(package)
        type(module).forward = package.LightningModule.forward
        run = _its_trainer(
            package, tmp_path, callbacks=[FeatureMapMonitor("conv1", on_error="raise")]
        )
        with pytest.raises(ValueError, match=r"Other defines no forward\(images\)"):
            run.fit(module, loader())

    def test_layers_that_are_built_late(self, tmp_path: Path) -> None:
        package = pytest.importorskip("pytorch_lightning")
        module = _of_package(package)

        def configure_model(self: Any) -> None:
            self.late = self.conv1

        type(module).configure_model = configure_model
        run = _its_trainer(
            package, tmp_path, callbacks=[one_monitor(FeatureMapMonitor, layers="late")]
        )
        run.fit(module, loader())
        assert png_steps(tmp_path) == LAST_STEPS


def _of_package(package: Any) -> Any:
    """A module of another package with the network and the steps of :class:`TinyModule`."""

    class Other(package.LightningModule):  # type: ignore[misc]
        forward = TinyModule.forward
        training_step = TinyModule.training_step
        validation_step = TinyModule.validation_step
        test_step = TinyModule.test_step
        configure_optimizers = TinyModule.configure_optimizers
        _loss = TinyModule._loss

        def __init__(self) -> None:
            super().__init__()
            for name, part in TinyModule().named_children():
                setattr(self, name, part)

    package.seed_everything(1, verbose=False)
    return Other()


def _its_trainer(package: Any, folder: Path, **arguments: Any) -> Any:
    quiet = {
        "accelerator": "cpu",
        "max_epochs": EPOCHS,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
        "default_root_dir": folder,
    }
    return package.Trainer(**{**quiet, **arguments})


@pytest.mark.slow
def test_loggers_do_not_matter(tmp_path: Path) -> None:
    with_board = outcome(every_monitor(), tmp_path / "a", logger=TensorBoardLogger(tmp_path))
    without = outcome([], tmp_path / "b", logger=TensorBoardLogger(tmp_path))
    assert differences(with_board, without) == []
