"""The saliency monitor: what it explains, where it logs it, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from promise import BATCHES, CLASSES, EPOCHS, SIZE, TinyModule, loader, trainer, written
from torch import Tensor
from typing_extensions import override

from neurovis.callbacks import SaliencyMonitor
from neurovis.inputs import InputSpec
from neurovis.saliency import METHODS, kernel_saliency

IMAGES = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def fit(monitor: SaliencyMonitor, folder: Path, **arguments: Any) -> TinyModule:
    module = TinyModule()
    run = trainer(folder, callbacks=[monitor], **arguments)
    run.fit(module, loader(), loader(seed=1, batches=1))
    return module


def observed(monitor: SaliencyMonitor, module: TinyModule | None = None) -> Any:
    """What a monitor that has begun sees of some images."""
    module = (module or TinyModule()).eval()
    monitor.observe_first(module, IMAGES, 0)
    return monitor.observe(module, IMAGES, 7)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the figures are asked to draw, figure by figure."""
    calls: list[Any] = []
    from neurovis.callbacks import saliency

    draw = saliency.saliency_figure

    def remembering(*arguments: Any, **named: Any) -> Any:
        calls.append((*arguments, named))
        return draw(*arguments, **named)

    monkeypatch.setattr(saliency, "saliency_figure", remembering)
    return calls


@pytest.mark.sampled(3)
@pytest.mark.drawn
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("layer", "kernels"), [(None, [0, 2]), ("norm", "strongest")])
def test_every_method_during_training(
    method: Any, layer: str | None, kernels: Any, tmp_path: Path
) -> None:
    monitor = SaliencyMonitor(
        layer,
        kernels,
        method,
        method_options={"samples": 2, "steps": 4},
        max_images=1,
        on_error="raise",
    )
    fit(monitor, tmp_path, max_epochs=1)
    (path,) = tmp_path.rglob("*.png")
    folder = f"saliency/{method}/{layer or 'output'}"
    assert path.relative_to(written(tmp_path)).as_posix() == f"{folder}/step_{BATCHES - 1:08d}.png"
    assert len(np.unique(np.asarray(Image.open(path)))) > 20


def test_maps_are_those_of_kernel_saliency(drawn: list[Any]) -> None:
    module = TinyModule().eval()
    observed(SaliencyMonitor("conv2", [1, 4], "input_x_gradient", readout="max"), module)
    assert len(drawn) == 2
    for call, kernel in zip(drawn, (1, 4), strict=True):
        expected = kernel_saliency(
            module, IMAGES, "conv2", kernel, "input_x_gradient", readout="max"
        )
        torch.testing.assert_close(call[1][""], expected.maps.sum(1))
        assert call[2] == [f"kernel {kernel}: {value:.3g}" for value in expected.values.tolist()]


def test_the_strongest_class_of_each_image(drawn: list[Any]) -> None:
    module = TinyModule().eval()
    observed(SaliencyMonitor(), module)
    values, classes = module(IMAGES).max(1)
    expected = [f"class {one}: {value:.3g}" for one, value in zip(classes, values, strict=True)]
    assert drawn[0][2] == expected


def distance_of_two_classes(logits: Tensor) -> Tensor:
    return logits[:, 2] - logits[:, 0]


def test_any_number_of_the_output(drawn: list[Any]) -> None:
    module = TinyModule().eval()
    observed(SaliencyMonitor(target=distance_of_two_classes), module)
    images = IMAGES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(distance_of_two_classes(module(images)).sum(), images)
    torch.testing.assert_close(drawn[0][1][""], gradient.abs().amax(1))
    assert drawn[0][-1]["notes"] == []


class TwoOutputs(TinyModule):
    """An embedding before the logits."""

    @override
    def forward(self, images: Tensor) -> Any:
        return self.conv1(images).relu().mean((2, 3)), super().forward(images)


def test_an_output_is_named(drawn: list[Any]) -> None:
    module = TwoOutputs().eval()
    with pytest.raises(ValueError, match=r'several outputs .*"0" \(2, .*"1" .*output="1"'):
        SaliencyMonitor().observe_first(module, IMAGES, 0)
    seen = observed(SaliencyMonitor(kernels=[1], output="1"), module)
    assert list(seen.pictures) == ["saliency/gradient/output.1"]
    images = IMAGES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(images)[1][:, 1].sum(), images)
    torch.testing.assert_close(drawn[0][1][""], gradient.abs().amax(1))


def test_gradcams_layer_is_found_once_and_named(drawn: list[Any]) -> None:
    module = TinyModule().eval()
    monitor = SaliencyMonitor(kernels=[1], method="gradcam")
    observed(monitor, module)
    assert drawn[0][4] == "gradcam of output at norm, step 7"


