from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchmetrics import Metric

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning.noise_maps import (
    ReverseCorrelation,
    default_noise,
    reverse_correlation,
)
from neurovis.tuning.stimuli import DenseNoise, SparseNoise
from neurovis.tuning.units import Units


def similarity(one: Tensor, two: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1])


def spec_of(channels: int, size: tuple[int, int]) -> InputSpec:
    return InputSpec((Modality("gray", channels, std=(0.5,)),), size)


# Networks.


@pytest.mark.parametrize("seed", [0, 1])
def test_a_linear_unit_has_its_weights(seed: int) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2, padding=2))
    spec = spec_of(3, (16, 20))
    found = reverse_correlation(network, "0", [3, 0], spec, unit=(2, 6))
    # Unit 2, 6 sees rows 2 to 6 and columns 10 to 14; images are doubled for the network.
    expected = torch.zeros(2, 3, 16, 20)
    expected[:, :, 2:7, 10:15] = 2 * network[0].weight[[3, 0]].detach()
    assert similarity(found.maps, expected) > 0.98
    error = found.maps - expected
    # Each slope has the standard error |w| / sqrt(n).
    assert error.abs().max() < 5 * 2 * network[0].weight[[3, 0]].flatten(1).norm(dim=1).max() / 64
    assert (found.reliability > 0.98).all()
    assert (found.peak_z > 5).all()


def test_a_rectified_unit_deep_in_a_network() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(3, 2, 3, padding=1), nn.ReLU()
    )
    spec = spec_of(1, (12, 12))
    pixels = torch.zeros(1, 1, 12, 12, requires_grad=True)
    network[:3](pixels)[0, 1, 3, 3].backward()
    found = reverse_correlation(network, "3", [1], spec, noise=DenseNoise(spec, 8000))
    assert pixels.grad is not None
    # Of a half-wave rectified linear unit it is the weights, scaled (Bussgang's theorem).
    assert similarity(found.maps, pixels.grad) > 0.95
    assert found.reliability[0] > 0.9


def test_sparse_noise_and_other_batches() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 1, 8, stride=4))
    spec = spec_of(1, (16, 16))
    noise = SparseNoise(spec, 2000, squares=3, check_size=2)
    found = reverse_correlation(network, "0", "all", spec, noise=noise, unit=(1, 1))
    again = reverse_correlation(network, "0", "all", spec, noise=noise, unit=(1, 1), batch_size=61)
    # What squares of 2 pixels can tell: sums over them.
    blocks = nn.functional.avg_pool2d(network[0].weight.detach(), 2)
    assert similarity(found.maps[..., 4:12:2, 4:12:2], blocks) > 0.95
    for one, other in zip(found, again, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel", "check_size"), [(5, 1), (16, 2), (24, 3)])
def test_default_noise_is_an_eighth_of_the_field(kernel: int, check_size: int) -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, kernel))
    noise = default_noise(Units(network, "0", "all", spec_of(1, (28, 40))))
    assert (noise.check_size, len(noise)) == (check_size, 4096)


def test_a_dead_unit_has_no_map_and_no_evidence() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    nn.init.constant_(network[0].bias[1:].data, -100.0)
    spec = spec_of(1, (8, 8))
    found = reverse_correlation(network, "1", "all", spec, noise=DenseNoise(spec, 200))
    assert found.maps[1].abs().max() == 0
    assert found.reliability.isnan().tolist() == [False, True]
    assert found.peak_z.isnan().tolist() == [False, True]


def test_one_kernel_that_sees_one_pixel() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1))
    spec = spec_of(1, (4, 4))
    found = reverse_correlation(network, "0", "all", spec, noise=DenseNoise(spec, 100))
    assert (found.reliability.shape, found.peak_z.shape) == ((1,), (1,))
    expected = torch.zeros(1, 1, 4, 4)
    expected[0, 0, 2, 2] = 2 * network[0].weight.item()
    assert torch.allclose(found.maps, expected, atol=1e-4)


def test_noise_of_another_shape_is_refused() -> None:
    noise = TensorDataset(torch.rand(4, 1, 8, 9), torch.arange(4))
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\), .* got \(1, 8, 9\)"):
        reverse_correlation(network, "0", "all", spec_of(1, (8, 8)), noise=noise)


