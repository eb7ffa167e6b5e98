"""Preferred images as training goes on."""

from __future__ import annotations

import copy
import csv
import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from promise import (
    BATCH,
    BATCHES,
    EPOCHS,
    SIZE,
    TinyModule,
    differences,
    loader,
    outcome,
    trainer,
    written,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms.functional import to_pil_image
from typing_extensions import override

from neurovis.analysis import predictability
from neurovis.callbacks import ActivationMaximizationMonitor
from neurovis.callbacks import activation_maximization as monitors_module
from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization
from neurovis.recording import undisturbed

SPEC = InputSpec.rgb(SIZE)
TAG = "activation_maximization/conv2"
#: The Trainer puts methods of the module on every callback.
BY_LIGHTNING = {"log", "log_dict"}

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def watching(layer: str = "conv2", **options: Any) -> ActivationMaximizationMonitor:
    defaults = {"kernels": "0-2", "steps": 2, "input_spec": SPEC, "on_error": "raise"}
    return ActivationMaximizationMonitor(layer, **{**defaults, **options})


def fit(monitor: Any, folder: Path, module: TinyModule | None = None, **arguments: Any) -> Trainer:
    run = trainer(folder, callbacks=monitor, **arguments)
    run.fit(module or TinyModule(), loader(shuffle=True), loader(seed=1, batches=2))
    return run


def scalars(folder: Path) -> dict[str, list[float]]:
    """What was written to scalars.csv, by the ends of the tags."""
    found: dict[str, list[float]] = {}
    with open(written(folder) / "scalars.csv", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["tag"].rpartition("/")[2], []).append(float(row["value"]))
    return found


def labels(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The labels of all pictures that will be made."""
    seen: list[list[str]] = []
    plain = monitors_module.labeled_grid

    def remembering(images: Tensor, labels: list[str], *arguments: Any) -> Any:
        assert images.isfinite().all()
        seen.append(labels)
        return plain(images, labels, *arguments)

    monkeypatch.setattr(monitors_module, "labeled_grid", remembering)
    return seen


class Still(TinyModule):
    """Learns nothing."""

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Strict(TinyModule):
    """Fails the test if a training step is reached."""

    @override
    def training_step(self, batch: Any) -> Tensor:
        raise AssertionError("a training step was reached")


class TestWhatIsLogged:
    @pytest.fixture(scope="class")
    @staticmethod
    def events(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
        folder = tmp_path_factory.mktemp("board")
        logger = TensorBoardLogger(folder)
        torch.manual_seed(0)  # Whatever ran before.
        fit(watching(every_n_train_steps=2), folder, logger=logger)
        events = EventAccumulator(logger.log_dir, size_guidance={"images": 0})
        events.Reload()
        return events

    def test_tags_and_steps(self, events: EventAccumulator) -> None:
        tags = events.Tags()
        assert tags["images"] == [TAG, f"{TAG}/first_and_now"]
        of_monitor = [tag for tag in tags["scalars"] if tag.startswith(TAG)]
        assert sorted(of_monitor) == [f"{TAG}/{name}" for name in ("activation", "dead")] + [
            f"{TAG}/noise_activation"
        ]
        assert [event.step for event in events.Images(TAG)] == [1, 3, 5, 7, 9]
        compared = events.Images(f"{TAG}/first_and_now")
        assert [event.step for event in compared] == [3, 5, 7, 9]

    def test_activation_grows_above_that_of_noise(self, events: EventAccumulator) -> None:
        reached, noise = (
            np.array([event.value for event in events.Scalars(f"{TAG}/{name}")])
            for name in ("activation", "noise_activation")
        )
        assert (np.diff(reached - noise) > 0).all()
        assert len(set(noise)) == 5, "measured on the network as it is"

    def test_labels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = labels(monkeypatch)
        fit(watching(kernels=[2, 0]), tmp_path, max_epochs=1)
        assert [label.split(":")[0] for label in seen[0]] == ["kernel 2", "kernel 0"]
        numbers = [label.split(": ")[1].removesuffix(")").split(" (noise ") for label in seen[0]]
        reached, noise = np.array(numbers, dtype=float).T
        assert (reached > noise).all()
        found = scalars(tmp_path)
        assert found["activation"] == pytest.approx([reached.mean()], rel=0.01)
        # Labels are rounded, and what noise gives the two kernels may cancel out.
        rounding = 0.01 * float(np.abs(noise).max())
        assert found["noise_activation"] == pytest.approx([noise.mean()], abs=rounding)

    def test_dead_kernels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = labels(monkeypatch)
        module = Still()
        with torch.no_grad():
            module.conv1.bias[1] = -1e6
        fit(watching("relu"), tmp_path, module, max_epochs=1)
        assert [label.endswith(": dead") for label in seen[0]] == [False, True, False]
        assert scalars(tmp_path)["dead"] == [pytest.approx(1 / 3)]


@pytest.mark.drawn
def test_picture(tmp_path: Path) -> None:
    fit(watching(), tmp_path, max_epochs=1)
    (path,) = tmp_path.rglob("*.png")
    picture = np.asarray(Image.open(path))
    assert (picture.std(axis=(0, 1)) > 20).all()
    assert path.parent == written(tmp_path) / TAG


class TestPredictability:
    PICTURES = torch.rand(20, *SPEC.shape, generator=torch.Generator().manual_seed(2))

    def test_it_is_that_of_the_images_on_the_network_of_now(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[Tensor] = []
        plain = monitors_module.labeled_grid

        def keeping(images: Tensor, *arguments: Any) -> Any:
            shown.append(images)
            return plain(images, *arguments)

        monkeypatch.setattr(monitors_module, "labeled_grid", keeping)
        module = TinyModule()
        fit(watching(pictures=self.PICTURES), tmp_path, module)
        logged = scalars(tmp_path)
        assert len(logged["predictability"]) == len(logged["predictability_null"]) == EPOCHS
        images = dict(enumerate(shown[-1].split(1)))
        found = predictability(module, "conv2", images, self.PICTURES, input_spec=SPEC)
        assert logged["predictability"][-1] == pytest.approx(found.scores.mean().item())
        assert logged["predictability_null"][-1] == pytest.approx(found.null.mean().item())

    def test_pictures_of_a_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "pictures"
        folder.mkdir()
        for number, picture in enumerate(self.PICTURES[:10]):
            to_pil_image(picture).save(folder / f"{number}.png")
        fit(watching(pictures=folder), tmp_path / "run", max_epochs=1)
        assert 0 <= scalars(tmp_path / "run")["predictability"][0] <= 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"pictures": PICTURES, "input_spec": None}, "pictures need an input_spec"),
            ({"pictures": PICTURES[:9]}, "pictures must be at least 10.* got 9"),
            ({"pictures": iter(PICTURES)}, "got what can only be read once"),
            ({"pictures": "nowhere"}, "nowhere"),
        ],
    )
    def test_what_no_pictures_are(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            watching(**options)


class TestContinuing:
    def test_all_looks_are_one_ascent(self, tmp_path: Path) -> None:
        module, monitor = Still(), watching("conv1", every_n_train_steps=2, steps=3)
        network = copy.deepcopy(module)
        fit(monitor, tmp_path / "fit", module)
        plain = {"style": "maximal", "leak": 0, "precision": "float32", "patience": None}
        am = ActivationMaximization(network, "conv1", "0-2", SPEC, steps=15, **plain)
        trainer(tmp_path / "am", max_epochs=-1).fit(am)
        expected = am.results.activations.mean().item()
        # Results are of images that were rounded to be kept; a monitor keeps what it optimizes.
        assert scalars(tmp_path / "fit")["activation"][-1] == pytest.approx(expected, rel=2e-3)

    def test_a_new_fit_starts_anew(self, tmp_path: Path) -> None:
        monitor = watching("conv1")
        for _ in range(2):
            fit(monitor, tmp_path, Still(), max_epochs=2)
        assert monitor._state.steps == 4

    def test_goes_on_after_training(self, tmp_path: Path) -> None:
        module, monitor = TinyModule(), watching(steps=4)
        run = fit(monitor, tmp_path, module)
        for stage in ("validate", "test", "predict"):
            getattr(run, stage)(module, loader(seed=2))
        reached = scalars(tmp_path)["activation"]
        assert len(reached) == EPOCHS + 3
        assert reached == sorted(set(reached))
        run.fit(module, loader())

    @pytest.mark.parametrize("stage", ["validate", "test", "predict"])
    def test_without_training(self, stage: str, tmp_path: Path) -> None:
        monitor = watching(steps=4, input_spec=None)
        run = trainer(tmp_path, callbacks=[monitor])
        for _ in range(2):
            getattr(run, stage)(TinyModule(), loader())
        assert len(scalars(tmp_path)["activation"]) == 2

    def test_memory_that_is_free_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = monitors_module.usable_kernels
        errors = [torch.OutOfMemoryError("no room")]

        def crowded(*arguments: Any) -> list[int]:
            if errors:
                raise errors.pop()
            return plain(*arguments)

        monkeypatch.setattr(monitors_module, "usable_kernels", crowded)
        with pytest.warns(UserWarning, match="no room"):
            fit(watching(on_error="warn"), tmp_path)
        assert len(scalars(tmp_path)["activation"]) == EPOCHS


@pytest.mark.sampled(2)
@pytest.mark.parametrize("precision", ["32", "bf16-mixed", "bf16-true", "64-true"])
def test_watching_does_not_disturb(precision: str, tmp_path: Path) -> None:
    monitors = [watching(every_n_train_steps=2), watching("relu", input_spec=None)]
    watched = outcome(monitors, tmp_path, precision=precision)
    assert differences(watched, outcome([], tmp_path, precision=precision)) == []
    activation, noise = (scalars(tmp_path)[name] for name in ("activation", "noise_activation"))
    assert len(activation) == 5 + EPOCHS
    assert all(one > other for one, other in zip(activation, noise, strict=True))


class TestNothingIsLeft:
    def test_no_reference_to_the_network(self, tmp_path: Path) -> None:
        module, monitor = TinyModule(), watching(every_n_train_steps=3)
        fresh = pickle.dumps(monitor)
        fit(monitor, tmp_path, module)
        state = {key: value for key, value in vars(monitor).items() if key not in BY_LIGHTNING}
        assert b"TinyModule" not in pickle.dumps(state)
        assert b"Parameter" not in pickle.dumps(state)
        for one in (
            pickle.loads(fresh),
            pickle.loads(pickle.dumps(monitor)),
            copy.deepcopy(monitor),
        ):
            fit(one, tmp_path, module, max_epochs=1)
        assert not any(part._forward_hooks for part in module.modules())
        pickle.dumps(module)

    def test_pickled_between_two_looks(self, tmp_path: Path) -> None:
        class Replacing(Callback):
            """Puts a copy into the monitor's place."""

            def on_train_epoch_start(self, trainer: Trainer, _: Any) -> None:
                trainer.callbacks[:] = [  # type: ignore[attr-defined]
                    pickle.loads(pickle.dumps(one))
                    if isinstance(one, ActivationMaximizationMonitor)
                    else one
                    for one in trainer.callbacks  # type: ignore[attr-defined]
                ]

        for name, callbacks in (("plain", []), ("replaced", [Replacing()])):
            outcome([watching(), *callbacks], tmp_path / name)
        assert scalars(tmp_path / "plain") == scalars(tmp_path / "replaced")

    def test_after_an_interruption(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []

        def interrupted(*_: Any) -> Any:
            calls.append(1)
            raise KeyboardInterrupt

        monkeypatch.setattr("neurovis.maximization.objectives.TargetBatch.members", interrupted)
        module = TinyModule()
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit(watching(), tmp_path, module)
        assert calls
        assert not any(part._forward_hooks for part in module.modules())
        assert all(parameter.requires_grad for parameter in module.conv1.parameters())
        assert module.conv2.training

    @needs_gpu
    def test_nothing_on_the_device(self, tmp_path: Path) -> None:
        module, monitor = TinyModule().cuda(), watching()
        images = torch.zeros(1, 3, SIZE, SIZE, device="cuda")
        monitor.observe_first(module, images, 0)
        monitor.observe(module, images, 0)
        before = torch.cuda.memory_allocated()
        monitor.observe(module, images, 1)
        assert torch.cuda.memory_allocated() == before
        run = fit(monitor, tmp_path, module, accelerator="gpu")
        assert run.global_step == EPOCHS * BATCHES
        trainer(tmp_path, callbacks=[monitor]).validate(module, loader(), verbose=False)
        assert len(scalars(tmp_path)["activation"]) == EPOCHS + 1


class Diverging(Still):
    """Its weights are NaN during its second epoch."""

    @override
    def on_train_epoch_start(self) -> None:
        with torch.no_grad():
            if self.current_epoch == 1:
                self.healthy = copy.deepcopy(self.state_dict())
                self.conv1.weight.fill_(torch.nan)
            elif self.current_epoch == 2:
                self.load_state_dict(self.healthy)


def test_a_network_that_diverges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = labels(monkeypatch)
    fit(watching(steps=4), tmp_path, Diverging(), max_epochs=3)
    assert seen[1] == [f"kernel {kernel}: not finite, started again" for kernel in range(3)]
    assert all("(noise" in label for label in [*seen[0], *seen[2]])
    reached, noise = (scalars(tmp_path)[name] for name in ("activation", "noise_activation"))
    assert np.isfinite(reached).tolist() == [True, False, True]
    assert reached[2] > noise[2]


def test_means_are_over_kernels_that_are_finite() -> None:
    module, monitor = TinyModule(), watching("conv1", kernels=[1, 2])
    images = torch.zeros(1, 3, SIZE, SIZE)
    alone = watching("conv1", kernels=[2])
    with torch.no_grad():
        module.conv1.bias[1] = torch.nan
    seen = []
    with undisturbed(module):
        for one in (monitor, alone):
            one.observe_first(module, images, 0)
            seen.append(one.observe(module, images, 0).scalars)
    assert seen[0] == pytest.approx(seen[1], rel=1e-5)
    assert seen[0]["activation_maximization/conv1/activation"] != 0


class Flat(TinyModule):
    """Trains on batches without images in them."""

    @override
    def _loss(self, batch: Any) -> Tensor:
        values, classes = batch
        return super()._loss((values.unflatten(1, (3, SIZE, SIZE)), classes))


class TestImages:
    def test_batches_without_images(self, tmp_path: Path) -> None:
        values = torch.randn(BATCH * BATCHES, 3 * SIZE * SIZE)
        flat = DataLoader(TensorDataset(values, torch.zeros(len(values)).long()), BATCH)
        trainer(tmp_path, callbacks=[watching()]).fit(Flat(), flat, flat)
        assert len(scalars(tmp_path)["activation"]) == EPOCHS
        with pytest.raises(ValueError, match="no floating-point images"):
            trainer(tmp_path, callbacks=[watching(input_spec=None)]).fit(Flat(), flat)

    def test_another_size_than_in_training(self, tmp_path: Path) -> None:
        monitor = watching(input_spec=InputSpec.rgb((10, 20)))
        fit(monitor, tmp_path)
        assert monitor._first is not None
        assert monitor._first.images.shape == (3, 3, 10, 20)

    def test_like_the_probe_images(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        probe = torch.linspace(-3, 5, 2 * 3 * 9 * 12).reshape(2, 3, 9, 12)
        monitor = watching(input_spec=None, probe_images=probe)
        with caplog.at_level(logging.INFO):
            for _ in range(2):
                fit(monitor, tmp_path)
        said = [line for line in caplog.messages if "makes images like the probe images" in line]
        assert len(said) == 1
        assert "rgb of shape (3, 9, 12), values from -3 to 5" in said[0]
        spec = monitor._spec
        assert spec is not None
        assert spec.to_network(torch.ones(3, 1, 1)).flatten().tolist() == [5, 5, 5]
        assert spec.to_network(torch.zeros(3, 1, 1)).flatten().tolist() == [-3, -3, -3]

    def test_a_probe_without_a_range(self, tmp_path: Path) -> None:
        monitor = watching(input_spec=None, probe_images=torch.ones(1, 3, 8, 8))
        with pytest.raises(
            ValueError, match=r"no two finite values \(1 to 1\).* give an input_spec"
        ):
            fit(monitor, tmp_path, Strict())


class TestMisconfigured:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"layer": "conv3"}, 'layer "conv3" not found; did you mean "conv'),
            ({"layer": "dropouts"}, 'did you mean "dropout"'),
            ({"kernels": [1, 6]}, "kernel 6 is out of range.* has 6 kernels"),
            ({"kernels": "1-x"}, 'cannot read "1-x"'),
            ({"init": torch.rand(3, 8, 8)}, r"\(3, 12, 12\); got \(3, 8, 8\)"),
            ({"objective": lambda values: values}, "one number for each image and kernel"),
        ],
    )
    def test_before_the_first_step(
        self, options: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match=message):
            fit(watching(**{"on_error": "warn", **options}), tmp_path, Strict())

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"input_spec": InputSpec.rgbd(SIZE)}, r"\(4, 12, 12\) \(rgb 3, depth 1\)"),
            ({"input_spec": InputSpec.rgb(4)}, r"\(3, 4, 4\).* give the input_spec"),
        ],
    )
    def test_what_this_network_cannot_take(
        self, options: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        """One warning, or an error before the first step on request."""
        with pytest.warns(UserWarning, match=f"cannot watch.*{message}"):
            fit(watching(**options, on_error="warn"), tmp_path, max_epochs=1)
        with pytest.raises(ValueError, match=message):
            fit(watching(**options), tmp_path, Strict())

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"layer": ["conv1", "conv2"]}, TypeError, r"got \['conv1', 'conv2'\]"),
            ({"kernels": []}, ValueError, "at least one kernel"),
            ({"steps": 0}, ValueError, "steps must be an integer of at least 1; got 0"),
            ({"lr": -1}, ValueError, "lr must"),
            ({"parametrization": "wavelet"}, ValueError, "got 'wavelet'"),
            ({"every_n_epochs": 0}, ValueError, "every_n_epochs"),
            ({"input_spec": 224}, TypeError, "must be an InputSpec; got int"),
            ({"stepz": 3}, TypeError, "stepz"),
        ],
    )
    def test_arguments(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            watching(**options)

    def test_defaults(self) -> None:
        monitor = ActivationMaximizationMonitor("conv2")
        assert (monitor.settings.steps, monitor.settings.learning_rate) == (16, 0.2)
        assert monitor.kernels is None
        assert monitor.probe.is_empty


class TestYaml:
    TEXT = """
monitor:
  class_path: neurovis.callbacks.ActivationMaximizationMonitor
  init_args:
    layer: conv2
    kernels: {kernels}
    steps: 3
    lr: 0.1
    scale: [0.95, 1.05]
    objective: center
    every_n_train_steps: 5
    input_spec:
      class_path: neurovis.InputSpec
      init_args:
        modalities: [{{name: rgb, channels: 3, range: [-3, 3]}}]
        size: [12, 16]
"""

    @staticmethod
    def parser() -> ArgumentParser:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--monitor", type=Callback)
        return parser

    @pytest.mark.parametrize(
        ("written", "kernels"), [("[0, 2]", (0, 2)), ("0-2", "0-2"), ("all", "all"), ("1", 1)]
    )
    def test_all_kinds_of_options(self, written: str, kernels: Any, tmp_path: Path) -> None:
        parser = self.parser()
        config = parser.parse_string(self.TEXT.format(kernels=written))
        again = parser.parse_string(parser.dump(config))
        assert parser.dump(again) == parser.dump(config)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            monitor = parser.instantiate_classes(again).monitor
        assert monitor.kernels in (kernels, str(kernels))
        assert (monitor.settings.steps, monitor.settings.lr) == (3, 0.1)
        assert tuple(monitor.settings.scale) == (0.95, 1.05)
        assert monitor.settings.objective == "center"
        assert monitor.schedule.every_n_train_steps == 5
        assert monitor.input_spec.shape == (3, 12, 16)
        fit(monitor, tmp_path, max_epochs=1)
        assert len(scalars(tmp_path)["activation"]) == 1

    @pytest.mark.parametrize("line", ["steps: many", "stepz: 3", "kernels: 0.5"])
    def test_mistakes(self, line: str) -> None:
        text = self.TEXT.format(kernels="all").replace("steps: 3", line)
        with pytest.raises(Exception, match=line.split(":")[0]):
            self.parser().parse_string(text)
