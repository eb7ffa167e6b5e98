from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from climbing import GRAY, STILL, Climber, Silent
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization

pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.mark.parametrize(
    ("parametrization", "spec"),
    [
        pytest.param("pixel", InputSpec.rgb(15), marks=pytest.mark.slow),
        ("fourier", InputSpec.rgbd(15, depth_range=(0.3, 2.0))),
    ],
)
def test_a_linear_convolution_prefers_its_own_kernel(
    climb: Climber, spec: InputSpec, parametrization: str
) -> None:
    """Maximizing w.x - (penalty / N) |x - gray|^2 has one solution: x = gray + w N / (2 penalty).

    w is the kernel per unit of image value, that is, times the modality's range over its std.
    """
    torch.manual_seed(3)
    layer = nn.Conv2d(spec.channels, 3, 7, padding=3)
    per_image_value = spec.to_network(torch.ones(spec.shape)) - spec.to_network(
        torch.zeros(spec.shape)
    )
    kernels = layer.weight.detach() * per_image_value[:, :1, :1]
    pixels = spec.channels * 15 * 15
    penalty = float(kernels.abs().amax()) * pixels / (2 * 0.3)
    am = ActivationMaximization(
        nn.Sequential(layer),
        "0",
        input_spec=spec,
        objective="center",
        parametrization=parametrization,
        lp=penalty,
        steps=400,
        lr=0.02,
        patience=None,
        **STILL,
    )
    climb(am)
    optimum = 0.5 + F.pad(kernels, (4, 4, 4, 4)) * pixels / (2 * penalty)
    for image, kernel, expected in zip(am.results.images, kernels, optimum, strict=True):
        found = image[:, 4:11, 4:11] - 0.5
        assert F.cosine_similarity(found.flatten(), kernel.flatten(), dim=0) > 0.99
        assert (image - expected).abs().max() < 0.02


def test_an_image_does_not_depend_on_its_neighbors(
    climb: Climber, small_network: nn.Module
) -> None:
    options = {"layer": "5", "input_spec": GRAY, "steps": 8}
    together = ActivationMaximization(small_network, kernels=[0, 3, 5, 7], **options)
    climb(together)
    apart = ActivationMaximization(small_network, kernels=[5, 1, 2, 6], **options)
    climb(apart)
    assert torch.equal(together.results.images[2], apart.results.images[0])
    batches = ActivationMaximization(small_network, kernels=[0, 3, 5, 7], batch_size=3, **options)
    climb(batches)
    torch.testing.assert_close(
        batches.results.activations, together.results.activations, rtol=0.01, atol=0
    )


def test_activations_are_those_of_the_users_own_network(
    climb: Climber, small_network: nn.Module
) -> None:
    am = ActivationMaximization(small_network, "5", input_spec=GRAY, style="maximal", steps=20)
    climb(am)
    small_network.eval()
    with torch.no_grad():
        for images, reported in (
            (am.results.images, am.results.activations),
            (am.results.starts, am.results.noise_activations),
        ):
            maps = small_network[:6](GRAY.to_network(images))
            own = maps.mean((2, 3))[range(8), range(8)]
            assert torch.equal(own, reported), "to the last bit: not those of a folded network"
    assert (am.results.activations > am.results.noise_activations).all()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("objective", ["mean", "center", "max"])
@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "8"])
def test_every_objective_climbs_on_every_kind_of_layer(
    climb: Climber, small_network: nn.Module, layer: str, objective: str
) -> None:
    am = ActivationMaximization(
        small_network, layer, [0, 2], GRAY, objective=objective, steps=15, lr=0.1
    )
    climb(am)
    assert (am.results.activations > am.results.noise_activations).all()


def test_the_network_is_left_alone(climb: Climber, small_network: nn.Module) -> None:
    small_network[1].eval()
    before = copy.deepcopy(small_network.state_dict())
    flags = [module.training for module in small_network.modules()]
    climb(ActivationMaximization(small_network, "3", [0], GRAY, steps=3))
    after = small_network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert flags == [module.training for module in small_network.modules()]
    assert all(parameter.requires_grad for parameter in small_network.parameters())
    assert not any(module._forward_hooks for module in small_network.modules())


def test_silent_kernels_are_woken_and_dead_ones_reported(climb: Climber) -> None:
    network = nn.Sequential(Silent())
    am = ActivationMaximization(network, "0", "all", GRAY, style="maximal", steps=50, lr=0.1)
    climb(am)
    assert am.results.noise_activations[:2].tolist() == [0.0, 0.0]
    assert am.results.activations[0] > 0.5
    assert am.results.dead.tolist() == [False, True, False]
    assert am.results.activations[1] == 0
    assert am.results.images[1].max() > 0.9, "the pre-activation is climbed all the same"


