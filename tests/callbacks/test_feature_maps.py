from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from promise import (
    BATCHES,
    EPOCHS,
    SIZE,
    TinyModule,
    TwoOptimizers,
    fit,
    loader,
    png_steps,
    trainer,
    written,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from typing_extensions import override

from neurovis.callbacks import FeatureMapMonitor
from neurovis.callbacks.feature_maps import _correlations
from neurovis.inputs import InputSpec
from neurovis.observation import Observation
from neurovis.readouts import as_maps

STEPS = EPOCHS * BATCHES


@pytest.mark.drawn
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
        layers = [f"feature_maps/{layer}" for layer in ("conv1", "head", "relu")]
        both = sorted([*layers, *(f"{layer}/first_and_now" for layer in layers)])
        assert sorted(events.Tags()["images"]) == both
        histograms = [f"{layer}/activations" for layer in layers]
        assert sorted(events.Tags()["histograms"]) == histograms
        endings = ("correlation_with_first", "dead", "mean")
        scalars = {tag for tag in events.Tags()["scalars"] if tag.startswith("feature_maps")}
        # Single values, of a linear layer, correlate with nothing.
        expected = {f"{layer}/{ending}" for layer in layers for ending in endings}
        assert scalars == expected - {"feature_maps/head/correlation_with_first"}

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
        fit(FeatureMapMonitor("conv1", every_n_epochs=2, max_images=1), tmp_path, max_epochs=5)
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
        fit(monitor, tmp_path, logger=logger, accumulate_grad_batches=2, max_epochs=1)
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


class TestProbe:
    def test_first_validation_batch(self, tmp_path: Path) -> None:
        monitor = FeatureMapMonitor("conv1", max_images=3)
        fit(monitor, tmp_path, max_epochs=1)
        expected = next(iter(loader(seed=1)))[0][:3]
        assert torch.equal(monitor.probe._images, expected)

    @pytest.mark.parametrize(("sanity", "seed"), [(0, 0), (2, 1)])
    def test_what_there_is_before_training(self, sanity: int, seed: int, tmp_path: Path) -> None:
        """Later batches do not take its place: the first look was at these images."""
        monitor = FeatureMapMonitor("conv1")
        run = trainer(tmp_path, callbacks=[monitor], max_epochs=1, num_sanity_val_steps=sanity)
        run.fit(TinyModule(), loader(), loader(seed=1))
        assert torch.equal(monitor.probe._images, next(iter(loader(seed=seed)))[0])

    def test_a_new_fit_looks_anew(self, tmp_path: Path) -> None:
        monitor = FeatureMapMonitor("conv1", on_error="raise")
        trainer(tmp_path, callbacks=[monitor]).test(TinyModule(), loader(seed=2), verbose=False)
        assert torch.equal(monitor.probe._images, next(iter(loader(seed=2)))[0])
        trainer(tmp_path, callbacks=[monitor], max_epochs=1).fit(
            TinyModule(), loader(), loader(seed=1)
        )
        assert torch.equal(monitor.probe._images, next(iter(loader(seed=1)))[0])

    def test_training_batch_where_there_is_nothing_better(self, tmp_path: Path) -> None:
        monitor = FeatureMapMonitor("conv1")
        trainer(tmp_path, callbacks=[monitor], max_epochs=1).fit(TinyModule(), loader())
        assert torch.equal(monitor.probe._images, next(iter(loader()))[0])

    def test_given_images_in_the_specs_range(self, tmp_path: Path) -> None:
        spec, images = InputSpec.rgb(SIZE), torch.rand(2, 3, SIZE, SIZE)
        seen = Watching("conv1", probe_images=images, input_spec=spec, on_error="raise")
        fit(seen, tmp_path, max_epochs=1)
        torch.testing.assert_close(seen.images.cpu(), spec.to_network(images))

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

    def observe(self, network: nn.Module, images: Tensor, step: int) -> Any:
        self.images = images
        assert not any(part.training for part in network.modules())
        return super().observe(network, images, step)


class Differentiating(FeatureMapMonitor):
    """As saliency does: the gradient to the images that it is given."""

    @override
    def observe(self, network: nn.Module, images: Tensor, step: int) -> Any:
        images.requires_grad_()
        (self.gradient,) = torch.autograd.grad(network(images).square().sum(), images)
        return Observation()


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_monitors_can_differentiate(stage: str, tmp_path: Path) -> None:
    monitor = Differentiating("conv1", on_error="raise")
    run = trainer(tmp_path, callbacks=[monitor], max_epochs=1)
    getattr(run, stage)(TinyModule(), loader())
    assert monitor.gradient.abs().sum() > 0
    assert not monitor.probe._images.requires_grad


class TestFeatureMaps:
    """The maps that are looked at, against calls of the layers themselves."""

    def test_convolutions(self) -> None:
        module, images = TinyModule().eval(), torch.randn(2, 3, SIZE, SIZE)
        maps = begun(FeatureMapMonitor("conv1"), module, images).activations(module, images)
        torch.testing.assert_close(maps["conv1"], module.conv1(images))

    def test_linear_layers_have_one_value_a_kernel(self) -> None:
        module, images = TinyModule().eval(), torch.randn(2, 3, SIZE, SIZE)
        maps = begun(FeatureMapMonitor("head"), module, images).activations(module, images)
        torch.testing.assert_close(maps["head"], module(images))

    def test_features_last_and_tokens(self) -> None:
        module = Tokens().eval()
        images = torch.randn(2, 3, 4, 5)
        monitor = begun(FeatureMapMonitor(["last", "tokens"]), module, images)
        maps = monitor.activations(module, images)
        expected = module.last(images.movedim(1, -1)).movedim(-1, 1)
        torch.testing.assert_close(maps["last"], expected)
        torch.testing.assert_close(
            maps["tokens"], module.tokens(expected.movedim(1, -1)).movedim(-1, 1)
        )

    def test_frames_of_volumes_stand_side_by_side(self) -> None:
        module = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, 1)).eval()
        images = torch.rand(1, 3, 4, 4)
        monitor = begun(FeatureMapMonitor("1"), module, images)
        maps = as_maps("1", monitor.activations(module, images)["1"])
        expected = [module(images)[0, :, frame] for frame in range(3)]
        torch.testing.assert_close(maps[0], torch.cat(expected, dim=-1))
        assert monitor.observe(module, images, 0).pictures

    @pytest.mark.parametrize(
        ("layers", "found"),
        [
            ("all-conv", ["conv1", "conv2"]),
            (nn.Conv2d, ["conv1", "conv2"]),
            ("BatchNorm2d", ["frozen_norm", "norm"]),
            (["head", nn.ReLU], ["head", "relu"]),
        ],
    )
    def test_layers_by_type(self, layers: Any, found: list[str]) -> None:
        module, images = TinyModule().eval(), torch.randn(1, 3, SIZE, SIZE)
        seen = begun(FeatureMapMonitor(layers), module, images).observe(module, images, 0)
        assert list(seen.histograms) == [f"feature_maps/{layer}/activations" for layer in found]


