from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from networks import CifarResNet
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.demo import load_demo_network
from neurovis.inputs import InputSpec
from neurovis.maximization.field_crop import FieldCrop, find_field_crop
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.transforms import Affine, GaussianBlur, Jitter, Lighting, Transform
from neurovis.modality import Modality
from neurovis.models import load_model
from neurovis.readouts import center_unit

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent")
GRAY = InputSpec((Modality("gray", 1),), size=(45, 52))


def _response(network: nn.Module, layer: str, spec: InputSpec = GRAY) -> LayerResponse:
    return LayerResponse(network.eval().requires_grad_(False), layer, spec)


def _convolutions(*kernels: tuple[int, int, int]) -> nn.Sequential:
    """Kernel, stride and padding of each."""
    torch.manual_seed(0)
    channels = [1, *[4] * len(kernels)]
    layers = [nn.Conv2d(channels[i], 4, *kernel) for i, kernel in enumerate(kernels)]
    return nn.Sequential(*[module for layer in layers for module in (layer, nn.ReLU())])


def _found(
    response: LayerResponse, margin: float = 0.0, transforms: Sequence[Transform] = ()
) -> FieldCrop:
    crop = find_field_crop(response, margin, transforms)
    assert crop is not None
    return crop


def _check(response: LayerResponse, crop: FieldCrop) -> None:
    """The unit responds to crops as to whole pictures, and the box is all that it sees."""
    torch.manual_seed(1)
    crops = torch.rand(3, *crop.spec.shape)
    pictures = torch.rand(3, *response.spec.shape, requires_grad=True)
    on_crops, pasted = center_unit(response(crops)), center_unit(response(crop.paste(crops)))
    close = {"rtol": 0, "atol": 1e-5 * float(pasted.abs().max())}
    torch.testing.assert_close(on_crops, pasted, **close)
    on_pictures = center_unit(response(pictures))
    inside = center_unit(response(crop.cropped(pictures.detach())))
    torch.testing.assert_close(inside, on_pictures.detach(), **close)
    (gradient,) = torch.autograd.grad(on_pictures.sum(), pictures)
    top, left, bottom, right = crop.box
    gradient[..., top:bottom, left:right] = 0
    assert gradient.abs().max() == 0


@pytest.mark.sampled(2)
@pytest.mark.parametrize("size", [(45, 52), (44, 53), (61, 40)])
@pytest.mark.parametrize(
    "kernels",
    [
        [(5, 1, 2)],
        [(4, 2, 1), (3, 1, 0)],
        [(3, 2, 1), (3, 2, 0), (3, 1, 1)],
        [(7, 2, 3), (3, 2, 1)],
        [(3, 3, 5), (2, 2, 0)],
    ],
)
def test_the_center_unit_of_the_crop_is_that_of_the_picture(
    kernels: list[tuple[int, int, int]], size: tuple[int, int]
) -> None:
    network = _convolutions(*kernels)
    layer = str(len(network) - 2)
    response = _response(network, layer, GRAY.resized(size))
    for transforms in ((), (Jitter(2),), (Affine(1, (0.9, 1.1), 10),)):
        crop = _found(response, 0, transforms)
        _check(response, crop)
        top, left, bottom, right = crop.box
        # Not much larger than need be: some strides more than the field and what views add.
        stride = response(torch.rand(1, *response.spec.shape)).shape[2]
        slack = 2 * size[0] / stride + (6 if transforms else 0) + 4
        assert bottom - top <= crop.spec.size[0] <= 1.5 * (bottom - top) + slack
        assert right - left <= crop.spec.size[1] <= 1.5 * (right - left) + slack


def test_a_field_of_one_pixel() -> None:
    response = _response(_convolutions((1, 1, 0)), "0")
    crop = _found(response)
    assert crop.spec.size == (1, 1)
    assert crop.box == (22, 26, 23, 27)
    _check(response, crop)


def test_the_smallest_crop_of_one_convolution() -> None:
    crop = _found(_response(_convolutions((7, 1, 3)), "0"))
    assert (crop.spec.size, crop.crop_box[:2]) == ((7, 7), (19, 23))
    assert crop.box == (19, 23, 26, 30)
    even = _found(_response(_convolutions((7, 2, 3)), "0"))
    assert even.spec.size == (8, 8)  # four units, of which the third sees pixels 1 to 7
    crop = _found(_response(_convolutions((7, 1, 3)), "0"), margin=2)
    assert (crop.spec.size, crop.crop_box[:2]) == ((11, 11), (17, 21))
    crop = _found(_response(_convolutions((7, 1, 3)), "0"), 0, [Jitter(2), GaussianBlur((0, 1))])
    assert crop.spec.size == (17, 17)


