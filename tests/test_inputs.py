from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.transforms import Normalize

from neurovis.inputs import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from neurovis.modality import Modality

RGBD = InputSpec.rgbd(16, depth_range=(0.3, 2.0), depth_mean=1.1, depth_std=0.4)
MANY = InputSpec(
    (
        Modality("infrared", 2, range=(-40.0, 120.0), mean=(20.0, 25.0), std=(8.0, 9.0)),
        Modality("rgb", 3, range=(0.0, 255.0), mean=(127.5,), std=(64.0,)),
        Modality("depth", 1, range=(0.0, 65535.0)),
    ),
    size=(12, 20),
)
SPECS = [InputSpec.rgb(16), RGBD, MANY]


@pytest.mark.parametrize("spec", SPECS)
def test_round_trip_in_float64(spec: InputSpec) -> None:
    images = torch.rand(5, *spec.shape, dtype=torch.float64)
    torch.testing.assert_close(
        spec.from_network(spec.to_network(images)), images, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("spec", SPECS)
def test_8_bit_levels_come_back_exactly(spec: InputSpec) -> None:
    levels = torch.arange(256)
    images = (levels / 255).view(-1, 1, 1, 1).expand(-1, spec.channels, 1, 1)
    back = spec.from_network(spec.to_network(images))
    assert torch.equal((back * 255).round().long(), levels.view(-1, 1, 1, 1).expand_as(back))


def test_rgb_is_torchvisions_normalization() -> None:
    images = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(
        InputSpec.rgb(8).to_network(images), Normalize(IMAGENET_MEAN, IMAGENET_STD)(images)
    )


def test_depth_in_metres() -> None:
    images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).repeat(1, 4, 1, 1)
    depth = RGBD.to_network(images)[:, 3].flatten()
    meters = torch.tensor([0.3, 1.15, 2.0])
    torch.testing.assert_close(depth, (meters - 1.1) / 0.4)


def test_each_channel_has_its_own_statistics() -> None:
    network = MANY.to_network(torch.zeros(6, 1, 1)).flatten()
    expected = torch.tensor([-60 / 8, -65 / 9, -127.5 / 64, -127.5 / 64, -127.5 / 64, 0.0])
    torch.testing.assert_close(network, expected)


def test_split_gives_views_in_channel_order() -> None:
    images = torch.rand(2, *MANY.shape)
    parts = MANY.split(images)
    assert list(parts) == ["infrared", "rgb", "depth"]
    assert torch.equal(torch.cat(list(parts.values()), dim=1), images)
    parts["depth"].zero_()
    assert images[:, 5].abs().sum() == 0


def test_dtype_and_shape_are_kept() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert RGBD.to_network(torch.rand(4, 7, 9, dtype=dtype)).dtype == dtype
    assert RGBD.to_network(torch.rand(2, 3, 4, 7, 9)).shape == (2, 3, 4, 7, 9)


def test_out_of_range_is_not_clipped() -> None:
    network = RGBD.to_network(torch.full((4, 1, 1), 1.5))
    torch.testing.assert_close(RGBD.from_network(network), torch.full((4, 1, 1), 1.5))


def test_example_is_mid_gray() -> None:
    assert MANY.example(2).shape == (2, 6, 12, 20)
    torch.testing.assert_close(MANY.from_network(MANY.example()), torch.full((1, 6, 12, 20), 0.5))


def test_resized() -> None:
    assert RGBD.resized(32).shape == (4, 32, 32)
    assert RGBD.resized((8, 9)).modalities == RGBD.modalities


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 8, 8), (4, 8), (8,)])
def test_other_channels_are_refused(shape: tuple[int, ...]) -> None:
    images = torch.zeros(shape)
    for method in (RGBD.to_network, RGBD.from_network, RGBD.split):
        with pytest.raises(ValueError, match=r"rgb 3, depth 1.*got shape \(" + str(shape[0])):
            method(images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "needs a name"),
        ({"channels": 0}, "'depth' needs channels >= 1; got 0"),
        ({"range": (1.0, 1.0)}, r"low < high; got \(1.0, 1.0\)"),
        ({"range": (0.0, float("inf"))}, "low < high; got"),
        ({"range": (float("nan"), 1.0)}, "low < high; got"),
        ({"range": (0.0, 1.0, 2.0)}, "low < high; got"),
        ({"mean": (0.0, 0.0)}, "has 1 channels and needs one finite mean"),
        ({"mean": (float("nan"),)}, "one finite mean"),
        ({"std": (0.0,)}, r"std > 0; got \(0.0,\)"),
        ({"std": (-1.0,)}, "std > 0"),
    ],
)
def test_bad_modality(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Modality(**{"name": "depth", "channels": 1, **arguments})


def test_bad_spec() -> None:
    with pytest.raises(ValueError, match="at least one modality"):
        InputSpec(())
    with pytest.raises(ValueError, match=r"different names; got \['rgb', 'rgb'\]"):
        InputSpec((Modality("rgb", 3), Modality("rgb", 3)))
    with pytest.raises(ValueError, match="\"nearest\"; got 'cubic'"):
        InputSpec((Modality("rgb", 3),), interpolation="cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"at least 1 pixel; got \(0, 0\)"):
        InputSpec.rgb(0)
    with pytest.raises(ValueError, match=r"at least 1 pixel; got \(8, -1\)"):
        InputSpec.rgb((8, -1))


def test_channel_means_are_what_is_subtracted_in_image_units() -> None:
    spec = InputSpec(
        (
            Modality("rgb", 3, mean=(0.5, 0.4, 0.3)),
            Modality("depth", 1, range=(1, 5), mean=(2,)),
            Modality("thermal", 1),
            Modality("far", 1, mean=(-3,)),
        )
    )
    assert spec.channel_means == pytest.approx((0.5, 0.4, 0.3, 0.25, 0.5, 0))
    zeros = spec.to_network(torch.tensor((*spec.channel_means[:4], 0, 0))[:, None, None])[:4]
    assert zeros.abs().max() < 1e-6
