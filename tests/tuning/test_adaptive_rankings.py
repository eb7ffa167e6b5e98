"""Rankings by each kernel's best grating: closed forms, pixel by pixel, and two passes in all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from neurovis import InputSpec, rank_kernels
from neurovis.modality import Modality
from neurovis.tuning import KernelRanking, TuningProbe, score_against_reference, size_tuning
from neurovis.tuning.stimuli import default_extents

SIZE = 41
SPEC = InputSpec((Modality("gray", 1),), SIZE)
FEW: dict[str, Any] = {
    "orientations": 8,
    "spatial_frequencies": [0.05, 0.1, 0.15],
    "null_kernels": 10,
}
Array = npt.NDArray[np.float64]


def place() -> tuple[Array, Array]:
    """Rows and columns of pixels from the center."""
    steps = np.arange(SIZE) - SIZE // 2
    return steps[:, None] + 0.0 * steps, steps + 0.0 * steps[:, None]


def gaussian(down: float, across: float) -> Array:
    y, x = place()
    bell = np.exp(-(y**2) / (2 * down**2) - x**2 / (2 * across**2))
    return bell / bell.sum()


def linear(*kernels: Array, bias: float = 0.0) -> nn.Sequential:
    """Each kernel over the whole image, and a ReLU."""
    network = nn.Sequential(nn.Conv2d(1, len(kernels), SIZE), nn.ReLU())
    network[0].weight.data = torch.tensor(np.stack(kernels))[:, None].float()
    nn.init.constant_(network[0].bias, bias)
    return network


def faded(distance: Array, extent: float) -> Array:
    edge = max(0.2 * extent, 1.0)
    beyond = np.clip((distance - extent / 2) / edge + 0.5, 0, 1)
    return 0.5 + 0.5 * np.cos(np.pi * beyond)


def bars(ranking: KernelRanking, kernel: int, phase: float, turn: float = 0.0) -> Array:
    """A kernel's best grating, or another at an angle to it, in [-1, 1]."""
    y, x = place()
    angle = math.radians(float(ranking.values["shown_orientation"][kernel]) + turn)
    frequency = float(ranking.values["shown_spatial_frequency"][kernel])
    across = -math.sin(angle) * x - math.cos(angle) * y
    return np.sin(2 * np.pi * frequency * across + phase)


PHASES = [2 * math.pi * number / 8 for number in range(8)]


def rank(network: nn.Module, layer: str, by: str, **options: Any) -> KernelRanking:
    return rank_kernels(network, layer, by, input_spec=SPEC, **{**FEW, **options}).only


def surround_kernel() -> Array:
    return gaussian(2, 2) - 0.8 * gaussian(5, 5)


def test_a_surround_pixel_by_pixel() -> None:
    kernel, bias = surround_kernel(), 0.02
    # To the grating that is best for it, far above, a linear surround does nothing.
    network = linear(kernel, gaussian(3, 3), bias=bias)
    found = rank(network, "1", "size", spatial_frequencies=[0.03])
    y, x = place()
    blank = 0.5 * kernel.sum() + bias
    curve = []
    for diameter in default_extents(SPEC):
        window = faded(np.hypot(x, y), diameter)
        drives = [blank + 0.5 * (kernel * window * bars(found, 0, phase)).sum() for phase in PHASES]
        curve.append(np.maximum(drives, 0).mean() - blank)
    expected = np.maximum(curve, 0)
    assert found.curve is not None
    assert found.curve[0].tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    suppression = 1 - expected[-1] / expected.max()
    assert suppression > 0.3
    assert found.score[0].item() == pytest.approx(suppression, abs=1e-3)
    diameters = np.array(default_extents(SPEC))
    size = diameters[expected >= 0.95 * expected.max()][0]
    beyond = diameters > diameters[expected.argmax()]
    surround = diameters[beyond & (expected <= 1.05 * expected[-1])][0]
    row = {name: float(found.values[name][0]) for name in found.values}
    assert row["surround_suppression"] == found.score[0].item()
    assert row["preferred_size"] == pytest.approx(size)
    assert row["surround_diameter"] == pytest.approx(surround)
    assert row["surround_ratio"] == pytest.approx(surround / size)


def test_one_envelope_has_no_surround() -> None:
    x = place()[1]
    patch = gaussian(4, 4) * np.cos(2 * np.pi * 0.15 * x)
    for layer in ("0", "1"):
        found = rank(linear(patch), layer, "size")
        assert found.values["shown_orientation"].tolist() == [90.0]
        assert found.score[0] < 0.01
        assert found.values["preferred_size"].isnan().all()


