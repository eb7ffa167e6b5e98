"""Gabor kernels have the tuning that follows from their formula, through the whole of a ranking.

A grating at the Gabor's own frequency, seen by a linear unit, gives cosh(kappa cos delta) with
kappa = (2 pi sigma / wavelength)^2 (|sinh| for an odd one), so gOSI = I2(kappa) / I0(kappa).
"""

from __future__ import annotations

import math

import pytest
import torch
from gabor_bank import gabor_network
from scipy.special import iv
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning import KernelRanking, rank_kernels
from neurovis.tuning.measures import orientation_difference

GRAY = (1.0,)
WAVELENGTH = 8.0
ORIENTATIONS = (0.0, 10.0, 45.0, 77.3, 90.0, 133.0)
#: sigma / wavelength: gOSI of even, odd and energy units, half-width, bandwidth in octaves.
TABLE = {
    0.30: (0.525, 0.556, 0.739, 25.6, None),
    0.40: (0.710, 0.712, 0.848, 19.1, 1.47),
    0.50: (0.808, 0.808, 0.901, 15.2, 1.14),
    0.562: (0.846, 0.846, 0.922, 13.5, 1.00),
    1.0: (0.950, 0.950, 0.975, 7.6, 0.55),
}


def gray_spec(size: int) -> InputSpec:
    # Unlike 0 and 1, so that mid gray is not zero to the network.
    return InputSpec((Modality("gray", 1, mean=(0.4,), std=(0.3,)),), size)


def quarter_octaves(low: int, high: int) -> list[float]:
    return [2 ** (step / 4) / WAVELENGTH for step in range(low, high + 1)]


def rank(network: nn.Module, layer: str, size: int, **options: object) -> KernelRanking:
    settings = {"spatial_frequencies": quarter_octaves(-2, 2), "null_kernels": 0, **options}
    by = settings.pop("by", "orientation")
    return rank_kernels(network, layer, by, input_spec=gray_spec(size), **settings)[0]


def bank(ratio: float, **options: object) -> tuple[nn.Module, int]:
    """A bank of Gabors out to 3.6 sigma, and the size of an image that it just covers."""
    size = 2 * math.ceil(3.6 * ratio * WAVELENGTH) + 1
    network = gabor_network(
        ORIENTATIONS, WAVELENGTH, ratio * WAVELENGTH, gains=GRAY, size=size, **options
    )
    return network, size


def without_gray(network: nn.Module) -> nn.Module:
    """The same with a bias that makes its response to the blank zero."""
    gray = network.conv.weight.detach().sum((1, 2, 3)) * (0.5 - 0.4) / 0.3
    network.conv.bias = nn.Parameter(-gray)
    return network


def expected_gosi(ratio: float, odd: bool = False) -> float:
    kappa = (2 * math.pi * ratio) ** 2
    if not odd:
        return iv(2, kappa) / iv(0, kappa)
    angles = torch.arange(3600, dtype=torch.float64) * math.pi / 3600
    curve = (kappa * angles.cos()).sinh().abs()
    return ((curve * (2 * angles).cos()).sum() / curve.sum()).item()


def errors(found: KernelRanking, orientations: tuple[float, ...] = ORIENTATIONS) -> Tensor:
    wanted = torch.tensor(orientations, dtype=torch.float64)
    return orientation_difference(found.values["preferred_orientation"], wanted)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("ratio", TABLE)
@pytest.mark.parametrize("odd", [False, True])
def test_a_linear_unit_has_the_table_s_selectivity(ratio: float, odd: bool) -> None:
    network, size = bank(ratio, phase=90.0 if odd else 0.0)
    found = rank(network, "conv", size)
    # An odd unit's curve has a kink that 16 orientations only just resolve.
    tolerance = 2e-3 if odd else 5e-4
    assert found.score.tolist() == pytest.approx([expected_gosi(ratio, odd)] * 6, abs=tolerance)
    assert found.score[0].item() == pytest.approx(TABLE[ratio][int(odd)], abs=2e-3)
    assert errors(found).max() < 0.02


@pytest.mark.parametrize("ratio", TABLE)
def test_a_linear_unit_has_the_table_s_half_width(ratio: float) -> None:
    network, size = bank(ratio)
    # Sharp tuning needs more orientations than it takes for gOSI.
    found = rank(network, "conv", size, orientations=24)
    widths = found.values["orientation_bandwidth"]
    assert widths.tolist() == pytest.approx([TABLE[ratio][3]] * 6, abs=0.15)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("ratio", [ratio for ratio in TABLE if TABLE[ratio][4]])
