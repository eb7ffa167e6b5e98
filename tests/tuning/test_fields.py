from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning.fields import (
    effective_receptive_field,
    field_sigma,
    field_width,
    gradients_at,
)
from neurovis.tuning.receptive_field_maps import combined_channels, map_receptive_fields
from neurovis.tuning.stimuli import DenseNoise
from neurovis.tuning.units import Units


def plain(channels: int = 1, size: int | tuple[int, int] = 33) -> InputSpec:
    """Networks that take images as they are."""
    return InputSpec((Modality("gray", channels),), size)


def uniform_stack(depth: int) -> nn.Sequential:
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(depth)]
    for layer in layers:
        nn.init.constant_(layer.weight, 1 / 9)
    return nn.Sequential(*layers)


def small_network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(2, 6, 5, stride=2, padding=2),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(4 * 10 * 12, 3),
    )
    nn.init.constant_(network[3].bias, 0.5)
    return network


@pytest.fixture
def network() -> nn.Sequential:
    return small_network()


# The effective receptive field.


@pytest.mark.parametrize("depth", [1, 2, 5, 12])
def test_uniform_convolutions_have_the_closed_form(depth: int) -> None:
    network = uniform_stack(depth)
    field = effective_receptive_field(network, str(depth - 1), "all", plain())
    assert field.sum().item() == pytest.approx(1, abs=1e-5)
    expected = math.sqrt(2 * depth / 3)
    assert field_sigma(field)[0].tolist() == pytest.approx([expected, expected], abs=1e-4)


def test_a_convolution_has_its_own_weights_where_its_unit_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, (3, 4), stride=(2, 3), padding=1))
    # An image value of 0 to 1 is a depth of 0 to 2, minus 1, over 0.25, for the network: 8 times.
    depth = Modality("depth", 1, range=(0.0, 2.0), mean=(1.0,), std=(0.25,))
    spec = InputSpec((Modality("gray", 2, std=(0.5,)), depth), (20, 24))
    field = effective_receptive_field(network, "0", [4, 1], spec, unit=(3, 2))
    scale = torch.tensor([2.0, 2.0, 8.0])[:, None, None]
    expected = torch.zeros(2, 20, 24)
    expected[:, 5:8, 5:9] = (network[0].weight[[4, 1]] * scale).abs().sum(1).detach()
    assert torch.allclose(field, expected, atol=1e-5)


def test_the_mean_of_absolute_gradients_image_by_image(network: nn.Sequential) -> None:
    spec = plain(2, (20, 24))
    images = torch.rand(5, 2, 20, 24)
    found = effective_receptive_field(network, "4", "1-3", spec, images=images, batch_size=2)
    network.eval()
    expected = torch.zeros(3, 20, 24)
    for row, kernel in enumerate([1, 2, 3]):
        for image in images:
            pixels = image[None].clone().requires_grad_()
            network[:5](pixels)[0, kernel, 5, 6].backward()
            assert pixels.grad is not None
            expected[row] += pixels.grad[0].abs().sum(0) / 5
    assert torch.allclose(found, expected, atol=1e-6)
    assert (expected.amax((1, 2)) > 0).all()


def test_default_images_are_dense_noise_always_the_same(network: nn.Sequential) -> None:
    spec = plain(2, (20, 24))
    found = effective_receptive_field(network, "4", "all", spec)
    images = DenseNoise(spec, 32).images(range(32))
    expected = effective_receptive_field(network, "4", "all", spec, images=images, batch_size=5)
    assert torch.allclose(found, expected, atol=1e-6)


def test_nothing_of_the_effective_field_lies_outside_the_theoretical_one(
    network: nn.Sequential,
) -> None:
    maps = map_receptive_fields(network, "4", "all", plain(2, (20, 24)))
    # Unit 5, 6 of 3x3 at stride 2 behind 5x5: 8 - 2 to 12 + 2, and 10 - 2 to 14 + 2.
    assert (maps.unit, maps.box) == ((5, 6), (6, 8, 15, 17))
    assert maps.effective[:, 6:15, 8:17].sum() > 0
    outside = maps.effective.clone()
    outside[:, 6:15, 8:17] = 0
    assert outside.abs().max() == 0