def test_the_ranking_and_the_tuning_of_chosen_kernels_agree() -> None:
    torch.manual_seed(0)
    # The central units do not look at the middle of the image.
    network = nn.Sequential(nn.Conv2d(1, 4, 8, stride=3), nn.ReLU(), nn.Conv2d(4, 3, 5))
    for layer in ("1", "2"):
        found = rank(network, layer, "size")
        alone = size_tuning(
            network,
            layer,
            "all",
            found.values["shown_orientation"],
            found.values["shown_spatial_frequency"],
            SPEC,
        )
        assert found.curve is not None
        torch.testing.assert_close(found.curve.float(), alone.responses, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(found.score.float(), alone.suppression, atol=1e-5, rtol=1e-4)


def test_two_passes_whatever_the_kernels() -> None:
    torch.manual_seed(0)
    kernels = torch.randn(20, SIZE, SIZE).numpy()
    network, shown = linear(*kernels), []
    probe_options = {"input_spec": SPEC, **FEW, "null_kernels": 0}
    forward = nn.Conv2d.forward

    def counted(layer: nn.Conv2d, images: Tensor) -> Tensor:
        shown.append(len(images))
        return forward(layer, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Conv2d, "forward", counted)
        rank_kernels(network, ["0", "1"], "orientation", **probe_options)
        first = sum(shown)
        shown.clear()
        found = rank_kernels(network, ["0", "1"], ["orientation", "size"], **probe_options)
    best = {
        (orientation, frequency)
        for layer in ("0", "1")
        for orientation, frequency in zip(
            found[layer, "size"].values["shown_orientation"].tolist(),
            found[layer, "size"].values["shown_spatial_frequency"].tolist(),
            strict=True,
        )
        if math.isfinite(orientation)
    }
    assert len(best) < 20
    assert sum(shown) - first == len(best) * len(default_extents(SPEC)) * 8


def test_each_kernel_has_its_best_grating_of_the_first_pass() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 6, 11), nn.ReLU())
    network[0].weight.data[2] = 0
    both = rank_kernels(network, "1", ["orientation", "size"], input_spec=SPEC, **FEW)
    responses = both["1", "orientation"].grating_responses
    assert responses is not None
    found = both["1", "size"]
    for kernel in range(6):
        orientation = float(found.values["shown_orientation"][kernel])
        if kernel == 2:
            assert math.isnan(orientation)
            continue
        row, column = np.unravel_index(responses.tuning[kernel, 0].argmax().item(), (8, 3))
        assert orientation == responses.orientations[row]
        frequency = float(found.values["shown_spatial_frequency"][kernel])
        assert frequency == responses.spatial_frequencies[column]
    assert found.dead.tolist() == [kernel == 2 for kernel in range(6)]
    assert found.order[-1] == 2
    # Random kernels behind a ReLU have the levels of the layer's own in turn.
    assert found.null_score.isnan().tolist() == [number % 6 == 2 for number in range(10)]
    assert found.reliability[found.score.isfinite()].isfinite().all()


def test_a_layer_that_no_grating_drives() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 5), nn.ReLU())
    nn.init.constant_(network[0].bias, -100.0)
    found = rank(network, "1", "size", null_kernels=0)
    assert found.score.isnan().all()
    assert found.dead.all()


def test_kernels_that_small_windows_do_not_drive() -> None:
    # It needs more than one cycle of bars.
    x = place()[1]
    patch = gaussian(9, 9) * np.cos(2 * np.pi * 0.15 * x)
    found = rank(linear(patch, patch, bias=-0.2), "1", "length", null_kernels=0)
    assert found.score.isnan().all()
    assert not found.dead.any()
    assert "2 kernels that are not dead have no score: no grating" in "; ".join(found.notes)


def test_what_does_not_apply() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    assert "has no maps" in str(rank(network, "4", "size").reason)
    assert "readout center" in str(rank(network, "1", "size", readout="mean").reason)


def test_a_probe_says_that_a_pass_is_missing() -> None:
    probe = TuningProbe(linear(gaussian(2, 2)), "1", "size", input_spec=SPEC, **FEW)
    with pytest.raises(RuntimeError, match=r"call probe\.run\(trainer\)"):
        _ = probe.results