def test_spatial_frequency_peak_and_bandwidth(ratio: float) -> None:
    network, size = bank(ratio)
    # The grid need not hold the peak.
    frequencies = [frequency * 2**0.1 for frequency in quarter_octaves(-8, 5)]
    found = rank(
        network,
        "conv",
        max(size, 31),
        spatial_frequencies=frequencies,
        by="spatial_frequency",
        orientations=36,
    )
    octaves = (found.values["preferred_spatial_frequency"] * WAVELENGTH).log2().abs()
    assert octaves.max() < 0.03
    widths = found.values["spatial_frequency_bandwidth"]
    aligned = [0, 1, 4]  # At 0, 10 and 90 degrees a grating has the kernel's very orientation.
    assert widths[aligned].tolist() == pytest.approx([TABLE[ratio][4]] * 3, abs=0.06)
    # The kernel's spectrum: a Gaussian on either side of 0.
    apart = torch.tensor(frequencies) - torch.tensor([[1.0], [-1.0]]) / WAVELENGTH
    curve = (-2 * (math.pi * ratio * WAVELENGTH * apart) ** 2).exp().sum(0)
    sparseness = (1 - curve.mean() ** 2 / (curve**2).mean()) / (1 - 1 / len(curve))
    assert found.score[aligned].tolist() == pytest.approx([sparseness.item()] * 3, abs=2e-3)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("phases", "tolerance", "degrees"), [(8, 0.005, 0.5), (4, 0.02, 2.3)])
@pytest.mark.parametrize("phase", [0.0, 33.0, 90.0, 201.0])
def test_a_rectified_unit_off_center(
    phases: int, tolerance: float, degrees: float, phase: float
) -> None:
    network, size = bank(0.5, relu=True, phase=phase)
    # The unit in the middle of an even map does not look at the middle of the image.
    found = rank(without_gray(network), "relu", size + 3, phases=phases)
    # 0.0051 for some of 90 orientations: the tolerance is a rounded number.
    off = (found.score - expected_gosi(0.5)).abs()
    assert off.round(decimals=3).max() <= tolerance
    assert errors(found).max() < degrees


@pytest.mark.sampled(2)
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("relu", [False, True])
def test_strides(stride: int, relu: bool) -> None:
    network, size = bank(0.5, stride=stride, relu=relu)
    found = rank(without_gray(network), "relu" if relu else "conv", size + 9)
    off = (found.score - expected_gosi(0.5)).abs()
    assert off.round(decimals=3).max() <= 0.005 if relu else off.max() < 5e-4
    assert errors(found).max() < (0.5 if relu else 0.02)


def amplitudes(network: nn.Module) -> Tensor:
    """What gratings at the bank's own frequency do to its first kernel, ``(16,)``, literally."""
    kernel = network.conv.weight[0, 0].detach().double()
    size = len(kernel)
    steps = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    responses = []
    for orientation in torch.arange(16, dtype=torch.float64) * math.pi / 16:
        across = -orientation.sin() * steps[None] - orientation.cos() * steps[:, None]
        waves = torch.exp(2j * math.pi / WAVELENGTH * across)
        responses.append((kernel * waves).sum().abs() * 0.5 / 0.3)
    return torch.stack(responses)


@pytest.mark.parametrize("part", [-0.1, 0.1])
def test_a_bias_does_not_count(part: float) -> None:
    plain, size = bank(0.5)
    amplitude = amplitudes(plain)
    bias = part * amplitude.max().item()
    for relu in (False, True):
        network = without_gray(bank(0.5, relu=relu)[0])
        network.conv.bias.data += bias
        found = rank(network, "relu" if relu else "conv", size, phases=16)
        if relu:
            phases = torch.arange(16, dtype=torch.float64) * math.pi / 8
            driven = (amplitude[:, None] * phases.cos() + bias).relu().mean(1) - max(bias, 0)
            curve = driven.clamp(min=0)
        else:
            curve = amplitude
        angles = torch.arange(16, dtype=torch.float64) * math.pi / 16
        literal = (curve * torch.exp(2j * angles)).sum().abs() / curve.sum()
        assert found.score[0].item() == pytest.approx(literal.item(), abs=0.02 if relu else 5e-4)
        assert found.score[0].item() > 0.8


@pytest.mark.parametrize(("phases", "low", "high"), [(8, 1.53, 1.66), (16, 1.56, 1.592)])
def test_a_rectified_linear_unit_is_simple(phases: int, low: float, high: float) -> None:
    network, size = bank(0.5, relu=True, phase=[0.0, 20.0, 45.0, 70.0, 90.0, 130.0])
    found = rank(without_gray(network), "relu", size, by="phase", phases=phases)
    assert low < found.score.min() <= found.score.max() < high
    assert list(found.values["cell_type"]) == ["simple"] * 6