def test_pasting_and_cropping_are_inverse_and_gray_lies_around() -> None:
    crop = FieldCrop(GRAY.resized((20, 24)), (3, 11, 8, 18), (4, 12, 7, 17))
    images = torch.rand(2, 1, 5, 7, requires_grad=True)
    pictures = crop.paste(images)
    assert pictures.shape == (2, 1, 20, 24)
    assert torch.equal(crop.cropped(pictures), images)
    assert torch.equal(pictures[0, 0, 3:8, 11:18], images[0, 0])
    assert (pictures == 0.5).sum() >= 2 * (20 * 24 - 5 * 7)
    (gradient,) = torch.autograd.grad(pictures.sum(), images)
    assert torch.equal(gradient, torch.ones_like(images))
    with pytest.raises(ValueError, match=r"crop's shape \(1, 5, 7\); got \(2, 1, 7, 5\)"):
        crop.paste(images.detach().transpose(2, 3))
    with pytest.raises(ValueError, match=r"of \(20, 24\) pixels; got \(2, 1, 5, 7\)"):
        crop.cropped(images)


# What comes into the field is real picture.


@pytest.mark.parametrize("kernels", [[(9, 1, 4)], [(5, 2, 2), (3, 2, 1)]])
@pytest.mark.parametrize(
    "transform", [Affine(3, (1, 1), 0), Affine(0, (0.7, 1), 0), Affine(0, (1, 1), 40), Affine()]
)
def test_no_border_comes_into_the_field(
    transform: Affine, kernels: list[tuple[int, int, int]]
) -> None:
    network = _convolutions(*kernels)
    crop = _found(_response(network, str(len(network) - 2)), 0, [transform])
    # The farthest views: every end of every range.
    uniform = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    maps = _extreme_maps(transform, crop.spec.size, uniform)
    assert _real_part(crop, maps).min() > 1 - 1e-5
    top, left, bottom, right = crop.crop_box
    tighter = replace(crop, crop_box=(top + 1, left + 1, bottom - 1, right - 1))
    maps = _extreme_maps(transform, tighter.spec.size, uniform)
    if len(kernels) == 1 and transform != Affine():
        assert _real_part(tighter, maps).min() < 1 - 1e-3


def _extreme_maps(transform: Affine, size: tuple[int, int], uniform: Tensor) -> Tensor:
    """Maps of the ends of the ranges, from their definition."""
    height, width = size
    low, high = transform.scale
    jitter = min(size) / 28 if transform.jitter is None else transform.jitter
    angle = torch.deg2rad(transform.rotate * (2 * uniform[:, 0] - 1))
    zoom = low + (high - low) * uniform[:, 1]
    x, y = jitter * (2 * uniform[:, 2:].T - 1)
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    rows = [cos, -sin * height / width, 2 * x / width, sin * width / height, cos, 2 * y / height]
    return torch.stack(rows, 1).view(-1, 2, 3)


def _real_part(crop: FieldCrop, maps: Tensor) -> Tensor:
    """How much of what each pixel of the field shows comes from within the crop."""
    ones = torch.ones(len(maps), 1, *crop.spec.size)
    grid = F.affine_grid(maps, list(ones.shape), align_corners=False)
    real = F.grid_sample(ones, grid, padding_mode="zeros", align_corners=False)
    top, left, bottom, right = crop.own_box
    return real[..., top:bottom, left:right]


# Where there is no crop.


