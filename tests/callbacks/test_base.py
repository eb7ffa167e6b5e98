"""Arguments of the monitors, and where they find images in a batch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy
from promise import each_kind, one_monitor
from torch import Tensor, nn

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    Monitor,
    SaliencyMonitor,
)
from neurovis.callbacks.image_finder import ImageFinder, find_images
from neurovis.callbacks.probe import Probe
from neurovis.callbacks.schedule import Schedule
from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.observation import Observation

IMAGES = torch.rand(2, 3, 4, 4)


@dataclass
class Record:
    mask: Any
    left: Any


class Named(NamedTuple):
    mask: Any
    left: Any


@each_kind
def test_a_monitor_defines_one_method(kind: type[Monitor]) -> None:
    """All that the base calls is ``observe``; ``state_key`` is Lightning's."""
    inherited = {name for base in kind.__mro__[1:] for name in vars(base)} - {"needs_images"}
    defined = {name for name in vars(kind) if name[0] != "_" and name in inherited}
    assert defined - {"state_key"} == {"observe"}


def test_a_monitor_without_layers_has_the_output_to_observe() -> None:
    class Watching(Monitor):
        def observe(self, *_: object) -> Observation:
            return Observation()

    network = nn.Conv2d(3, 2, 1)
    (read,) = Watching(None).activations(network, IMAGES).items()
    assert read[0] == "output"
    torch.testing.assert_close(read[1], network(IMAGES))


