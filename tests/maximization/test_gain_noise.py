"""Random gains of the kernels before a layer."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from neurovis.inputs import InputSpec
from neurovis.maximization.ascent import Views
from neurovis.maximization.gain_noise import GainNoise, chosen_gain_noise, draw_gain_places
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.settings import AscentSettings

CPU = torch.device("cpu")


class OneByOne(nn.Module):
    """A convolution that is shown each image by itself, as a batch of one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.cat([self.first(image[None]) for image in images])
        result: Tensor = self.last(maps)
        return result


class Checkpointed(nn.Module):
    """A convolution whose forward is computed again in the backward pass."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = checkpoint(self.body, images, use_reentrant=self.reentrant)
        result: Tensor = self.last(maps)
        return result


class Frames(nn.Module):
    """Rows of images, each of which a convolution is shown as an image of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.of_rows = nn.Conv2d(3, 4, (1, 3))
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.transpose(1, 2).flatten(0, 1)[:, :, None]
        maps = self.of_rows(rows).unflatten(0, (len(images), -1)).squeeze(3).transpose(1, 2)
        result: Tensor = self.last(maps)
        return result


def response_of(network: nn.Module, layer: str) -> LayerResponse:
    return LayerResponse(network.eval().requires_grad_(False), layer, InputSpec.rgb(8))


def plain(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 1)
    )


def test_each_kernel_s_map_is_scaled_for_each_image() -> None:
    """Gains do what scaled weights of the convolutions do, image by image."""
    network = plain()
    response = response_of(network, "4")
    noise = GainNoise(response, 0.5, CPU)
    images, places = torch.rand(3, 3, 8, 8), torch.tensor([5, 900, 5])
    with noise.applied(places):
        varied = response(images)
    gains: dict[str, Tensor] = {}
    for name, module in (("0", network[0]), ("2", network[2])):
        ones = torch.ones(3, module.in_channels, 3, 3)
        with noise.applied(places):
            scaled = module(ones)
        gains[name] = scaled / module(ones)
    for image in range(3):
        literal = plain()
        for name in ("0", "2"):
            own = gains[name][image, :, 0, 0]
            assert own.std() > 0.05
            with torch.no_grad():
                literal[int(name)].weight *= own[:, None, None, None]
                literal[int(name)].bias *= own
        expected = literal(response.inputs(images[image, None])).detach()
        torch.testing.assert_close(varied[image, None], expected)
    assert torch.equal(gains["0"][0], gains["0"][2])
    assert not torch.equal(gains["0"][0], gains["0"][1])
    # The layer itself keeps its gains, and all do outside.
    assert not torch.equal(varied, response(images))
    torch.testing.assert_close(response(images), plain()(response.inputs(images)).detach())


def test_a_part_of_a_batch_has_the_gains_that_it_has_in_the_whole() -> None:
    """As where some images are woken by a pass of their own."""
    response = response_of(plain(), "4")
    noise, places = GainNoise(response, 0.5, CPU), torch.tensor([5, 900, 77])
    views, images = Views([], [], (noise, places)), torch.rand(3, 3, 8, 8)
    whole = views.activation(response, images)
    for rows in ([1], [2, 0], [0, 1, 2]):
        torch.testing.assert_close(views.activation(response, images[rows], rows), whole[rows])
    assert not torch.equal(whole, Views([], []).activation(response, images))


def test_gains_have_the_deviation_that_is_asked_for() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4000, 1, bias=False), nn.Conv2d(4000, 1, 1))
    response = response_of(network, "1")
    kept: list[Tensor] = []
    before = network[0](torch.ones(1, 3, 1, 1)).flatten()
    with GainNoise(response, 0.1, CPU).applied(torch.tensor([77])):
        handle = network[0].register_forward_hook(lambda *args: kept.append(args[2]))
        network[0](torch.ones(1, 3, 1, 1))
        handle.remove()
    gains = kept[0].flatten() / before
    assert gains.mean().item() == pytest.approx(1, abs=0.01)
    assert gains.std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("layer", ["0", "features"])