# The metric.


def data(kernels: int = 3, count: int = 301) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(count, 2, 3, 4, generator=generator)
    weights = torch.randn(24, kernels, generator=generator)
    noise = 3 * torch.randn(count, kernels, generator=generator)
    return images.flatten(1) @ weights + noise + 100, images, torch.arange(count)


def filled(responses: Tensor, images: Tensor, shown: Tensor, batch: int = 64) -> ReverseCorrelation:
    metric = ReverseCorrelation(responses.shape[1], images.shape[1:])
    for part in range(0, len(images), batch):
        rows = slice(part, part + batch)
        metric.update(responses[rows], images[rows], shown[rows])
    return metric


def slopes(responses: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Least squares with an intercept, pixel by pixel."""
    return np.array(
        [[np.polyfit(pixel, response, 1)[0] for pixel in pixels.T] for response in responses.T]
    )


def test_the_metric_is_a_regression_on_each_pixel() -> None:
    responses, images, shown = data()
    found = filled(responses, images, shown).compute()
    pixels, answers = images.flatten(1).double().numpy(), responses.double().numpy()
    assert found.maps.shape == (3, 2, 3, 4)
    assert np.allclose(found.maps.flatten(1), slopes(answers, pixels), atol=1e-6)
    for kernel in range(3):
        even, odd = (slopes(answers[half::2], pixels[half::2])[kernel] for half in (0, 1))
        halves = np.corrcoef(even, odd)[0, 1]
        assert found.reliability[kernel].item() == pytest.approx(2 * halves / (1 + halves))
        strongest = max(abs(np.corrcoef(pixel, answers[:, kernel])[0, 1]) for pixel in pixels.T)
        assert found.peak_z[kernel].item() == pytest.approx(np.arctanh(strongest) * math.sqrt(298))


def test_order_does_not_matter() -> None:
    responses, images, shown = data()
    expected = filled(responses, images, shown).compute()
    order = torch.randperm(len(shown), generator=torch.Generator().manual_seed(0))
    found = filled(responses[order], images[order], shown[order], batch=9).compute()
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-8)


def test_what_several_saw_adds_up() -> None:
    if not hasattr(Metric, "merge_state"):
        pytest.skip("this version of torchmetrics does not merge states")
    responses, images, shown = data()
    expected = filled(responses, images, shown).compute()
    first, second = (filled(*(values[part::2] for values in data())) for part in (0, 1))
    merged = pickle.loads(pickle.dumps(first))
    merged.merge_state(second)
    for one, other in zip(merged.compute(), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-8)
    reductions = set(map(str, first._reductions.values()))
    assert len(reductions) == 1
    assert "sum" in reductions.pop()


def test_responses_to_something_else_have_no_evidence() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2000, 400, generator=generator)
    responses = torch.rand(2000, 20, generator=generator)
    found = filled(responses, images, torch.arange(2000)).compute()
    # Halves of chance agree by chance; the largest of 400 pixels is near sqrt(2 ln 400) = 3.5.
    assert found.reliability.median().abs() < 0.15
    assert 2.5 < found.peak_z.median() < 3.5
    assert found.peak_z.max() < 5


def test_pixels_that_never_change_have_no_slope() -> None:
    responses, images, shown = data()
    images[:, 0, 1] = 0.7
    found = filled(responses, images, shown).compute()
    assert found.maps[:, 0, 1].abs().max() == 0
    assert all(part.isfinite().all() for part in found)


def test_a_constant_response_is_no_response() -> None:
    responses, images, shown = data()
    responses[:, 1] = 0.3
    found = filled(responses, images, shown).compute()
    assert found.maps[1].abs().max() == 0
    assert found.reliability.isnan().tolist() == [False, True, False]
    assert found.peak_z.isnan().tolist() == [False, True, False]


def test_scaling_responses_scales_maps_only() -> None:
    responses, images, shown = data()
    one = filled(responses, images, shown).compute()
    other = filled(responses * 1e-10, images, shown).compute()
    assert torch.allclose(other.maps * 1e10, one.maps, rtol=1e-3)
    assert torch.allclose(other.reliability, one.reliability, rtol=1e-3)
    assert torch.allclose(other.peak_z, one.peak_z, rtol=1e-3)
