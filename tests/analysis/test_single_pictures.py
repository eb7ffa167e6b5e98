"""Feature maps, explanations and their checks of single pictures, called from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurovis.analysis import FeatureReader, PictureExplainer, ResultFiles
from neurovis.demo import ShapeScenes, demo_input_spec, load_demo_network
from neurovis.inputs import InputSpec
from neurovis.saliency import cascading_randomization

SPEC, SPEC_3 = demo_input_spec(), InputSpec.rgb(8)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.stack([image for image, _ in ShapeScenes(2, seed=5)])


def test_feature_maps_are_the_layers_output(images: Tensor) -> None:
    network = load_demo_network()
    reader = FeatureReader(network, ["conv1", "relu1"], SPEC, "3,0")
    with torch.no_grad():
        expected = network.conv1((images - 0.5) * 4)
    for place, (conv, relu) in enumerate(reader(images)):
        assert (conv.layer, relu.layer) == ("conv1", "relu1")
        assert conv.kernels == [3, 0]
        torch.testing.assert_close(conv.maps, expected[place, [3, 0]])
        torch.testing.assert_close(relu.maps, expected[place, [3, 0]].relu())
        torch.testing.assert_close(conv.image, images[place])
        for row, kernel in zip(conv.rows(), (3, 0), strict=True):
            values = expected[place, kernel].numpy()
            assert row["mean"] == pytest.approx(values.mean(), rel=1e-4, abs=1e-6)
            assert row["std"] == pytest.approx(values.std(), rel=1e-4)
            assert (row["min"], row["max"]) == (values.min(), values.max())
            assert (row["constant"], row["silent"]) == (False, False)


class _Off(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.ones_like(images) * torch.tensor([0.0, 1.0, 0.0])[:, None, None]


def test_silent_kernels_are_those_that_are_zero_everywhere() -> None:
    network = nn.Sequential(_Off(), nn.Conv2d(3, 3, 1, groups=3, bias=False))
    (maps,) = FeatureReader(network, "1", SPEC_3)(torch.rand(1, 3, 8, 8))[0]
    assert maps.silent.tolist() == [True, False, True]
    assert [row["constant"] for row in maps.rows()] == [True, True, True]


def test_explanations_are_gradients(images: Tensor) -> None:
    network = load_demo_network()
    found = PictureExplainer(network, None, [2, 5], "gradient", input_spec=SPEC)(images)
    for image, explained in zip(images, found, strict=True):
        scaled = SPEC.to_network(image[None]).requires_grad_()
        for place, (kernel, row) in enumerate(zip((2, 5), explained.rows(), strict=True)):
            value = network(scaled)[0, kernel]
            (gradient,) = torch.autograd.grad(value, scaled)
            torch.testing.assert_close(explained.maps.maps[place], gradient[0])
            assert row["value"] == pytest.approx(value.item(), rel=1e-4)
            assert (row["kernel"], row["layer"], row["method"]) == (kernel, "output", "gradient")


def test_each_picture_has_its_own_strongest_kernel(images: Tensor) -> None:
    network = load_demo_network()
    found = PictureExplainer(network, input_spec=SPEC)(images)
    predicted = network(SPEC.to_network(images)).argmax(1)
    assert [explained.kernels for explained in found] == [[one] for one in predicted.tolist()]


def test_randomization_is_that_of_each_kernel(images: Tensor) -> None:
    network = load_demo_network()
    explainer = PictureExplainer(network, "relu1", [1, 4], input_spec=SPEC, seed=3)
    found = explainer.randomize(images, max_stages=1)
    shown = SPEC.to_network(images)
    for place, kernel in enumerate((1, 4)):
        expected = cascading_randomization(
            network, shown, "relu1", kernel, max_stages=1, input_spec=SPEC, seed=3
        )
        for number, picture in enumerate(found):
            assert picture.check.stages == expected.stages
            torch.testing.assert_close(picture.check.maps[:, place], expected.maps[:, number])
            torch.testing.assert_close(
                picture.check.correlations[:, place], expected.correlations[:, number]
            )
    assert [(row["stage"], row["kernel"]) for row in found[0].rows()] == [
        (stage, kernel) for stage in range(2) for kernel in (1, 4)
    ]


def test_results_of_all_kinds_are_drawn_and_kept_alike(tmp_path: Path, images: Tensor) -> None:
    network, files = load_demo_network(), ResultFiles(tmp_path)
    explainer = PictureExplainer(network, "relu1", [1], input_spec=SPEC)
    results = [
        *FeatureReader(network, "relu1", SPEC)(images[:1])[0],
        *explainer(images[:1]),
        *explainer.randomize(images[:1], max_stages=1),
    ]
    columns = [
        ["layer", "kernel", "mean", "std", "min", "max", "constant", "silent"],
        ["layer", "kernel", "method", "value", "completeness_error", "gradcam_layer"],
        [
            *("layer", "method", "kernel", "stage", "randomized"),
            *("correlation", "signed_correlation", "gradcam_layer"),
        ],
    ]
    for result, named in zip(results, columns, strict=True):
        assert all(list(row) == named for row in result.rows())
        files.save_figure(f"{result.tag}/a", result.figure("a", 1), result.tag)
        files.save_arrays(f"{result.tag}/a", **result.arrays())
        with np.load(tmp_path / result.tag / "a.npz") as arrays:
            assert str(arrays["layer"]) == "relu1"
        assert (tmp_path / result.tag / "a.png").is_file()
