"""Every monitor in all that a Trainer does, with all sorts of modules and batches."""

from __future__ import annotations

import logging
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from promise import (
    BATCHES,
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
from torch.utils.data import DataLoader
from typing_extensions import override

from neurovis.callbacks import FeatureMapMonitor, Monitor
from neurovis.observation import Observation

STAGES = ["validate", "test", "predict"]


def pictures(folder: Path) -> list[Any]:
    """All pictures of a folder, in the order of their paths."""
    return [np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))]


class Modes(Callback):
    """Remembers whether a stage ran in inference mode."""

    @override
    def on_test_batch_start(self, *_: Any, **__: Any) -> None:
        self.inference = torch.is_inference_mode_enabled()

    on_validation_batch_start = on_predict_batch_start = on_test_batch_start


@each_kind
class TestAfterTraining:
    @pytest.mark.sampled(2)
    def test_of_the_same_trainer(self, kind: type[Monitor], tmp_path: Path) -> None:
        module, modes = TinyModule(), Modes()
        run = fit([one_monitor(kind), modes], tmp_path, module, max_epochs=1)
        for stage in STAGES:
            for path in tmp_path.rglob("*.png"):
                path.unlink()
            getattr(run, stage)(module, loader(seed=2))
            assert modes.inference
            assert png_steps(tmp_path) == [BATCHES]
        assert number_of_hooks(module) == 0
        assert module.conv1.weight.requires_grad

    @pytest.mark.sampled(2)
    @pytest.mark.parametrize("stage", STAGES)
    def test_without_training(self, kind: type[Monitor], stage: str, tmp_path: Path) -> None:
        modes = Modes()
        run = trainer(tmp_path, callbacks=[one_monitor(kind), modes])
        getattr(run, stage)(TinyModule(), loader())
        assert modes.inference
        assert png_steps(tmp_path) == [0]


@pytest.mark.drawn
@pytest.mark.sampled(2)
@each_kind
def test_testing_from_a_checkpoint(kind: type[Monitor], tmp_path: Path) -> None:
    trained = TinyModule()
    fit([], tmp_path, trained, max_epochs=1).save_checkpoint(tmp_path / "trained.ckpt")
    found = {}
    for name, module, path in [
        ("loaded", TinyModule(), tmp_path / "trained.ckpt"),
        ("trained", trained, None),
        ("untrained", TinyModule(), None),
    ]:
        folder = tmp_path / name
        trainer(folder, callbacks=[one_monitor(kind)]).test(module, loader(), ckpt_path=path)
        found[name] = [_body(pixels) for pixels in pictures(folder)]
    loaded = found["loaded"]
    assert loaded
    assert all(map(np.array_equal, loaded, found["trained"]))
    assert not all(map(np.array_equal, loaded, found["untrained"]))


def _body(picture: Any) -> Any:
    """Without the title, which tells the step, which only the checkpoint knows."""
    return picture[80:]


@pytest.mark.sampled(2)
@each_kind
def test_training_goes_on_from_a_checkpoint(kind: type[Monitor], tmp_path: Path) -> None:
    checkpoint = tmp_path / "first.ckpt"
    fit([], tmp_path, max_epochs=1).save_checkpoint(checkpoint)
    weights = []
    for callbacks in ([one_monitor(kind, every_n_train_steps=3)], []):
        module = TinyModule()
        run = trainer(tmp_path / "second", callbacks=callbacks)
        torch.manual_seed(0)
        run.fit(module, loader(), loader(seed=1), ckpt_path=checkpoint)
        weights.append(module.state_dict())
    assert png_steps(tmp_path / "second") == [5, 8]
    assert differences(*weights) == []


class PartCompiled(TinyModule):
    """Has its second convolution compiled, and called before there is any monitor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2.compile(backend="eager")
        self.conv1 = torch.compile(self.conv1, backend="eager")  # type: ignore[assignment]
        with torch.no_grad():
            self(torch.zeros(1, 3, SIZE, SIZE))


class Called(TinyModule):
    """Has been called, before it is compiled as a whole."""

    def __init__(self) -> None:
        super().__init__()
        torch.compile(self.eval(), backend="eager")(torch.zeros(1, 3, SIZE, SIZE))
        self.train()


@pytest.mark.slow
@pytest.mark.parametrize(("module", "compiled"), [(PartCompiled, False), (Called, True)])
def test_modules_that_were_called_before(
    module: type[TinyModule], compiled: bool, tmp_path: Path
) -> None:
    watched = outcome(every_monitor(), tmp_path / "with", compiled, module)
    assert differences(watched, outcome([], tmp_path / "without", compiled, module)) == []
    assert png_steps(tmp_path / "with") == [1, 3, 4, 5, 7, 9]


class Counting:
    """A compiler that counts what it compiles."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, _inputs: Any) -> Any:
        self.graphs += 1
        return graph.forward


class CallingMonitor(Monitor):
    """Somebody's own, who calls the module as it is."""

    @override
    def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
        mean = network(images.requires_grad_()).square().mean()
        (self.gradient,) = torch.autograd.grad(mean, images)
        return Observation(scalars={"mean": mean.item()})


