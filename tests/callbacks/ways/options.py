"""Options of a Trainer: tuning, data, checkpoints, precision, loggers, debugging."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities import CombinedLoader
from promise import TinyModule, loader
from torch import Tensor, nn
from torch.utils.data import DataLoader
from typing_extensions import override

from ways import Training, all_warn, way


class Tunable(TinyModule):
    def __init__(self) -> None:
        super().__init__()
        self.lr = 1e-3

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Data(LightningDataModule):
    """Draws random numbers when it is set up."""

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size

    @override
    def setup(self, stage: str) -> None:
        self.shift = torch.randn(3, 1, 1)

    @override
    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(loader(batches=2).dataset, self.batch_size, shuffle=True)

    @override
    def val_dataloader(self) -> DataLoader[Any]:
        return loader(seed=1, batches=1)

    @override
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] + self.shift, batch[1]


@way()
def learning_rate_found(training: Training) -> Any:
    module, run = Tunable(), training.trainer()
    Tuner(run).lr_find(module, loader(batches=2), num_training=12, min_lr=1e-4)
    run.fit(module, loader(shuffle=True, batches=2), loader(seed=1, batches=1))
    return {"lr": module.lr}


@way(is_slow=True)
def batch_size_found(training: Training) -> Any:
    module, data, run = TinyModule(), Data(2), training.trainer()
    Tuner(run).scale_batch_size(module, datamodule=data, max_trials=2, steps_per_trial=1)
    run.fit(module, datamodule=data)
    return {"batch_size": data.batch_size}


@way(is_slow=True)
def data_module(training: Training) -> None:
    training.trainer().fit(TinyModule(), datamodule=Data())


class Pairs(TinyModule):
    @override
    def training_step(self, batch: Any) -> Tensor:
        return super().training_step(batch["labeled"]) + self(batch["other"][0]).square().mean()


@way()
def several_training_loaders(training: Training) -> None:
    loaders = {"labeled": loader(batches=2), "other": loader(seed=4, batches=3)}
    training.fit(Pairs(), train=CombinedLoader(loaders, "max_size_cycle"))


@way()
def best_checkpoints(training: Training) -> None:
    saving = ModelCheckpoint(
        training.folder, "{epoch}-{val_loss:.3f}", "val_loss", save_top_k=1, save_last=True
    )
    training.fit(TinyModule(), saving)


@way()
def checkpoints_in_the_middle_of_an_epoch(training: Training) -> None:
    saving = ModelCheckpoint(training.folder, "{step}", every_n_train_steps=3, save_top_k=-1)
    training.fit(TinyModule(), saving, train=loader(batches=2))


@way()
def mixed_bfloat16(training: Training) -> None:
    training.fit(precision="bf16-mixed")


@way()
def true_bfloat16(training: Training) -> None:
    training.fit(precision="bf16-true")


@way()
def float64(training: Training) -> None:
    training.fit(precision="64-true")


class Tempered(TinyModule):
    """Divides by a temperature, which comes before the layers and is of another dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones((), dtype=torch.float64))

    @override
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / self.temperature.float()


@way()
def parameters_of_two_dtypes(training: Training) -> None:
    training.fit(Tempered())


@way()
def float64_by_default(training: Training) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        training.fit()
    finally:
        torch.set_default_dtype(torch.float32)


@way()
def overfitted_batches(training: Training) -> None:
    training.fit(overfit_batches=1)


@way()
def fast_dev_run(training: Training) -> None:
    training.fit(fast_dev_run=2)


@way(warnings=all_warn("leave barebones out"))
def barebones(training: Training) -> None:
    training.fit(
        barebones=True,
        logger=None,
        log_every_n_steps=None,
        enable_checkpointing=None,
        enable_progress_bar=None,
        enable_model_summary=None,
    )


class ReloadsData(TinyModule):
    @override
    def train_dataloader(self) -> Any:
        return loader(shuffle=True, seed=self.current_epoch, batches=2)


@way()
def reloaded_data(training: Training) -> None:
    training.trainer(reload_dataloaders_every_n_epochs=1).fit(ReloadsData())


@way()
def deterministic_algorithms(training: Training) -> None:
    training.fit(deterministic=True)


@way()
def several_loggers(training: Training) -> Any:
    folder = training.folder
    loggers = [CSVLogger(folder, "csv", 0), TensorBoardLogger(folder, "board", 0)]
    training.fit(logger=loggers)
    rows = (folder / "csv/version_0/metrics.csv").read_text().splitlines()
    return {"lines": [row for row in rows if row.count(",") > 20] or None}


@way()
def no_logger(training: Training) -> None:
    training.fit(logger=False)


@way()
def profiled(training: Training) -> None:
    training.fit(profiler="simple")


@way()
def anomalies_detected(training: Training) -> None:
    training.fit(detect_anomaly=True)


@way(is_slow=True)
def metrics_logged_every_third_step(training: Training) -> None:
    training.fit(log_every_n_steps=3)
