"""Pictures, numbers and histograms in real loggers, read back from where they keep them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from neurovis.callbacks import FeatureMapMonitor
from neurovis.observation import Histogram, Observation
from neurovis.summaries import log_observation, picture_path

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
VALUES = torch.randn(100, generator=torch.Generator().manual_seed(0))
SEEN = Observation({"maps/conv1": PICTURE}, {"maps/mean": 1.5}, {"maps/all": Histogram.of(VALUES)})


class Small(pl.LightningModule):
    """A network that learns something in two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        loss = self(batch).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def leveldb_records(log: bytes) -> Iterator[bytes]:
    """The records of a W&B file: LevelDB's log format after a header of seven bytes.

    Blocks have 32 KiB, the header included; a record may lie in several, and a block may end in
    up to six bytes of padding. (https://github.com/google/leveldb/blob/main/doc/log_format.md)
    """
    block, header, place, record = 32768, struct.Struct("<IHB"), 7, b""
    whole, last = 1, 4
    while place + header.size <= len(log):
        if block - place % block < header.size:
            place += block - place % block
            continue
        _, length, kind = header.unpack_from(log, place)
        place += header.size
        record += log[place : place + length]
        place += length
        if kind in (whole, last):
            yield record
            record = b""


def watch(logger: Any, folder: Path, **options: Any) -> pl.Trainer:
    """Train for two epochs of two steps, watched."""
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=logger,
        max_epochs=2,
        log_every_n_steps=1,
        default_root_dir=folder,
        callbacks=[FeatureMapMonitor("conv", on_error="raise")],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(Small(), DataLoader(torch.rand(4, 3, 8, 8), batch_size=2))
    return trainer


class TestMLflow:
    @pytest.fixture
    def logger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        pytest.importorskip("mlflow", reason="mlflow is not there: pip install .[loggers]")
        from lightning.pytorch.loggers import MLFlowLogger

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
        return MLFlowLogger(
            tracking_uri=f"sqlite:///{tmp_path}/runs.db",
            artifact_location=(tmp_path / "artifacts").as_uri(),
        )

    def test_pictures_are_artifacts_and_numbers_have_their_step(
        self, logger: Any, tmp_path: Path
    ) -> None:
        for step in (7, 9):
            log_observation([logger], SEEN, step, tmp_path / "files")
        folder = tmp_path / "artifacts" / logger.run_id / "artifacts"
        for step in (7, 9):
            written = np.asarray(Image.open(folder / picture_path("maps/conv1", step)))
            assert np.array_equal(written, PICTURE)
        history = logger.experiment.get_metric_history(logger.run_id, "maps/mean")
        assert [(entry.step, entry.value) for entry in history] == [(7, 1.5), (9, 1.5)]
        assert not (tmp_path / "files").exists()

    def test_a_training_run_leaves_nothing_elsewhere(self, logger: Any, tmp_path: Path) -> None:
        watch(logger, tmp_path)
        client, run = logger.experiment, logger.run_id
        found = [file.path for file in client.list_artifacts(run, "feature_maps/conv")]
        steps = [picture_path("feature_maps/conv", step).as_posix() for step in (1, 3)]
        assert set(steps) <= set(found)
        history = client.get_metric_history(run, "feature_maps/conv/mean")
        losses = client.get_metric_history(run, "loss")
        assert [entry.step for entry in history] == [1, 3]
        assert {1, 3} <= {entry.step for entry in losses}
        assert {path.name for path in tmp_path.iterdir()} == {"artifacts", "runs.db"}


class TestWandb:
    @pytest.fixture
    def logger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        wandb = pytest.importorskip("wandb", reason="wandb is not there: pip install .[loggers]")
        from lightning.pytorch.loggers import WandbLogger

        monkeypatch.chdir(tmp_path)
        for name in ("CACHE", "CONFIG", "DATA"):
            monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb" / name))
        monkeypatch.setenv("WANDB_SILENT", "true")
        yield WandbLogger(offline=True, save_dir=tmp_path)
        wandb.teardown()

    def records(self, folder: Path) -> list[dict[str, Any]]:
        """What was logged, as W&B would send it."""
        import wandb
        from wandb.proto.wandb_internal_pb2 import Record

        wandb.finish()
        wandb.teardown()  # Its service writes the end of the file as it stops.
        (file,) = folder.glob("wandb/offline-run-*/*.wandb")
        entries = []
        for record in leveldb_records(file.read_bytes()):
            entry: dict[str, Any] = {}
            for item in Record.FromString(record).history.item:
                key, *fields = item.nested_key or [item.key]
                value = json.loads(item.value_json)
                if fields:
                    entry.setdefault(key, {})[fields[0]] = value
                else:
                    entry[key] = value
            entries.append(entry)
        return entries

    def test_pictures_numbers_and_histograms(self, logger: Any, tmp_path: Path) -> None:
        for step in (7, 9):
            log_observation([logger], SEEN, step, tmp_path / "files")
        logged = self.records(tmp_path)
        for step in (7, 9):
            at_step = [entry for entry in logged if entry.get("trainer/global_step") == step]
            found = {key: value for entry in at_step for key, value in entry.items()}
            assert found["maps/mean"] == 1.5
            (name,) = found["maps/conv1"]["filenames"]
            (file,) = tmp_path.glob(f"wandb/offline-run-*/files/{name}")
            assert np.array_equal(np.asarray(Image.open(file)), PICTURE)
            counts, edges = np.histogram(VALUES.double().numpy(), 64)
            assert found["maps/all"]["_type"] == "histogram"
            assert found["maps/all"]["values"] == counts.tolist()
            np.testing.assert_allclose(found["maps/all"]["bins"], edges, rtol=1e-6)
        assert not (tmp_path / "files").exists()

    def test_a_training_run_leaves_nothing_elsewhere(self, logger: Any, tmp_path: Path) -> None:
        watch(logger, tmp_path)
        logged = self.records(tmp_path)
        for tag in ("feature_maps/conv", "feature_maps/conv/activations", "loss"):
            steps = [entry["trainer/global_step"] for entry in logged if tag in entry]
            assert {1, 3} <= {*steps}
        assert {path.name for path in tmp_path.iterdir()} == {"wandb"}
