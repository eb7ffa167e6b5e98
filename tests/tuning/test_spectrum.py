"""Against sampled Gabors, a Fourier transform written out, and the closed form of a Gabor's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from neurovis.tuning import spectrum
from neurovis.tuning.spectrum import spectrum_peak

ANGLES = torch.arange(0, 180, 3.7, dtype=torch.float64)


def gabors(size: int, cycles: float, sigma: float, phase: float, angles: Tensor = ANGLES) -> Tensor:
    """``(N, 1, size, size)`` whose bars are at the angles, counter-clockwise from horizontal."""
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    row, x = place[:, None], place[None, :]
    angle = torch.deg2rad(angles)[:, None, None]
    across = -torch.sin(angle) * x - torch.cos(angle) * row
    envelope = torch.exp(-(x**2 + row**2) / (2 * sigma**2))
    return (envelope * torch.sin(2 * math.pi * cycles / size * across + phase))[:, None]


def apart(first: Tensor, second: Tensor) -> Tensor:
    difference = (first - second).remainder(180)
    return torch.minimum(difference, 180 - difference)


def literal_energy(picture: Tensor, vertical: float, horizontal: float) -> float:
    """Of ``(C, H, W)`` at one frequency, cycles per pixel; each channel's mean removed."""
    total = 0.0
    for channel in picture.double():
        channel = channel - channel.mean()
        amplitude = 0j
        for row, values in enumerate(channel.tolist()):
            for column, value in enumerate(values):
                turn = 2 * math.pi * (vertical * row + horizontal * column)
                amplitude += value * complex(math.cos(turn), -math.sin(turn))
        total += abs(amplitude) ** 2
    return total


@pytest.mark.sampled(2)
@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("phase", [0.0, 0.7, math.pi / 2])
@pytest.mark.parametrize(
    ("size", "cycles", "sigma"),
    [(7, 2, 1.5), (9, 2, 1.9), (11, 2, 2.3), (11, 3, 1.8), (64, 2, 15), (64, 5, 8), (64, 22, 6)],
)
def test_gabors_of_two_cycles_or_more(
    size: int, cycles: float, sigma: float, phase: float, window: bool
) -> None:
    angles = ANGLES[:: 1 if size < 64 else 4]
    peak = spectrum_peak(gabors(size, cycles, sigma, phase, angles), window)
    assert apart(peak.orientation, angles).max() < 0.5
    assert torch.log2(peak.spatial_frequency / (cycles / size)).abs().max() < 0.05
    assert peak.orientation.min() >= 0
    assert peak.orientation.max() < 180


@pytest.mark.parametrize("size", [3, 5])
def test_small_kernels_have_the_four_orientations(size: int) -> None:
    angles = torch.tensor([0.0, 45.0, 90.0, 135.0], dtype=torch.float64)
    peak = spectrum_peak(gabors(size, size * 0.3, size / 3, 0.0, angles), window=False)
    assert apart(peak.orientation, angles).max() < 1e-3
    assert (peak.selectivity > 0.5).all()


