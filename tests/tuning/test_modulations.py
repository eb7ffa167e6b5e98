"""Channels that a stimulus drives: axes of color, modalities at the same strength."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning.stimuli import (
    Gratings,
    Modulation,
    color_modulations,
    isoluminant_modulations,
    modality_modulations,
    uniform_modulation,
)

RGBD = InputSpec.rgbd(16, depth_range=(0.3, 2.0), depth_mean=1.1, depth_std=0.6)
SPECS = [
    InputSpec.rgb(16),
    RGBD,
    InputSpec.rgbd(16),
    InputSpec((Modality("depth", 1), Modality("rgb", 3), Modality("pair", 2, std=(0.1, 4.0))), 16),
]


def test_uniform_drives_everything() -> None:
    assert uniform_modulation(RGBD) == Modulation("all", (1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize("spec", SPECS)
def test_modalities_have_one_amplitude_for_the_network(spec: InputSpec) -> None:
    modulations = modality_modulations(spec)
    assert [m.name for m in modulations] == [modality.name for modality in spec.modalities]
    gratings = Gratings(spec, 1, [0.125], 4, modulations=modulations)
    images = gratings.images(range(len(gratings)))
    shown = spec.to_network(images).double() - spec.to_network(images[-1:]).double()
    shown = shown[:-1].reshape(len(modulations), 4, spec.channels, 16, 16)
    # 16 pixels hold whole cycles, so that a sine's mean square is half its squared amplitude.
    amplitudes = shown.square().mean((1, 3, 4)).mul(2).sqrt()
    strength = amplitudes.max()
    driven = torch.block_diag(*(torch.ones(1, m.channels) for m in spec.modalities)).double()
    torch.testing.assert_close(amplitudes, strength * driven, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS)
def test_modalities_are_driven_as_much_as_fits_all(spec: InputSpec) -> None:
    gains = [gain for modulation in modality_modulations(spec) for gain in modulation.gains]
    assert max(gains) == 1
    assert min(gains) == 0 or len(spec.modalities) == 1


def test_colors_made_gray_by_the_mean_are_the_gray_one() -> None:
    *colors, gray = color_modulations(RGBD)
    assert [m.name for m in colors] == ["red-cyan", "green-magenta", "blue-yellow"]
    assert gray.name == "gray"
    for place, color in enumerate(colors):
        expected = [-1.0] * 3
        expected[place] = 1.0
        assert list(color.gains) == [*expected, 0.0]
        mean = sum(color.gains[:3]) / 3
        assert list(gray.gains) == pytest.approx([-mean] * 3 + [0.0])


def test_isoluminant_axes_are_the_opponent_ones() -> None:
    red_green, blue_yellow = isoluminant_modulations(RGBD)
    assert (red_green.name, red_green.gains) == ("red-green", (1.0, -1.0, 0.0, 0.0))
    assert (blue_yellow.name, blue_yellow.gains) == ("blue-yellow", (-0.5, -0.5, 1.0, 0.0))


def test_color_is_where_rgb_is() -> None:
    spec = InputSpec((Modality("depth", 1), Modality("rgb", 3)), size=8)
    assert color_modulations(spec)[0].gains == (0.0, 1.0, -1.0, -1.0)


@pytest.mark.parametrize("modulations", [color_modulations, isoluminant_modulations])
@pytest.mark.parametrize("modality", [Modality("depth", 1), Modality("rgb", 4)])
def test_color_needs_rgb(modulations: Callable[[InputSpec], object], modality: Modality) -> None:
    with pytest.raises(ValueError, match=rf"need an RGB modality.*\['{modality.name}'\]"):
        modulations(InputSpec((modality,)))


@pytest.mark.parametrize(
    ("name", "gains", "words"),
    [
        ("", (1.0,), "needs a name"),
        ("none", (0.0, 0.0), r"not all zero; got \(0.0, 0.0\)"),
        ("none", (), "not all zero"),
        ("wild", (1.0, math.inf), "finite"),
        ("wild", (math.nan,), "finite"),
    ],
)
def test_what_is_no_direction_is_refused(name: str, gains: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Modulation(name, gains)
