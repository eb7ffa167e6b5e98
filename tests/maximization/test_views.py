from __future__ import annotations

import math

import pytest
import torch

from neurovis.maximization.views import ViewRange, draw_views, look

SIZE = (21, 33)


def _map(angle: float = 0.0, zoom: float = 1.0, right: float = 0.0, down: float = 0.0):  # type: ignore[no-untyped-def]
    height, width = SIZE
    cos, sin = math.cos(math.radians(angle)) / zoom, math.sin(math.radians(angle)) / zoom
    return torch.tensor(
        [
            [
                [cos, -sin * height / width, 2 * right / width],
                [sin * width / height, cos, 2 * down / height],
            ]
        ]
    )


def test_still_views_are_the_image() -> None:
    images = torch.rand(1, 3, *SIZE)
    maps = draw_views(SIZE, ViewRange(0, (1, 1), 0), seed=0, kernels=[4], steps=2)
    assert ViewRange(0, (1, 1), 0).is_still
    torch.testing.assert_close(look(images, maps[0]), images, atol=1e-5, rtol=0)


def test_jitter_is_in_pixels() -> None:
    images = torch.rand(1, 1, *SIZE)
    shifted = look(images, _map(right=3, down=-2))
    torch.testing.assert_close(shifted[..., 2:, :-3], images[..., :-2, 3:], atol=1e-4, rtol=0)


def test_rotation_keeps_circles_round_on_oblong_images() -> None:
    height, width = SIZE
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    radius = ((y - height // 2) ** 2 + (x - width // 2) ** 2).sqrt()
    blob = torch.exp(-(radius**2) / 18)[None, None]
    turned = look(blob, _map(angle=45))
    near = radius < 8  # where no mirrored edge comes into view
    assert (turned - blob)[0, 0][near].abs().max() < 0.03
    stretched = look(blob, _map(angle=45) * torch.tensor([[1, width / height, 1]]))
    assert (stretched - blob)[0, 0][near].abs().max() > 0.1


@pytest.mark.parametrize("option", ["jitter", "scale", "rotate"])
def test_views_stay_within_their_range(option: str) -> None:
    views = {
        "jitter": ViewRange(4, (1, 1), 0),
        "scale": ViewRange(0, (0.8, 1.25), 0),
        "rotate": ViewRange(0, (1, 1), 15),
    }[option]
    maps = draw_views(SIZE, views, seed=1, kernels=range(20), steps=50).flatten(0, 1)
    height, width = SIZE
    shift = maps[:, :, 2].abs() * torch.tensor([width, height]) / 2
    zoom = 1 / torch.linalg.det(maps[:, :, :2]).sqrt()
    angle = torch.rad2deg(torch.atan2(maps[:, 1, 0] * height / width, maps[:, 0, 0]))
    assert shift.max() <= 4.001
    assert zoom.min() >= 0.799
    assert zoom.max() <= 1.251
    assert angle.abs().max() <= 15.001
    spread = {"jitter": shift.max() > 3.9, "scale": zoom.max() > 1.2, "rotate": angle.max() > 14}
    assert spread[option]


def test_drawn_views_turn_without_shearing() -> None:
    """In pixels a view's linear part is a rotation over its zoom, also on oblong images."""
    maps = draw_views(SIZE, ViewRange(0, (0.8, 1.2), 30), 0, range(10), 20).flatten(0, 1)
    height, width = SIZE
    to_pixels = torch.tensor([width / 2, height / 2])
    linear = maps[:, :, :2] * to_pixels[:, None] / to_pixels
    gram = linear.transpose(1, 2) @ linear
    zoom = 1 / torch.linalg.det(linear)
    torch.testing.assert_close(gram * zoom[:, None, None], torch.eye(2).expand(200, 2, 2))


def test_views_depend_on_seed_kernel_and_step_alone() -> None:
    views = ViewRange(4, (0.9, 1.1), 10)
    together = draw_views(SIZE, views, seed=3, kernels=[1, 5, 9], steps=8)
    alone = draw_views(SIZE, views, seed=3, kernels=[5], steps=8)
    assert torch.equal(together[:, 1], alone[:, 0])
    assert not torch.equal(together[:, 0], together[:, 1])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(alone, draw_views(SIZE, views, seed=4, kernels=[5], steps=8))
