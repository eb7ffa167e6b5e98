"""Direction and temporal frequency of planted space-time Gabors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurovis import InputSpec, Modality, rank_kernels, set_layout
from neurovis.tuning.stimuli import DriftingGratings

SPEC = InputSpec.video(8, 33, [Modality("gray", 1)])
#: Direction of motion in degrees, cycles per pixel, cycles per frame.
PLANTED = [(0.0, 0.125, 0.125), (100.0, 0.125, 0.25), (217.0, 0.0625, 0.125), (303.0, 0.125, 0.0)]


def space_time_gabor(direction: float, spatial: float, temporal: float) -> Tensor:
    """``(1, 8, 33, 33)``: what moves in this direction, under Gaussians in space and time."""
    frames, rows, columns = np.mgrid[:8, :33, :33].astype(float)
    rows, columns = 16 - rows, columns - 16
    angle = np.deg2rad(direction)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    envelope = np.exp(-(rows**2 + columns**2) / (2 * 4.5**2) - (frames - 3.5) ** 2 / (2 * 2.0**2))
    wave = np.cos(2 * np.pi * (spatial * along - temporal * (frames - 3.5)))
    return torch.tensor(envelope * wave).float()[None]


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    conv = nn.Conv3d(1, len(PLANTED) + 1, (8, 33, 33), bias=False)
    gabors = [space_time_gabor(*planted) for planted in PLANTED]
    # The last has no direction: what it does to motion forth it does to motion back.
    gabors.append(gabors[0] + gabors[0].flip(1))
    conv.weight.data = torch.stack(gabors)
    return nn.Sequential(conv)


def test_gratings_drift_as_they_say() -> None:
    spec = InputSpec.video(8, (24, 32))
    gratings = DriftingGratings(spec)
    assert gratings.temporal_frequencies.tolist() == [0, 0.125, 0.25]
    assert gratings.spatial_frequencies.tolist() == [0.0625, 0.125, 0.25]
    assert gratings.shape == (3, 16, 3, 4)
    numbers = torch.arange(gratings.blank_index).view(gratings.shape)
    videos = gratings.images(numbers[1, [0, 4, 8, 12], 2, 1]).view(4, 8, 3, 24, 32)
    # A quarter of a cycle of 8 pixels a frame.
    for video, (down, right) in zip(videos, ((0, 2), (-2, 0), (0, -2), (2, 0)), strict=True):
        for frame in range(7):
            rolled = video[frame].roll((down, right), (1, 2))
            torch.testing.assert_close(video[frame + 1], rolled, atol=1e-5, rtol=0)
    still = gratings.images(numbers[0, 3, 0, 2].view(1)).view(8, 3, 24, 32)
    assert torch.equal(still, still[:1].expand_as(still))
    assert torch.equal(gratings.images([len(gratings) - 1])[0], torch.full(spec.shape, 0.5))


def test_space_time_gabors_have_their_direction_and_frequency(network: nn.Sequential) -> None:
    found = rank_kernels(network, "0", ["direction", "temporal_frequency"], input_spec=SPEC)
    by_direction, by_frequency = found["0", "direction"], found["0", "temporal_frequency"]
    for kernel, (direction, _, temporal) in enumerate(PLANTED):
        preferred = by_direction.values["preferred_direction"][kernel].item()
        frequency = by_frequency.values["preferred_temporal_frequency"][kernel].item()
        assert frequency == temporal
        if temporal:
            assert abs((preferred - direction + 180) % 360 - 180) < 1
            assert by_direction.score[kernel] > 0.9
            assert by_direction.null_percentile[kernel] > 99
    assert by_direction.score[4].item() == pytest.approx(0, abs=1e-4)
    assert len(by_direction.null_score) == 200


def test_tuning_is_the_transform_of_the_kernel(network: nn.Sequential) -> None:
    """The amplitude over phases is half the contrast times the Fourier amplitude."""
    found = rank_kernels(network, "0", "direction", input_spec=SPEC, null_kernels=0).only
    frames, rows, columns = np.mgrid[:8, :33, :33].astype(float)
    weights = network[0].weight.detach().double().numpy()[:, 0]
    gratings = DriftingGratings(SPEC)
    table = np.zeros((len(weights), *gratings.shape[:3]))
    for f, spatial in enumerate(gratings.spatial_frequencies.tolist()):
        for d, direction in enumerate(np.deg2rad(gratings.directions.numpy())):
            along = np.cos(direction) * columns - np.sin(direction) * rows
            for t, temporal in enumerate(gratings.temporal_frequencies.tolist()):
                wave = np.exp(2j * np.pi * (spatial * along - temporal * frames))
                table[:, f, d, t] = 0.5 * np.abs((weights * wave).sum((1, 2, 3)))
    for kernel in range(len(weights)):
        moving = table[kernel, :, :, 1:]
        f, best, t = np.unravel_index(moving.argmax(), moving.shape)
        assert found.curve is not None
        np.testing.assert_allclose(found.curve[kernel], moving[f, :, t], rtol=1e-3, atol=2e-3)
        opposite = moving[f, (best + 8) % 16, t]
        expected = (moving[f, best, t] - opposite) / (moving[f, best, t] + opposite)
        assert found.score[kernel].item() == pytest.approx(expected, abs=1e-3)


def test_behind_a_rectifier_with_random_kernels_and_halves() -> None:
    torch.manual_seed(0)
    spec = InputSpec.video(8, 32)
    network = nn.Sequential(nn.Conv3d(3, 6, 5, padding=2), nn.BatchNorm3d(6), nn.ReLU()).eval()
    set_layout(network, "2", kernel_dim=1)
    by = ["direction", "temporal_frequency", "orientation", "weight"]
    found = rank_kernels(network, ["0", "2"], by, input_spec=spec, orientations=4)
    for ranking in found:
        if ranking.by == "weight" and ranking.layer == "2":
            continue
        assert ranking.reason is None
        assert len(ranking.null_score) == 200
        assert ranking.score.isfinite().all()
    assert found["2", "direction"].reliability.isfinite().all()
    read = {layer: found[layer, "direction"].notes[0] for layer in ("0", "2")}
    assert read["0"].endswith("F1 over phases")
    assert read["2"].endswith("mean over phases above the blank's")


def test_images_and_short_videos_are_refused() -> None:
    with pytest.raises(ValueError, match="for networks of video; the input is images"):
        rank_kernels(nn.Conv2d(3, 2, 3), "", "direction", input_spec=InputSpec.rgb(16))
    with pytest.raises(ValueError, match="at least 4 frames; the input has 3"):
        rank_kernels(
            nn.Conv3d(3, 2, 3), "", "temporal_frequency", input_spec=InputSpec.video(3, 16)
        )
