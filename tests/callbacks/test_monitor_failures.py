"""Wrong arguments stop a run before it starts; whatever else cannot be watched never does."""

from __future__ import annotations

import copy
import itertools
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from promise import (
    BATCHES,
    EPOCHS,
    KINDS,
    SIZE,
    TinyModule,
    differences,
    each_kind,
    every_monitor,
    fit,
    loader,
    number_of_hooks,
    one_monitor,
    outcome,
    png_steps,
    trainer,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    Monitor,
    SaliencyMonitor,
)
from neurovis.inputs import InputSpec
from neurovis.observation import Observation

STEPS = EPOCHS * BATCHES
IMAGES = torch.rand(1, 3, SIZE, SIZE)


class Strict(TinyModule):
    """Fails the test if a training step is reached."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)

    @override
    def training_step(self, batch: Any) -> Tensor:
        raise AssertionError("a training step was reached")


#: What a run has that a monitor cannot work with, by its arguments.
UNWATCHABLE = [
    ({"input_key": "image"}, "input_key='image' finds nothing"),
    ({"input_key": 1}, r"no floating-point images .* batch\[1\] \(4,\)"),
    ({"get_images": lambda batch: batch[1]}, r"get_images must .* \(4,\) torch.int64"),
    ({"get_images": lambda batch: batch["image"]}, "get_images failed on a batch of .* indices"),
    ({"probe_images": torch.rand(1, 5, SIZE, SIZE)}, "5"),
    ({"input_spec": InputSpec.rgbd(SIZE)}, "4 channels|rgb 3, depth 1"),
]
#: The same with a monitor each, so that each of them is tried.
UNWATCHABLE_BY = [
    *((kind, *case) for kind, case in zip(itertools.cycle(KINDS), UNWATCHABLE, strict=False)),
    (FeatureMapMonitor, {"layers": "unused"}, '"unused" is never reached'),
    (SaliencyMonitor, {"layer": "unused", "kernels": 0}, '"unused" is never reached'),
    (ActivationMaximizationMonitor, {"layer": "unused"}, '"unused" is never reached'),
]
WRONG = [
    (FeatureMapMonitor, {"layers": "conv3"}, 'layer "conv3" not found; did you mean "conv'),
    (FeatureMapMonitor, {"layers": "Conv3d"}, "Conv3d"),
    (FeatureMapMonitor, {"layers": nn.Conv3d}, "no layer of type Conv3d"),
    (FeatureMapMonitor, {"layers": "conv1", "kernels": [1, 4]}, "kernel 4 is out of range.* has 4"),
    (FeatureMapMonitor, {"layers": "conv1", "kernels": "0:3"}, 'cannot read "0:3"'),
    (SaliencyMonitor, {"layer": "conv3"}, 'layer "conv3" not found; did you mean "conv'),
    (SaliencyMonitor, {"layer": "conv2", "kernels": [6]}, "kernel 6 is out of range.* has 6"),
    (SaliencyMonitor, {"layer": None, "kernels": [3], "method": "gradient"}, "3 .*out of range"),
    (SaliencyMonitor, {"layer": "conv2", "readout": (9, 0)}, r"readout \(9, 0\) lies outside"),
    (
        SaliencyMonitor,
        {"method": "gradcam", "method_options": {"gradcam_layer": "conv3"}},
        'layer "conv3" not found',
    ),
    (ActivationMaximizationMonitor, {"layer": "conv3"}, 'layer "conv3" not found'),
    (ActivationMaximizationMonitor, {"kernels": "5-7"}, "out of range.* has 6"),
]


class WithUnused(TinyModule):
    """Has a layer that no forward reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)


def said_by(kind: type[Monitor], caught: list[warnings.WarningMessage]) -> list[str]:
    """The warnings of a monitor."""
    texts = [str(one.message) for one in caught]
    return [text for text in texts if text.startswith(kind.__name__)]


