from __future__ import annotations

import math
import pickle
from dataclasses import FrozenInstanceError

import jsonargparse
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d, shift
from torch import Tensor
from torch.nn import functional as F

from neurovis.maximization.transforms import (
    Affine,
    FunctionTransform,
    GaussianBlur,
    GaussianNoise,
    Jitter,
    Lighting,
    Pad,
    Transform,
    apply_transforms,
    as_transform,
    draw_transforms,
)
from neurovis.maximization.transforms.sampling import exact_adjoint, positions, sampled

SIZE = (21, 33)
KEYS = [(1, 0), (5, 0), (5, 1), (9, 0)]


def halved(images: Tensor) -> Tensor:
    return images / 2


ALL = [
    Affine(4, (0.9, 1.1), 10),
    Affine(4, (0.7, 1.1), 10, (0.4, 0.5, 0.6)),
    Jitter(3),
    GaussianNoise(0.1),
    GaussianBlur((0.5, 2)),
    Lighting(0.1, (0.8, 1.2)),
    FunctionTransform(halved),
    Pad(2, (0.4, 0.5, 0.6)),
]
DRAWING = ALL[:-2]


def _map(angle: float = 0.0, zoom: float = 1.0, right: float = 0.0, down: float = 0.0) -> Tensor:
    height, width = SIZE
    cos, sin = math.cos(math.radians(angle)) / zoom, math.sin(math.radians(angle)) / zoom
    row = [cos, -sin * height / width, 2 * right / width]
    return torch.tensor([[row, [sin * width / height, cos, 2 * down / height]]])


def _shown(transform: Transform, images: Tensor, seed: int = 0) -> Tensor:
    keys = [(kernel, 0) for kernel in range(len(images))]
    (drawn,) = draw_transforms([transform], (images.shape[2], images.shape[3]), seed, keys, 1)
    return apply_transforms(images, [transform], [drawn[0]])


# What all transforms have in common.


@pytest.mark.parametrize("transform", ALL, ids=lambda one: type(one).__name__)
def test_what_is_drawn_depends_on_seed_key_place_and_step_alone(transform: Transform) -> None:
    (together,) = draw_transforms([transform], SIZE, 3, KEYS, 8)
    (alone,) = draw_transforms([transform], SIZE, 3, [(5, 1)], 8)
    assert torch.equal(together[:, 2], alone[:, 0])
    (longer,) = draw_transforms([transform], SIZE, 3, KEYS, 50)
    assert torch.equal(longer[:8], together)
    assert together.shape[:2] == (8, 4)
    assert together.device.type == "cpu"


@pytest.mark.parametrize("transform", DRAWING, ids=lambda one: type(one).__name__)
def test_seeds_kernels_variants_steps_and_places_differ(transform: Transform) -> None:
    first, second = draw_transforms([transform, transform], SIZE, 3, KEYS, 8)
    (other,) = draw_transforms([transform], SIZE, 4, KEYS, 8)
    assert not torch.equal(first[:, 0], first[:, 1])  # kernels
    assert not torch.equal(first[:, 1], first[:, 2])  # variants of one kernel
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("transform", ALL, ids=lambda one: type(one).__name__)
def test_an_image_does_not_depend_on_its_neighbors(transform: Transform) -> None:
    torch.manual_seed(0)
    (drawn,) = draw_transforms([transform], SIZE, 0, KEYS, 1)
    images = torch.rand(4, 3, *SIZE)
    neighbors = torch.rand(4, 3, *SIZE)
    neighbors[2] = images[2]
    rows = [3, 0, 2, 1]
    gradients = []
    for batch, own in ((images, drawn[0]), (neighbors, drawn[0][rows])):
        batch.requires_grad_(True)
        shown = apply_transforms(batch, [transform], [own])
        weights = torch.linspace(0, 1, shown.shape[-1])
        (gradient,) = torch.autograd.grad((shown[2] * weights).sum(), batch)
        gradients.append((shown[2], gradient[2]))
        assert gradient[[0, 1, 3]].abs().max() == 0
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])


