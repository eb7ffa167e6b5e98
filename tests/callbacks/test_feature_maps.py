from __future__ import annotations

import io
import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from promise import BATCHES, EPOCHS, SIZE, TinyModule, loader, trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from typing_extensions import override

from neurovis.callbacks import FeatureMapMonitor
from neurovis.inputs import InputSpec

STEPS = EPOCHS * BATCHES


def fit(monitor: Any, folder: Path, module: LightningModule | None = None, **arguments: Any) -> Any:
    """Train, and return the Trainer."""
    run = trainer(folder, callbacks=monitor, **arguments)
    run.fit(module or TinyModule(), loader(shuffle=True), loader(seed=1, batches=2))
    return run


def number_of_hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def png_steps(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step_")) for path in folder.rglob("*.png"))


class TestTensorBoard:
    @pytest.fixture(scope="class")
    @staticmethod
    def events(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
        folder = tmp_path_factory.mktemp("board")
        logger = TensorBoardLogger(folder)
        fit(FeatureMapMonitor(["conv1", "relu", "head"], max_images=2), folder, logger=logger)
        events = EventAccumulator(logger.log_dir, size_guidance={"images": 0})
        events.Reload()
        return events

    def test_tags(self, events: EventAccumulator) -> None:
        assert sorted(events.Tags()["images"]) == [
            "feature_maps/conv1",
            "feature_maps/head",
            "feature_maps/relu",
        ]

    def test_steps_are_those_of_lightnings_scalars(self, events: EventAccumulator) -> None:
        steps = [event.step for event in events.Images("feature_maps/conv1")]
        assert steps == [event.step for event in events.Scalars("loss_epoch")]
        assert steps == [BATCHES - 1, STEPS - 1]

    def test_pictures(self, events: EventAccumulator) -> None:
        for event in events.Images("feature_maps/conv1"):
            picture = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
            assert picture.shape == (event.height, event.width, 3)
            # Two probe images, each enlarged to at least 160 pixels.
            assert 2 * 160 < event.height < 2 * 500
            assert picture[0, 0].tolist() == [255, 255, 255]
            assert len(np.unique(picture)) > 50

    def test_no_file_beside_the_events(self, events: EventAccumulator) -> None:
        assert not list(Path(events.path).rglob("*.png"))


class TestSchedule:
    def test_every_n_epochs(self, tmp_path: Path) -> None:
        fit(FeatureMapMonitor("conv1", every_n_epochs=2), tmp_path, max_epochs=5)
        assert png_steps(tmp_path) == [2 * BATCHES - 1, 4 * BATCHES - 1]

    @pytest.mark.parametrize(("accumulate", "steps"), [(1, [2, 5, 8]), (2, [2, 5])])
    def test_every_n_optimizer_steps(
        self, accumulate: int, steps: list[int], tmp_path: Path
    ) -> None:
        monitor = FeatureMapMonitor("conv1", every_n_train_steps=3, max_images=1)
        fit(monitor, tmp_path, accumulate_grad_batches=accumulate)
        assert png_steps(tmp_path) == steps

    def test_steps_of_lightnings_scalars_when_accumulating(self, tmp_path: Path) -> None:
        logger = TensorBoardLogger(tmp_path)
        monitor = FeatureMapMonitor("conv1", every_n_train_steps=1, max_images=1)
        fit(monitor, tmp_path, logger=logger, accumulate_grad_batches=2)
        events = EventAccumulator(logger.log_dir, size_guidance={"images": 0})
        events.Reload()
        steps = [event.step for event in events.Images("feature_maps/conv1")]
        assert steps == [event.step for event in events.Scalars("loss_step")]

    def test_several_optimizers(self, tmp_path: Path) -> None:
        logger = TensorBoardLogger(tmp_path)
        monitor = FeatureMapMonitor("conv1", every_n_train_steps=2, max_images=1)
        fit(monitor, tmp_path, TwoOptimizers(), logger=logger)
        events = EventAccumulator(logger.log_dir, size_guidance={"images": 0})
        events.Reload()
        steps = [event.step for event in events.Images("feature_maps/conv1")]
        assert steps == [1, 3, 5, 7, 9]
        assert set(steps) <= {event.step for event in events.Scalars("loss_step")}

    def test_not_again_after_resuming(self, tmp_path: Path) -> None:
        checkpoints = ModelCheckpoint(tmp_path, every_n_train_steps=4, filename="four")
        fit([checkpoints], tmp_path / "first", max_steps=4, enable_checkpointing=True)
        run = trainer(
            tmp_path / "second",
            callbacks=[FeatureMapMonitor("conv1", every_n_train_steps=2, max_images=1)],
            accumulate_grad_batches=2,
            max_steps=8,
            max_epochs=9,
        )
        # The first batch after resuming only accumulates: four steps are done, as before it.
        run.fit(TinyModule(), loader(batches=9), ckpt_path=tmp_path / "four.ckpt")
        assert png_steps(tmp_path / "second") == [5, 7]

    def test_not_while_sanity_checking(self, tmp_path: Path) -> None:
        fit(FeatureMapMonitor("conv1"), tmp_path, max_steps=0, num_sanity_val_steps=2)
        assert png_steps(tmp_path) == []

    @pytest.mark.parametrize("stage", ["validate", "test", "predict"])
    def test_once_after_training(self, stage: str, tmp_path: Path) -> None:
        module = TinyModule()
        run = fit(FeatureMapMonitor("conv1", on_error="raise"), tmp_path, module, max_epochs=1)
        getattr(run, stage)(
            module, loader(seed=2), **({} if stage == "predict" else {"verbose": 0})
        )
        assert png_steps(tmp_path) == [BATCHES - 1, BATCHES]

    @pytest.mark.parametrize("stage", ["validate", "test", "predict"])
    def test_without_training(self, stage: str, tmp_path: Path) -> None:
        run = trainer(tmp_path, callbacks=[FeatureMapMonitor("conv1", on_error="raise")])
        getattr(run, stage)(TinyModule(), loader())
        assert png_steps(tmp_path) == [0]


class TwoOptimizers(TinyModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any) -> None:  # type: ignore[override]
        loss = super().training_step(batch)
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
            optimizer.zero_grad()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:  # type: ignore[override]
        parts = (self.conv1, nn.ModuleList([self.conv2, self.norm, self.head]))
        return [torch.optim.SGD(part.parameters(), lr=1e-3) for part in parts]


class TestProbe:
    def test_first_validation_batch(self, tmp_path: Path) -> None:
        monitor = FeatureMapMonitor("conv1", max_images=3)
        fit(monitor, tmp_path)
        expected = next(iter(loader(seed=1)))[0][:3]
        assert torch.equal(monitor.probe._images, expected)

    @pytest.mark.parametrize("sanity", [0, 2])
    def test_validation_before_the_first_run(self, sanity: int, tmp_path: Path) -> None:
        monitor = FeatureMapMonitor("conv1", every_n_train_steps=BATCHES + 1)
        fit(monitor, tmp_path, num_sanity_val_steps=sanity)
        assert torch.equal(monitor.probe._images, next(iter(loader(seed=1)))[0])

    def test_training_batch_where_there_is_nothing_better(self, tmp_path: Path) -> None:
        monitor = FeatureMapMonitor("conv1")
        trainer(tmp_path, callbacks=[monitor]).fit(TinyModule(), loader())
        assert torch.equal(monitor.probe._images, next(iter(loader()))[0])

    def test_the_same_in_all_validations(self, tmp_path: Path) -> None:
        seen: list[Tensor] = []

        class Remembering(FeatureMapMonitor):
            @override
            def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
                seen.append(self.probe.images_for(pl_module))

        monitor = Remembering("conv1", every_n_train_steps=STEPS)
        run = trainer(tmp_path, callbacks=[monitor], val_check_interval=1, num_sanity_val_steps=0)
        run.fit(TinyModule(), loader(), loader(shuffle=True))
        assert len(seen) == STEPS
        assert all(torch.equal(images, seen[0]) for images in seen)

    def test_given_images_in_the_specs_range(self, tmp_path: Path) -> None:
        spec, images = InputSpec.rgb(SIZE), torch.rand(2, 3, SIZE, SIZE)
        seen = Watching("conv1", probe_images=images, input_spec=spec, on_error="raise")
        fit(seen, tmp_path, max_epochs=1)
        torch.testing.assert_close(seen.images, spec.to_network(images))

    def test_precision_of_the_network(self, tmp_path: Path) -> None:
        seen = Watching("conv1", probe_images=torch.rand(2, 3, SIZE, SIZE), on_error="raise")
        fit(seen, tmp_path, max_epochs=1, precision="64-true")
        assert seen.images.dtype == torch.float64

    def test_says_once_where_the_images_were_found(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            fit(FeatureMapMonitor("conv1"), tmp_path)
        said = [line for line in caplog.messages if line.startswith("FeatureMapMonitor looks at")]
        assert len(said) == 1
        assert "4 images of the first validation batch: batch[0], (4, 3, 12, 12)" in said[0]


class Watching(FeatureMapMonitor):
    """Keeps the images that it is given."""

    def observe(self, pl_module: LightningModule, images: Tensor, step: int) -> Any:
        self.images = images
        assert not any(part.training for part in pl_module.modules())
        return super().observe(pl_module, images, step)


class Differentiating(FeatureMapMonitor):
    """As saliency does: the gradient to the images that it is given."""

    @override
    def observe(self, pl_module: LightningModule, images: Tensor, step: int) -> Any:
        images.requires_grad_()
        (self.gradient,) = torch.autograd.grad(pl_module(images).square().sum(), images)
        return {}


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_monitors_can_differentiate(stage: str, tmp_path: Path) -> None:
    monitor = Differentiating("conv1", on_error="raise")
    run = trainer(tmp_path, callbacks=[monitor])
    getattr(run, stage)(TinyModule(), loader())
    assert monitor.gradient.abs().sum() > 0
    assert not monitor.probe._images.requires_grad


class TestWithoutTensorBoard:
    def test_numbers_only_logger(self, tmp_path: Path) -> None:
        logger = CSVLogger(tmp_path)
        fit(FeatureMapMonitor("conv1"), tmp_path, logger=logger)
        folder = Path(logger.log_dir, "feature_maps", "conv1")
        assert png_steps(folder) == [BATCHES - 1, STEPS - 1]
        picture = np.asarray(Image.open(folder / f"step_{STEPS - 1:08d}.png"))
        assert picture.shape[2] == 3

    def test_no_logger(self, tmp_path: Path) -> None:
        fit(FeatureMapMonitor("conv1"), tmp_path)
        assert png_steps(tmp_path / "feature_maps" / "conv1") == [BATCHES - 1, STEPS - 1]

    def test_several_loggers(self, tmp_path: Path) -> None:
        loggers = [CSVLogger(tmp_path / "csv"), TensorBoardLogger(tmp_path / "board")]
        fit(FeatureMapMonitor("conv1"), tmp_path, logger=loggers)
        events = EventAccumulator(loggers[1].log_dir)
        events.Reload()
        assert events.Tags()["images"] == ["feature_maps/conv1"]
        assert not png_steps(tmp_path)

    @pytest.mark.parametrize("logger", [True, False])
    def test_fast_dev_run_writes_nothing(self, logger: bool, tmp_path: Path) -> None:
        fit(FeatureMapMonitor("conv1"), tmp_path, fast_dev_run=True, logger=logger)
        assert not list(tmp_path.iterdir())


class TestWhatIsShown:
    @pytest.mark.parametrize(
        ("arguments", "kernels"),
        [
            ({}, [0, 1, 2, 3]),
            ({"max_kernels": 2}, [0, 1]),
            ({"kernels": [3, 1]}, [3, 1]),
            ({"kernels": "1-2", "max_kernels": 1}, [1, 2]),
        ],
    )
    def test_kernels(self, arguments: dict[str, Any], kernels: list[int]) -> None:
        module, images = TinyModule().eval(), torch.randn(2, 3, SIZE, SIZE)
        found = FeatureMapMonitor("conv1", **arguments)._feature_maps(module, images)["conv1"]
        assert (found.kernels, found.count) == (kernels, 4)
        torch.testing.assert_close(found.maps, module.conv1(images)[:, kernels])

    def test_linear_layers_have_one_value_a_kernel(self) -> None:
        module, images = TinyModule().eval(), torch.randn(2, 3, SIZE, SIZE)
        maps = FeatureMapMonitor("head")._feature_maps(module, images)["head"].maps
        torch.testing.assert_close(maps[:, :, 0, 0], module(images))

    def test_features_last_and_tokens(self) -> None:
        module = Tokens().eval()
        images = torch.randn(2, 3, 4, 5)
        maps = FeatureMapMonitor(["last", "tokens"])._feature_maps(module, images)
        assert maps["last"].maps.shape == (2, 3, 4, 5)
        torch.testing.assert_close(
            maps["last"].maps, module.last(images.movedim(1, -1)).movedim(-1, 1)
        )
        assert maps["tokens"].maps.shape == (2, 7, 1, 20)

    def test_volumes_are_refused(self) -> None:
        module = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, 1))
        with pytest.raises(ValueError, match='"1" has 5-dimensional activations'):
            FeatureMapMonitor("1")._feature_maps(module, torch.zeros(1, 3, 4, 4))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.LayerNorm(3)
        self.tokens = nn.Linear(3, 7)

    def forward(self, images: Tensor) -> Tensor:
        return self.tokens(self.last(images.movedim(1, -1)).flatten(1, 2))


class TestNothingIsLeft:
    def test_on_the_module(self, tmp_path: Path) -> None:
        module = TinyModule()
        fit(FeatureMapMonitor(["conv1", "head"], every_n_train_steps=2), tmp_path, module)
        assert number_of_hooks(module) == 0
        torch.save(module, tmp_path / "module.pt")
        pickle.dumps(module)

    @pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
    def test_after_an_exception_in_the_monitor(self, error: BaseException, tmp_path: Path) -> None:
        class Interrupted(FeatureMapMonitor):
            def observe(self, pl_module: LightningModule, images: Tensor, step: int) -> Any:
                super().observe(pl_module, images, step)
                raise error

        module = TinyModule()
        with pytest.raises((RuntimeError, SystemExit, KeyboardInterrupt)):
            fit(Interrupted("conv1", on_error="raise"), tmp_path, module)
        assert number_of_hooks(module) == 0
        assert all(parameter.requires_grad for parameter in module.conv1.parameters())

    def test_monitors_can_be_pickled(self, tmp_path: Path) -> None:
        monitor = FeatureMapMonitor(["conv1"], probe_images=torch.rand(1, 3, SIZE, SIZE))
        pickle.loads(pickle.dumps(monitor))
        fit(monitor, tmp_path)
        again = pickle.loads(pickle.dumps(monitor))
        assert again.state_key == monitor.state_key

    def test_checkpoints_do_not_depend_on_monitors(self, tmp_path: Path) -> None:
        run = fit(FeatureMapMonitor("conv1"), tmp_path)
        run.save_checkpoint(tmp_path / "with.ckpt")
        run = trainer(tmp_path, max_epochs=EPOCHS + 1)
        run.fit(TinyModule(), loader(), ckpt_path=tmp_path / "with.ckpt")
        run.save_checkpoint(tmp_path / "without.ckpt")
        run = trainer(tmp_path, max_epochs=EPOCHS + 2, callbacks=[FeatureMapMonitor("conv1")])
        run.fit(TinyModule(), loader(), ckpt_path=tmp_path / "without.ckpt")


def test_two_monitors_of_one_class(tmp_path: Path) -> None:
    monitors = [FeatureMapMonitor("conv1"), FeatureMapMonitor("conv2", every_n_train_steps=5)]
    assert monitors[0].state_key != monitors[1].state_key
    fit(monitors, tmp_path, max_epochs=1)
    assert png_steps(tmp_path / "feature_maps" / "conv1") == [BATCHES - 1]
    assert png_steps(tmp_path / "feature_maps" / "conv2") == [BATCHES - 1]


class Strict(TinyModule):
    """Fails the test if a training step is reached."""

    @override
    def training_step(self, batch: Any) -> Tensor:
        raise AssertionError("a training step was reached")


class NoForward(Strict):
    forward = LightningModule.forward


class Unreached(Strict):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)


