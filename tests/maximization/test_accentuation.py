"""Images that accentuate a photograph: how near they stay, what they gain, and where."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from climbing import Climber
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from neurovis.cli.ascent import ImageOptions
from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization, AscentSettings
from neurovis.maximization.accentuation import (
    DEFAULT_CHANGE,
    Photograph,
    alpha_map,
    structural_similarity,
)
from neurovis.maximization.parametrizations import Fourier
from neurovis.modality import Modality
from neurovis.models import load_model
from neurovis.pictures import read_picture

ROOT = Path(__file__).resolve().parents[2]
SQUEEZENET = ROOT.parent / "shared" / "data" / "squeezenet1_0_imagenet.pth"
GRAY = InputSpec((Modality("gray", 1),), size=(24, 20))

Array = npt.NDArray[np.float64]


def _photograph() -> Tensor:
    """A flat left half and a textured right half."""
    picture = torch.full((1, 24, 20), 0.4)
    generator = torch.Generator().manual_seed(0)
    picture[..., 10:] += 0.5 * torch.rand(1, 24, 10, generator=generator)
    return picture


def _local(values: Array) -> Array:
    """Means under a Gaussian window, of what lies within the picture."""
    inside = gaussian_filter(np.ones(values.shape[1:]), 1.5, mode="constant", truncate=20)
    means = [gaussian_filter(one, 1.5, mode="constant", truncate=20) / inside for one in values]
    return np.stack(means)


def _distance(image: Tensor, photograph: Tensor) -> float:
    values, other = photograph.double().numpy(), image.double().numpy()
    variance = _local(values**2) - _local(values) ** 2
    return float(np.sqrt(((other - values) ** 2 / (variance + 0.02**2)).mean()))


def _ssim(image: Tensor, photograph: Tensor) -> float:
    """As Wang et al. (2004) define it."""
    x, y = (one.double().numpy() for one in (image, photograph))

    def mean(values: Array) -> Array:
        return np.stack([gaussian_filter(one, 1.5, mode="mirror", truncate=3.5) for one in values])

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    index = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(index.mean())


def test_images_are_moved_to_the_largest_distance_and_no_further() -> None:
    photograph = _photograph()
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(3, 1, 24, 20, generator=generator)
    images[1] = photograph + 0.001 * images[1]
    near = Photograph(photograph, 0.7).near(images)
    assert _distance(images[0], photograph) > 1
    assert _distance(near[0], photograph) == pytest.approx(0.7, rel=1e-4)
    torch.testing.assert_close(near[1], images[1])
    # On the straight way back.
    parts = (near[2] - photograph) / (images[2] - photograph)
    torch.testing.assert_close(parts, parts.mean().expand_as(parts), rtol=1e-3, atol=1e-4)


def test_it_costs_more_to_change_what_is_flat_and_nothing_to_begin() -> None:
    photograph = _photograph()
    start = photograph[None].clone().requires_grad_(True)
    Photograph(photograph, 0.5).near(start).sum().backward()
    assert torch.equal(start.grad, torch.ones_like(start))
    flat, textured = photograph.clone(), photograph.clone()
    flat[:, 12, 3] += 0.1
    textured[:, 12, 16] += 0.1
    assert _distance(flat, photograph) > 3 * _distance(textured, photograph)
    near = Photograph(photograph, 0.05).near(torch.stack([flat, textured]))
    kept = (near - photograph).flatten(1).norm(dim=1)
    assert kept[1] > 3 * kept[0]


def test_similarity_is_that_of_its_definition() -> None:
    photograph = _photograph()
    generator = torch.Generator().manual_seed(2)
    image = (photograph + 0.1 * torch.randn(1, 24, 20, generator=generator)).clamp(0, 1)
    assert structural_similarity(image, photograph) == pytest.approx(
        _ssim(image, photograph), abs=1e-4
    )
    assert structural_similarity(photograph, photograph) == pytest.approx(1)


def test_an_alpha_map_is_1_where_the_image_changed_and_0_far_away() -> None:
    photograph = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    image = photograph.clone()
    image[:, 10:20, 40:50] = 1 - image[:, 10:20, 40:50]
    alpha = alpha_map(image, photograph)
    assert alpha.shape == (64, 64)
    assert alpha.max() == 1
    assert alpha[10:20, 40:50].mean() > 0.5
    assert alpha[40:].max() < 1e-3
    assert not alpha_map(photograph, photograph).any()


def test_an_ascent_gains_activation_and_keeps_to_the_distance(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    photograph = _photograph()
    network = small_network.eval()
    am = ActivationMaximization(
        network, "1", [0, 3], GRAY, sign="both", init=photograph, change=0.6, steps=30
    )
    climb(am)
    with torch.no_grad():
        before = network[:2](photograph[None]).mean((0, 2, 3))
        after = network[:2](am.results.images).mean((2, 3))
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for item, row, reached in zip(am.results.items, rows, after, strict=True):
        (kernel,) = item.kernels
        assert _distance(item.image, photograph) < 0.61
        torch.testing.assert_close(item.start, photograph, rtol=0, atol=2e-3)
        assert item.photograph_activation == pytest.approx(float(before[kernel]), abs=1e-3)
        assert item.activation == pytest.approx(float(reached[kernel]), abs=1e-5)
        # Noise of the same size does less.
        gained = item.activation - float(before[kernel])
        assert item.sign * gained > 3 * abs(item.noise_activation - float(before[kernel]))
        assert float(row["photograph_activation"]) == item.photograph_activation
        assert float(row["ssim"]) == pytest.approx(_ssim(item.image, item.start), abs=5e-3)
        if before[kernel] > 0:
            assert float(row["ratio"]) == pytest.approx(
                item.activation / float(before[kernel]), rel=0.01
            )
        else:
            assert row["ratio"] == "nan"
    with np.load(tmp_path / "results.npz") as arrays:
        assert arrays["alpha_maps"].shape == (4, 24, 20)


def test_views_are_natural_and_frequencies_free() -> None:
    accentuated = AscentSettings(init=_photograph(), change=0.5)
    natural, started = AscentSettings(), AscentSettings(init=_photograph())
    spec = InputSpec.rgb(64)
    assert accentuated.views(spec) == natural.views(spec) != started.views(spec)
    assert isinstance(accentuated.resolved_parametrization, Fourier)
    maximal = AscentSettings(init=_photograph(), change=0.5, style="maximal")
    assert maximal.views(spec) == started.views(spec)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"change": 0.5}, "change is from an image to start from; give init"),
        ({"change": 0.0, "init": _photograph()}, "change must be a positive number; got 0"),
        ({"change": 1, "init": _photograph(), "contrast": 0.2}, "leave out change"),
        (
            {"change": 1, "init": _photograph(), "parametrization": "fixed_magnitude"},
            "init is not among the images of FixedMagnitude",
        ),
        (
            {"change": 1, "init": _photograph(), "parametrization": Fourier(contrast=1.0)},
            "init is not among the images of Fourier",
        ),
    ],
)
def test_what_contradicts_it_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AscentSettings(**asked)


def test_the_option_is_an_image_to_start_from_and_a_distance(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.effect_noise((32, 32), 60).convert("RGB").save(path)
    spec = InputSpec.rgb(32)
    options = ImageOptions(accentuate=str(path)).settings(AscentSettings(), spec)
    settings = AscentSettings(**options)
    assert settings.change == DEFAULT_CHANGE
    assert torch.equal(settings.init, read_picture(path, spec))
    assert ImageOptions(accentuate=str(path), change=0.4).settings(settings, spec)["change"] == 0.4
    with pytest.raises(ValueError, match="leave out --init"):
        ImageOptions(accentuate=str(path), init="zero").settings(AscentSettings(), spec)


@pytest.mark.slow
@pytest.mark.skipif(not SQUEEZENET.exists(), reason=f"{SQUEEZENET} is absent")
@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("layer", ["features.10", "classifier.1"])
def test_squeezenet_sees_twice_as_much_in_a_similar_photograph(climb: Climber, layer: str) -> None:
    network = load_model("torchvision.models.squeezenet1_0", SQUEEZENET).eval()
    spec = InputSpec.rgb(224)
    photograph = read_picture(ROOT / "docs" / "media" / "cat.jpg", spec)
    outputs: list[Tensor] = []
    module = network.get_submodule(layer)
    with torch.no_grad():
        hook = module.register_forward_hook(lambda *args: outputs.append(args[2].clone()))
        network(spec.to_network(photograph[None]))
        hook.remove()
    before = outputs[0].mean((0, 2, 3))
    kernels = before.argsort(descending=True)[:8:3].tolist()
    am = ActivationMaximization(
        network, layer, kernels, spec, init=photograph, change=DEFAULT_CHANGE, steps=48
    )
    climb(am)
    for item in am.results.items:
        assert item.activation > 2 * float(before[item.kernels[0]])
        assert _ssim(item.image, photograph) > 0.6