@pytest.mark.parametrize("part", [False, True])
def test_nothing_is_compiled_for_a_monitor(part: bool, tmp_path: Path) -> None:
    """A training that is compiled too often is run uncompiled, and ends with other weights."""

    class Convolution(nn.Conv2d):
        """The user's own, since torch does not compile a part that is a layer of torch."""

        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images)

    class Silent(TinyModule):
        """Lightning's ``log`` cannot be compiled with every version of torch and Python."""

        def __init__(self) -> None:
            super().__init__()
            self.conv2 = Convolution(4, 6, 3)

        def training_step(self, batch: Any) -> Tensor:
            return self._loss(batch)

        def validation_step(self, batch: Any) -> None:
            self._loss(batch)

    graphs = []
    monitors = [one_monitor(kind, every_n_train_steps=2, max_images=3) for kind in KINDS]
    for callbacks in ([*monitors, CallingMonitor(None, on_error="raise")], []):
        torch.compiler.reset()
        counting, module = Counting(), Silent()
        if part:
            module.conv2.compile(backend=counting)
        fitted = module if part else torch.compile(module, backend=counting)
        run = trainer(tmp_path, callbacks=callbacks, max_epochs=1)
        run.fit(fitted, loader(batches=3), loader(seed=1, batches=1))
        graphs.append(counting.graphs)
    assert graphs[0] == graphs[1] > 0


@dataclass
class Record:
    """What somebody's dataset collates."""

    classes: Tensor
    picture: Tensor


Named = namedtuple("Named", ["classes", "picture"])


BATCH_TYPES: dict[str, Any] = {
    "tuple": (lambda images, classes: (classes, images), "batch[1]", 1),
    "dict": (
        lambda images, classes: {"classes": classes, "picture": images},
        "batch['picture']",
        "picture",
    ),
    "dataclass": (lambda images, classes: Record(classes, images), "batch.picture", "picture"),
    "named tuple": (lambda images, classes: Named(classes, images), "batch.picture", "picture"),
}


class AnyBatch(TinyModule):
    """Takes the batches above."""

    @override
    def _loss(self, batch: Any) -> Tensor:
        return super()._loss(_images_and_classes(batch))

    @override
    def predict_step(self, batch: Any) -> Tensor:
        return self(_images_and_classes(batch)[0])


def _images_and_classes(batch: Any) -> tuple[Tensor, Tensor]:
    if isinstance(batch, dict):
        return batch["picture"], batch["classes"]
    if isinstance(batch, (Named, Record)):
        return batch.picture, batch.classes
    return batch[1], batch[0]


def _find(batch: Any) -> Tensor:
    return _images_and_classes(batch)[0]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (FeatureMapMonitor, "guess"),
        (FeatureMapMonitor, "input_key"),
        (FeatureMapMonitor, "get_images"),
    ],
)
@pytest.mark.parametrize("batch_type", BATCH_TYPES)
def test_batches_of_all_sorts(
    kind: type[Monitor],
    how: str,
    batch_type: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make, place, key = BATCH_TYPES[batch_type]
    arguments = {"guess": {}, "input_key": {"input_key": key}, "get_images": {"get_images": _find}}
    plain = loader()

    def collate(samples: Any) -> Any:
        return make(*torch.utils.data.default_collate(samples))

    batches: DataLoader[Any] = DataLoader(plain.dataset, plain.batch_size, collate_fn=collate)
    monitor = one_monitor(kind, **arguments[how], max_images=2)
    with caplog.at_level(logging.INFO):
        run = trainer(tmp_path, callbacks=[monitor], max_epochs=1)
        run.fit(AnyBatch(), batches, batches)
    assert torch.equal(monitor.probe._images, next(iter(plain))[0][:2])
    assert png_steps(tmp_path) == [BATCHES - 1]
    (said,) = [line for line in caplog.messages if line.startswith(f"{kind.__name__} looks at")]
    where = "what get_images finds" if how == "get_images" else place
    assert f"first validation batch: {where}, (4, 3, 12, 12)" in said
    for stage in STAGES:
        getattr(run, stage)(run.lightning_module, batches)


class Remembering(Callback):
    """Remembers the images that a monitor, its neighbor, has after each validation."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.seen: list[Tensor] = []

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append(self.monitor.probe.images_for(pl_module, pl_module.device))


@pytest.mark.sampled(2)
@each_kind
def test_the_images_of_the_sanity_check_stay(kind: type[Monitor], tmp_path: Path) -> None:
    """They are there before training, so that first looks and all that follow show the same."""
    monitor = one_monitor(kind, every_n_train_steps=BATCHES)
    remembering = Remembering(monitor)
    run = trainer(tmp_path, callbacks=[monitor, remembering], val_check_interval=1, max_epochs=1)
    torch.manual_seed(0)
    run.fit(TinyModule(), loader(), loader(shuffle=True))
    assert len(remembering.seen) == 1 + BATCHES
    assert all(torch.equal(images, remembering.seen[0]) for images in remembering.seen)


def test_parts_that_are_compiled_are_watched(tmp_path: Path) -> None:
    """The activations of compiled parts are those of the parts."""
    seen: dict[str, Tensor] = {}

    class Watching(FeatureMapMonitor):
        @override
        def activations(self, pl_module: nn.Module, images: Tensor) -> dict[str, Tensor]:
            maps = super().activations(pl_module, images)
            first = pl_module.conv1._orig_mod
            torch.testing.assert_close(maps["conv1"], first(images))
            normed = pl_module.relu(pl_module.frozen_norm(first(images)))
            torch.testing.assert_close(
                maps["conv2"],
                nn.functional.conv2d(normed, pl_module.conv2.weight, pl_module.conv2.bias),
            )
            seen.update(maps)
            return maps

    fit(Watching(["conv1", "conv2"], on_error="raise"), tmp_path, PartCompiled(), max_epochs=1)
    assert set(seen) == {"conv1", "conv2"}
