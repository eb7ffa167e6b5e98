"""Arguments of the monitors, and where they find images in a batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import FSDPStrategy

from neurovis.callbacks import FeatureMapMonitor
from neurovis.callbacks.probe import find_images
from neurovis.callbacks.schedule import Schedule
from neurovis.inputs import InputSpec

IMAGES = torch.rand(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": []}, ValueError, "at least one layer"),
        ({"layers": [3]}, TypeError, "got 3"),
        ({"every_n_epochs": 1, "every_n_train_steps": 5}, ValueError, "exclude.* got 1 and 5"),
        ({"every_n_epochs": 0}, ValueError, "every_n_epochs must be at least 1; got 0"),
        ({"every_n_train_steps": -2}, ValueError, "every_n_train_steps must .* got -2"),
        ({"every_n_train_steps": 1.5}, TypeError, "every_n_train_steps must .* got 1.5"),
        ({"every_n_epochs": True}, TypeError, "must be an integer; got True"),
        ({"max_images": 0}, ValueError, "max_images must be at least 1; got 0"),
        ({"max_kernels": 0}, ValueError, "max_kernels must be at least 1; got 0"),
        ({"kernels": []}, ValueError, "at least one kernel"),
        ({"on_error": "ignore"}, ValueError, "got 'ignore'"),
        ({"probe_images": [1]}, TypeError, "must be a tensor; got list"),
        ({"probe_images": IMAGES[0]}, ValueError, r"got \(3, 4, 4\)"),
        ({"probe_images": IMAGES.int()}, ValueError, "torch.int32"),
        (
            {"probe_images": IMAGES + 1, "input_spec": InputSpec.rgb(4)},
            ValueError,
            r"must be in \[0, 1\]",
        ),
        ({"probe_images": IMAGES, "input_spec": InputSpec.rgbd(4)}, ValueError, "rgb 3, depth 1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FeatureMapMonitor(**{"layers": "conv1", **arguments})


def test_sharded_parameters_are_refused() -> None:
    strategy = object.__new__(FSDPStrategy)
    run: Any = SimpleNamespace(strategy=strategy)
    with pytest.raises(ValueError, match="FSDPStrategy does not allow"):
        FeatureMapMonitor("conv1").setup(run, torch.nn.Identity(), "fit")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "epochs", "steps"),
    [
        ({}, [1, 2, 3, 4], []),
        ({"every_n_epochs": 2}, [2, 4], []),
        ({"every_n_train_steps": 3}, [], [3]),
    ],
)
def test_schedule(arguments: dict[str, int], epochs: list[int], steps: list[int]) -> None:
    schedule = Schedule(**arguments)
    assert [n for n in range(5) if schedule.is_due(epochs=n)] == epochs
    assert [n for n in range(5) if schedule.is_due(steps=n)] == steps


@pytest.mark.parametrize(
    ("batch", "key", "place"),
    [
        (IMAGES, None, "batch"),
        ((IMAGES, torch.arange(2)), None, "batch[0]"),
        ([torch.arange(2), IMAGES], None, "batch[1]"),
        ([torch.arange(2), IMAGES], 1, "batch[1]"),
        ({"label": torch.arange(2), "picture": IMAGES}, None, "batch['picture']"),
        ({"mask": torch.zeros(2, 1, 4, 4), "image": IMAGES}, None, "batch['image']"),
        ({"mask": torch.zeros(2, 1, 4, 4), "left": IMAGES}, "left", "batch['left']"),
        ({"views": (IMAGES, IMAGES + 1), "label": torch.arange(2)}, None, "batch['views'][0]"),
        ((IMAGES.byte(), IMAGES), None, "batch[1]"),
    ],
)
def test_images_are_found(batch: Any, key: str | int | None, place: str) -> None:
    images, where = find_images(batch, key)
    assert where == place
    assert torch.equal(images, IMAGES)


@pytest.mark.parametrize(
    ("batch", "key", "message"),
    [
        (torch.arange(3), None, r"no floating-point images .* Tensor with batch \(3,\)"),
        ("text", None, "str with no tensor"),
        (IMAGES.byte(), None, "no floating-point images"),
        (
            {"image": IMAGES},
            "images",
            r"input_key='images' finds .* batch\['image'\] \(2, 3, 4, 4\)",
        ),
        ((IMAGES,), 3, "input_key=3 finds nothing"),
        (SimpleNamespace(image=IMAGES), "image", "finds nothing in a batch of SimpleNamespace"),
    ],
)
def test_images_are_missed(batch: Any, key: str | int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_images(batch, key)