def test_a_layer_without_maps_sees_the_image(network: nn.Sequential) -> None:
    maps = map_receptive_fields(network, "6", [2], plain(2, (20, 24)))
    assert (maps.unit, maps.box) == ((), (0, 0, 20, 24))
    assert (maps.effective > 0).float().mean() > 0.9


def test_features_last() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3, padding=1)
            self.linear = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(self.conv(x).permute(0, 2, 3, 1))

    last = Last()
    field = effective_receptive_field(last, "linear", [3], plain(1, 9), unit=(2, 6))
    weights = torch.einsum("k,kchw->hw", last.linear.weight[3], last.conv.weight)
    assert torch.allclose(field[0, 1:4, 5:8], weights.abs(), atol=1e-6)
    assert field.sum().item() == pytest.approx(weights.abs().sum().item(), abs=1e-5)


def test_a_unit_that_nothing_wakes_has_no_field() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    nn.init.constant_(network[0].bias[:1].data, -100.0)
    field = effective_receptive_field(network, "1", "all", plain(1, 9))
    assert field[0].abs().max() == 0
    assert field_sigma(field)[0].isnan().all()
    assert field_width(field)[0].isnan().all()
    assert field_sigma(field)[1].isfinite().all()


def test_the_network_is_left_as_it_was_found(network: nn.Sequential) -> None:
    network.train()
    network[2].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    map_receptive_fields(
        network, "3", [0], plain(2, (20, 24)), noise=DenseNoise(plain(2, (20, 24)), 8)
    )
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [part.training for part in network[:4]] == [True, True, False, True]
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert not any(part._forward_hooks for part in network.modules())


def test_in_inference_mode(network: nn.Sequential) -> None:
    spec = plain(2, (20, 24))
    noise = DenseNoise(spec, 30)
    expected = map_receptive_fields(network, "3", [0], spec, noise=noise)
    with torch.inference_mode():
        images = DenseNoise(spec, 32).images(range(32))
        found = map_receptive_fields(network, "3", [0], spec, noise=noise, images=images)
    assert torch.equal(found.effective, expected.effective)
    assert torch.equal(found.reverse_correlation, expected.reverse_correlation)


def test_the_figure_shows_the_surroundings_of_the_box() -> None:
    network = nn.Sequential(nn.Conv2d(4, 2, 7, padding=3), nn.ReLU())
    nn.init.constant_(network[0].bias[1:].data, -100.0)
    spec = InputSpec.rgbd((40, 50))
    maps = map_receptive_fields(network, "1", "all", spec, noise=DenseNoise(spec, 64))
    words = " ".join(text.get_text() for text in maps.figure().texts)
    assert "Receptive fields of 1, unit 20, 25" in words
    assert "shown: pixels 14 to 26 down and 19 to 31 across, of 40 x 50" in words
    assert f"reliability {maps.reliability[0]:.2f}, z {maps.peak_z[0]:.1f}" in words
    assert "reverse correlation, depth" in words
    assert "kernel 1: does not respond" in words
    whole = map_receptive_fields(network, "1", [0], spec, noise=DenseNoise(spec, 8), unit=(2, 2))
    words = " ".join(text.get_text() for text in whole.figure().texts)
    assert "shown: pixels 0 to 8 down and 0 to 8 across" in words


# What is refused.


def test_refusals(network: nn.Sequential) -> None:
    spec = plain(2, (20, 24))
    with pytest.raises(ValueError, match=r"images must be .*\(2, 20, 24\).*got \(1, 2, 20, 23\)"):
        effective_receptive_field(network, "3", [0], spec, images=torch.rand(1, 2, 20, 23))
    with pytest.raises(ValueError, match=r"have 10x12 units; got \(10, 3\)"):
        effective_receptive_field(network, "3", [0], spec, unit=(10, 3))
    with pytest.raises(ValueError, match=r"have no units; got \(0, 0\)"):
        effective_receptive_field(network, "6", [0], spec, unit=(0, 0))
    with pytest.raises(ValueError, match="kernel 4 is out of range"):
        effective_receptive_field(network, "3", [4], spec)
    with pytest.raises(ValueError, match='layer "conv" not found'):
        effective_receptive_field(network, "conv", [0], spec)
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        effective_receptive_field(network, "3", [0], spec, batch_size=0)
    with pytest.raises(ValueError, match="takes 2 channels"):
        effective_receptive_field(network, "3", [0], plain(3, (20, 24)))
    padded = nn.Sequential(nn.Conv2d(1, 1, 3, padding=4))
    with pytest.raises(ValueError, match=r"unit \(0, 5\) .* sees nothing but padding"):
        effective_receptive_field(padded, "0", [0], plain(1, 9), unit=(0, 5))