def test_sizes_are_compared_with_neurons() -> None:
    # A surround of each extent: sizes and ratios vary.
    kernels = [gaussian(2, 2) - 0.9 * gaussian(size, size) for size in (4, 5, 6, 7)]
    few = {**FEW, "spatial_frequencies": [0.03]}
    found = rank_kernels(linear(*kernels), "1", "size", input_spec=SPEC, **few)
    scores = score_against_reference(found, "macaque_v1", pixels_per_degree=20)
    names = ["surround_suppression", "preferred_size", "surround_diameter", "surround_ratio"]
    assert scores.properties == names
    size = found.only.values["preferred_size"]
    edges = scores.reference.distributions["preferred_size"].edges
    expected = np.histogram((size / 20).clamp(edges[0], edges[-1]).numpy(), edges)[0]
    assert scores["1", "preferred_size"].kernel_counts.tolist() == expected.tolist()


def test_curves_are_drawn_over_diameters() -> None:
    found = rank(linear(surround_kernel()), "1", "size", spatial_frequencies=[0.03])
    words = " ".join(text.get_text() for text in found.figure().texts)
    assert "diameter (pixels) on a logarithmic axis" in words
    assert f"{found.values['preferred_size'][0].item():.3g} px" in words
    assert "orange: the preferred one" in words


def gabor_pair(frequency: float, turn: float = 0.0) -> Array:
    """An even and an odd filter of vertical bars, or of others, that add up to 0."""
    y, x = place()
    angle = math.radians(turn)
    along = math.cos(angle) * x + math.sin(angle) * y
    waves = [np.cos(2 * np.pi * frequency * along), np.sin(2 * np.pi * frequency * along)]
    pair = [gaussian(6, 6) * wave for wave in waves]
    return np.stack([one - gaussian(6, 6) * one.sum() for one in pair])


class Normalized(nn.Module):
    """E^(n/2) / (E^(n/2) + sigma^n + pool^(n/2)), of the energies of pairs of filters."""

    def __init__(self, exponent: float, sigma: float, *pairs: Array) -> None:
        super().__init__()
        self.exponent, self.sigma = exponent, sigma
        self.conv = nn.Conv2d(1, 2 * len(pairs), SIZE, bias=False)
        self.conv.weight.data = torch.tensor(np.concatenate(pairs))[:, None].float()

    def forward(self, images: Tensor) -> Tensor:
        energy = self.conv(images).unflatten(1, (-1, 2)).square().sum(2)
        powers = energy ** (self.exponent / 2)
        return powers[:, :1] / (self.sigma**self.exponent + powers.sum(1, keepdim=True))


def amplitude(pair: Array, ranking: KernelRanking, turn: float = 0.0) -> float:
    """The root of the energy that a pair has from the best grating, or one at an angle to it."""
    energies = [
        ((0.5 * pair * bars(ranking, 0, phase, turn)).sum((1, 2)) ** 2).sum() for phase in PHASES
    ]
    return math.sqrt(np.mean(energies))


@pytest.mark.parametrize(("exponent", "part"), [(1.0, 0.3), (2.0, 0.2), (3.5, 0.5)])
def test_a_normalization_unit_over_contrast(exponent: float, part: float) -> None:
    pair = gabor_pair(0.1)
    network = nn.Sequential(Normalized(exponent, 1.0, pair))
    scale = amplitude(pair, rank(network, "0", "contrast"))
    network[0].sigma = part * scale
    found = rank(network, "0", "contrast")
    assert found.values["c50"].item() == pytest.approx(part, rel=0.02)
    assert found.values["contrast_exponent"].item() == pytest.approx(exponent, rel=0.02)
    highest = 1 / (1 + part**exponent)
    assert found.values["contrast_maximum"].item() == pytest.approx(1, rel=0.02)
    assert found.values["contrast_fit"].item() == pytest.approx(1, abs=1e-4)
    # R = highest / 2, solved for the contrast; lines between half octaves are a little off.
    half = part * (highest / (2 - highest)) ** (1 / exponent)
    assert found.score.item() == pytest.approx(half, rel=0.05)
    assert found.curve is not None
    contrasts = found.curve_over
    assert isinstance(contrasts, Tensor)
    curve = contrasts**exponent
    torch.testing.assert_close(
        found.curve[0], curve / (curve + part**exponent), rtol=5e-3, atol=1e-5
    )
    assert contrasts.tolist() == pytest.approx([2 ** (-step / 2) for step in range(7, -1, -1)])


def test_linear_kernels_follow_contrast_and_do_not_mind_a_mask() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 30, 9), nn.ReLU())
    contrast, masked = rank_kernels(
        network,
        "0",
        ["contrast", "cross_orientation"],
        input_spec=SPEC,
        **{**FEW, "orientations": 4, "phases": 4},
    )
    assert contrast.score.tolist() == [0.5] * 30
    assert contrast.null_score.tolist() == [0.5] * 10
    assert contrast.values["contrast_exponent"].tolist() == pytest.approx([1.0] * 30, abs=0.01)
    assert contrast.values["c50"].isnan().all()
    assert contrast.values["contrast_maximum"].isnan().all()
    assert masked.score.abs().max() == 0
    assert masked.null_percentile.max() == 0