class TestUnwatchable:
    """What cannot be watched is one warning, and the training is what it is without."""

    @pytest.mark.sampled(2)
    @pytest.mark.parametrize(("kind", "arguments", "message"), UNWATCHABLE_BY)
    def test_one_warning_and_the_same_weights(
        self,
        kind: type[Monitor],
        arguments: dict[str, Any],
        message: str,
        tmp_path: Path,
        plain_outcome: Callable[..., dict[str, Any]],
    ) -> None:
        monitor = one_monitor(kind, **{"on_error": "warn", **arguments})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            watched = outcome([monitor], tmp_path, kind=WithUnused)
        (said,) = said_by(kind, caught)
        assert "training continues" in said
        assert re.search(message, said)
        assert differences(watched, plain_outcome(kind=WithUnused)) == []
        assert png_steps(tmp_path) == []

    @each_kind
    @pytest.mark.parametrize(("arguments", "message"), UNWATCHABLE)
    def test_raises_on_request(
        self, kind: type[Monitor], arguments: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises((ValueError, RuntimeError), match=message):
            fit(one_monitor(kind, **arguments), tmp_path, Strict())

    @each_kind
    def test_batches_without_images(self, kind: type[Monitor], tmp_path: Path) -> None:
        class Vectors(TinyModule):
            @override
            def _loss(self, batch: Any) -> Tensor:
                return self.head(batch[0]).mean()

        batches: Any = DataLoader(TensorDataset(torch.rand(8, 6), torch.arange(8)), 4)
        run = trainer(tmp_path, callbacks=[one_monitor(kind, on_error="warn")], max_epochs=1)
        with pytest.warns(UserWarning, match=r"no floating-point images .*batch\[0\] \(4, 6\)"):
            run.fit(Vectors(), batches, batches)
        assert run.global_step == 2


@pytest.mark.filterwarnings("ignore:Found")
class TestWrongArguments:
    @pytest.mark.parametrize(("kind", "arguments", "message"), WRONG)
    @pytest.mark.parametrize("sanity", [0, 2])
    def test_before_the_first_step(
        self,
        kind: type[Monitor],
        arguments: dict[str, Any],
        message: str,
        sanity: int,
        tmp_path: Path,
    ) -> None:
        monitor = one_monitor(kind, on_error="warn", **arguments)
        with pytest.raises(ValueError, match=message):
            fit(monitor, tmp_path, Strict(), num_sanity_val_steps=sanity)

    def test_of_layers_that_setup_makes(self, tmp_path: Path) -> None:
        class Late(TinyModule):
            @override
            def setup(self, stage: str) -> None:
                self.late = nn.Conv2d(6, 6, 1)

            @override
            def forward(self, images: Tensor) -> Tensor:
                return self.late(images.mean((2, 3), keepdim=True).repeat(1, 2, 1, 1)).flatten(1)

        fit(one_monitor(FeatureMapMonitor, layers=["late"]), tmp_path, Late(), max_epochs=1)
        assert png_steps(tmp_path) == [BATCHES - 1]
        with pytest.raises(ValueError, match='layer "later" not found; did you mean "late"'):
            fit(one_monitor(FeatureMapMonitor, layers=["later"]), tmp_path, Late())

    @each_kind
    def test_the_module_is_as_it_was(self, kind: type[Monitor], tmp_path: Path) -> None:
        module = Strict()
        with pytest.raises(ValueError, match="no floating-point images"):
            fit(one_monitor(kind, input_key=-1), tmp_path, module, num_sanity_val_steps=0)
        assert_untouched(module)


def assert_untouched(module: nn.Module) -> None:
    """No hook, flags as in training, and nothing that cannot be saved."""
    assert number_of_hooks(module) == 0
    trained = [name for name, p in module.named_parameters() if not p.requires_grad]
    assert trained == ["frozen_norm.weight", "frozen_norm.bias"]
    assert [name for name, part in module.named_modules() if not part.training] == ["frozen_norm"]
    assert "log" not in vars(module)
    pickle.dumps(module)


def full(*_: Any, **__: Any) -> None:
    raise OSError("no space left on device")


def lost(*_: Any, **__: Any) -> None:
    raise ConnectionError("no route to host")


class Greedy(nn.Module):
    """Has no memory left for those who only watch."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images


class TooLarge(TinyModule):
    """Runs out of memory in evaluation mode, which is where only monitors run it."""

    def __init__(self) -> None:
        super().__init__()
        self.greedy = Greedy()

    @override
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(self.greedy(images))

    @override
    def validation_step(self, batch: Any) -> None:
        pass


def _no_space(monkeypatch: pytest.MonkeyPatch, _folder: Path) -> dict[str, Any]:
    monkeypatch.setattr("neurovis.summaries.save_png", full)
    return {}


def _failing_logger(_monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    logger = TensorBoardLogger(folder)
    logger.experiment.add_image = lost
    return {"logger": logger}


def _no_memory(_monkeypatch: pytest.MonkeyPatch, _folder: Path) -> dict[str, Any]:
    return {"kind": TooLarge}


FAILURES: dict[str, tuple[Callable[..., dict[str, Any]], str]] = {
    "disk": (_no_space, "OSError: no space left"),
    "logger": (_failing_logger, "ConnectionError: no route"),
    "memory": (_no_memory, "OutOfMemoryError: CUDA out of memory"),
}


@pytest.mark.parametrize(
    "failure", ["disk", pytest.param("logger", marks=pytest.mark.slow), "memory"]
)
class TestFailures:
    @pytest.mark.sampled(2)
    @each_kind
    def test_one_warning_and_the_same_weights(
        self,
        kind: type[Monitor],
        failure: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        plain_outcome: Callable[..., dict[str, Any]],
    ) -> None:
        prepare, message = FAILURES[failure]
        arguments = prepare(monkeypatch, tmp_path)
        monitor = one_monitor(kind, every_n_train_steps=1, on_error="warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            watched = outcome([monitor], tmp_path, **arguments)
        (said,) = said_by(kind, caught)
        assert "training continues" in said
        assert message in said
        assert differences(watched, plain_outcome(**arguments)) == []

    @each_kind
    def test_raises_on_request(
        self, kind: type[Monitor], failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prepare, message = FAILURES[failure]
        arguments = prepare(monkeypatch, tmp_path)
        error, text = message.split(": ")
        with pytest.raises((OSError, torch.OutOfMemoryError), match=text) as raised:
            outcome([one_monitor(kind, on_error="raise")], tmp_path, **arguments)
        assert type(raised.value).__name__ == error


@pytest.mark.sampled(2)
@each_kind
def test_it_recovers_when_there_is_memory_again(kind: type[Monitor], tmp_path: Path) -> None:
    class Tight(TooLarge):
        @override
        def on_train_epoch_end(self) -> None:
            self.greedy = nn.Identity()

    monitor = one_monitor(kind, every_n_epochs=1, on_error="warn")
    with pytest.warns(UserWarning, match="out of memory"):
        fit(monitor, tmp_path, Tight())
    assert png_steps(tmp_path) == [STEPS - 1]


def test_what_could_not_begin_begins_later(tmp_path: Path) -> None:
    """A first look that there was no memory for is made up for, once, before others."""
    calls: list[tuple[str, int]] = []

    class Large(Monitor):
        @override
        def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
            calls.append(("first" if self.is_first_look else "later", step))
            if len(calls) < 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return Observation()

    monitor = Large(None, every_n_train_steps=2)
    with pytest.warns(UserWarning, match="out of memory"):
        fit(monitor, tmp_path, max_epochs=1, limit_train_batches=8, num_sanity_val_steps=0)
    assert calls == [("first", 0), ("first", 1), ("first", 3), ("later", 3)]


def test_a_logger_that_fails_does_not_deprive_the_others(tmp_path: Path) -> None:
    board, numbers = TensorBoardLogger(tmp_path), CSVLogger(tmp_path)
    board.experiment.add_image = lost
    with pytest.warns(UserWarning, match="no route"):
        fit(one_monitor(FeatureMapMonitor, on_error="warn"), tmp_path, logger=[board, numbers])
    assert "feature_maps/conv1/mean" in Path(numbers.log_dir, "metrics.csv").read_text()


ERRORS = [RuntimeError("boom"), KeyboardInterrupt()]


class Interrupting(nn.Module):
    """Raises in evaluation mode, in the midst of the forward of whoever watches."""

    def __init__(self, error: BaseException, armed_after: int) -> None:
        super().__init__()
        self.error, self.left = error, armed_after

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.left -= 1
        elif self.left <= 0:
            raise self.error
        return images


class Interrupted(TooLarge):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.greedy = Interrupting(error, 2)  # type: ignore[assignment]


class TestNothingIsLeft:
    def test_after_fit(self, tmp_path: Path) -> None:
        module = TinyModule()
        run = fit(every_monitor(), tmp_path, module, max_epochs=1)
        assert_untouched(module)
        torch.save(module, tmp_path / "module.pt")
        again = torch.load(tmp_path / "module.pt", weights_only=False)
        assert differences(module.state_dict(), again.state_dict()) == []
        run.test(module, loader(), verbose=False)
        assert_untouched(module)

    @each_kind
    @pytest.mark.parametrize("error", ERRORS, ids=["exception", "interrupt"])
    def test_after_an_exception_in_an_observation(
        self, kind: type[Monitor], error: BaseException, tmp_path: Path
    ) -> None:
        torch.manual_seed(3)
        module, twin = Interrupted(error), Interrupted(error)
        with pytest.raises((RuntimeError, SystemExit, KeyboardInterrupt)):
            fit(one_monitor(kind, every_n_train_steps=2), tmp_path, module)
        assert module.greedy.left == 0
        assert_untouched(module)
        torch.save(module.state_dict(), tmp_path / "module.pt")
        # It trains on as if nothing had happened.
        twin.load_state_dict(module.state_dict())
        weights = []
        for one in (module, twin):
            torch.manual_seed(0)
            one.greedy = nn.Identity()  # type: ignore[assignment]
            fit([], tmp_path, one, max_epochs=1)
            weights.append(one.state_dict())
        assert differences(*weights) == []

    @pytest.mark.sampled(2)
    @each_kind
    def test_after_an_exception_in_training(self, kind: type[Monitor], tmp_path: Path) -> None:
        class Failing(TinyModule):
            @override
            def training_step(self, batch: Any) -> Tensor:
                if self.global_step == 3:
                    raise RuntimeError("boom")
                return super().training_step(batch)

        module = Failing()
        with pytest.raises(RuntimeError, match="boom"):
            fit(one_monitor(kind, every_n_train_steps=1), tmp_path, module)
        assert png_steps(tmp_path) == [0, 1, 2]
        assert number_of_hooks(module) == 0

    @pytest.mark.sampled(2)
    @each_kind
    def test_monitors_are_pickled_and_copied(self, kind: type[Monitor], tmp_path: Path) -> None:
        monitor = one_monitor(kind, probe_images=IMAGES)
        for duplicate in (copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))):
            fit(duplicate, tmp_path / "before", max_epochs=1)
        fit(monitor, tmp_path, max_epochs=1)
        for duplicate in (copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))):
            assert duplicate.state_key == monitor.state_key
            fit(duplicate, tmp_path / "after", max_epochs=1)
        assert png_steps(tmp_path / "before") == png_steps(tmp_path / "after") == [BATCHES - 1]


def test_checkpoints_do_not_depend_on_monitors(tmp_path: Path) -> None:
    """Written with monitors and read without, and the other way round, without a warning."""
    left = []
    for name, first, second in [
        ("with, without", [one_monitor(kind) for kind in KINDS], []),
        ("without, with", [], [one_monitor(kind) for kind in KINDS]),
        ("without", [], []),
    ]:
        torch.manual_seed(0)
        folder = tmp_path / name
        saved = ModelCheckpoint(folder, filename="first")
        fit([*first, saved], folder, max_epochs=1, enable_checkpointing=True)
        module = TinyModule()
        run = trainer(folder / "second", callbacks=second)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run.fit(module, loader(), loader(seed=1), ckpt_path=folder / "first.ckpt")
        said = [str(one.message) for one in caught]
        assert not [line for line in said if "Monitor" in line]
        left.append(module.state_dict())
        keys = torch.load(folder / "first.ckpt", weights_only=False)["callbacks"].keys()
        assert not [key for key in keys if "Monitor" in key]
    assert differences(left[0], left[2]) == []
    assert differences(left[1], left[2]) == []
