"""What needs no Trainer, on the simulated GPU: it runs there and gives what the CPU gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import simulated_gpu
import torch
from on_simulated_gpu import DEVICE, MODE
from step_counts import five_layer_network
from torch import Tensor, nn
from torch.testing import assert_close

from neurovis import (
    GroupActivationMaximization,
    InputSpec,
    Recorder,
    cascading_randomization,
    kernel_saliency,
    undisturbed,
)
from neurovis.arithmetic import has_float64
from neurovis.maximization.constraints import Constraints, measured
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives import Direction, Max, Mean, noise_statistics
from neurovis.maximization.parametrizations import FixedMagnitude, Fourier, Parametrization, Pixel
from neurovis.maximization.regularizers import HighFrequency, LpContrast, TotalVariation
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.transforms import (
    Affine,
    GaussianBlur,
    Jitter,
    Lighting,
    Pad,
    Transform,
    apply_transforms,
    draw_transforms,
)
from neurovis.observation import Histogram
from neurovis.receptive_fields import receptive_fields
from neurovis.saliency import METHODS
from neurovis.tuning import effective_receptive_field, reverse_correlation, size_tuning
from neurovis.tuning.fields import field_sigma, field_width
from neurovis.tuning.spectrum import spectrum_peak

SPEC = InputSpec.rgb(32)
IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)
    return nn.Sequential(*five_layer_network(), *head).eval()


@pytest.fixture(
    autouse=True,
    params=["without_float64"] if MODE == "no-float64" else ["with_float64", "without_float64"],
)
def _float64(request: pytest.FixtureRequest) -> Iterator[None]:
    """Also as in the mode without float64, which saves a process of its own for these tests."""
    before = simulated_gpu.has_float64()
    simulated_gpu.set_float64(request.param != "without_float64")
    has_float64.cache_clear()
    yield
    simulated_gpu.set_float64(before)
    has_float64.cache_clear()


def check_alike(function: Callable[[Tensor], Tensor]) -> None:
    """A function of images, and its gradient, are the CPU's."""
    found = []
    for device in ("cpu", DEVICE):
        images = IMAGES.to(device, copy=True).requires_grad_()
        values = function(images)
        assert values.device.type == torch.device(device).type
        (gradient,) = torch.autograd.grad(values.square().sum(), images)
        found.append((values.detach().cpu(), gradient.cpu()))
    assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "transform",
    [Affine(), Affine(border="gray"), Jitter(), Pad(3), GaussianBlur(), Lighting()],
    ids=repr,
)
def test_transforms(transform: Transform) -> None:
    drawn = draw_transforms([transform], (32, 32), 0, [(image, 0) for image in range(4)], 3)
    last = [draws[1] for draws in drawn]
    check_alike(lambda images: apply_transforms(images, [transform], last))


@pytest.mark.parametrize(
    "parametrization",
    [Pixel(), Fourier(), Fourier(decay=0.5, decorrelate=False), FixedMagnitude()],
    ids=repr,
)
def test_parametrizations(parametrization: Parametrization) -> None:
    found = []
    for device in ("cpu", DEVICE):
        images = parametrization.images(4, SPEC).to(device)
        images.start_from_noise([image_generator(0, k, Stream.START) for k in range(4)])
        noise = images()
        assert noise.device.type == torch.device(device).type
        (gradient,) = torch.autograd.grad(noise.sum(), images.values)
        images.start_from_image(IMAGES[0])
        images.start_from_image(IMAGES[0].to(device))
        found.append((noise.detach().cpu(), gradient.cpu(), images().detach().cpu()))
    assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "levels", [{"contrast": 0.2}, {"luminance": 0.4}, {"contrast": 0.2, "luminance": 0.4}]
)
def test_constraints(levels: dict[str, float]) -> None:
    constraints = Constraints(**levels)
    check_alike(lambda images: constraints(images, SPEC))
    found, expected = measured(IMAGES.to(DEVICE), SPEC)["rgb"], measured(IMAGES, SPEC)["rgb"]
    assert_close(found, expected)


