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
    assert "px" in words