def test_what_lies_in_the_layer_keeps_its_gains(layer: str) -> None:
    network = nn.Sequential()
    network.add_module("features", plain())
    name = "features" if layer == "features" else "features.0"
    response = response_of(network, name)
    images = torch.rand(2, 3, 8, 8)
    with GainNoise(response, 0.5, CPU).applied(torch.tensor([1, 2])):
        assert torch.equal(response(images), response_of(network, name)(images))


@pytest.mark.parametrize("kind", [Frames, OneByOne])
@pytest.mark.parametrize("count", [1, 2, 8])
def test_other_than_one_map_for_each_image_stays_as_it_is(
    kind: type[nn.Module], count: int
) -> None:
    """Rows that were counted as images would mix the gains of images."""
    torch.manual_seed(0)
    network = kind()
    response = response_of(network, "last")
    images = torch.rand(count, 3, 8, 8)
    noise = GainNoise(response, 0.5, CPU)
    assert not noise.varies
    with noise.applied(torch.arange(count)):
        assert torch.equal(response(images), network(response.inputs(images)))


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_is_computed_again_has_the_same_gains(reentrant: bool) -> None:
    torch.manual_seed(0)
    network = Checkpointed(reentrant=reentrant)
    response, places = response_of(network, "last"), torch.tensor([1, 2])
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    plain_response = response_of(nn.Sequential(*network.body, network.last), "4")
    gradients = []
    for one in (response, plain_response):
        views = Views([], [], (GainNoise(one, 0.5, CPU), places))
        (gradient,) = torch.autograd.grad(views.activation(one, images).sum(), images)
        gradients.append(gradient)
    torch.testing.assert_close(*gradients)


def test_gain_noise_that_does_nothing_is_named() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.ReLU(), nn.Linear(5, 2))
    response = response_of(network, "3")
    with pytest.warns(UserWarning, match='gain_noise does nothing for layer "3"'):
        assert chosen_gain_noise(response, AscentSettings(gain_noise=0.2), CPU) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen_gain_noise(response, AscentSettings(), CPU) is None
        assert chosen_gain_noise(response_of(plain(), "4"), AscentSettings(), CPU) is not None


def test_a_module_of_two_names_is_scaled_once() -> None:
    torch.manual_seed(0)
    network = nn.Module()
    network.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
    network.first = network.body[0]
    network.forward = network.body.forward
    response, images = response_of(network, "body.1"), torch.rand(1, 3, 8, 8)
    other = response_of(nn.Sequential(*network.body), "1")
    places = torch.tensor([40])
    with GainNoise(response, 0.5, CPU).applied(places):
        varied = response(images)
    with GainNoise(other, 0.5, CPU).applied(places):
        assert torch.equal(varied, other(images))


def test_gains_end_with_an_exception() -> None:
    network = plain()
    noise = GainNoise(response_of(network, "4"), 0.5, CPU)
    with pytest.raises(KeyError), noise.applied(torch.tensor([1])):
        raise KeyError
    assert not any(module._forward_hooks for module in network.modules())


def test_what_is_drawn_belongs_to_the_image_and_the_step() -> None:
    drawn = draw_gain_places(0, 3, 0, 50)
    assert torch.equal(drawn[:20], draw_gain_places(0, 3, 0, 20))
    for other in (
        draw_gain_places(1, 3, 0, 50),
        draw_gain_places(0, 4, 0, 50),
        draw_gain_places(0, 3, 1, 50),
    ):
        assert not torch.equal(drawn, other)


def test_gain_noise_is_the_style_s_or_as_given() -> None:
    assert AscentSettings().gain_deviation > 0
    assert AscentSettings(style="maximal").gain_deviation == 0
    assert AscentSettings(objective="center").gain_deviation == 0
    assert AscentSettings(gain_noise=0).gain_deviation == 0
    with pytest.raises(ValueError, match=r"gain_noise must be .*-1"):
        AscentSettings(gain_noise=-1)