class Energy(nn.Module):
    """The sum of the squares of an even and an odd Gabor: a complex cell."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.even, size = bank(ratio)
        self.odd, _ = bank(ratio, phase=90.0)
        self.size = size
        self.pool = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        # The even kernels have a mean, which is not the image's business.
        images = images - (0.5 - 0.4) / 0.3
        return self.pool(self.even(images) ** 2 + self.odd(images) ** 2)


def test_an_energy_unit_is_complex_and_has_twice_the_kappa() -> None:
    network = Energy(0.5)
    phase = rank(network, "pool", network.size, by="phase")
    assert phase.score.max() < 0.05
    assert list(phase.values["cell_type"]) == ["complex"] * 6
    found = rank(network, "pool", network.size)
    assert found.score.tolist() == pytest.approx([TABLE[0.5][2]] * 6, abs=2e-3)


def test_a_map_that_can_be_negative_is_not_pooled() -> None:
    """Its units cancel each other; what is left over at the edges is no tuning."""
    network, size = bank(0.5, relu=True)
    options = {"input_spec": gray_spec(size + 8), "spatial_frequencies": [0.125], "readout": "mean"}
    found = rank_kernels(network, ["conv", "relu"], **options)
    assert "can be negative" in (found["conv"].reason or "")
    # Behind the ReLU it means something, but for the phases that single units have.
    assert errors(found["relu"]).max() < 5


@pytest.mark.parametrize("rectifier", [nn.ReLU(), nn.GELU(), nn.LeakyReLU(0.9)])
def test_a_unit_that_is_never_cut_off_is_not_ranked_by_rounding(rectifier: nn.Module) -> None:
    network, size = bank(0.5)
    network.conv.bias = nn.Parameter(torch.full((6,), 2000.0))
    network.relu = rectifier
    for by in ("orientation", "phase"):
        found = rank(network, "relu", size, by=by)
        assert found.score.isnan().all()
        assert not found.dead.any()
        assert f"{by}: 6 kernels that are not dead have no score: no grating" in found.notes[-1]


def test_a_sigmoid_is_read_by_its_modulation() -> None:
    network, size = bank(0.5)
    network.conv.weight.data /= 500
    network.relu = nn.Sigmoid()
    found = rank(without_gray(network), "relu", size)
    assert errors(found).max() < 0.5


def test_what_gratings_mostly_suppress_is_told() -> None:
    network, size = bank(0.5, relu=True)
    network = without_gray(network)
    rectified = rank(network, "relu", size)
    network.conv.bias.data += 0.5  # Awake at the blank; troughs and peaks cancel but for the cut.
    awake = rank(network, "relu", size)
    network.conv.bias.data -= 0.5
    assert rectified.values["suppressed"].max() == 0

    class Inverted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.last = network.conv, nn.ReLU(), nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            return self.last(1.0 - self.relu(self.conv(images)))

    inverted = rank(Inverted(), "last", size)
    assert inverted.values["suppressed"].min() > 0.3 > awake.values["suppressed"].max()


class Few(nn.Module):
    """A convolution of the kernels ``(K, 9, 9)`` and a ReLU."""

    def __init__(self, kernels: list[Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, len(kernels), 9, bias=False)
        self.conv.weight.data = torch.stack(kernels)[:, None]
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        return self.relu(self.conv(images))


@pytest.mark.parametrize("layer", ["conv", "relu"])
def test_invariants(layer: str) -> None:
    drawn = torch.randn(9, 9, generator=torch.Generator().manual_seed(5))
    delta, flat = torch.zeros(9, 9), torch.ones(9, 9)
    delta[4, 4] = 1
    kernels = [torch.zeros(9, 9), delta, flat, drawn, drawn.rot90(), 7.5 * drawn]
    found = rank(Few(kernels), layer, 33, spatial_frequencies=[1 / 32, 1 / 16, 1 / 8, 1 / 4])
    dead, of_delta, of_flat, once, turned, scaled = found.score.tolist()
    assert math.isnan(dead)
    assert found.dead.tolist() == [True] + [False] * 5
    assert found.order[-1] == 0
    assert int(found.ranks[0]) == 6
    # A square is no disc: at its lowest frequency a flat kernel is as good as round.
    assert of_delta == pytest.approx(0, abs=1e-5)
    assert of_flat == pytest.approx(0, abs=2e-3)
    assert turned == pytest.approx(once, abs=1e-5)
    assert scaled == pytest.approx(once, abs=1e-5)
    one, other, third = found.values["preferred_orientation"][3:].tolist()
    assert abs(one - other) == pytest.approx(90, abs=0.02)
    assert third == pytest.approx(one, abs=1e-3)
