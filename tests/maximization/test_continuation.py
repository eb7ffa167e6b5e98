"""Ascents that are continued a few steps at a time."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from climbing import GRAY, STILL, Climber, Silent
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization, AscentSettings
from neurovis.maximization.continuation import (
    AscentSnapshot,
    AscentState,
    continue_ascents,
    usable_kernels,
)
from neurovis.maximization.layer_response import LayerResponse

CPU = torch.device("cpu")


@pytest.fixture
def network() -> nn.Module:
    """Lively, and nothing in it that activation maximization would fold."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Conv2d(6, 8, 3))
    for parameter in network.requires_grad_(False).parameters():
        parameter.mul_(3)
    return network


def highest_of_noise(network: nn.Module) -> Tensor:
    """Return the highest mean of each kernel's map over many random images."""
    images = torch.rand(500, 1, 16, 16, generator=torch.Generator().manual_seed(7))
    return network(images).mean((2, 3)).amax(0)


class Ascent:
    """Ascents of some kernels that are continued from where they were left."""

    def __init__(self, kernels: list[int], settings: AscentSettings) -> None:
        self.kernels, self.settings = kernels, settings
        self.state = AscentState()

    def climb(self, network: nn.Module, layer: str) -> AscentSnapshot:
        response = LayerResponse(network, layer, GRAY)
        self.state, snapshot = continue_ascents(
            self.state, self.kernels, response, self.settings, CPU
        )
        return snapshot


def continued(
    network: nn.Module, layer: str, kernels: list[int], times: int, **options: Any
) -> tuple[Ascent, list[AscentSnapshot]]:
    """An ascent on a network that stays as it is, and what each time came to."""
    ascent = Ascent(kernels, AscentSettings(**{"style": "maximal", **options}))
    return ascent, [ascent.climb(network, layer) for _ in range(times)]