def test_a_threshold_takes_more_than_half_the_contrast() -> None:
    pair = gabor_pair(0.1)
    found = rank(linear(pair[0], bias=-0.04), "1", "contrast")
    assert 0.55 < found.score[0] < 0.9
    assert found.values["contrast_exponent"][0] > 1.1
    assert found.values["shown_orientation"].tolist() == [90.0]


def test_a_mask_over_a_normalization_unit() -> None:
    pairs = gabor_pair(0.1), gabor_pair(0.1, turn=90)
    network = nn.Sequential(Normalized(2.0, 1.0, *pairs))
    first = rank(network, "0", "cross_orientation")
    own, other = (amplitude(pairs[one], first, 90.0 * one) for one in (0, 1))
    sigma = network[0].sigma = 0.3 * own
    found = rank(network, "0", "cross_orientation")
    alone = (own / 2) ** 2 / (sigma**2 + (own / 2) ** 2)
    masked = (own / 2) ** 2 / (sigma**2 + (own / 2) ** 2 + (other / 2) ** 2)
    assert found.score.item() == pytest.approx(1 - masked / alone, abs=0.005)
    assert 0.3 < found.score < 0.5
    assert found.curve is not None
    assert found.curve[0].tolist() == pytest.approx([alone, masked], rel=0.01)
    assert list(found.curve_over) == ["alone", "with the mask"]


def test_a_mask_over_rectified_kernels() -> None:
    # Like a plaid: both gratings drive it, one more than the other.
    kernel = gabor_pair(0.1)[0] + 0.6 * gabor_pair(0.1, turn=90)[0]
    found = rank(linear(kernel), "1", "cross_orientation")
    drive = [max((kernel * bars(found, 0, one, turn)).sum() for one in PHASES) for turn in (0, 90)]
    turns = 2 * np.pi * np.arange(100) / 100
    both = drive[0] * np.cos(turns) + drive[1] * np.cos(turns)[:, None]
    alone = np.maximum(drive[0] * np.cos(turns), 0).mean()
    expected = 1 - np.maximum(both, 0).mean() / alone
    assert expected < -0.05
    assert found.score[0].item() == pytest.approx(expected, abs=0.04)


def test_an_end_stopped_unit_pixel_by_pixel() -> None:
    y, x = place()
    # Vertical bars, and flanks above and below that take away.
    wave = np.cos(2 * np.pi * 0.1 * x) * np.exp(-(x**2) / 32)
    kernel = (np.abs(y) <= 5) * wave - 0.8 * ((np.abs(y) > 7) & (np.abs(y) <= 12)) * wave
    bias = 0.1
    # Its best grating of the whole image is tilted, and passes by the flanks.
    found = rank(linear(kernel / 50, wave / 50, bias=bias), "1", "length", aperture=11.0)
    assert found.values["shown_orientation"].tolist() == [90.0, 90.0]
    cycle = 1 / found.values["shown_spatial_frequency"][0].item()
    blank, curve = 0.5 * kernel.sum() / 50 + bias, []
    for length in default_extents(SPEC):
        window = faded(np.abs(y), length) * faded(np.abs(x), cycle)
        shown = [window * bars(found, 0, phase) for phase in PHASES]
        drives = [blank + 0.5 * (kernel / 50 * one).sum() for one in shown]
        curve.append(max(np.maximum(drives, 0).mean() - max(blank, 0), 0))
    assert found.curve is not None
    assert found.curve[0].tolist() == pytest.approx(curve, abs=1e-5)
    expected = 1 - curve[-1] / max(curve)
    assert expected > 0.5
    assert found.score.tolist() == pytest.approx([expected, 0], abs=2e-3)
    # Of the lengths, the first that has all of the 11 rows between its soft edges.
    assert found.values["preferred_length"][0] == pytest.approx(41 * 2**-1.5)
    assert found.values["preferred_length"][1] > 25


def test_rankings_share_what_they_show() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 9), nn.ReLU())
    names = ["contrast", "cross_orientation", "length"]
    few = {"orientations": 4, "phases": 4, "null_kernels": 2}
    alone = [rank(network, "1", name, **few) for name in names]
    together = rank_kernels(network, "1", names, input_spec=SPEC, **{**FEW, **few})
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one.score, other.score, atol=1e-4, rtol=0, equal_nan=True)
