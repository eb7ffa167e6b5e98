from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning.sizes import SizeTuning, size_tuning
from neurovis.tuning.stimuli import color_modulations, default_extents

SIZE = 49
SPEC = InputSpec((Modality("gray", 1),), SIZE)


def network_of(*kernels: Tensor, bias: float = 0.0) -> nn.Sequential:
    """Each kernel wherever all of it sees the image, and a ReLU."""
    network = nn.Sequential(nn.Conv2d(1, len(kernels), len(kernels[0])), nn.ReLU())
    network[0].weight.data = torch.stack(kernels)[:, None].float()
    nn.init.constant_(network[0].bias, bias)
    return network


def gaussian(sigma: float, side: int = 41) -> Tensor:
    steps = torch.arange(side, dtype=torch.float64) - side // 2
    profile = torch.exp(-(steps**2) / (2 * sigma**2))
    return profile[:, None] * profile / (2 * math.pi * sigma**2)


def patch(sigma: float, frequency: float, side: int = 41) -> Tensor:
    """Vertical bars under a Gaussian."""
    steps = torch.arange(side, dtype=torch.float64) - side // 2
    return gaussian(sigma, side) * torch.cos(2 * math.pi * frequency * steps)


def tuned(network: nn.Module, layer: str, frequency: float, **options: object) -> SizeTuning:
    kernels = network[0].out_channels
    orientation, frequencies = torch.full((kernels,), 90.0), torch.full((kernels,), frequency)
    return size_tuning(network, layer, "all", orientation, frequencies, SPEC, **options)


def drive(kernel: Tensor, frequency: float, diameter: float, phases: int = 8) -> np.ndarray:
    """What a kernel in the middle of the image makes of a grating in a window, pixel by pixel."""
    middle, found = SIZE // 2, []
    margin = (SIZE - len(kernel)) // 2
    for phase in range(phases):
        total = 0.0
        for row in range(len(kernel)):
            for column in range(len(kernel)):
                y, x = row + margin - middle, column + margin - middle
                edge = max(0.2 * diameter, 1.0)
                beyond = (math.hypot(x, y) - diameter / 2) / edge + 0.5
                window = 0.5 + 0.5 * math.cos(math.pi * min(max(beyond, 0.0), 1.0))
                angle = -2 * math.pi * frequency * x + 2 * math.pi * phase / phases
                value = 0.5 + 0.5 * window * math.sin(angle)
                total += float(kernel[row, column]) * value
        found.append(total)
    return np.array(found)


def test_a_center_and_surround_pixel_by_pixel() -> None:
    kernel = gaussian(2.0) - 0.9 * gaussian(5.0)
    diameters = [4.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0]
    found = tuned(network_of(kernel, bias=0.02), "1", 0.03, diameters=diameters)
    blank = max(0.5 * float(kernel.sum()) + 0.02, 0)
    expected = [
        max(np.maximum(drive(kernel, 0.03, diameter) + 0.02, 0).mean() - blank, 0)
        for diameter in diameters
    ]
    assert found.responses[0].tolist() == pytest.approx(expected, abs=1e-5)
    peak = max(expected)
    assert found.suppression[0].item() == pytest.approx((peak - expected[-1]) / peak, abs=1e-3)
    assert found.suppression[0] > 0.3
    first = next(d for d, r in zip(diameters, expected, strict=True) if r >= 0.95 * peak)
    assert found.preferred_size.tolist() == [first]
    assert found.diameters.tolist() == diameters