class TestContinuing:
    @pytest.mark.sampled(2)
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"batch_size": 2, "style": "natural"},
            {"parametrization": "pixel", "seed": 3, "tv": 0.1},
            {"init": "zero", "objective": "center", "crop": False},
            {"init": torch.linspace(0, 1, 256).reshape(1, 16, 16)},
            {"lr": 0.3, **STILL},
        ],
        ids=lambda options: ",".join(options),
    )
    @pytest.mark.usefixtures("without_figures")
    def test_is_one_long_ascent(
        self, network: nn.Module, options: dict[str, Any], climb: Climber
    ) -> None:
        kernels = [5, 0, 2]
        ascent, climbed = continued(network, "2", kernels, times=4, steps=3, **options)
        plain = {"style": "maximal", "leak": 0.0, "precision": "float32", "patience": None}
        am = ActivationMaximization(network, "2", kernels, GRAY, steps=12, **{**plain, **options})
        climb(am)
        assert ascent.state.steps == 12
        torch.testing.assert_close(climbed[-1].images, am.results.images, rtol=0, atol=1e-5)
        for now, expected in (
            (climbed[-1].activations, am.results.activations),
            (climbed[-1].noise_activations, am.results.noise_activations),
        ):
            torch.testing.assert_close(now, expected, rtol=1e-5, atol=1e-6)

    def test_of_other_kernels(self, network: nn.Module) -> None:
        """Those that stay go on, whatever comes and goes around them, and the new ones start."""
        ascent, _ = continued(network, "2", [5, 0, 2], times=2, steps=3)
        before = ascent.state
        ascent.kernels = [2, 7, 5]
        later = ascent.climb(network, "2")
        _, stayed = continued(network, "2", [5, 2], times=3, steps=3)
        torch.testing.assert_close(later.images[[2, 0]], stayed[-1].images, rtol=0, atol=1e-6)
        # What starts later starts as at first, with the same views.
        _, started = continued(network, "2", [7], times=1, steps=3)
        torch.testing.assert_close(later.images[[1]], started[-1].images, rtol=0, atol=1e-6)
        assert (ascent.state.steps, before.steps) == (9, 6)
        assert [job.target.kernels for job in ascent.state.images] == [(2,), (7,), (5,)]

    def test_rises_far_above_noise(self, network: nn.Module) -> None:
        _, climbed = continued(network, "2", [0, 1, 2, 3], times=4, steps=16, lr=0.05)
        reached = torch.stack([one.activations for one in climbed])
        assert (reached.diff(dim=0) > 0).all()
        assert (reached[-1] > highest_of_noise(network)[:4]).all()
        noise = climbed[0].noise_activations
        assert (reached[-1] > noise + 2 * (reached[0] - noise)).all()
        assert all(torch.equal(one.noise_activations, noise) for one in climbed)

    def test_follows_the_network(self, network: nn.Module) -> None:
        ascent, climbed = continued(network, "2", [0, 1], times=4, steps=16, lr=0.05)
        network[2].weight.neg_()
        first, *_, last = [ascent.climb(network, "2") for _ in range(6)]
        assert (first.activations < climbed[-1].activations).all()
        assert (first.noise_activations != climbed[-1].noise_activations).all()
        assert (last.activations > highest_of_noise(network)[:2]).all()

    def test_other_views_each_time(self, network: nn.Module) -> None:
        seen: list[Tensor] = []
        network.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
        # A learning rate that moves nothing: what changes are the views.
        continued(network, "2", [0], times=2, steps=2, lr=1e-30)
        views = [image for image in seen if len(image) == 1]
        assert len({image.sum().item() for image in views}) == len(views) == 4

    def test_pickled_and_copied_in_between(self, network: nn.Module) -> None:
        ascent, _ = continued(network, "2", [0, 1], times=1, steps=3)
        copies = [pickle.loads(pickle.dumps(ascent)), copy.deepcopy(ascent), ascent]
        images = [one.climb(network, "2").images for one in copies]
        assert torch.equal(images[0], images[2])
        assert torch.equal(images[1], images[2])

    def test_an_interruption_leaves_everything_where_it_was(self, network: nn.Module) -> None:
        ascent, _ = continued(network, "2", [0, 1, 2], times=1, steps=3, batch_size=2)
        expected = copy.deepcopy(ascent)
        interrupting = Interrupting(network, after=7)
        with pytest.raises(KeyboardInterrupt):
            ascent.climb(interrupting, "network.2")
        assert interrupting.calls == 7, "in the second batch"
        assert torch.equal(ascent.climb(network, "2").images, expected.climb(network, "2").images)
        assert ascent.state.steps == expected.state.steps

    def test_global_random_numbers_are_left_alone(self, network: nn.Module) -> None:
        before = torch.get_rng_state()
        continued(network, "2", [0, 1], times=2, steps=2)
        assert torch.equal(torch.get_rng_state(), before)

    def test_nothing_is_left_on_the_network(self, network: nn.Module) -> None:
        continued(network, "2", [0, 1], times=2, steps=2)
        assert all(parameter.grad is None for parameter in network.parameters())
        assert not any(part._forward_hooks for part in network.modules())


class Interrupting(nn.Module):
    """Interrupted in one of its calls."""

    def __init__(self, network: nn.Module, after: int) -> None:
        super().__init__()
        self.network = network
        self.after = after
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.after:
            raise KeyboardInterrupt
        return self.network(images)