class BuiltLate(TinyModule):
    """Makes a layer in configure_model, after setup."""

    def configure_model(self) -> None:
        self.late = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(self.late(images))


class TestMisconfigured:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"layers": "conv3"}, 'layer "conv3" not found; did you mean "conv'),
            ({"layers": "conv1", "kernels": [1, 4]}, "kernel 4 is out of range.* has 4 kernels"),
            ({"layers": "unused"}, '"unused" is never reached'),
            ({"layers": "conv1", "input_key": "image"}, "input_key='image' finds nothing"),
            ({"layers": "conv1", "input_key": 1}, r"no floating-point images .* batch\[1\] \(4,\)"),
        ],
    )
    @pytest.mark.parametrize("sanity", [0, 2])
    def test_before_the_first_step(
        self, arguments: dict[str, Any], message: str, sanity: int, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match=message):
            fit(FeatureMapMonitor(**arguments), tmp_path, Unreached(), num_sanity_val_steps=sanity)

    def test_wrong_probe_size(self, tmp_path: Path) -> None:
        monitor = FeatureMapMonitor("conv1", probe_images=torch.rand(1, 5, 8, 8))
        with pytest.raises(RuntimeError, match="5 channels"):
            fit(monitor, tmp_path, Strict())

    def test_no_forward(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"NoForward defines no forward\(images\)"):
            fit(FeatureMapMonitor("conv1"), tmp_path, NoForward())

    def test_layers_that_are_built_late(self, tmp_path: Path) -> None:
        fit(FeatureMapMonitor("late", on_error="raise"), tmp_path, BuiltLate())
        with pytest.raises(ValueError, match='"lat" not found'):
            fit(FeatureMapMonitor("lat"), tmp_path, BuiltLate())


class TestFailures:
    def test_warns_once_and_training_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr("neurovis.summaries.save_png", full)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = fit(FeatureMapMonitor("conv1", every_n_train_steps=1), tmp_path)
        assert run.global_step == STEPS
        said = [str(one.message) for one in caught if "FeatureMapMonitor" in str(one.message)]
        assert len(said) == 1
        assert "training goes on" in said[0]
        assert "no space left on device" in said[0]

    def test_a_failing_logger(self, tmp_path: Path) -> None:
        logger = TensorBoardLogger(tmp_path)
        logger.experiment.add_image = _raise
        with pytest.warns(UserWarning, match="ConnectionError: no route"):
            run = fit(FeatureMapMonitor("conv1"), tmp_path, logger=logger)
        assert run.global_step == STEPS

    def test_raises_on_request(self, tmp_path: Path) -> None:
        logger = TensorBoardLogger(tmp_path)
        logger.experiment.add_image = _raise
        with pytest.raises(ConnectionError, match="no route"):
            fit(FeatureMapMonitor("conv1", on_error="raise"), tmp_path, logger=logger)


def _raise(*_: Any, **__: Any) -> None:
    raise ConnectionError("no route to host")
