"""Texture and tolerance: versions of pictures, and planted units whose scores are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from neurovis import InputSpec, Modality, rank_kernels, set_layout
from neurovis.tuning import KernelRanking
from neurovis.tuning.stimuli import MovedPictures, ScrambledPictures
from neurovis.tuning.stimuli.pictures import moved, periodic_part

RGB = InputSpec.rgb(32)
GRAY = InputSpec([Modality("gray", 1)], size=32)


def pictures(count: int, spec: InputSpec = RGB, seed: int = 0) -> Tensor:
    """Bright spots of some sizes on a dark ground with a slope."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: spec.size[0], : spec.size[1]]
    images = np.zeros((count, *spec.shape))
    for image in images:
        image += 0.2 * rows / spec.size[0]
        for row, column, size in random.uniform([0, 0, 1], [*spec.size, 4], (6, 3)):
            spot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * size**2))
            image += spot * random.uniform(0, 0.8, (spec.channels, 1, 1))
    return torch.tensor(images).float().clamp(0, 1)


class Power(nn.Module):
    def __init__(self, exponent: int) -> None:
        super().__init__()
        self.exponent = exponent

    def forward(self, values: Tensor) -> Tensor:
        return values**self.exponent


def test_the_periodic_part_has_the_laplacian_of_the_inside() -> None:
    image = pictures(1)[0].double()
    part = periodic_part(image)
    laplacian = torch.zeros_like(image)
    for dimension in (1, 2):
        steps = image.diff(dim=dimension)
        laplacian.narrow(dimension, 0, 31).add_(steps)
        laplacian.narrow(dimension, 1, 31).sub_(steps)
    neighbors = sum(part.roll(by, dim) for by in (-1, 1) for dim in (1, 2))
    torch.testing.assert_close(neighbors - 4 * part, laplacian, atol=1e-5, rtol=0)
    torch.testing.assert_close(part.mean((1, 2)), image.mean((1, 2)), atol=1e-6, rtol=0)


def test_twins_share_color_contrast_and_spectrum() -> None:
    stimuli = ScrambledPictures(RGB, pictures(3)[:, None], [0, 2])
    assert len(stimuli) == 5
    images = stimuli.images(range(5)).double()
    assert torch.equal(images[4], torch.full(RGB.shape, 0.5, dtype=torch.float64))
    assert torch.equal(images[2], stimuli[2][0].double())
    for pair in images[:4].split(2):
        assert pair.min() >= 0
        assert pair.max() <= 1
        assert max((pair - 0.5).amax(), (0.5 - pair).amax()) == pytest.approx(0.5, abs=1e-4)
        spectra = torch.fft.fft2(pair)
        cross = spectra[:, :, None] * spectra[:, None].conj()
        assert (cross[0] - cross[1]).abs().max() < 1e-4 * cross.abs().max()
        correlation = torch.corrcoef(pair.flatten(1))[0, 1]
        assert abs(correlation) < 0.5


def ranked(
    network: nn.Module, layer: str, by: str, images: Tensor, **options: Any
) -> KernelRanking:
    spec = RGB if images.shape[1] == 3 else GRAY
    return rank_kernels(network, layer, by, input_spec=spec, images=images, **options).only


def test_energy_over_the_map_has_no_texture_modulation_and_higher_powers_do() -> None:
    images = pictures(8)
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 4, 5, padding=2, padding_mode="circular", bias=False)
    conv.weight.data -= conv.weight.data.mean((2, 3), keepdim=True)
    energy, fourth = (nn.Sequential(conv, Power(exponent)) for exponent in (2, 4))
    for network in (energy, fourth):
        set_layout(network, "1", kernel_dim=1)
    options: dict[str, Any] = {"readout": "mean", "null_kernels": 0}
    of_energy = ranked(energy, "1", "texture", images, **options)
    assert of_energy.score.abs().max() < 1e-4
    shown = ScrambledPictures(RGB, images[:, None], range(8)).images(range(16))
    with torch.no_grad():
        responses = conv(RGB.to_network(shown)).double()
    of_fourth = ranked(fourth, "1", "texture", images, **options)
    moments = (responses**4).mean((2, 3)).view(8, 2, 4).mean(0)
    expected = (moments[0] - moments[1]) / moments.sum(0)
    assert of_fourth.score.tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert of_fourth.score.min() > 0.1  # Spots are sparse; their twins are not.


def test_a_linear_unit_has_no_texture_modulation_wherever_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 7))
    torch.manual_seed(1)
    nn.init.normal_(network[0].weight)
    nn.init.constant_(network[0].bias, 3.0)
    images = pictures(1).expand(256, -1, -1, -1)  # Each time at another place.
    found = ranked(network, "0", "texture", images)
    assert found.score.abs().max() < 0.1
    assert abs(found.null_score.mean()) < 0.05
    assert "texture: shown 256 images" in found.notes