class Infinite(nn.Module):
    """Kernel 1 has no finite gradient, while it is broken."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(1, 3, 3, bias=False)
        self.mix.weight.requires_grad_(False).copy_(
            torch.randn(3, 1, 3, 3, generator=torch.Generator().manual_seed(0))
        )
        self.broken = True

    def forward(self, images: Tensor) -> Tensor:
        maps = self.mix(images)
        first, second, third = maps.unbind(1)
        if self.broken and second.requires_grad:
            second.register_hook(lambda gradient: gradient.where(gradient == 0, torch.inf))
        return torch.stack([first, second, third], 1)


class TestNotFinite:
    def test_the_image_starts_again_and_the_others_go_on(self) -> None:
        network, healthy = (nn.Sequential(Infinite()) for _ in range(2))
        healthy[0].broken = False
        options = {"steps": 4, **STILL}
        ascent, (first, second) = continued(network, "0", [0, 1, 2], times=2, **options)
        _, fresh = continued(healthy, "0", [0, 1, 2], times=3, **options)
        assert first.restarted.tolist() == second.restarted.tolist() == [False, True, False]
        assert second.valid.tolist() == [True, False, True]
        assert not second.dead.any()
        assert second.images.isfinite().all()
        torch.testing.assert_close(second.images[::2], fresh[1].images[::2])
        network[0].broken = False
        third = ascent.climb(network, "0")
        assert third.valid.all()
        torch.testing.assert_close(third.images[::2], fresh[2].images[::2])
        # As it is for others the first time, Adam included.
        torch.testing.assert_close(third.images[1], fresh[0].images[1])

    def test_a_network_of_nan_raises_nothing(self, network: nn.Module) -> None:
        bias = network[2].bias.clone()
        network[2].bias.fill_(torch.nan)
        ascent, (climbed,) = continued(network, "2", [0, 1], times=1, steps=2)
        assert not climbed.valid.any()
        assert climbed.images.isfinite().all()
        network[2].weight.fill_(torch.nan)
        assert ascent.climb(network, "2").restarted.all()
        network[2].weight.fill_(0.1)
        network[2].bias.copy_(bias)
        climbed = ascent.climb(network, "2")
        assert climbed.valid.all()
        assert (climbed.activations > climbed.noise_activations).all()


def test_silent_kernels_are_woken_or_dead() -> None:
    _, climbed = continued(Silent().requires_grad_(False), "mix", [0, 1, 2], times=1, steps=1)
    assert not climbed[0].dead.any(), "before the rectifier all respond"
    network = nn.Sequential(Silent(), nn.Identity()).requires_grad_(False)
    _, climbed = continued(network, "0", [0, 1, 2], times=24, steps=1, lr=0.05)
    assert climbed[0].dead.tolist() == [True, True, False]
    assert climbed[-1].dead.tolist() == [False, True, False]
    assert climbed[-1].valid.all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_precision_of_the_network(network: nn.Module, dtype: torch.dtype) -> None:
    _, (climbed,) = continued(network.to(dtype), "2", [0, 1], times=1, steps=16)
    assert climbed.images.dtype == climbed.activations.dtype == torch.float32
    assert (climbed.activations > climbed.noise_activations + 0.1).all()


class WithoutGradients(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return self.layer(images)


class TestUsableKernels:
    @pytest.mark.parametrize(
        ("selection", "kernels"), [("all", [0, 1, 2]), (None, [0, 1, 2]), ([2, 0], [2, 0])]
    )
    def test_selected(self, selection: Any, kernels: list[int]) -> None:
        response = LayerResponse(nn.Sequential(nn.Conv2d(1, 3, 3)), "0", GRAY)
        assert usable_kernels(response, selection, AscentSettings()) == kernels

    def test_the_first_eight(self) -> None:
        response = LayerResponse(nn.Sequential(nn.Conv2d(1, 9, 3)), "0", GRAY)
        assert usable_kernels(response, None, AscentSettings()) == list(range(8))

    def test_silent_and_infinite_layers_may_change(self) -> None:
        network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()).requires_grad_(False)
        for value in (0.0, torch.inf, torch.nan):
            network[0].weight.fill_(value)
            response = LayerResponse(network, "1", GRAY)
            assert usable_kernels(response, "all", AscentSettings()) == [0, 1, 2]

    def test_without_gradients(self) -> None:
        response = LayerResponse(WithoutGradients(), "layer", GRAY)
        with pytest.raises(ValueError, match='no gradient comes from layer "layer"'):
            usable_kernels(response, "all", AscentSettings())

    def test_wrong_readout(self) -> None:
        response = LayerResponse(nn.Sequential(nn.Conv2d(1, 3, 3)), "0", GRAY)
        with pytest.raises(ValueError, match=r"\(2, 3\); it returned \(2,\)"):
            usable_kernels(
                response,
                "all",
                AscentSettings(objective=lambda activation: activation.flatten(1).mean(1)),
            )

    def test_wrong_spec(self) -> None:
        response = LayerResponse(nn.Sequential(nn.Conv2d(1, 3, 3)), "0", InputSpec.rgb(16))
        with pytest.raises(ValueError, match=r"cannot take images of shape \(3, 16, 16\)"):
            usable_kernels(response, "all", AscentSettings())


def test_the_layout_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    response = LayerResponse(network, "1", GRAY)
    monkeypatch.setattr("neurovis.layer_reader.kernel_layouts", None)
    again = LayerResponse(network, "1", GRAY, response.layout)
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(again(images), F.relu(network[0](images)))