@pytest.mark.parametrize("transform", ALL, ids=lambda one: type(one).__name__)
def test_transforms_are_values(transform: Transform) -> None:
    assert pickle.loads(pickle.dumps(transform)) == transform
    assert not transform.is_still
    assert hash(transform) == hash(pickle.loads(pickle.dumps(transform)))
    with pytest.raises(FrozenInstanceError):
        transform.anything = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "still",
    [
        Affine(0, (1, 1), 0),
        Jitter(0),
        GaussianNoise(0),
        GaussianBlur((0, 0)),
        Lighting(0, (1, 1)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_still_transforms_leave_images_as_they_are(still: Transform) -> None:
    assert still.is_still
    images = torch.rand(2, 3, *SIZE)
    (drawn,) = draw_transforms([still], SIZE, 0, [(0, 0), (1, 0)], 1)
    assert apply_transforms(images, [still], [drawn[0]]) is images
    torch.testing.assert_close(still(images, drawn[0]), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("transform", ALL, ids=lambda one: type(one).__name__)
def test_autocast_does_not_coarsen_what_is_shown(transform: Transform) -> None:
    images = torch.rand(2, 3, 64, 64)
    plain = _shown(transform, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = _shown(transform, images)
    assert torch.equal(under, plain)


def test_transforms_are_applied_in_their_order() -> None:
    images = torch.rand(2, 1, *SIZE)
    row = [Lighting(0.2, (0.5, 0.5)), FunctionTransform(torch.square)]
    drawn = draw_transforms(row, SIZE, 0, [(0, 0), (1, 0)], 1)
    light = _shown(row[0], images)
    shown = apply_transforms(images, row, [one[0] for one in drawn])
    torch.testing.assert_close(shown, light.square())
    with pytest.raises(ValueError, match="zip"):
        apply_transforms(images, row, [drawn[0][0]])


def test_transforms_are_read_from_yaml() -> None:
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--transforms", type=list[Transform])
    options = parser.parse_string(
        """
transforms:
  - class_path: neurovis.maximization.transforms.Affine
    init_args: {jitter: 4, scale: [0.8, 1.2]}
  - class_path: neurovis.maximization.transforms.GaussianNoise
    init_args: {std: 0.1}
  - class_path: neurovis.maximization.transforms.FunctionTransform
    init_args: {function: torch.nn.functional.relu}
"""
    )
    expected = [Affine(4, (0.8, 1.2)), GaussianNoise(0.1), FunctionTransform(F.relu)]
    assert parser.instantiate(options).transforms == expected


# Affine maps.


@pytest.mark.parametrize("size", [SIZE, (64, 64), (17, 16), (1, 5)])
def test_affine_maps_are_those_of_affine_grid_and_grid_sample(size: tuple[int, int]) -> None:
    transform = Affine(4, (0.6, 1.3), 40)
    (drawn,) = draw_transforms([transform], size, 1, [(k, 0) for k in range(6)], 3)
    images = torch.rand(6, 2, *size, requires_grad=True)
    exact = images.detach().double().requires_grad_()
    grid = F.affine_grid(drawn[2].view(6, 2, 3).double(), [6, 2, *size], align_corners=False)
    expected = F.grid_sample(exact, grid, padding_mode="reflection", align_corners=False)
    found = apply_transforms(images, [transform], [drawn[2]])
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)
    weights = torch.randn_like(found)
    (gradient,) = torch.autograd.grad(found, images, weights)
    (expected_gradient,) = torch.autograd.grad(expected, exact, weights.double())
    torch.testing.assert_close(gradient.double(), expected_gradient, atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [SIZE, (17, 16)])
def test_affine_maps_do_not_depend_on_the_batch(size: tuple[int, int]) -> None:
    transform = Affine(4, (0.6, 1.3), 40)
    (drawn,) = draw_transforms([transform], size, 1, [(k, 0) for k in range(6)], 1)
    images = torch.rand(6, 2, *size, requires_grad=True)
    weights = torch.randn(6, 2, *size)
    together = apply_transforms(images, [transform], [drawn[0]])
    (gradient,) = torch.autograd.grad(together, images, weights)
    for index in range(6):
        one = images[index : index + 1].detach().requires_grad_()
        alone = apply_transforms(one, [transform], [drawn[0][index : index + 1]])
        assert torch.equal(alone[0], together[index])
        (alone_gradient,) = torch.autograd.grad(alone, one, weights[index : index + 1])
        assert torch.equal(alone_gradient[0], gradient[index])


@pytest.mark.parametrize("size", [SIZE, (64, 64), (1, 5)])
def test_the_gradient_for_gpus_is_the_exact_one(size: tuple[int, int]) -> None:
    (drawn,) = draw_transforms([Affine(30, (0.3, 1.3), 90)], size, 1, KEYS, 1)
    images = torch.rand(4, 2, *size, dtype=torch.float64, requires_grad=True)
    grid = positions(drawn[0].view(4, 2, 3).double(), images.shape)
    shown = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    weights = torch.randn_like(shown) * torch.tensor([1, 1e-9, 1e9, 0])[:, None, None, None]
    (expected,) = torch.autograd.grad(shown, images, weights)
    for found, exact, weight in zip(exact_adjoint(weights, grid), expected, weights, strict=True):
        assert (found - exact).abs().max() <= 1e-11 * weight.abs().max()
    weights[1, 0, 0, 0] = torch.nan
    broken = exact_adjoint(weights, grid)
    assert broken[1].isnan().any()
    assert broken[0].isfinite().all()


def test_maps_shift_in_pixels() -> None:
    images = torch.rand(1, 1, *SIZE)
    shifted = sampled(images, _map(right=3, down=-2))
    torch.testing.assert_close(shifted[..., 2:, :-3], images[..., :-2, 3:], atol=1e-4, rtol=0)


def test_rotation_keeps_circles_round_on_oblong_images() -> None:
    height, width = SIZE
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    radius = ((y - height // 2) ** 2 + (x - width // 2) ** 2).sqrt()
    blob = torch.exp(-(radius**2) / 18)[None, None]
    turned = sampled(blob, _map(angle=45))
    near = radius < 8  # where no mirrored edge comes into view
    assert (turned - blob)[0, 0][near].abs().max() < 0.03
    stretched = sampled(blob, _map(angle=45) * torch.tensor([[1, width / height, 1]]))
    assert (stretched - blob)[0, 0][near].abs().max() > 0.1


@pytest.mark.parametrize("option", ["jitter", "scale", "rotate", "default"])
def test_maps_stay_within_their_range(option: str) -> None:
    transform = {
        "jitter": Affine(4, (1, 1), 0),
        "scale": Affine(0, (0.8, 1.25), 0),
        "rotate": Affine(0, (1, 1), 15),
        "default": Affine(),
    }[option]
    (drawn,) = draw_transforms([transform], SIZE, 1, [(kernel, 0) for kernel in range(20)], 50)
    maps = drawn.view(-1, 2, 3)
    height, width = SIZE
    shifts = maps[:, :, 2].abs() * torch.tensor([width, height]) / 2
    zoom = 1 / torch.linalg.det(maps[:, :, :2]).sqrt()
    angle = torch.rad2deg(torch.atan2(maps[:, 1, 0] * height / width, maps[:, 0, 0])).abs()
    limits = {"jitter": (4, 1, 1, 0), "scale": (0, 0.8, 1.25, 0), "rotate": (0, 1, 1, 15)}
    limits["default"] = (21 / 28, 0.9, 1.1, 10)
    jitter, low, high, rotate = limits[option]
    found = torch.stack([shifts.max(), zoom.min(), zoom.max(), angle.max()])
    expected = torch.tensor([jitter, low, high, rotate], dtype=torch.float32)
    # Of 1000 maps some come close to each end, and none goes beyond.
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0.02)
    assert (found <= torch.tensor([jitter, 2, high, rotate]) + 1e-3).all()
    assert zoom.min() >= low - 1e-3


def test_drawn_maps_turn_without_shearing() -> None:
    """In pixels a map's linear part is a rotation over its zoom, also on oblong images."""
    (drawn,) = draw_transforms([Affine(0, (0.8, 1.2), 30)], SIZE, 0, [(k, 0) for k in range(10)], 9)
    height, width = SIZE
    to_pixels = torch.tensor([width / 2, height / 2])
    linear = drawn.view(-1, 2, 3)[:, :, :2] * to_pixels[:, None] / to_pixels
    gram = linear.transpose(1, 2) @ linear
    zoom = 1 / torch.linalg.det(linear)
    torch.testing.assert_close(gram * zoom[:, None, None], torch.eye(2).expand(90, 2, 2))


# Whole pixels.


def test_a_border_is_gray_and_as_wide_as_asked() -> None:
    images = torch.rand(2, 3, *SIZE)
    padded = _shown(Pad(4), images)
    assert torch.equal(padded[..., 4:-4, 4:-4], images)
    border = padded.clone()
    border[..., 4:-4, 4:-4] = 0.5
    assert torch.equal(border, torch.full_like(padded, 0.5))
    assert Pad(4).output_size(SIZE) == (SIZE[0] + 8, SIZE[1] + 8)
    assert Pad(0).is_still
    with pytest.raises(ValueError, match=r"pixels must be a whole number; got 1\.5"):
        Pad(1.5)  # type: ignore[arg-type]


def test_a_border_may_be_of_a_color() -> None:
    images = torch.rand(2, 3, *SIZE, requires_grad=True)
    padded = _shown(Pad(3, (0.1, 0.4, 1)), images)
    gray = F.pad(images, [3] * 4)
    is_beyond = F.pad(torch.zeros(SIZE), [3] * 4, value=1)
    color = torch.tensor([0.1, 0.4, 1])[:, None, None]
    assert torch.equal(padded, gray + is_beyond * color)
    (gradient,) = torch.autograd.grad(padded.sum(), images)
    assert torch.equal(gradient, torch.ones_like(images))


@pytest.mark.parametrize(
    "transform", [Pad(4, (0.2, 0.6)), Affine(9, (0.5, 1), 0, border=(0.2, 0.6))]
)
def test_a_color_of_other_channels_is_refused(transform: Transform) -> None:
    with pytest.raises(ValueError, match=r"one number for each of 3 channels; got \(0\.2, 0\.6\)"):
        _shown(transform, torch.rand(1, 3, *SIZE))


def test_jitter_after_a_border_is_in_the_same_pixels() -> None:
    _, maps = draw_transforms([Pad(6), Affine(10, (1, 1), 0)], SIZE, 0, [(3, 0)], 200)
    height, width = Pad(6).output_size(SIZE)
    across, down = maps[:, 0, 2] * width / 2, maps[:, 0, 5] * height / 2
    for pixels in (across, down):
        assert 9 < pixels.abs().max() <= 10


def test_beyond_the_edges_is_mirrored_or_gray() -> None:
    images = torch.rand(1, 2, *SIZE)
    mirrored = sampled(images, _map(right=5))
    gray = sampled(images, _map(right=5), beyond=torch.tensor([0.5, 0.25])[:, None, None])
    assert torch.equal(gray[..., :-5], mirrored[..., :-5])
    color = torch.tensor([0.5, 0.25])[:, None, None]
    assert torch.equal(gray[..., -5:], color.expand_as(gray[..., -5:]))
    assert not torch.equal(mirrored[..., -5:], gray[..., -5:])
    for border in ("black", (), 3, (0.2, 1.1, 0), (0.2, "red")):
        with pytest.raises(ValueError, match=r'border must be "mirror", "gray" or .* got'):
            Affine(border=border)  # type: ignore[arg-type]
    assert Affine(border=[0, 1]) == Affine(border=(0.0, 1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [SIZE, (6, 4)])
def test_jitter_is_scipys_mirrored_shift(size: tuple[int, int]) -> None:
    transform = Jitter(4)
    (drawn,) = draw_transforms([transform], size, 0, [(kernel, 0) for kernel in range(30)], 10)
    assert sorted(set(drawn.flatten().tolist())) == list(range(-4, 5))
    images = torch.rand(30, 2, *size)
    shown = apply_transforms(images, [transform], [drawn[0]])
    for image, own, moved in zip(images, drawn[0].tolist(), shown, strict=True):
        expected = shift(image.numpy(), (0, -own[0], -own[1]), order=0, mode="reflect")
        np.testing.assert_array_equal(moved.numpy(), expected)


def test_jitter_agrees_with_affine_maps_of_whole_pixels() -> None:
    images = torch.rand(1, 1, *SIZE, dtype=torch.float64, requires_grad=True)
    affine = sampled(images, _map(right=3, down=-2))
    jitter = Jitter(3)(images, torch.tensor([[-2, 3]]))
    torch.testing.assert_close(jitter, affine, atol=1e-5, rtol=0)
    weights = torch.rand_like(jitter)
    gradients = [torch.autograd.grad(one, images, weights)[0] for one in (jitter, affine)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=0)


def test_jitter_is_limited_by_the_image_and_defaults_to_a_part_of_it() -> None:
    (drawn,) = draw_transforms([Jitter(100)], (4, 7), 0, [(0, 0)], 200)
    assert drawn.amax((0, 1)).tolist() == [4, 7]
    (drawn,) = draw_transforms([Jitter()], (56, 84), 0, [(0, 0)], 200)
    assert drawn.abs().amax((0, 1)).tolist() == [2, 2]


# How images look.


def test_noise_is_white_and_of_its_standard_deviation() -> None:
    images = torch.rand(3, 2, 64, 64)
    noise = _shown(GaussianNoise(0.2), images) - images
    torch.testing.assert_close(noise.std((1, 2, 3)), torch.full((3,), 0.2), rtol=0.03, atol=0)
    assert noise.mean().abs() < 0.01
    flat = noise.flatten(1)
    correlations = torch.corrcoef(torch.cat([flat, flat.roll(1, 1), flat.roll(64, 1)]))
    assert (correlations - torch.eye(9)).abs().max() < 0.05


def test_noise_is_not_held_for_all_steps() -> None:
    (drawn,) = draw_transforms([GaussianNoise(0.2)], (512, 512), 0, KEYS, 1000)
    assert drawn.numel() == 4000
    images = torch.zeros(4, 1, *SIZE)
    first, again, second = (
        apply_transforms(images, [GaussianNoise(0.2)], [drawn[step]]) for step in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("high", [0.7, 3.0])
def test_blur_is_scipys(high: float) -> None:
    transform = GaussianBlur((0, high))
    (drawn,) = draw_transforms([transform], SIZE, 0, KEYS, 1)
    images = torch.rand(4, 2, *SIZE, dtype=torch.float64)
    shown = apply_transforms(images, [transform], [drawn[0]])
    assert len(set(drawn[0].flatten().tolist())) == 4
    for image, (sigma,), blurred in zip(images, drawn[0].tolist(), shown, strict=True):
        expected = image.numpy()
        for axis in (1, 2):
            expected = gaussian_filter1d(
                expected, sigma, axis=axis, mode="reflect", radius=math.ceil(3 * high)
            )
        np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-6)


def test_blur_of_a_field_that_is_smaller_than_it() -> None:
    images = torch.rand(1, 1, 3, 2, generator=torch.Generator().manual_seed(0))
    blurred = GaussianBlur((5, 5))(images, torch.tensor([[5.0]]))
    assert blurred.shape == images.shape
    assert blurred.std() < 0.2 * images.std()


def test_lighting_changes_mean_and_contrast_within_its_range() -> None:
    images = torch.rand(200, 3, 8, 8)
    shown = _shown(Lighting(0.1, (0.5, 1.5)), images)
    factor = shown.flatten(1).std(1) / images.flatten(1).std(1)
    change = (shown - 0.5).mean((1, 2, 3)) - factor * (images - 0.5).mean((1, 2, 3))
    assert 0.5 <= factor.min() < 0.55 < 1.45 < factor.max() <= 1.5001
    assert -0.1001 <= change.min() < -0.09 < 0.09 < change.max() <= 0.1001


def test_functions_are_transforms() -> None:
    assert as_transform(halved) == FunctionTransform(halved)
    affine = Affine()
    assert as_transform(affine) is affine
    images = torch.rand(2, 3, *SIZE)
    assert torch.equal(_shown(as_transform(halved), images), images / 2)


# What is refused.


@pytest.mark.parametrize(
    ("transform", "options", "message"),
    [
        (Affine, {"jitter": -1}, "jitter must be a number of at least 0; got -1"),
        (Affine, {"rotate": 1e30}, "rotate must be a number of at most 360; got 1e\\+30"),
        (Affine, {"rotate": math.nan}, "rotate must be a number of at least 0; got nan"),
        (
            Affine,
            {"scale": (0, 1)},
            r"scale must be two numbers 0.001 <= low <= high <= 1000; got \(0, 1\)",
        ),
        (Affine, {"scale": 1.1}, "scale must be two numbers 0.001 <= low <= high <= 1000; got 1.1"),
        (Affine, {"scale": (1.2, 0.9)}, r"0.001 <= low <= high <= 1000; got \(1.2, 0.9\)"),
        (Jitter, {"pixels": 1.5}, "pixels must be a whole number; got 1.5"),
        (GaussianNoise, {"std": "much"}, "std must be a number of at least 0; got 'much'"),
        (GaussianBlur, {"sigma": (2, 1)}, r"two numbers 0 <= low <= high; got \(2, 1\)"),
        (Lighting, {"contrast": (1, 1, 1)}, r"contrast must be two numbers .* got \(1, 1, 1\)"),
    ],
)
def test_options_out_of_range(
    transform: type[Transform], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        transform(**options)


def test_functions_that_are_none_or_give_something_else() -> None:
    with pytest.raises(TypeError, match=r"must be a Transform or a function .*; got 3"):
        as_transform(3)  # type: ignore[arg-type]
    images = torch.rand(2, 3, *SIZE)
    for function, came in ((lambda x: x[:1], r"\(1, 3, 21, 33\)"), (lambda _: None, "NoneType")):
        with pytest.raises(ValueError, match=rf"\(2, 3, 21, 33\); .* gave {came}"):
            _shown(FunctionTransform(function), images)


# How far transforms reach.


@pytest.mark.parametrize("transform", [Affine(2, (0.8, 1.2), 25), Affine(0, (1, 1), 60), Jitter(3)])
@pytest.mark.parametrize("extent", [(5.5, 3.0), (2.0, 9.0), (4.0, 4.0)])
def test_reach_is_the_farthest_pixel_that_comes_into_an_extent(
    transform: Transform, extent: tuple[float, float]
) -> None:
    """Of very many draws the farthest is just within reach."""
    size = (61, 61)
    (drawn,) = draw_transforms([transform], size, 0, [(0, 0)], 20000)
    if isinstance(transform, Jitter):
        farthest = torch.tensor(extent) + drawn.abs().amax((0, 1))
    else:
        corners = torch.tensor([[s * extent[1], t * extent[0]] for s in (-1, 1) for t in (-1, 1)])
        sides = torch.tensor([-0.0, *torch.linspace(-1, 1, 41)])
        edges = torch.cat([corners, *(corners * torch.stack([sides, sides * 0 + 1], 1)[:, None])])
        maps = drawn[:, 0].view(-1, 2, 3)
        looked = edges @ maps[:, :, :2].transpose(1, 2) + maps[:, None, :, 2] * 61 / 2
        farthest = looked.abs().amax((0, 1)).flip(0)
    reach = torch.tensor(transform.reach(extent, size))
    assert (farthest <= reach + 1e-3).all()
    torch.testing.assert_close(farthest, reach, rtol=0.03, atol=0)


def test_blur_reaches_as_far_as_its_kernel() -> None:
    assert GaussianBlur((0, 1.5)).reach((2, 3), SIZE) == (7, 8)
    assert Lighting().reach((2, 3), SIZE) == (2, 3)