def test_pictures_are_moved_exactly() -> None:
    image = pictures(1)[0]
    shifted = moved(image, 1 / 8, -1 / 4, 1, 0)
    torch.testing.assert_close(shifted[:, :24, 4:], image[:, 8:, :28], atol=1e-5, rtol=0)
    torch.testing.assert_close(shifted[:, :24, 3], image[:, 8:, 0], atol=1e-5, rtol=0)  # Mirrored.
    turned = moved(image, 0, 0, 1, 90)
    torch.testing.assert_close(turned, image.rot90(1, (1, 2)), atol=1e-5, rtol=0)
    wide = pictures(1, InputSpec.rgb((32, 48)))[0]
    turned = moved(wide, 0, 0, 1, 90)[:, :, 8:40]
    torch.testing.assert_close(turned, wide[:, :, 8:40].rot90(1, (1, 2)), atol=1e-5, rtol=0)
    slope = torch.linspace(0, 1, 33)[None, None, :].expand(1, 33, 33)
    assert moved(slope, 0, 0, 2, 0)[0, 16, 24] == pytest.approx(0.5 + 4 / 32, abs=1e-4)
    assert moved(slope, 0, 0, 0.5, 0)[0, 16, 20] == pytest.approx(0.5 + 8 / 32, abs=0.02)


def test_a_pool_tolerates_shifts_up_to_its_edge() -> None:
    images = torch.zeros(10, *GRAY.shape)
    images[:, 0, 16, 16] = torch.linspace(0.1, 1, 10)
    found = ranked(nn.Sequential(nn.MaxPool2d(9, 1, 4)), "0", "tolerance", images)
    assert list(found.curve_over[:8]) == [
        f"1/{part} {way}" for part in (32, 16, 8, 4) for way in ("right", "down")
    ]
    # The pool reaches 4 pixels from its middle; shifts are 1, 2, 4 and 8 pixels.
    assert found.curve is not None
    assert found.curve[0, :8].tolist() == pytest.approx([1] * 6 + [0] * 2)
    assert found.values["shift_tolerance"][0] == pytest.approx(0.75)


def test_energy_tolerates_shifts_and_a_simple_cell_follows_the_phase() -> None:
    columns = torch.arange(32) - 16
    across = 2 * math.pi * columns / 16
    phases = torch.arange(16) * 2 * math.pi / 16 + 0.1
    contrasts = torch.linspace(0.2, 1, 16)
    waves = torch.cos(across + phases[:, None]) * contrasts[torch.arange(16) * 7 % 16, None]
    images = (0.5 + 0.5 * waves)[:, None, None].expand(-1, 1, 32, -1).contiguous()
    window = torch.exp(-(columns.float() ** 2) / 18)

    class Units(nn.Module):
        """Even and odd, and their energy."""

        def __init__(self) -> None:
            super().__init__()
            self.pair = nn.Conv2d(1, 2, (1, 32), bias=False)
            kernels = torch.stack([window * across.cos(), window * across.sin()])
            kernels[0] -= window * kernels[0].sum() / window.sum()
            # Of equal gain at this frequency.
            kernels[1] *= (kernels[0] * across.cos()).sum() / (kernels[1] * across.sin()).sum()
            self.pair.weight.data = kernels[:, None, None]
            self.out = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            pair = self.pair(x)
            return self.out(torch.cat([pair, pair.square().sum(1, keepdim=True)], 1))

    found = ranked(Units(), "out", "tolerance", images)
    assert found.curve is not None
    even, odd, energy = found.curve[:, :8].tolist()
    assert energy[:6] == pytest.approx([1] * 6)
    amplitudes = contrasts[torch.arange(16) * 7 % 16]
    for place, shift in ((0, 1), (2, 2), (4, 4)):
        turned = phases - 2 * math.pi * shift / 16
        for unit, wave in ((even, torch.cos), (odd, torch.sin)):
            expected = spearmanr(amplitudes * wave(phases), amplitudes * wave(turned)).statistic
            assert unit[place] == pytest.approx(expected, abs=1e-6)
    assert abs(even[4]) < 0.2  # A quarter of a cycle.


def test_what_is_round_tolerates_turns() -> None:
    rows, columns = np.mgrid[:32, :32] - 15.5
    kernel = np.exp(-(rows**2 + columns**2) / 32)
    bar = np.exp(-(rows**2) / 8 - columns**2 / 80)
    network = nn.Sequential(nn.Conv2d(1, 2, 32), nn.ReLU())
    network[0].weight.data = torch.tensor(np.stack([kernel, bar])).float()[:, None]
    found = ranked(network, "1", "tolerance", pictures(100, GRAY))
    round_one, bar_one = found.values["rotation_tolerance"]
    assert round_one > 0.99
    assert bar_one < round_one - 0.05
    assert found.notes[-1] == "tolerance: shown 64 images"


def test_ties_share_ranks() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU())
    nn.init.constant_(network[0].bias, -0.2)
    images = pictures(12, GRAY)
    found = ranked(network, "1", "tolerance", images)
    shown = MovedPictures(GRAY, images[:, None], range(12)).images(range(12 * 17))
    with torch.no_grad():
        responses = network(GRAY.to_network(shown))[:, :, 14, 14].view(12, 17, 8)
    assert found.curve is not None
    for kernel in range(8):
        for place in range(16):
            pair = responses[:, 0, kernel], responses[:, place + 1, kernel]
            if all(len(one.unique()) > 1 for one in pair):
                assert found.curve[kernel, place] == pytest.approx(spearmanr(*pair).statistic)
    assert (responses == 0).any()


def test_pictures_are_needed() -> None:
    for by in ("texture", "tolerance"):
        with pytest.raises(ValueError, match=f"ranking by {by} needs images"):
            rank_kernels(nn.Conv2d(3, 2, 3), "", by, input_spec=RGB)