def test_the_orientation_is_of_the_bars_as_seen() -> None:
    horizontal, rising = torch.zeros(16, 16), torch.zeros(16, 16)
    for row in range(16):
        for column in range(16):
            horizontal[row, column] = (row // 2) % 2
            # A slash: one row up for each column to the right.
            rising[row, column] = ((row + column) // 3) % 2
    pictures = torch.stack([horizontal, horizontal.T, rising, rising.flip(1)])[:, None]
    for window in (False, True):
        found = spectrum_peak(pictures, window).orientation
        assert apart(found, torch.tensor([0.0, 90.0, 45.0, 135.0])).max() < 0.5


@pytest.mark.parametrize("shape", [(3, 1, 3, 3), (3, 2, 5, 7), (2, 12, 3, 3), (1, 3, 11, 11)])
def test_the_peak_and_selectivity_are_those_of_the_literal_transform(
    shape: tuple[int, ...],
) -> None:
    pictures = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double() + 2
    peak = spectrum_peak(pictures, window=False)
    steps = 48
    for number, picture in enumerate(pictures):
        largest, total, resultant = 0.0, 0.0, 0j
        for i in range(-steps // 2, steps // 2):
            for j in range(0, steps // 2 + 1):
                vertical, horizontal = i / steps, j / steps
                if math.hypot(vertical, horizontal) > 0.5:
                    continue
                energy = literal_energy(picture, vertical, horizontal)
                energy *= 0.5 if horizontal == 0 else 1.0
                angle = 2 * math.atan2(horizontal, vertical)
                total += energy
                resultant += energy * complex(math.cos(angle), math.sin(angle))
                largest = max(largest, energy * (2 if horizontal == 0 else 1))
        assert peak.selectivity[number].item() == pytest.approx(abs(resultant) / total, abs=0.01)
        bars, frequency = math.radians(peak.orientation[number].item()), peak.spatial_frequency
        vertical = frequency[number].item() * math.cos(bars)
        horizontal = frequency[number].item() * math.sin(bars)
        found = literal_energy(picture, vertical, horizontal)
        assert found >= largest * (1 - 1e-9)
        # The very top, or as near to it as half a cycle per pixel is: no neighbor is higher.
        for turn in range(8):
            up = vertical + 0.002 * math.cos(turn * math.pi / 4)
            right = horizontal + 0.002 * math.sin(turn * math.pi / 4)
            if math.hypot(up, right) <= 0.5:
                assert literal_energy(picture, up, right) <= found * (1 + 1e-6)


@pytest.mark.parametrize("envelope", [0.35, 0.5, 0.8])
@pytest.mark.parametrize("phase", [0.0, math.pi / 2])
def test_selectivity_of_a_gabor_has_a_closed_form(envelope: float, phase: float) -> None:
    # The second trigonometric moment of a Gaussian off the origin, and of its mirror image.
    kappa = (2 * math.pi * envelope) ** 2
    sign = 1 if phase else -1
    expected = (1 - (1 - math.exp(-kappa)) / kappa) / (1 + sign * math.exp(-kappa))
    # Wide enough that removing the mean of an even one changes next to nothing.
    pictures = gabors(64, 64 / 8, envelope * 8, phase, ANGLES[::5])
    found = spectrum_peak(pictures, window=False).selectivity
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0, atol=2e-3)


@pytest.mark.parametrize("window", [False, True])
def test_turning_a_picture_turns_its_orientation(window: bool) -> None:
    pictures = torch.randn(20, 3, 9, 9, generator=torch.Generator().manual_seed(0)).double()
    upright = spectrum_peak(pictures, window)
    turned = spectrum_peak(pictures.rot90(dims=(2, 3)), window)
    assert (apart(turned.orientation, upright.orientation) - 90).abs().max() < 0.1
    torch.testing.assert_close(turned.selectivity, upright.selectivity)
    torch.testing.assert_close(
        turned.spatial_frequency, upright.spatial_frequency, rtol=0, atol=1e-4
    )
    mirrored = spectrum_peak(pictures.flip(3), window)
    assert apart(mirrored.orientation, -upright.orientation).max() < 0.1


@pytest.mark.parametrize("window", [False, True])
def test_contrast_brightness_and_sign_of_channels_change_nothing(window: bool) -> None:
    pictures = torch.randn(10, 3, 7, 7, generator=torch.Generator().manual_seed(0)).double()
    other = -3 * pictures * torch.tensor([1.0, -1.0, 1.0])[:, None, None]
    other = other + torch.tensor([5.0, 0.0, -7.0])[:, None, None]
    first, second = spectrum_peak(pictures, window), spectrum_peak(other, window)
    torch.testing.assert_close(second.orientation, first.orientation, rtol=0, atol=1e-3)
    torch.testing.assert_close(second.selectivity, first.selectivity)


def test_the_channel_with_more_energy_decides() -> None:
    angles = torch.tensor([20.0, 110.0], dtype=torch.float64)
    weak, strong = gabors(11, 3, 2.0, 0.0, angles)
    peak = spectrum_peak(torch.cat([weak, 3 * strong])[None], window=False)
    assert apart(peak.orientation, angles[1:]).item() < 0.5
    # Opposite signs, as in a color opponent kernel, do not cancel.
    opponent = spectrum_peak(torch.cat([weak, -weak])[None], window=False)
    assert apart(opponent.orientation, angles[:1]).item() < 0.5


def test_a_window_takes_the_edges_away() -> None:
    # A slope has no bars; its jump from one border to the other looks like some.
    slope = torch.linspace(0, 1, 64, dtype=torch.float64).expand(64, 64)
    bars = gabors(64, 8, 1000, 0.0, torch.tensor([30.0], dtype=torch.float64))
    picture = 0.2 * bars + 4 * slope
    assert apart(spectrum_peak(picture, False).orientation, torch.tensor(30.0)).item() > 45
    edge = torch.zeros(1, 1, 64, 64)
    edge[..., :2, :] = 1
    assert spectrum_peak(edge, False).selectivity > 0.9
    mixed = bars + 3 * edge.double()
    windowed = spectrum_peak(mixed, True)
    assert apart(windowed.orientation, torch.tensor(30.0)).item() < 0.5
    assert windowed.selectivity > spectrum_peak(mixed, False).selectivity + 0.1


def test_no_picture_has_no_orientation() -> None:
    pictures = torch.full((4, 3, 5, 5), 0.3)
    pictures[1] = torch.tensor([0.1, 0.7, 123.4])[:, None, None]
    pictures[2, 1, 2, 3] = math.nan
    pictures[3, 0, 1] = 1
    for window in (False, True):
        peak = spectrum_peak(pictures, window)
        for values in (peak.orientation, peak.spatial_frequency, peak.selectivity):
            assert values.isnan().tolist() == [True, True, True, False]


def test_the_finest_patterns_are_taken_for_the_finest_frequency_of_all_directions() -> None:
    # The checkerboard's own is in the corner of the spectrum, beyond what the other bars can have.
    place = torch.arange(8)
    checkerboard = ((place[:, None] + place) % 2).float().expand(1, 1, 8, 8)
    peak = spectrum_peak(checkerboard, window=False)
    assert 0.45 < peak.spatial_frequency.item() <= 0.5
    stripes = (place % 2).float().expand(1, 1, 8, 8)
    peak = spectrum_peak(stripes, window=False)
    assert (peak.orientation.item(), peak.spatial_frequency.item()) == (90.0, 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_horizontal_by_rounding_is_zero_and_not_180(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    found = torch.tensor([0.2, 0.2]).double(), torch.tensor([-1e-18, 0.0]).double()
    monkeypatch.setattr(spectrum, "_searched", lambda *_: found)
    assert (
        spectrum_peak(torch.eye(6, dtype=dtype).expand(2, 1, 6, 6), False).orientation.eq(0).all()
    )


def test_a_dot_has_no_selectivity() -> None:
    dot = torch.zeros(1, 1, 11, 11)
    dot[..., 5, 5] = 1
    assert spectrum_peak(dot, window=False).selectivity.item() < 1e-6


def test_pieces_make_the_same_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.randn(7, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    whole = spectrum_peak(pictures, window=False)
    monkeypatch.setattr(spectrum, "_VALUES_TRANSFORMED_AT_ONCE", 3 * 2 * 64 * 64)
    pieces = spectrum_peak(pictures, window=False)
    for name in ("orientation", "spatial_frequency", "selectivity"):
        torch.testing.assert_close(getattr(pieces, name), getattr(whole, name))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_shape_are_kept(dtype: torch.dtype) -> None:
    for count in (0, 3):
        peak = spectrum_peak(torch.rand(count, 2, 5, 4, dtype=dtype, requires_grad=True), True)
        for values in (peak.orientation, peak.spatial_frequency, peak.selectivity):
            assert values.shape == (count,)
            assert values.dtype == dtype
            assert not values.requires_grad


def test_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(N, C, H, W\); got shape \(3, 5, 5\)"):
        spectrum_peak(torch.ones(3, 5, 5), False)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\); got shape \(3, 0, 5, 5\)"):
        spectrum_peak(torch.ones(3, 0, 5, 5), False)
    with pytest.raises(TypeError, match=r"torch\.float16.*\.float\(\)"):
        spectrum_peak(torch.ones(1, 3, 5, 5).half(), False)
    with pytest.raises(TypeError, match="got list"):
        spectrum_peak([1.0], False)  # type: ignore[arg-type]