@each_kind
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every_n_epochs": 1, "every_n_train_steps": 5}, ValueError, "exclude.* got 1 and 5"),
        ({"every_n_epochs": 0}, ValueError, "every_n_epochs must be at least 1; got 0"),
        ({"every_n_train_steps": -2}, ValueError, "every_n_train_steps must .* got -2"),
        ({"every_n_train_steps": 1.5}, TypeError, "every_n_train_steps must .* got 1.5"),
        ({"every_n_epochs": True}, TypeError, "must be an integer; got True"),
        ({"max_images": 0}, ValueError, "max_images must be at least 1; got 0"),
        ({"on_error": "ignore"}, ValueError, "got 'ignore'"),
        ({"probe_images": [1]}, TypeError, "must be a tensor; got list"),
        ({"probe_images": IMAGES[0]}, ValueError, r"got \(3, 4, 4\)"),
        ({"probe_images": IMAGES[:0]}, ValueError, r"got \(0, 3, 4, 4\)"),
        ({"probe_images": IMAGES.int()}, ValueError, "torch.int32"),
        (
            {"probe_images": IMAGES + 1, "input_spec": InputSpec.rgb(4)},
            ValueError,
            r"must be in \[0, 1\]",
        ),
        ({"probe_images": IMAGES, "input_spec": InputSpec.rgbd(4)}, ValueError, "rgb 3, depth 1"),
        ({"input_key": 0, "get_images": len}, ValueError, "exclude each other; got both"),
        ({"get_images": "image"}, TypeError, "get_images must be a function .* got str"),
    ],
)
def test_bad_arguments(
    kind: type[Monitor], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        one_monitor(kind, **arguments)


@each_kind
def test_an_unknown_option_is_refused_by_the_name_that_was_written(kind: type[Monitor]) -> None:
    with pytest.raises(TypeError, match=f"^{kind.__name__} has no option 'color'; see help"):
        one_monitor(kind, color=True)
    with pytest.raises(TypeError, match=f"{kind.__name__} .*; did you mean 'max_images'"):
        one_monitor(kind, max_image=2)


def test_near_options_are_also_those_that_are_passed_on() -> None:
    with pytest.raises(TypeError, match=r"KernelRankingMonitor .* did you mean 'max_kernels'"):
        KernelRankingMonitor("conv1", kernels=[1])
    with pytest.raises(TypeError, match=r"KernelRankingMonitor .* did you mean 'null_kernels'"):
        KernelRankingMonitor("conv1", null_kernel=5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": []}, ValueError, "at least one layer"),
        ({"layers": [3]}, TypeError, "got 3"),
        ({"layers": [int]}, TypeError, "got <class 'int'>"),
        ({"max_kernels": 0}, ValueError, "max_kernels must be at least 1; got 0"),
        ({"kernels": []}, ValueError, "at least one kernel"),
    ],
)
def test_bad_arguments_of_feature_maps(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        FeatureMapMonitor(**{"layers": "conv1", **arguments})


@pytest.mark.parametrize(
    "kind", [FeatureMapMonitor, SaliencyMonitor, ActivationMaximizationMonitor]
)
def test_kernels_are_integers(kind: type[Monitor]) -> None:
    with pytest.raises(TypeError, match=r"kernels are integers; got 1\.5"):
        one_monitor(kind, kernels=[0, 1.5])


@each_kind
@pytest.mark.parametrize("strategy", [FSDPStrategy, DeepSpeedStrategy])
def test_sharded_parameters_are_not_watched(kind: type[Monitor], strategy: type) -> None:
    class TheirOwn(strategy):  # type: ignore[misc]
        pass

    run: Any = SimpleNamespace(strategy=object.__new__(TheirOwn))
    module: Any = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"TheirOwn shards .* train with DDP or on one device"):
        one_monitor(kind).setup(run, module, "fit")
    with pytest.warns(UserWarning, match=f"{kind.__name__} cannot watch.*TheirOwn shards"):
        one_monitor(kind, on_error="warn").setup(run, module, "fit")


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
        (Record(torch.arange(2), IMAGES), None, "batch.left"),
        (Record(IMAGES + 1, IMAGES), "left", "batch.left"),
        (Named(torch.arange(2), IMAGES), None, "batch.left"),
        (Named(IMAGES + 1, IMAGES), "left", "batch.left"),
        (Named(IMAGES + 1, IMAGES), 1, "batch[1]"),
        ({"deep": [Named(0, (IMAGES,))]}, None, "batch['deep'][0].left[0]"),
        ({"x_ray": IMAGES + 1, "img": IMAGES}, None, "batch['img']"),
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
        (Record(IMAGES, 0), "right", r"batch of Record with batch.mask \(2, 3, 4, 4\)"),
        (Named(torch.arange(2), IMAGES), "mask", r"no floating-point images .* in batch.mask"),
    ],
)
def test_images_are_missed(batch: Any, key: str | int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_images(batch, key)


def test_what_get_images_returns_is_checked() -> None:
    images, place = ImageFinder(get_images=lambda batch: batch["a"])({"a": IMAGES})
    assert images is IMAGES
    assert place == "what get_images finds"
    for wrong, message in [
        (IMAGES[0], r"\(3, 4, 4\) torch.float32"),
        (IMAGES.byte(), "torch.uint8"),
        ([1], r"returned \[1\]"),
    ]:
        with pytest.raises(ValueError, match=f"get_images must return .*{message}"):
            ImageFinder(get_images=lambda batch: batch)(wrong)


@each_kind
def test_two_of_one_class_have_states_of_their_own(kind: type[Monitor]) -> None:
    keys = {one_monitor(kind, every_n_epochs=n).state_key for n in (1, 2)}
    assert len(keys) == 2


# Images that are not what the spec says.


def _taken(images: Tensor, spec: InputSpec | None) -> Probe:
    probe = Probe("Watching", None, spec, ImageFinder(), 4)
    probe.take(images, "validation")
    return probe


def test_images_that_are_not_normalized_are_told() -> None:
    spec = InputSpec.rgbd(8)
    images = torch.rand(2, 4, 8, 8)
    with pytest.warns(UserWarning, match=r"values of rgb are 0.* to .*, as of images that are not"):
        _taken(images, spec)


@pytest.mark.parametrize("spec", [InputSpec.rgbd(8), InputSpec((Modality("x", 4),), 8), None])
def test_images_as_the_spec_says_are_not_remarked_upon(spec: InputSpec | None) -> None:
    images = torch.rand(2, 4, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _taken(images if spec is None else spec.to_network(images), spec)


def test_images_of_another_size_are_told(caplog: pytest.LogCaptureFixture) -> None:
    spec = InputSpec.rgb(224)
    with caplog.at_level("INFO"):
        _taken(spec.to_network(torch.rand(2, 3, 8, 16)), spec)
    assert "the images are 8 x 16 pixels, and those of input_spec 224 x 224" in caplog.text