def test_monitors_of_different_outputs_do_not_collide(tmp_path: Path) -> None:
    class Module(TwoOutputs):
        @override
        def training_step(self, batch: Any, *_: Any) -> Tensor:
            return torch.nn.functional.cross_entropy(self(batch[0])[1], batch[1])

        @override
        def validation_step(self, *_: Any) -> None: ...

    monitors = [SaliencyMonitor(output=name, on_error="raise") for name in ("0", "1")]
    trainer(tmp_path, callbacks=monitors, max_epochs=1).fit(Module(), loader())
    folders = {path.parent.name for path in tmp_path.rglob("*.png")}
    assert folders == {"output.0", "output.1"}


def test_a_unit(drawn: list[Any]) -> None:
    module = TinyModule().eval()
    observed(SaliencyMonitor("conv1", [2], readout=(0, 9)), module)
    (found,) = drawn[0][1].values()
    # A unit of a 3 x 3 convolution sees 3 x 3 pixels.
    assert found[:, :3, 9:].gt(0).all()
    assert found.gt(0).sum() == len(IMAGES) * 9


def test_first_against_now(drawn: list[Any]) -> None:
    module = TinyModule().eval()
    monitor = SaliencyMonitor(kernels=[0])
    monitor.observe_first(module, IMAGES, 5)
    before = kernel_saliency(module, IMAGES, None, 0).pooled()
    with torch.no_grad():
        module.head.weight.mul_(-3)
    monitor.observe(module, IMAGES, 7)
    caption, first = drawn[0][-1]["first"]
    assert caption == "first (step 5)"
    torch.testing.assert_close(first[""], before[""])
    torch.testing.assert_close(drawn[0][1][""], 3 * before[""])


def test_a_row_for_each_modality(drawn: list[Any]) -> None:
    spec = InputSpec.rgb(SIZE)
    observed(SaliencyMonitor(input_spec=spec))
    assert list(drawn[0][1]) == ["rgb"]
    torch.testing.assert_close(drawn[0][0], spec.from_network(IMAGES))


def test_completeness_error_is_logged(tmp_path: Path) -> None:
    monitor = SaliencyMonitor(method="integrated_gradients", on_error="raise")
    fit(monitor, tmp_path)
    with open(written(tmp_path) / "scalars.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == [str(BATCHES - 1), str(EPOCHS * BATCHES - 1)]
    assert {row["tag"] for row in rows} == {
        "saliency/integrated_gradients/output/completeness_error"
    }
    assert all(0 <= float(row["value"]) < 0.2 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "gradients"}, 'no saliency method .* "gradient"'),
        ({"readout": "median"}, "readout must be .*median"),
        ({"kernels": []}, "at least one kernel"),
        ({"kernels": [1], "target": distance_of_two_classes}, "exclude each other"),
        ({"readout": "max", "target": distance_of_two_classes}, "exclude each other"),
        ({"method_options": {"samples": 0}}, "samples must be .* got 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SaliencyMonitor(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "conv9"}, '"conv9" not found'),
        ({"kernels": [CLASSES]}, f"kernel {CLASSES} is out of range"),
        ({"layer": "conv1", "readout": (0, 10)}, "outside the 10 x 10 map"),
        ({"layer": "conv1", "method": "guided_backprop", "on_error": "raise"}, "rectifier"),
        ({"layer": "conv1", "method": "gradcam", "on_error": "raise"}, "convolution"),
        ({"input_spec": InputSpec.rgbd(SIZE), "on_error": "raise"}, "rgb 3, depth 1"),
    ],
)
def test_misconfigured_before_the_first_step(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    class Strict(TinyModule):
        def training_step(self, *_: Any) -> Tensor:
            raise AssertionError("a training step was reached")

    run = trainer(tmp_path, callbacks=[SaliencyMonitor(**arguments)])
    with pytest.raises(ValueError, match=message):
        run.fit(Strict(), loader())


class OfItsEnergy(TinyModule):
    """Adds a gradient of its own, to a copy of the images that is cut off from them."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        with torch.enable_grad():
            detached = images.detach().clone().requires_grad_(True)
            outputs = super().forward(detached)
            (slope,) = torch.autograd.grad(outputs.sum(), detached, create_graph=True)
        return outputs + slope.mean((2, 3))


def test_a_gradient_to_other_tensors_than_the_images() -> None:
    message = 'has no gradient to the images: on the way something is detached.*"occlusion"'
    with pytest.raises(ValueError, match=message):
        kernel_saliency(OfItsEnergy(), IMAGES, None, 0)
    assert kernel_saliency(OfItsEnergy(), IMAGES, None, 0, "occlusion").maps.any()
