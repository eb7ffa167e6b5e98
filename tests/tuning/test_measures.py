"""Against the closed form of Gabors, scipy's Bessel functions and literal re-implementations."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import iv
from torch import Tensor

from neurovis.tuning.interpolation import around_the_circle
from neurovis.tuning.measures import (
    first_harmonic,
    global_orientation_selectivity,
    modulation_ratio,
    orientation_bandwidth,
    orientation_difference,
    orientation_selectivity_index,
    preferred_orientation,
    preferred_spatial_frequency,
    spatial_frequency_bandwidth,
)

#: Envelope over wavelength, gOSI of even and odd phase and of energy, half-width in degrees,
#: bandwidth in octaves.
GABORS = [
    (0.25, 0.383, 0.469, 0.639, 31.1, 2.80),
    (0.30, 0.525, 0.556, 0.739, 25.6, 2.11),
    (0.40, 0.710, 0.712, 0.848, 19.1, 1.47),
    (0.50, 0.808, 0.808, 0.901, 15.2, 1.14),
    (0.562, 0.846, 0.846, 0.922, 13.5, 1.00),
    (1.0, 0.950, 0.950, 0.975, 7.6, 0.55),
]
ENVELOPES = [row[0] for row in GABORS]
PREFERENCES = torch.linspace(0, 179.5, 360, dtype=torch.float64)
FREQUENCIES = 2 ** torch.arange(-8, 1.01, 0.25, dtype=torch.float64)


def concentration(envelope: float) -> float:
    return (2 * math.pi * envelope) ** 2


def orientation_curves(
    envelope: float, count: int, kind: str = "even", first: float = 0.0
) -> Tensor:
    """``(360, count)``: of Gabors that prefer 0, 0.5, 1 ... degrees."""
    theta = first + torch.arange(count, dtype=torch.float64) * (180 / count)
    along = concentration(envelope) * torch.cos(torch.deg2rad(theta - PREFERENCES[:, None]))
    shapes: dict[str, Callable[[Tensor], Tensor]] = {
        "even": torch.cosh,
        "odd": lambda x: torch.sinh(x).abs(),
        "energy": lambda x: torch.cosh(2 * x),
    }
    return shapes[kind](along)


def frequency_curves(
    envelope: float, frequencies: Tensor = FREQUENCIES, mirror: float = 0.0
) -> tuple[Tensor, Tensor]:
    """``(97, F)`` over one octave of preferred frequencies, and those frequencies."""
    preferred = 0.1 * 2 ** torch.linspace(0, 1, 97, dtype=torch.float64)
    width = -2 * math.pi**2 * envelope**2
    relative = frequencies / preferred[:, None]
    direct, mirrored = (
        torch.exp(width * (relative - 1) ** 2),
        torch.exp(width * (relative + 1) ** 2),
    )
    return (direct + mirror * mirrored).abs(), preferred


@pytest.mark.parametrize(("envelope", "even", "odd", "energy", "width", "octaves"), GABORS)
def test_the_published_table(
    envelope: float, even: float, odd: float, energy: float, width: float, octaves: float
) -> None:
    # Enough orientations for |sinh|, whose corner no series of a few terms has.
    for kind, expected in (("even", even), ("odd", odd), ("energy", energy)):
        selectivity = global_orientation_selectivity(orientation_curves(envelope, 96, kind))
        assert (selectivity - expected).abs().max() < 6e-4
    bandwidth = orientation_bandwidth(orientation_curves(envelope, 96))
    assert (bandwidth - width).abs().max() < 0.06
    found = spatial_frequency_bandwidth(frequency_curves(envelope)[0], FREQUENCIES)
    assert (found - octaves).abs().max() < 6e-3


@pytest.mark.parametrize("first", [0.0, 7.3])
@pytest.mark.parametrize(
    ("envelope", "count"),
    # Eight are too few for the narrowest.
    [(envelope, 8) for envelope in ENVELOPES[:-1]]
    + [(envelope, count) for count in (12, 16, 24) for envelope in ENVELOPES],
)
def test_orientation_selectivity_of_gabors_is_bessels(
    envelope: float, count: int, first: float
) -> None:
    kappa = concentration(envelope)
    curves = orientation_curves(envelope, count, first=first)
    selectivity = global_orientation_selectivity(curves)
    assert (selectivity - iv(2, kappa) / iv(0, kappa)).abs().max() < 1.2e-3
    preferred = preferred_orientation(curves, first=first)
    assert orientation_difference(preferred, PREFERENCES).max() < 0.07
    assert preferred.min() >= 0
    assert preferred.max() < 180


@pytest.mark.parametrize(
    ("envelope", "count", "tolerance"),
    [(0.25, 8, 0.02), (0.4, 8, 0.4), (0.5, 12, 0.05), (0.562, 12, 0.15), (1.0, 16, 0.5)]
    + [(envelope, 24, 0.02) for envelope in ENVELOPES],
)
def test_orientation_bandwidth_of_gabors(envelope: float, count: int, tolerance: float) -> None:
    kappa = concentration(envelope)
    expected = brentq(
        lambda angle: math.cosh(kappa * math.cos(angle)) / math.cosh(kappa) - math.sqrt(0.5),
        0,
        math.pi / 2,
    )
    bandwidth = orientation_bandwidth(orientation_curves(envelope, count))
    assert (bandwidth - math.degrees(expected)).abs().max() < tolerance


@pytest.mark.parametrize("count", [9, 16])
def test_smoothing_is_by_a_hanning_window(count: int) -> None:
    curves = orientation_curves(0.4, count)[::40]
    half_width = 13.5
    # The window sampled at a tenth of a degree, on the curve in closed form.
    steps = np.arange(1800) / 10
    for curve, preferred in zip(curves, PREFERENCES[::40], strict=True):
        exact = np.cosh(concentration(0.4) * np.cos(np.deg2rad(steps - preferred.item())))
        distance = np.minimum(steps, 180 - steps)
        inside = distance < 2 * half_width
        window = np.where(inside, np.cos(math.pi * distance / (4 * half_width)) ** 2, 0)
        assert window[135] == pytest.approx(0.5)
        smooth = np.real(np.fft.ifft(np.fft.fft(exact) * np.fft.fft(window)))
        expected = (smooth >= smooth.max() / math.sqrt(2)).sum() / 10 / 2
        found = orientation_bandwidth(curve, smoothing=half_width).item()
        assert found == pytest.approx(expected, abs=0.1)
        assert found > orientation_bandwidth(curve).item() + 1


def test_the_narrower_flank_counts_as_much() -> None:
    # Sharp on one side of the peak, at 60 degrees, and blunt on the other.
    theta = torch.arange(0, 180, 2.5, dtype=torch.float64)
    distance = (theta - 60 + 90) % 180 - 90
    width = torch.where(distance < 0, 10.0, 25.0)
    curve = torch.exp(-((distance / width) ** 2))
    expected = (10 + 25) / 2 * math.sqrt(math.log(math.sqrt(2)))
    assert orientation_bandwidth(curve).item() == pytest.approx(expected, abs=0.1)
    assert orientation_bandwidth(curve.roll(31)).item() == pytest.approx(expected, abs=0.1)


def test_a_curve_that_never_falls_has_no_bandwidth() -> None:
    theta = torch.deg2rad(torch.arange(0, 180, 22.5))
    curves = torch.stack([torch.ones(8), 10 + torch.cos(2 * theta), 1 + torch.cos(2 * theta)])
    assert orientation_bandwidth(curves).isnan().tolist() == [True, True, False]


@pytest.mark.parametrize("count", [3, 8, 15])
def test_selectivity_and_preference_are_the_formula(count: int) -> None:
    curves = torch.rand(5, count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for curve in curves:
        theta = [20 + 180 * index / count for index in range(count)]
        values = curve.tolist()
        mean = sum(
            value * cmath.exp(2j * math.radians(angle))
            for value, angle in zip(values, theta, strict=True)
        ) / sum(values)
        assert global_orientation_selectivity(curve).item() == pytest.approx(abs(mean))
        expected = math.degrees(cmath.phase(mean)) / 2 % 180
        assert preferred_orientation(curve, first=20).item() == pytest.approx(expected)


def test_orientation_selectivity_index_is_the_formula() -> None:
    curves = torch.rand(20, 10, generator=torch.Generator().manual_seed(0))
    for curve, found in zip(curves, orientation_selectivity_index(curves), strict=True):
        values = curve.tolist()
        best = values.index(max(values))
        orthogonal = values[(best + 5) % 10]
        expected = (values[best] - orthogonal) / (values[best] + orthogonal)
        assert found.item() == pytest.approx(expected)


def test_rotating_by_90_degrees_moves_the_preference_by_90() -> None:
    curves = torch.rand(50, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = preferred_orientation(curves.roll(6, dims=-1))
    difference = orientation_difference(turned, preferred_orientation(curves))
    torch.testing.assert_close(difference, torch.full_like(difference, 90.0))


def test_a_preference_below_zero_by_rounding_is_not_180() -> None:
    curve = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert preferred_orientation(curve, first=-1e-7).item() == 0
    assert preferred_orientation(curve, first=180.0).item() == 0


def test_a_flat_curve_has_no_preference_and_no_selectivity() -> None:
    for count in range(3, 30):
        flat = torch.full((count,), 0.37)
        assert global_orientation_selectivity(flat).item() < 1e-6
        assert preferred_orientation(flat).isnan()


def test_the_sum_of_responses_may_leave_the_range_of_floats() -> None:
    curve = CURVE + 1
    expected = global_orientation_selectivity(curve)
    torch.testing.assert_close(global_orientation_selectivity(curve * 1e38), expected)


@pytest.mark.parametrize("count", [3, 4, 8, 9, 12, 1000])
def test_interpolation_passes_through_the_samples(count: int) -> None:
    curves = torch.rand(3, count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fine = around_the_circle(curves, smoothing=0.0)
    points = fine.shape[-1]
    assert points >= 720
    torch.testing.assert_close(fine[..., :: points // count], curves)


def test_orientation_difference_goes_the_short_way() -> None:
    first = torch.tensor([0.0, 179.0, 10.0, 100.0, 450.0])
    second = torch.tensor([90.0, 1.0, 10.0, 5.0, -5.0])
    assert orientation_difference(first, second).tolist() == [90.0, 2.0, 0.0, 85.0, 85.0]
    assert torch.equal(orientation_difference(first, second), orientation_difference(second, first))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("mirror", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("envelope", ENVELOPES)
def test_spatial_frequency_of_gabors(envelope: float, mirror: float) -> None:
    curves, preferred = frequency_curves(envelope, mirror=mirror)
    # Where the wide Gabor's two lobes add up, the peak is not quite at its own frequency.
    fine = 2 ** torch.linspace(-4, 4, 16001, dtype=torch.float64) * 0.1
    one = frequency_curves(envelope, fine, mirror)[0][0]
    shift = torch.log2(fine[one.argmax()] / 0.1)
    found = preferred_spatial_frequency(curves, FREQUENCIES)
    assert (torch.log2(found / preferred) - shift).abs().max() < 0.03 / 3
    bandwidth = spatial_frequency_bandwidth(curves, FREQUENCIES)
    above = fine[one >= one.max() / 2]
    if above[0] == fine[0]:  # The mean is half of the peak or more: a low-pass kernel.
        assert bandwidth.isnan().all()
    else:
        expected = torch.log2(above[-1] / above[0])
        assert (bandwidth - expected).abs().max() < 0.01


@pytest.mark.parametrize("envelope", [0.25, 0.5, 1.0])
def test_half_octaves_suffice_for_gabors(envelope: float) -> None:
    frequencies = FREQUENCIES[::2]
    curves, preferred = frequency_curves(envelope, frequencies)
    found = preferred_spatial_frequency(curves, frequencies)
    assert torch.log2(found / preferred).abs().max() < 1e-4
    constant = math.sqrt(math.log(2) / 2) / math.pi
    expected = math.log2((envelope + constant) / (envelope - constant))
    bandwidth = spatial_frequency_bandwidth(curves, frequencies)
    assert (bandwidth - expected).abs().max() < 1e-4


def test_uneven_frequencies_do_as_well() -> None:
    frequencies = torch.tensor([0.02, 0.06, 0.09, 0.1, 0.15, 0.17, 0.22, 0.3, 0.41]).double()
    curve = torch.exp(-2 * math.pi**2 * 16 * (frequencies - 0.13) ** 2)
    assert preferred_spatial_frequency(curve, frequencies).item() == pytest.approx(0.13)
    half = math.sqrt(math.log(2) / 2) / math.pi / 4
    expected = math.log2((0.13 + half) / (0.13 - half))
    assert spatial_frequency_bandwidth(curve, frequencies).item() == pytest.approx(expected)


def test_a_peak_at_either_end_is_the_end_and_has_no_bandwidth() -> None:
    frequencies = torch.tensor([0.05, 0.1, 0.2, 0.4])
    curves = torch.tensor([[4.0, 2.0, 1.0, 0.0], [0.0, 0.0, 1.0, 4.0], [0.0, 4.0, 3.0, 2.9]])
    preferred = preferred_spatial_frequency(curves, frequencies)
    assert preferred[:2].tolist() == frequencies[[0, 3]].tolist()
    assert 0.1 < preferred[2] < 0.2
    assert spatial_frequency_bandwidth(curves, frequencies).isnan().all()
    one = torch.tensor([[3.0], [0.0]])
    assert preferred_spatial_frequency(one, frequencies[:1])[0].item() == frequencies[0].item()
    assert spatial_frequency_bandwidth(one, frequencies[:1]).isnan().all()


def test_silent_neighbors_do_not_throw_the_peak() -> None:
    frequencies = torch.tensor([0.05, 0.1, 0.2, 0.4])
    curves = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 1e-30, 0.9e-30, 0.0]])
    preferred = preferred_spatial_frequency(curves, frequencies)
    assert ((preferred > 0.05) & (preferred < 0.2)).all()
    bandwidth = spatial_frequency_bandwidth(curves, frequencies)
    assert ((bandwidth > 0) & (bandwidth < 3)).all()


@pytest.mark.parametrize("phases", [3, 4, 8, 13])
def test_first_harmonic_is_the_fourier_transforms(phases: int) -> None:
    responses = torch.randn(4, phases, generator=torch.Generator().manual_seed(0)).double()
    expected = 2 * np.abs(np.fft.fft(responses.numpy())[:, 1]) / phases
    np.testing.assert_allclose(first_harmonic(responses).numpy(), expected, rtol=1e-12)
    # A sinusoid's is its amplitude, whatever it stands on.
    angle = 2 * math.pi * torch.arange(phases) / phases
    assert first_harmonic(1.7 * torch.sin(angle + 0.4) - 5).item() == pytest.approx(1.7, rel=1e-5)


def test_a_constant_has_no_harmonic_at_all() -> None:
    for phases in range(3, 20):
        assert first_harmonic(torch.full((phases,), 1234.567)).item() == 0


@pytest.mark.parametrize(
    ("phases", "lowest", "highest"), [(8, 1.53, 1.66), (16, 1.56, 1.592), (360, 1.5706, 1.5710)]
)
def test_modulation_of_simple_and_complex_cells(phases: int, lowest: float, highest: float) -> None:
    angle = 2 * math.pi * torch.arange(phases, dtype=torch.float64) / phases
    angle = angle + torch.linspace(0, 2 * math.pi, 200, dtype=torch.float64)[:, None]
    simple = modulation_ratio(torch.cos(angle).clamp(min=0))
    assert lowest <= simple.min() <= simple.max() <= highest
    energy = modulation_ratio(torch.cos(angle) ** 2 + torch.sin(angle) ** 2)
    assert energy.max() < 1e-12


def test_modulation_without_a_mean_is_undefined() -> None:
    responses = torch.tensor([[0.0, 0, 0, 0], [1, -1, 1, -1], [1, -2, 0, 0], [1, 1, 1, 2]])
    assert modulation_ratio(responses).isnan().tolist() == [True, True, True, False]


def _over_frequencies(measure: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def measured(curves: Tensor) -> Tensor:
        return measure(curves, 0.01 * torch.arange(1, 9))

    return measured


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "selectivity": global_orientation_selectivity,
    "index": orientation_selectivity_index,
    "preference": preferred_orientation,
    "bandwidth": orientation_bandwidth,
    "frequency": _over_frequencies(preferred_spatial_frequency),
    "octaves": _over_frequencies(spatial_frequency_bandwidth),
    "modulation": modulation_ratio,
}
# One with a peak inside that falls low on both sides.
CURVE = torch.tensor([0.1, 0.5, 2.0, 1.0, 0.6, 0.3, 0.0, 0.1])


@pytest.mark.parametrize("name", MEASURES)
class TestAll:
    def test_shape_dtype_and_each_kernel_by_itself(self, name: str) -> None:
        noise = torch.rand(3, 5, 8, generator=torch.Generator().manual_seed(0)) / 10
        for dtype in (torch.float32, torch.float64):
            curves = (CURVE + noise).to(dtype)
            found = MEASURES[name](curves)
            assert found.shape == (3, 5)
            assert found.dtype == dtype
            assert found.isfinite().all()
            alone = torch.stack([MEASURES[name](curve) for curve in curves.flatten(0, 1)])
            torch.testing.assert_close(alone, found.flatten(), rtol=1e-5, atol=1e-5)
        assert MEASURES[name](torch.ones(0, 8)).shape == (0,)

    @pytest.mark.parametrize("scale", [1e-37, 1e-3, 1e37])
    def test_scaling_changes_nothing(self, name: str, scale: float) -> None:
        found, scaled = MEASURES[name](CURVE), MEASURES[name](CURVE * scale)
        torch.testing.assert_close(scaled, found, rtol=1e-4, atol=1e-4)

    def test_dead_and_undefined_are_nan(self, name: str) -> None:
        curves = torch.stack([torch.zeros(8), CURVE, torch.full((8,), math.nan)])
        assert MEASURES[name](curves).isnan().tolist() == [True, False, True]

    def test_other_dtypes_are_refused(self, name: str) -> None:
        with pytest.raises(TypeError, match=r"torch\.float16.*\.float\(\)"):
            MEASURES[name](CURVE.half())
        with pytest.raises(TypeError, match="got list"):
            MEASURES[name]([1.0, 2.0, 3.0])  # type: ignore[arg-type]

    def test_negative_responses_are_refused(self, name: str) -> None:
        curve = CURVE.clone()
        curve[3] = -0.25
        if name == "modulation":  # The blank's may be the larger.
            assert MEASURES[name](curve).isfinite()
            return
        with pytest.raises(ValueError, match=r"non-negative; got -0\.25.*clamp"):
            MEASURES[name](curve)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"even number of orientations.*got 7"):
        orientation_selectivity_index(torch.ones(2, 7))
    for measure in (global_orientation_selectivity, preferred_orientation, orientation_bandwidth):
        with pytest.raises(ValueError, match=r"at least 3 orientations.*\(5, 2\)"):
            measure(torch.ones(5, 2))
    for measure in (first_harmonic, modulation_ratio):
        with pytest.raises(ValueError, match=r"at least 3 phases.*\(4, 2\)"):
            measure(torch.ones(4, 2))
    for smoothing in (-1.0, 46.0, math.nan):
        with pytest.raises(ValueError, match=f"smoothing must be in .* got {smoothing}"):
            orientation_bandwidth(torch.ones(8), smoothing=smoothing)


@pytest.mark.parametrize("measure", [preferred_spatial_frequency, spatial_frequency_bandwidth])
@pytest.mark.parametrize(
    ("frequencies", "words"),
    [
        ([0.1, 0.2], r"shape \(3,\).*got \(2,\)"),
        ([0.1, 0.3, 0.2], "increase"),
        ([0.1, 0.1, 0.2], "increase"),
        ([0.0, 0.1, 0.2], "positive"),
        ([0.1, 0.2, math.inf], "positive"),
    ],
)
def test_other_frequencies_are_refused(
    measure: Callable[[Tensor, Tensor], Tensor], frequencies: list[float], words: str
) -> None:
    with pytest.raises(ValueError, match=f"spatial_frequencies must .*{words}"):
        measure(torch.ones(2, 3), torch.tensor(frequencies))
