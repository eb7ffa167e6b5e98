from __future__ import annotations

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.saliency import Method, kernel_saliency


class Squares(nn.Module):
    """Two kernels: the sum of squares of the inputs, and twice it."""

    def forward(self, x: Tensor) -> Tensor:
        values = x.square().sum((1, 2, 3))
        return torch.stack([values, 2 * values], dim=1)


@pytest.mark.parametrize(
    ("method", "baseline"),
    [
        ("gradient", 0.0),
        ("input_x_gradient", 0.0),
        ("smoothgrad", 0.0),
        ("integrated_gradients", 0.0),
        ("integrated_gradients", 0.5),
        ("integrated_gradients", torch.rand(4, 1, 1)),
        ("integrated_gradients", torch.rand(2, 4, 12, 12)),
    ],
)
def test_a_linear_network_is_explained_by_its_weights(
    method: Method, baseline: float | Tensor, images: Tensor
) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4 * 12 * 12, 5))
    weight = network[1].weight[3].detach().view(1, 4, 12, 12)
    scale = {"input_x_gradient": images, "integrated_gradients": images - baseline}.get(method, 1)
    found = kernel_saliency(network, images, None, 3, method, baseline=baseline)
    torch.testing.assert_close(found.maps, (weight * scale).expand(2, -1, -1, -1))
    if method == "integrated_gradients":
        assert found.completeness_error is not None
        assert (found.completeness_error < 1e-3).all()
    else:
        assert found.completeness_error is None


def test_squares_in_closed_form(images: Tensor) -> None:
    for method, expected in (
        ("gradient", 4 * images),
        ("input_x_gradient", 4 * images.square()),
        ("integrated_gradients", 2 * (images.square() - 0.25)),
    ):
        found = kernel_saliency(Squares(), images, None, 1, method, baseline=0.5)  # type: ignore[arg-type]
        if method == "integrated_gradients":
            # The way from b to x: (x - b) times the mean of 4 z on it, which is 2 (x + b).
            expected = (images - 0.5) * 2 * (images + 0.5)
        torch.testing.assert_close(found.maps, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("spec", [None, InputSpec.rgbd(12)])
def test_smoothgrad_against_the_noise_written_out(spec: InputSpec | None, images: Tensor) -> None:
    images = images * torch.tensor([1.0, 1.0, 1.0, 9.0])[:, None, None] + 2
    found = kernel_saliency(
        Squares(), images, None, 0, "smoothgrad", samples=7, noise=0.3, seed=5, input_spec=spec
    )
    generator = torch.Generator().manual_seed(5)
    mean_noise = sum(torch.randn(4, 12, 12, generator=generator) for _ in range(7)) / 7
    for index, image in enumerate(images):
        for part in [slice(0, 4)] if spec is None else [slice(0, 3), slice(3, 4)]:
            span = image[part].max() - image[part].min()
            expected = 2 * (image[part] + 0.3 * span * mean_noise[part])
            torch.testing.assert_close(found.maps[index, part], expected)


def test_smoothgrad_is_the_same_each_time_and_plain_without_noise(
    network: nn.Module, images: Tensor
) -> None:
    def maps(method: Method = "smoothgrad", **options: float) -> Tensor:
        return kernel_saliency(network, images, None, 1, method, **options).maps  # type: ignore[arg-type]

    torch.manual_seed(3)
    first = maps(samples=2)
    torch.manual_seed(4)
    assert torch.equal(first, maps(samples=2))
    assert not torch.equal(first, maps(samples=2, seed=1))
    torch.testing.assert_close(maps(noise=0, samples=2), maps("gradient"))


def test_integrated_gradients_say_how_far_they_are_off(network: nn.Module, images: Tensor) -> None:
    # Under few steps the sum misses the change of the value; captum's own delta says by how much.
    found = kernel_saliency(network, images, None, 1, "integrated_gradients", steps=2)

    def value(x: Tensor) -> Tensor:
        return network(x)[:, 1]

    attributions, delta = captum.attr.IntegratedGradients(value).attribute(
        images, 0.0 * images, n_steps=2, return_convergence_delta=True
    )
    torch.testing.assert_close(found.maps, attributions.float())
    change = (value(images) - value(0 * images)).detach()
    assert found.completeness_error is not None
    torch.testing.assert_close(found.completeness_error, (delta / change).abs(), rtol=1e-3, atol=0)
    assert (found.completeness_error > 1e-3).any()


def test_no_change_has_no_completeness_error(network: nn.Module, images: Tensor) -> None:
    found = kernel_saliency(network, images, None, 1, "integrated_gradients", baseline=images)
    assert found.completeness_error is not None
    assert found.completeness_error.isnan().all()


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_memory_is_bounded(method: Method) -> None:
    batches = []

    def value(activation: Tensor) -> Tensor:
        batches.append(len(activation))
        return activation[:, 0]

    kernel_saliency(Squares(), torch.rand(3, 1, 16, 16), None, value, method, steps=200, patch=1)
    assert 16 < max(batches) <= 32


def test_the_gradient_is_captums(network: nn.Module, images: Tensor) -> None:
    expected = captum.attr.Saliency(network).attribute(
        images.clone().requires_grad_(), target=2, abs=False
    )
    assert torch.equal(kernel_saliency(network, images, None, 2).maps, expected)