def test_before_the_relu_it_is_the_modulation_with_phase() -> None:
    kernel = gaussian(2.0) - 0.9 * gaussian(5.0)
    found = tuned(network_of(kernel, bias=3.0), "0", 0.03, diameters=[6.0, 12.0, 36.0])
    turns = np.exp(-2j * np.pi * np.arange(8) / 8)
    expected = [abs((drive(kernel, 0.03, d) * turns).sum()) * 2 / 8 for d in (6.0, 12.0, 36.0)]
    assert found.responses[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_one_envelope_has_no_surround_and_a_size_that_grows() -> None:
    sigmas = [2.0, 3.5, 5.0, 7.0]
    network = network_of(*(patch(sigma, 0.15) for sigma in sigmas))
    diameters = torch.arange(4.0, 49.0, 1.5)
    found = tuned(network, "1", 0.15, diameters=diameters)
    assert found.suppression.abs().max() < 0.01
    assert (found.preferred_size.diff() > 0).all()
    # A disk holds 95 % of a Gaussian within 2.45 sigma; the window's edge is soft.
    assert found.preferred_size.tolist() == pytest.approx([4.9 * s for s in sigmas], abs=2.5)


def test_rectify_is_a_relu_behind_the_layer() -> None:
    network = network_of(patch(3.0, 0.15), patch(4.0, 0.15), bias=-0.05)
    expected = tuned(network, "1", 0.15)
    found = tuned(network, "0", 0.15, rectify=True)
    assert torch.equal(found.responses, expected.responses)
    assert not torch.allclose(tuned(network, "0", 0.15).responses, expected.responses, atol=1e-3)


def test_the_window_stands_on_the_units_receptive_field() -> None:
    # Kernels of even size and a stride: the field's middle lies between pixels.
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 6, stride=3))
    one, other = (
        tuned(network, "0", 0.2, unit=unit, diameters=[3.0, 5.0, 8.0]) for unit in ((7, 7), (4, 9))
    )
    assert torch.allclose(one.responses, other.responses, atol=1e-6)
    # To a small window elsewhere there would be none.
    assert (one.responses[:, 0] > 0).all()


def test_each_kernel_is_shown_its_own_grating() -> None:
    kernels = patch(4.0, 0.15), patch(4.0, 0.3), patch(4.0, 0.15).T
    network = network_of(*kernels)
    orientation, frequency = torch.tensor([90.0, 90.0, 0.0]), torch.tensor([0.15, 0.3, 0.15])
    found = size_tuning(network, "1", "all", orientation, frequency, SPEC, batch_size=5)
    peaks = found.responses[:, -1]
    assert torch.allclose(peaks, peaks[0].expand(3), rtol=0.05)
    alone = size_tuning(network, "1", [2], orientation[2:], frequency[2:], SPEC)
    assert torch.allclose(alone.responses[0], found.responses[2], atol=1e-6)
    assert alone.kernels == [2]
    other = size_tuning(network, "1", [2], orientation[:1], frequency[:1], SPEC)
    assert other.responses[0, -1] < 0.1 * peaks[2]


def test_kernels_without_a_preferred_grating_are_undefined() -> None:
    network = network_of(patch(3.0, 0.15), patch(3.0, 0.15), 0 * patch(3.0, 0.15))
    orientation = torch.tensor([90.0, math.nan, 90.0])
    found = size_tuning(network, "1", "all", orientation, torch.full((3,), 0.15), SPEC)
    assert found.responses.isnan().all(1).tolist() == [False, True, False]
    # The third has no weights: it responds, with nothing.
    assert found.suppression.isnan().tolist() == [False, True, True]
    assert found.preferred_size.isnan().tolist() == [False, True, True]
    nothing = torch.full((3,), math.nan)
    found = size_tuning(network, "1", "all", nothing, nothing, SPEC)
    assert found.responses.isnan().all()


def test_a_unit_that_gratings_only_silence_does_not_respond() -> None:
    excited = network_of(patch(3.0, 0.15))
    network = nn.Sequential(*excited, nn.Conv2d(1, 1, 1), nn.ReLU())
    nn.init.constant_(network[2].weight, -1.0)
    nn.init.constant_(network[2].bias, 1.0)
    found = tuned(network, "3", 0.15)
    assert found.responses.abs().max() == 0
    assert found.suppression.isnan().all()


def test_modulations_drive_their_channels() -> None:
    spec = InputSpec.rgb(33, mean=(0.0,), std=(1.0,))
    network = nn.Sequential(nn.Conv2d(3, 1, 9, padding=4))
    nn.init.constant_(network[0].weight, 1.0)
    network[0].weight.data[:, 1:] = -0.5  # Red against cyan; its channels cancel.
    red_cyan, *_, gray = color_modulations(spec)
    asked = (network, "0", [0], torch.tensor([90.0]), torch.tensor([0.05]), spec)
    assert size_tuning(*asked, modulation=gray).responses.max() < 1e-4
    assert size_tuning(*asked, modulation=red_cyan).responses.max() > 1


