from __future__ import annotations

import captum.attr
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.saliency import kernel_saliency


def literal(maps: Tensor, gradient: Tensor, size: tuple[int, int]) -> Tensor:
    """Equations 1 and 2 of Selvaraju et al., a kernel at a time, enlarged to the image."""
    coarse = torch.zeros(len(maps), 1, *maps.shape[2:])
    for image in range(len(maps)):
        for kernel in range(maps.shape[1]):
            coarse[image, 0] += gradient[image, kernel].mean() * maps[image, kernel]
    return F.interpolate(coarse.clamp(min=0), size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("layer", ["0", "1", "2", "3"])
def test_as_captum_and_as_written_in_the_paper(
    layer: str, network: nn.Module, images: Tensor
) -> None:
    found = kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer=layer)
    module = network[int(layer)]
    coarse = captum.attr.LayerGradCam(network, module).attribute(
        images.clone(), target=1, relu_attributions=True
    )
    expected = F.interpolate(coarse, (12, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.maps, expected.detach())
    front, back = network[: int(layer) + 1], network[int(layer) + 1 :]
    maps = front(images).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(back(maps)[:, 1].sum(), maps)
    torch.testing.assert_close(found.maps, literal(maps.detach(), gradient, (12, 12)))
    assert found.maps.any()
    assert (found.maps >= 0).all()


def test_a_rectifier_that_works_in_place_changes_nothing(
    network: nn.Module, images: Tensor
) -> None:
    expected = kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer="2").maps
    network[3].inplace = True
    torch.testing.assert_close(
        kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer="2").maps, expected
    )


def test_by_default_the_last_convolution_with_a_map(network: nn.Module, images: Tensor) -> None:
    def maps(layer: str | None, gradcam_layer: str | None = None) -> Tensor:
        options = {} if gradcam_layer is None else {"gradcam_layer": gradcam_layer}
        return kernel_saliency(network, images, layer, 1, "gradcam", **options).maps  # type: ignore[arg-type]

    assert torch.equal(maps(None), maps(None, "2"))
    assert torch.equal(maps("3"), maps("3", "2"))
    assert torch.equal(maps("2"), maps("2", "0"))


class Branches(nn.Module):
    """The last convolution called leads elsewhere, one has a map of 1 x 1, and one is reused."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = nn.Conv2d(4, 5, 3)
        self.elsewhere = nn.Conv2d(5, 5, 3)
        self.squeeze = nn.Conv2d(5, 5, 10)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.wanted(x)
        aside = self.elsewhere(self.elsewhere(x))
        single = self.elsewhere(self.elsewhere(x[..., :5, :5]))
        return self.head(self.squeeze(x).flatten(1).relu()), aside.sum() + single.sum()


class Aside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 5, 3)
        self.one, self.other = nn.Conv2d(5, 5, 3), nn.Conv2d(5, 5, 3)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        one, other = self.one(x), self.other(x)
        return self.head(one.relu().mean((2, 3))), other


@pytest.mark.parametrize(("model", "expected"), [(Branches, "wanted"), (Aside, "one")])
def test_convolutions_that_are_passed_over(
    model: type[nn.Module], expected: str, images: Tensor
) -> None:
    network = model()
    found = kernel_saliency(network, images, "head", 1, "gradcam")
    named = kernel_saliency(network, images, "head", 1, "gradcam", gradcam_layer=expected)
    assert torch.equal(found.maps, named.maps)


def test_kernels_of_the_map_need_not_be_second(images: Tensor) -> None:
    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.mix, self.head = nn.Conv2d(4, 6, 3), nn.Linear(6, 9), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.mix(self.stem(x).movedim(1, -1)).tanh().mean((1, 2)))

    network = ChannelsLast()
    maps = network.mix(network.stem(images).movedim(1, -1)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(network.head(maps.tanh().mean((1, 2)))[:, 2].sum(), maps)
    expected = literal(maps.detach().movedim(-1, 1), gradient.movedim(-1, 1), (12, 12))
    found = kernel_saliency(network, images, None, 2, "gradcam", gradcam_layer="mix")
    torch.testing.assert_close(found.maps, expected)
    assert found.maps.any()


def test_guided_gradcam_is_the_product(network: nn.Module, images: Tensor) -> None:
    maps = {
        method: kernel_saliency(network, images, None, 1, method).maps
        for method in ("gradcam", "guided_backprop", "guided_gradcam")
    }
    assert torch.equal(maps["guided_gradcam"], maps["gradcam"] * maps["guided_backprop"])
    assert maps["guided_gradcam"].any()


def test_a_map_without_positions_is_refused(network: nn.Module, images: Tensor) -> None:
    with pytest.raises(ValueError, match=r'gradcam_layer "6" needs maps .* shape \(2, 3\)'):
        kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer="6")


def test_a_kernel_that_nothing_drives_has_an_empty_map(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        network[2].bias.fill_(-100)
    found = kernel_saliency(network, images, None, 1, "gradcam")
    assert not found.maps.any()