def begun(monitor: Any, module: Any, images: Tensor) -> Any:
    """A monitor whose training has begun with a module and images."""
    monitor.observe_first(module, images, 0)
    return monitor


class TestKernels:
    MAPS = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize(
        ("arguments", "kernels"),
        [
            ({}, [0, 1, 2, 3]),
            ({"max_kernels": 2}, [0, 1]),
            ({"kernels": [3, 1]}, [3, 1]),
            ({"kernels": "1-2", "max_kernels": 1}, [1, 2]),
        ],
    )
    def test_chosen(self, arguments: dict[str, Any], kernels: list[int]) -> None:
        assert FeatureMapMonitor("conv1", **arguments)._choose("conv1", self.MAPS) == kernels

    def test_most_active_keep_their_places(self) -> None:
        monitor = FeatureMapMonitor("a", kernels="most_active", max_kernels=3)

        def chosen(*activities: float) -> list[int]:
            activities = tuple(map(float, activities))
            return list(monitor._choose("a", torch.tensor(activities).reshape(1, -1, 1, 1)))

        assert chosen(5, 1, 4, 2, 3) == [0, 2, 4]
        assert chosen(4, 1, 9, 2, 8) == [0, 2, 4]  # Others are first, the places are the same.
        assert chosen(0, 7, 9, 2, 8) == [1, 2, 4]  # A newcomer takes the free place.
        assert chosen(9, 7, 0, 8, 0) == [1, 0, 3] or chosen(9, 7, 0, 8, 0) == [1, 3, 0]
        assert monitor._choose("b", torch.tensor([1.0, 2.0])[None, :, None, None]) == [1, 0]

    def test_what_is_not_a_number_is_not_active(self) -> None:
        monitor = FeatureMapMonitor("a", kernels="most_active", max_kernels=2)
        maps = torch.tensor([1.0, torch.nan, 2.0])[None, :, None, None]
        assert sorted(monitor._choose("a", maps)) == [0, 2]