def test_a_squeeze_excitation_gate_does_not_hide_the_place() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 21, stride=2, padding=10, bias=False)
            self.conv.weight.data = patch(3.0, 0.15, 21)[None, None].float()
            self.end = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            maps = self.conv(x)
            return self.end(maps * (1 + 0 * maps.mean((2, 3), keepdim=True)))

    asked = ([0], torch.tensor([90.0]), torch.tensor([0.15]))
    spec = SPEC.resized(64)
    # Units 8 and 20 look at pixels 16 and 40.
    plain, gated = (
        size_tuning(Gated(), layer, *asked, spec, unit=(8, 20), diameters=[4.0, 8.0, 16.0])
        for layer in ("conv", "end")
    )
    # Half a pixel aside, a small window has hardly moved.
    assert torch.allclose(plain.responses, gated.responses, rtol=0.1)


def test_the_figure_says_what_was_found() -> None:
    network = network_of(gaussian(2.0) - 0.9 * gaussian(5.0), patch(3.0, 0.15))
    orientation = torch.tensor([90.0, math.nan])
    found = size_tuning(network, "1", "all", orientation, torch.full((2,), 0.03), SPEC)
    texts = [text.get_text() for text in found.figure().texts]
    words = " ".join(texts)
    size, suppression = found.preferred_size[0].item(), found.suppression[0].item()
    assert "Size tuning of 1" in words
    assert f"kernel 0, suppression {suppression:.2f}, size {size:.3g} px" in words
    assert "kernel 1, suppression not defined" in words


def test_in_inference_mode() -> None:
    network = network_of(patch(3.0, 0.15))
    expected = tuned(network, "1", 0.15)
    with torch.inference_mode():
        found = tuned(network, "1", 0.15)
    assert torch.equal(found.responses, expected.responses)


def test_default_extents() -> None:
    assert default_extents(SPEC.resized((64, 100))) == pytest.approx(
        [4, 5.657, 8, 11.314, 16, 22.627, 32, 45.255, 64], abs=1e-3
    )
    assert default_extents(SPEC.resized(12)) == pytest.approx([3, 4.243, 6, 8.485, 12], abs=1e-3)
    with pytest.raises(ValueError, match=r"size \(4, 4\) are too small"):
        default_extents(SPEC.resized(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diameters": [4.0, 50.0]}, "diameters must be 1 to 49 pixels.*got 4 to 50"),
        ({"diameters": [0.5, 5.0]}, "diameters must be 1 to 49 pixels.*got 0.5 to 5"),
        ({"diameters": [5.0]}, r"two or more increasing numbers; got \[5.0\]"),
        ({"diameters": [5.0, 5.0]}, r"two or more increasing numbers; got \[5.0, 5.0\]"),
        ({"phases": 2}, "phases must be at least 3.*got 2"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"unit": (9, 0)}, r"have 9x9 units; got \(9, 0\)"),
    ],
)
def test_options_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tuned(network_of(patch(3.0, 0.15)), "1", 0.15, **options)


def test_refusals() -> None:
    network = network_of(patch(3.0, 0.15))
    one, two = torch.tensor([0.1]), torch.tensor([0.1, 0.1])
    with pytest.raises(ValueError, match=r"orientation must have one value .* 1 kernels; .*\(2,\)"):
        size_tuning(network, "1", [0], two, one, SPEC)
    with pytest.raises(ValueError, match="spatial_frequency must have one value"):
        size_tuning(network, "1", [0], one, two, SPEC)
    with pytest.raises(ValueError, match="kernel 1 is out of range"):
        size_tuning(network, "1", [1], one, one, SPEC)
    with pytest.raises(ValueError, match=r"at most 0\.35 cycles/pixel; got 0\.4"):
        size_tuning(network, "1", [0], one, torch.tensor([0.4]), SPEC)
    linear = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(47 * 47, 2))
    with pytest.raises(ValueError, match='layer "2" has no maps'):
        size_tuning(linear, "2", [0], one, one, SPEC)
