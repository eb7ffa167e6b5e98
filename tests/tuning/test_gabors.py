"""Gabors against their formula, as stimuli, and as kernels whose tuning is known."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
import pytest
import torch
from gabor_bank import gabor_network
from scipy.special import ive

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning.stimuli import Gabors, Gratings, gabor, render_gratings

GRAY = InputSpec((Modality("gray", 1),), size=(15, 19))


@pytest.mark.parametrize("orientation", [0.0, 30.0, 90.0, 135.0])
@pytest.mark.parametrize(("phase", "aspect"), [(0.0, 1.0), (90.0, 0.5), (200.0, 2.0)])
@pytest.mark.parametrize("center", [None, (4.0, 7.5)])
def test_gabor_is_its_formula(
    orientation: float, phase: float, aspect: float, center: tuple[float, float] | None
) -> None:
    wavelength, sigma, size = 5.0, 2.5, 12
    kernel = gabor(size, wavelength, sigma, orientation, phase, aspect, center)
    assert kernel.dtype == torch.float32
    row, column = center or (5.5, 5.5)
    for i in range(size):
        for j in range(size):
            # The plane with its vertical axis upwards, turned back by the orientation, so that
            # the bars are horizontal.
            point = complex(j - column, row - i) * cmath.exp(-1j * math.radians(orientation))
            along, across = point.real, point.imag
            envelope = math.exp(-(across**2) / (2 * sigma**2))
            envelope *= math.exp(-(along**2) / (2 * (sigma / aspect) ** 2))
            carrier = math.cos(2 * math.pi * across / wavelength + math.radians(phase))
            assert float(kernel[i, j]) == pytest.approx(envelope * carrier, abs=1e-6)


def test_the_bar_of_an_even_gabor_lies_at_its_orientation() -> None:
    horizontal, vertical = (gabor(9, 8.0, 3.0, angle, aspect=0.5) for angle in (0.0, 90.0))
    assert horizontal[4, 0] > 0.5 > 0 > horizontal[0, 4]
    torch.testing.assert_close(vertical, horizontal.T)
    rising = gabor(9, 8.0, 3.0, 45.0)
    assert rising[1, 7] > 0 > rising[1, 1]


@pytest.mark.parametrize("name", ["size", "wavelength", "sigma", "aspect"])
def test_lengths_are_positive(name: str) -> None:
    good: dict[str, Any] = {"size": 5, "wavelength": 4.0, "sigma": 1.0, "orientation": 0.0}
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be above 0; got {value}"):
            gabor(**(good | {name: value}))


def test_patches_are_gabors_around_gray() -> None:
    patches = Gabors(GRAY, 2.5, 6, [0.1, 0.2], phases=4, contrasts=[0.5])
    assert len(patches) == 49
    for number in range(48):
        condition = patches.condition(number)
        expected = gabor(
            19,
            1 / float(condition["spatial_frequency"]),
            2.5,
            float(condition["orientation"]),
            float(condition["phase"]),
            center=(7.0, 9.0),
        )
        image, _ = patches[number]
        torch.testing.assert_close(image[0], 0.5 + 0.25 * expected[:15], rtol=0, atol=1e-6)
    assert torch.equal(patches[48][0], torch.full((1, 15, 19), 0.5))


def test_patches_lie_on_their_center() -> None:
    patches = Gabors(GRAY, 2.0, 1, [0.2], phases=1, center=(3.0, 12.0))
    assert isinstance(patches, Gratings)
    image = patches[0][0][0]
    assert divmod(int(image.argmax()), 19) == (3, 12)
    assert image.max() == 1


@pytest.mark.parametrize("sigma", [0.0, -2.0, math.inf])
def test_a_patch_needs_a_width(sigma: float) -> None:
    with pytest.raises(ValueError, match=f"sigma must be above 0 pixels; got {sigma}"):
        Gabors(GRAY, sigma)


def center_amplitudes(network: torch.nn.Module, gratings: Gratings) -> np.ndarray:
    """F1 of the center unit over phases, ``(K, O, F)``, from the definition."""
    with torch.no_grad():
        images = gratings.images(range(gratings.blank_index))
        maps = network(gratings.spec.to_network(images)).double()
    units = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].numpy()
    _, orientations, frequencies, _, phases = gratings.shape
    curves = units.reshape(orientations, frequencies, phases, -1)
    turns = np.exp(-2j * np.pi * np.arange(phases) / phases)
    return 2 * np.abs(np.einsum("ofpk,p->kof", curves, turns)) / phases


@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_a_bank_of_gabors_is_tuned_as_its_closed_form_says(ratio: float) -> None:
    tuned = [
        (angle, wave) for angle in (0.0, 22.5, 45.0, 70.0, 135.0) for wave in (5.0, 5 * 2**0.5)
    ]
    network = gabor_network(
        [angle for angle, _ in tuned],
        [wave for _, wave in tuned],
        [ratio * wave for _, wave in tuned],
        phase=[0.0, 0.0] * 5,
        bias=0.7,
    )
    frequencies = [2.0**exponent / 5 for exponent in (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5)]
    spec = InputSpec.rgb(network.conv.kernel_size[0] + 2)
    gratings = Gratings(spec, 16, frequencies, phases=8)
    curves = center_amplitudes(network, gratings)
    kappa = (2 * math.pi * ratio) ** 2
    expected = ive(2, kappa) / ive(0, kappa)
    for (angle, wavelength), curve in zip(tuned, curves, strict=True):
        orientation, frequency = np.unravel_index(curve.argmax(), curve.shape)
        assert frequencies[frequency] == pytest.approx(1 / wavelength)
        assert abs((orientation * 11.25 - angle + 90) % 180 - 90) <= 5.7
        best = curve[:, frequency]
        resultant = sum(
            response * np.exp(2j * math.radians(11.25 * step)) for step, response in enumerate(best)
        )
        assert abs(resultant) / best.sum() == pytest.approx(expected, abs=5e-4)
        preferred = math.degrees(np.angle(resultant)) / 2
        assert abs((preferred - angle + 90) % 180 - 90) < 0.02


def test_a_gabor_likes_the_grating_a_quarter_cycle_ahead() -> None:
    network = gabor_network([30.0, 30.0], phase=[0.0, 90.0], gains=[1.0])
    side = network.conv.kernel_size[0]
    phases = torch.arange(0, 360, 15.0)
    same = {"orientation": 30.0, "spatial_frequency": 1 / 6, "contrast": 1.0}
    images = render_gratings(
        GRAY.resized(side),
        **{name: torch.full((24,), value) for name, value in same.items()},
        phase=phases,
        gains=torch.ones(24, 1),
    )
    best = network(images).flatten(1).argmax(0)
    assert phases[best].tolist() == [90.0, 180.0]
