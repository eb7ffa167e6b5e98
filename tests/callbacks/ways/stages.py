"""When a run starts again, stops, validates or tests."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from promise import TinyModule, loader
from torch import Tensor
from typing_extensions import override

from ways import Training, way


@way()
def resumed_after_an_epoch(training: Training) -> None:
    path = training.folder / "first.ckpt"
    training.fit(max_epochs=1).save_checkpoint(path)
    training.fit(ckpt_path=path)


@way()
def resumed_in_the_middle_of_an_epoch(training: Training) -> None:
    saving = ModelCheckpoint(
        training.folder / "saved", "{step}", every_n_train_steps=1, save_top_k=-1
    )
    training.fit(TinyModule(), saving, train=loader(batches=3), max_steps=2)
    training.fit(
        TinyModule(), train=loader(batches=3), ckpt_path=training.folder / "saved" / "step=2.ckpt"
    )


class Interrupted(TinyModule):
    """Fails in its third batch."""

    @override
    def training_step(self, batch: Any) -> Tensor:
        if self.trainer.global_step == 2:
            raise RuntimeError("the disk with the images is gone")
        return super().training_step(batch)


@way()
def failed_and_resumed(training: Training) -> None:
    saving = ModelCheckpoint(training.folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    try:
        training.fit(Interrupted(), saving, train=loader(batches=3))
    except RuntimeError:
        training.fit(train=loader(batches=3), ckpt_path=training.folder / "step=2.ckpt")


class StopsByItself(TinyModule):
    """Is interrupted as by Ctrl-C."""

    @override
    def training_step(self, batch: Any) -> Tensor:
        if self.trainer.global_step == 3:
            raise KeyboardInterrupt
        return super().training_step(batch)


@way(ends="SystemExit")
def interrupted_from_the_keyboard(training: Training) -> None:
    training.fit(StopsByItself())


class Skips(TinyModule):
    """Leaves out a batch, and ends an epoch early."""

    @override
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if self.current_epoch == 1 and batch_idx == 1 else None

    @override
    def training_step(self, batch: Any) -> Tensor | None:  # type: ignore[override]
        loss = super().training_step(batch)
        return None if self.trainer.fit_loop.total_batch_idx == 1 else loss


@way()
def skipped_batches(training: Training) -> None:
    training.fit(Skips(), train=loader(batches=3), max_epochs=3)


class StopsTraining(TinyModule):
    @override
    def on_train_batch_end(self, *_: Any) -> None:
        self.trainer.should_stop = self.trainer.global_step == 3


@way(is_slow=True)
def stopped_by_the_module(training: Training) -> None:
    training.fit(StopsTraining(), max_epochs=4)


@way()
def fitted_twice(training: Training) -> None:
    run, module = training.trainer(max_epochs=1), TinyModule()
    run.fit(module, loader(batches=2), loader(seed=1, batches=1))
    run.fit_loop.max_epochs = 2
    run.fit(module, loader(batches=2), loader(seed=1, batches=1))


class TwoValidations(TinyModule):
    @override
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:  # type: ignore[override]
        self.log("val_loss", self._loss(batch))


@way()
def several_validation_loaders(training: Training) -> None:
    loaders = [loader(seed=1, batches=1), loader(seed=2, batches=1)]
    training.fit(TwoValidations(), validation=loaders)


@way(is_slow=True)
def no_validation(training: Training) -> None:
    training.fit(validation=[])


@way()
def early_stopping(training: Training) -> None:
    stopping = EarlyStopping("val_loss", patience=1, min_delta=10)
    training.fit(TinyModule(), stopping, max_epochs=5)


@way()
def validation_in_the_middle_of_an_epoch(training: Training) -> None:
    training.fit(val_check_interval=1, num_sanity_val_steps=0)


@way(is_slow=True)
def validation_every_second_epoch(training: Training) -> None:
    training.fit(check_val_every_n_epoch=2, max_epochs=3)


@way(is_slow=True)
def sanity_check_of_two_batches(training: Training) -> None:
    training.fit(validation=loader(shuffle=True, seed=1, batches=2), num_sanity_val_steps=2)


@way()
def no_sanity_check(training: Training) -> None:
    training.fit(num_sanity_val_steps=0)


@way()
def validation_alone(training: Training) -> None:
    training.trainer().validate(TinyModule(), loader(batches=1))


@way()
def test_alone(training: Training) -> None:
    training.trainer().test(TinyModule(), loader(batches=1))


@way(is_slow=True)
def prediction_alone(training: Training) -> Any:
    return {"predicted": training.trainer().predict(TinyModule(), loader(batches=1))}


@way()
def test_after_training(training: Training) -> None:
    run = training.fit()
    run.test(run.lightning_module, loader(batches=1))


@way(is_slow=True)
def test_without_inference_mode(training: Training) -> None:
    training.trainer(inference_mode=False).test(TinyModule(), loader(batches=1))