def test_a_layer_that_gradients_do_not_reach() -> None:
    class Sign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x > 0).float()

    network = nn.Sequential(nn.Conv2d(1, 2, 3), Sign())
    with pytest.raises(ValueError, match='no gradient reaches layer "1"'):
        effective_receptive_field(network, "1", [0], plain(1, 9))


# How wide a field is.


def gaussian(sigma: tuple[float, float], size: tuple[int, int] = (81, 121)) -> Tensor:
    rows, columns = (
        torch.exp(-((torch.arange(side) - side // 2) ** 2) / (2 * spread**2))
        for side, spread in zip(size, sigma, strict=True)
    )
    return rows[:, None] * columns


def test_the_width_of_a_gaussian() -> None:
    field = torch.stack([gaussian((4.0, 7.0)), 5 * gaussian((6.0, 2.5))])
    expected = torch.tensor([[4.0, 7.0], [6.0, 2.5]])
    assert torch.allclose(field_sigma(field), expected, rtol=1e-3)
    # Pixels spread their mass, which adds 1/12 to the variance.
    wider = (expected.square() + 1 / 12).sqrt()
    assert torch.allclose(field_width(field), 2 * 1.959964 * wider, rtol=1e-2)
    assert torch.allclose(field_width(field, 0.5), 2 * 0.674490 * wider, rtol=1e-2)


def test_the_width_of_a_box() -> None:
    field = torch.zeros(20, 30)
    field[3:13, 7:11] = 1
    assert field_width(field, 0.9).tolist() == pytest.approx([9.0, 3.6])
    # Of 10 and of 4 equal pixels: sqrt((n^2 - 1) / 12).
    assert field_sigma(field).tolist() == pytest.approx([math.sqrt(99 / 12), math.sqrt(15 / 12)])


def test_mass_is_refused_out_of_its_range() -> None:
    for mass in (0.0, 1.0, 95.0):
        with pytest.raises(ValueError, match=f"such as 0.95; got {mass}"):
            field_width(torch.ones(3, 3), mass)


# Channels in one plane.


@pytest.mark.parametrize("shares", [(0.5, -1.0, 0.0), (1.0, 0.5, 0.0), (0.3, 0.2, -0.9)])
def test_channels_that_vary_together_become_one_plane(shares: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    plane, combination = torch.randn(7, 7), torch.tensor(shares)
    maps = combination[:, None, None] * plane
    # The strongest channel counts as it is.
    strongest = combination[combination.abs().argmax()].sign()
    expected = strongest * plane * combination.norm()
    found = combined_channels(torch.stack([maps, -maps]))
    assert torch.allclose(found, torch.stack([expected, -expected]), atol=1e-5)


def test_a_single_channel_is_its_plane() -> None:
    plane = torch.randn(2, 1, 7, 7)
    assert torch.equal(combined_channels(plane), plane[:, 0])
    assert combined_channels(torch.zeros(2, 3, 4, 4)).abs().max() == 0


def test_gradients_at_each_unit_s_own_image() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU())
    spec = InputSpec.rgb(12)
    units = Units(network, "3", [4, 0, 2], spec)
    images = torch.rand(3, *spec.shape, generator=torch.Generator().manual_seed(1))
    found = gradients_at(units, images)
    for row, kernel in enumerate((4, 0, 2)):
        pixels = images[row : row + 1].clone().requires_grad_()
        response = network(spec.to_network(pixels))[0, kernel, 5, 5]
        (expected,) = torch.autograd.grad(response, pixels)
        torch.testing.assert_close(found[row], expected[0].abs().sum(0))
    assert (found.flatten(1).amax(1) > 0).any()
    with pytest.raises(ValueError, match="an image for each of 3 units; got 2"):
        gradients_at(units, images[:2])