def test_starts(climb: Climber, small_network: nn.Module) -> None:
    image = torch.rand(GRAY.shape).clamp(0.01, 0.99)
    for init, expected in (("zero", torch.full(GRAY.shape, 0.5)), (image, image)):
        am = ActivationMaximization(small_network, "3", [2], GRAY, init=init, steps=4)
        climb(am)
        torch.testing.assert_close(am.results.starts[0], expected, atol=1e-4, rtol=0)
        noise = ActivationMaximization(small_network, "3", [2], GRAY, style="maximal", steps=1)
        climb(noise)
        assert torch.equal(am.results.noise_activations, noise.results.noise_activations)


def test_a_callable_objective_is_climbed(climb: Climber, small_network: nn.Module) -> None:
    am = ActivationMaximization(
        small_network, "3", [1], GRAY, steps=10, objective=lambda maps: maps[:, :, 0, 0]
    )
    climb(am)
    with torch.no_grad():
        corner = small_network.eval()[:4](am.results.images)[0, 1, 0, 0]
    assert float(am.results.activations) == pytest.approx(float(corner), rel=1e-4)
    assert am.results.items[0].target_map.nonzero().tolist() == [[0, 0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_types(
    climb: Climber, small_network: nn.Module, dtype: torch.dtype
) -> None:
    am = ActivationMaximization(small_network.to(dtype), "5", [0, 1], GRAY, steps=12, lr=0.1)
    climb(am)
    assert am.results.images.dtype == torch.float32
    assert (am.results.activations >= am.results.noise_activations).all()


def test_a_layer_that_is_asleep_as_a_whole_is_woken(climb: Climber) -> None:
    layer = nn.Conv2d(1, 1, 3)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(-6.5)
    network, options = nn.Sequential(layer, nn.ReLU()), {"style": "maximal", "lr": 0.1}
    am = ActivationMaximization(network, "1", "all", GRAY, steps=30, **options)
    climb(am)
    assert am.results.noise_activations.tolist() == [0.0]
    assert am.results.activations[0] > 0.1


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing(climb: Climber, use_reentrant: bool) -> None:
    class Checkpointed(Silent):
        def forward(self, images: Tensor) -> Tensor:
            forward = super().forward
            return checkpoint(forward, images, use_reentrant=use_reentrant) + 0

    results = []
    for network in (Silent(), Checkpointed()):
        # Kernel 0 is silent, and has to be woken.
        am = ActivationMaximization(nn.Sequential(network), "0", [0, 2], GRAY, steps=6)
        climb(am)
        results.append(am.results.images)
    assert torch.equal(*results)


def test_a_constant_kernel_is_dead_wherever_its_bias_is(climb: Climber) -> None:
    layer = nn.Conv2d(1, 2, 3)
    with torch.no_grad():
        layer.weight[0], layer.bias[0] = 0.0, 3.0
    am = ActivationMaximization(nn.Sequential(layer), "0", input_spec=GRAY, steps=4)
    climb(am)
    assert am.results.dead.tolist() == [True, False]


def test_rgbd_images_have_all_their_modalities(climb: Climber, tmp_path: Path) -> None:
    spec = InputSpec.rgbd((20, 24), depth_range=(0.3, 2.0), depth_mean=1.0, depth_std=0.4)
    network = nn.Sequential(nn.Conv2d(4, 4, 5), nn.ReLU())
    am = ActivationMaximization(network, "1", input_spec=spec, steps=8)
    climb(am)
    assert am.results.images.shape == (4, 4, 20, 24)
    moved = (am.results.images - am.results.starts).abs().mean((0, 2, 3))
    assert (moved > 0.01).all(), "every channel is optimized"
    assert list(np.load(tmp_path / "results.npz")["modalities"]) == ["rgb", "depth"]


def test_an_operation_without_a_derivative_cuts_the_gradient_off() -> None:
    """Quantized layers give values that seem to have a gradient."""

    class Quantized(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, values: Tensor) -> Tensor:  # noqa: ARG004 - torch gives it
            return values.round(decimals=2)

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> None:  # noqa: ARG004
            return None

    class Behind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(1, 2, 3), nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            return self.act(Quantized.apply(self.conv(images)))

    with pytest.raises(ValueError, match='no gradient comes from layer "act" to the images'):
        ActivationMaximization(Behind(), "act", input_spec=GRAY)
    ActivationMaximization(Behind(), "conv", input_spec=GRAY)