class Scaled(nn.Module):
    """Two kernels of a picture: one as it is, one that is dead until it is told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1)
        self.set(1.0, 0.0)

    def set(self, *weights: float) -> None:
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor(weights).reshape(2, 1, 1, 1))
            self.layer.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images)


class TestScalars:
    IMAGES = torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(0))

    def observed(self, monitor: Any, module: Any, images: Tensor, step: int) -> dict[str, float]:
        scalars = monitor.observe(module, images, step).scalars
        return {tag.removeprefix("feature_maps/layer/"): value for tag, value in scalars.items()}

    def test_mean_dead_and_correlation(self) -> None:
        module = Scaled()
        monitor = begun(FeatureMapMonitor("layer"), module, self.IMAGES)
        first = self.observed(monitor, module, self.IMAGES, 1)
        assert first["mean"] == pytest.approx(self.IMAGES.mean().item() / 2, abs=1e-6)
        assert first["dead"] == 0.5
        assert first["correlation_with_first"] == pytest.approx(1)
        module.set(-3.0, 2.0)
        then = self.observed(monitor, module, self.IMAGES, 2)
        assert then["mean"] == pytest.approx(-self.IMAGES.mean().item() / 2, abs=1e-6)
        assert then["dead"] == 0
        # The dead kernel's first map is constant, and correlates with nothing.
        assert then["correlation_with_first"] == pytest.approx(-1)

    def test_correlations_are_numpys(self) -> None:
        first, now = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1))
        first[2] = 1 / 3
        found = _correlations(first, now)
        for kernel in (0, 1, 3):
            expected = np.corrcoef(first[kernel].flatten(), now[kernel].flatten())[0, 1]
            assert found[kernel].item() == pytest.approx(expected, abs=1e-5)
        assert found[2].isnan()

    def test_not_compared_on_request(self) -> None:
        module = Scaled()
        monitor = begun(FeatureMapMonitor("layer", first_and_now=False), module, self.IMAGES)
        seen = monitor.observe(module, self.IMAGES, 3)
        assert set(seen.pictures) == {"feature_maps/layer"}
        assert set(seen.scalars) == {"feature_maps/layer/mean", "feature_maps/layer/dead"}

    def test_a_new_training_starts_anew(self) -> None:
        module = Scaled()
        monitor = begun(FeatureMapMonitor("layer"), module, self.IMAGES)
        module.set(-1.0, 0.0)
        begun(monitor, module, self.IMAGES)
        assert self.observed(monitor, module, self.IMAGES, 1)["correlation_with_first"] > 0.99

    def test_histogram_of_all_that_is_seen(self) -> None:
        module = Scaled()
        monitor = begun(FeatureMapMonitor("layer", max_kernels=1), module, self.IMAGES)
        found = monitor.observe(module, self.IMAGES, 1).histograms["feature_maps/layer/activations"]
        counts, _ = np.histogram(module(self.IMAGES).detach(), len(found.counts))
        assert found.counts == counts.tolist()

    def test_the_first_step_is_not_the_first_look(self) -> None:
        """Both are step 0: nothing has been done before, and index 0 is that of the first step."""
        module = Scaled()
        monitor = begun(FeatureMapMonitor("layer"), module, self.IMAGES)
        assert (
            "feature_maps/layer/first_and_now" in monitor.observe(module, self.IMAGES, 0).pictures
        )


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.LayerNorm(3)
        self.tokens = nn.Linear(3, 7)

    def forward(self, images: Tensor) -> Tensor:
        return self.tokens(self.last(images.movedim(1, -1)).flatten(1, 2))


def test_two_monitors_of_one_class(tmp_path: Path) -> None:
    monitors = [FeatureMapMonitor("conv1"), FeatureMapMonitor("conv2", every_n_train_steps=5)]
    assert monitors[0].state_key != monitors[1].state_key
    fit(monitors, tmp_path, max_epochs=1)
    assert png_steps(written(tmp_path) / "feature_maps" / "conv1") == [BATCHES - 1]
    assert png_steps(written(tmp_path) / "feature_maps" / "conv2") == [BATCHES - 1]
