"""Gratings find in a trained first layer what its weights show, by another way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.inputs import InputSpec
from neurovis.models import load_model
from neurovis.tuning import Rankings, rank_kernels
from neurovis.tuning.measures import orientation_difference

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent")


@pytest.fixture(scope="module")
def squeezenet() -> nn.Module:
    return load_model("torchvision.models.squeezenet1_0", DATA / "squeezenet1_0_imagenet.pth")


def spectral_orientations(weights: Tensor, std: tuple[float, ...]) -> Tensor:
    """Orientation ``(K,)`` of the strongest Fourier component of kernels ``(K, C, h, w)``.

    Literally: of what a grating in all channels does to them, on a fine grid of frequencies.
    """
    scaled = (weights / torch.tensor(std)[:, None, None]).sum(1).double()
    energy = torch.fft.fftshift(torch.fft.fft2(scaled, s=(256, 256)).abs(), dim=(1, 2))
    frequencies = torch.fft.fftshift(torch.fft.fftfreq(256)).double()
    radius = torch.hypot(frequencies[:, None], frequencies[None])
    energy[:, (radius > 0.35) | (radius < 0.03)] = 0
    peak = energy.flatten(1).argmax(1)
    rows, columns = frequencies[peak // 256], frequencies[peak % 256]
    # Bars lie across the direction in which the wave runs; rows grow downwards.
    return (torch.atan2(-rows, columns).rad2deg() + 90) % 180


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("layer", ["features.0", "features.1"])
def test_gratings_agree_with_the_kernels_own_spectrum(squeezenet: nn.Module, layer: str) -> None:
    found = rank_kernels(squeezenet, [layer, "features.0"], ["orientation", "weight"])
    ranking = found[layer, "orientation"]
    tuned = ranking.above_null(95)
    assert 30 < tuned.sum() < 96
    preferred = ranking.values["preferred_orientation"]
    own = found["features.0", "weight"].values["weight_orientation"].double()
    assert orientation_difference(preferred, own)[tuned].median() <= 3
    spec = InputSpec.rgb(224).modalities[0]
    weights = squeezenet.features[0].weight.detach()
    literal = spectral_orientations(weights, spec.std)
    assert orientation_difference(preferred, literal)[tuned].median() <= 3
    # No trained layer is as untuned as chance.
    assert ranking.score.nanmedian() > 2 * ranking.null_score.median()


@needs_data
@pytest.mark.slow
def test_trained_networks_are_tuned_and_random_ones_are_not(squeezenet: nn.Module) -> None:
    import torchvision

    torch.manual_seed(0)
    untrained = torchvision.models.squeezenet1_0().eval()
    fractions = [
        rank_kernels(network, "features.0", orientations=8).only.above_null().double().mean()
        for network in (squeezenet, untrained)
    ]
    assert fractions[0] > 0.5
    assert fractions[1] < 0.15


def demo_rankings(by: list[str]) -> Rankings:
    return rank_kernels(load_demo_network(), ["conv1", "relu1"], by, input_spec=demo_input_spec())


def test_the_demo_network_s_first_layer_is_tuned() -> None:
    found = demo_rankings(["orientation", "modality", "color"])
    orientation = found["conv1", "orientation"]
    assert orientation.above_null().double().mean() > 0.15  # 0.05 by chance
    assert orientation.reliability.nanmedian() > 0.8
    # The rectified responses of a linear unit have the same preference.
    rectified = found["relu1", "orientation"]
    both = orientation.above_null() & rectified.above_null()
    pair = (one.values["preferred_orientation"] for one in (orientation, rectified))
    assert orientation_difference(*pair)[both].median() < 3
    # It was trained with either modality left out at times: some kernels are for each.
    assert {"rgb", "depth"} <= set(found["conv1", "modality"].values["preferred_modality"])