def test_a_frozen_picture_may_be_on_either_device() -> None:
    frozen, images = torch.rand(3, 32, 32), torch.rand(2, 4, 32, 32, device=DEVICE)
    for picture in (frozen, frozen.to(DEVICE)):
        held = Constraints(frozen={"rgb": picture})(images, InputSpec.rgbd(32))
        assert_close(held[1, :3].cpu(), frozen)


@pytest.mark.parametrize("penalty", [TotalVariation(1.0), LpContrast(1.0), HighFrequency(1.0)])
def test_penalties(penalty: Callable[[Tensor], Tensor]) -> None:
    check_alike(penalty)


def test_statistics_of_noise_and_groups_in_their_units() -> None:
    for objective in (Mean(), Max(), Direction(torch.rand(2, 6))):
        found = []
        for device in ("cpu", DEVICE):
            response = LayerResponse(network().to(device), "4", SPEC)
            generator = torch.Generator().manual_seed(0)
            prepared = objective.prepared(response)
            found.append(
                noise_statistics(
                    response,
                    prepared,
                    lambda count, own=generator: torch.rand(count, 3, 32, 32, generator=own),
                )
            )
        assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
    GroupActivationMaximization(
        network().to(DEVICE), "4", groups=[[0, 1]], input_spec=SPEC, zscore=True
    )


def test_a_recorder_and_a_network_in_training() -> None:
    model = network()
    expected = Recorder(model, ["2", "4"]).record(IMAGES)
    model.to(DEVICE).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with undisturbed(model):
        model(IMAGES.to(DEVICE))
        found = Recorder(model, ["2", "4"]).record(IMAGES.to(DEVICE))
    for name, values in expected.items():
        assert_close(found[name].cpu(), values)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert receptive_fields(model, SPEC.example()).keys() == {*"01234567"}


@pytest.mark.parametrize("layer", [None, "4"])
@pytest.mark.parametrize("method", METHODS)
def test_saliency(method: str, layer: str | None) -> None:
    options = {"integrated_gradients": {"steps": 6}, "smoothgrad": {"samples": 3}}
    found, expected = (
        kernel_saliency(model, images, layer, 1, method, **options.get(method, {}))
        for model, images in (
            (network().to(DEVICE), IMAGES.to(DEVICE)),
            (network(), IMAGES),
        )
    )
    assert_close(found.maps, expected.maps, atol=1e-4, rtol=1e-3)
    if method == "integrated_gradients":
        assert found.completeness_error is not None
        assert_close(found.completeness_error, expected.completeness_error, atol=1e-4, rtol=1e-2)


def test_saliency_with_a_baseline_of_the_cpu_and_its_randomization() -> None:
    model, images = network().to(DEVICE), IMAGES.to(DEVICE)
    options = {"steps": 4, "baseline": torch.rand(3, 32, 32)}
    kernel_saliency(model, images, None, 1, "integrated_gradients", **options)
    assert cascading_randomization(model, images, None, 1).correlations.isfinite().any()


def test_tuning_of_single_units() -> None:
    for function in (reverse_correlation, effective_receptive_field):
        function(network().to(DEVICE), "3", [0, 1], SPEC)
    for device in ("cpu", DEVICE):
        orientation = torch.tensor([0.0, 45.0], device=device)
        frequency = torch.tensor([0.1, 0.2], device=device)
        diameters = torch.tensor([4.0, 9.0, 16.0], device=device)
        size_tuning(
            network().to(DEVICE), "3", [0, 1], orientation, frequency, SPEC, diameters=diameters
        )


@pytest.mark.parametrize(
    "function",
    [
        field_sigma,
        field_width,
        lambda fields: spectrum_peak(fields[None], window=True).orientation,
        lambda fields: torch.tensor(Histogram.of(fields).counts),
    ],
)
def test_numbers_in_double_precision(function: Callable[[Tensor], Tensor]) -> None:
    fields = IMAGES[0]
    assert_close(function(fields.to(DEVICE)).cpu(), function(fields))