class Gated(nn.Module):
    """A squeeze-and-excitation gate: every unit sees the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.end = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        return self.end(maps * maps.mean((2, 3), keepdim=True).sigmoid())


class Placed(nn.Module):
    """What units respond depends on where they are, or on the image's size."""

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.places = nn.Parameter(torch.rand(1, 4, *GRAY.size))

    def forward(self, images: Tensor) -> Tensor:
        size = images.shape[2:]
        places = self.places if self.fixed else self.places[..., : size[0], : size[1]]
        images = images * torch.ones_like(images) if self.fixed else images * (size[0] / 45)
        return self.conv(images + places[:, :1])


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (Gated(), "end"),
        (nn.Sequential(Placed(fixed=True)), "0"),
        (nn.Sequential(Placed(fixed=False)), "0"),
        (_convolutions((43, 1, 21)), "0"),  # nearly the whole picture
        (_convolutions((9, 41, 4)), "0"),  # clipped at the bottom
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(3), nn.ReLU()), "2"),
        (nn.Sequential(nn.Flatten(), nn.Linear(45 * 52, 3)), "1"),
    ],
)
def test_no_crop(network: nn.Module, layer: str) -> None:
    response = _response(network, layer)
    assert find_field_crop(response) is None
    assert center_unit(response(torch.rand(1, *GRAY.shape))).isfinite().all()


def test_no_crop_beyond_the_picture() -> None:
    """The field is inside, but what the views need is not."""
    response = _response(_convolutions((9, 16, 0)), "0", GRAY.resized((45, 200)))
    assert _found(response).spec.size[1] < 100
    assert find_field_crop(response, margin=17) is None


def test_a_silent_layer_cannot_be_checked() -> None:
    network = _convolutions((3, 1, 1))
    with torch.no_grad():
        network[0].bias.fill_(-100)
    assert find_field_crop(_response(network, "1")) is None


def test_a_layer_behind_which_the_size_matters() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 43 * 50, 2))
    assert find_field_crop(_response(network, "1")) is None
    _check(_response(network, "0"), _found(_response(network, "0")))


@pytest.mark.parametrize("margin", [-1, float("nan")])
def test_margins_that_are_none(margin: float) -> None:
    with pytest.raises(ValueError, match=f"of at least 0; got {margin}"):
        find_field_crop(_response(_convolutions((3, 1, 1)), "0"), margin)


class Imprecise(nn.Module):
    """Off by 1 % on the whole picture, as rounding in bfloat16 may be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images) * (1.01 if images.shape[2:] == GRAY.size else 1.0)


def test_half_precision_is_checked_as_far_as_it_goes() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(Imprecise())
    assert find_field_crop(_response(network, "0")) is None
    assert _found(_response(network.bfloat16(), "0")).spec.size == (3, 3)


# Networks that people have.


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2"])
def test_the_demo_network(layer: str) -> None:
    response = _response(load_demo_network(), layer, InputSpec.rgbd(64))
    for transforms in ((), (Affine(),)):
        _check(response, _found(response, 0, transforms))


@needs_data
@pytest.mark.parametrize(
    ("layer", "field", "side"),
    [
        ("features.0", 7, 7),
        ("features.3.expand3x3", 19, 19),
        pytest.param("features.5", 35, 35, marks=pytest.mark.slow),
    ],
)
def test_squeezenet(layer: str, field: int, side: int) -> None:
    network = load_model("torchvision.models.squeezenet1_0", DATA / "squeezenet1_0_imagenet.pth")
    response = _response(network, layer, InputSpec.rgb(224))
    crop = _found(response)
    assert crop.box[2] - crop.box[0] == field
    assert crop.spec.size == (side, side)
    _check(response, crop)
    _check(response, _found(response, 0, [Lighting(), Affine()]))


@needs_data
@pytest.mark.parametrize(("layer", "field"), [("conv1", 3), ("layer1.1", 11), ("layer1.2", 15)])
def test_cifar_resnet(layer: str, field: int) -> None:
    network = load_model("networks.CifarResNet", DATA / "cifar10_resnet32.th")
    assert isinstance(network, CifarResNet)
    response = _response(network, layer, InputSpec.rgb(32))
    crop = _found(response)
    assert crop.spec.size == (field, field)
    _check(response, crop)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "layers"),
    [
        (torchvision.models.resnet18, ["conv1", "maxpool", "layer1.1", "layer2.0"]),
        (lambda: torchvision.models.alexnet().features, ["0", "3", "6"]),
        (lambda: torchvision.models.vgg11().features, ["0", "3", "8", "10"]),
    ],
)
def test_torchvision_networks(build, layers: list[str]) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = build()
    for layer in layers:
        response = _response(network, layer, InputSpec.rgb(224))
        for transforms in ((), (Affine(),)):
            _check(response, _found(response, 0, transforms))
