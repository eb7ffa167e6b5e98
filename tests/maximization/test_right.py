"""Ascents from end to end against images, activations and tunings that are known without them."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from climbing import GRAY, STILL, Climber
from scipy.optimize import minimize
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization, GroupActivationMaximization
from neurovis.maximization.objectives import Direction, Inversion, Position
from neurovis.maximization.parametrizations import FixedMagnitude
from neurovis.models import load_model
from neurovis.pictures import read_picture

pytestmark = pytest.mark.usefixtures("without_figures")

SQUEEZENET = Path(__file__).resolve().parents[3] / "shared" / "data" / "squeezenet1_0_imagenet.pth"

#: What a closed form holds for: no random views, no rounding to bfloat16, no early end.
EXACT = {"style": "maximal", **STILL, "precision": "float32", "patience": None}
CONTRAST, LUMINANCE = 0.12, 0.45


def _linear_units(kernels: Tensor) -> nn.Sequential:
    """Units ``(K,)`` that see all of an image through kernels ``(K, C, H, W)``."""
    layer = nn.Conv2d(kernels.shape[1], len(kernels), tuple(kernels.shape[2:]), bias=False)
    with torch.no_grad():
        layer.weight.copy_(kernels)
    return nn.Sequential(layer)


def _orthogonal(lengths: Sequence[float]) -> Tensor:
    """Kernels ``(K, 1, 16, 16)`` without a mean, at right angles to each other."""
    torch.manual_seed(5)
    vectors = torch.cat([torch.ones(1, 256), torch.randn(len(lengths), 256)])
    basis = torch.linalg.qr(vectors.T).Q.T[1:]
    return (basis * torch.tensor(lengths)[:, None]).reshape(-1, 1, 16, 16)


def _optimum(kernel: Tensor) -> Tensor:
    """The image of a given mean and standard deviation that a linear unit prefers."""
    centered = kernel - kernel.mean()
    return LUMINANCE + CONTRAST * centered / centered.std(correction=0)


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def _per_image_value(kernels: Tensor, spec: InputSpec) -> Tensor:
    """Kernels of the network's input as kernels of images in [0, 1]."""
    ones, zeros = torch.ones(spec.shape), torch.zeros(spec.shape)
    return kernels * (spec.to_network(ones) - spec.to_network(zeros))[:, :1, :1]


def _table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


# A linear unit under an L2 constraint.


@pytest.mark.parametrize(
    ("field", "parametrization"),
    [
        pytest.param(16, "fourier", marks=pytest.mark.slow),
        (7, "pixel"),
        pytest.param(16, "pixel", marks=pytest.mark.slow),
        pytest.param(7, "fourier", marks=pytest.mark.slow),
    ],
)
def test_a_linear_units_image_is_the_analytic_optimum(
    climb: Climber, tmp_path: Path, field: int, parametrization: str
) -> None:
    """Of the whole image, or of the 7 x 7 pixels in the middle of a large one."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(1, 2, field, bias=False))
    am = ActivationMaximization(
        network,
        "0",
        input_spec=GRAY.resized(16 if field == 16 else 61),
        objective="center",
        contrast=CONTRAST,
        luminance=LUMINANCE,
        parametrization=parametrization,
        steps=200,
        **EXACT,
    )
    climb(am)
    for item, kernel, row in zip(
        am.results.items, network[0].weight.detach(), _table(tmp_path), strict=True
    ):
        seen, best = item.seen(item.image), _optimum(kernel)
        assert seen.shape == kernel.shape
        assert _correlation(seen, best) > 0.9999
        assert float(row["contrast_gray"]) == pytest.approx(CONTRAST, abs=1e-3)
        assert float(row["luminance_gray"]) == pytest.approx(LUMINANCE, abs=1e-3)
        assert float(row["activation"]) == pytest.approx(float((kernel * best).sum()), rel=2e-3)


@pytest.mark.parametrize("frozen", ["rgb", pytest.param("depth", marks=pytest.mark.slow)])
def test_of_rgbd_one_modality_is_optimal_and_the_other_as_given(
    climb: Climber, tmp_path: Path, frozen: str
) -> None:
    free = {"rgb": "depth", "depth": "rgb"}[frozen]
    spec = InputSpec.rgbd(12, depth_range=(0.3, 2.0), depth_mean=1.0, depth_std=0.4)
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(4, 2, 12))
    given = torch.rand({"rgb": 3, "depth": 1}[frozen], 12, 12)
    am = ActivationMaximization(
        network,
        "0",
        input_spec=spec,
        contrast={free: CONTRAST},
        luminance={free: LUMINANCE},
        frozen={frozen: given},
        parametrization="pixel",
        steps=200,
        **EXACT,
    )
    climb(am)
    kernels = _per_image_value(network[0].weight.detach(), spec)
    assert len(am.results) == 2
    for image, kernel, row in zip(am.results.images, kernels, _table(tmp_path), strict=True):
        found, wanted = (
            {name: part[0] for name, part in spec.split(one[None]).items()}
            for one in (image, kernel)
        )
        assert torch.equal(found[frozen], given)
        assert _correlation(found[free], _optimum(wanted[free])) > 0.9999
        assert float(row[f"contrast_{free}"]) == pytest.approx(CONTRAST, abs=1e-3)
        assert float(row[f"luminance_{free}"]) == pytest.approx(LUMINANCE, abs=1e-3)


# A Gabor bank.


def _gabor(size: int, wavelength: float, orientation: float, phase: float) -> Tensor:
    """A Gabor whose bars run at ``orientation`` degrees, counter-clockwise from horizontal."""
    down, across = torch.meshgrid(*[torch.arange(size) - size // 2] * 2, indexing="ij")
    angle = math.radians(orientation)
    # Across the bars; rows count downwards.
    position = across * math.sin(angle) + down * math.cos(angle)
    envelope = torch.exp(-(across**2 + down**2) / (2 * (0.55 * wavelength) ** 2))
    return envelope * torch.cos(2 * math.pi * position / wavelength + phase)


def _measured(picture: Tensor) -> tuple[float, float]:
    """Orientation in degrees and cycles per pixel of the strongest grating in ``(H, W)``.

    By brute force: the energy of a quadrature pair of gratings under a Gaussian window, for every
    orientation and frequency of a fine grid.
    """
    side = len(picture)
    places = np.arange(side) - (side - 1) / 2
    fade = np.exp(-(places**2) / (2 * (side / 5) ** 2))
    window = np.outer(fade, fade)
    values = picture.double().numpy()
    values = window * (values - (window * values).sum() / window.sum())
    angles = np.radians(np.arange(0, 180, 1))
    frequencies = 0.06 * 2 ** np.arange(0, 2.2, 0.04)
    # A grating is the product of one along the rows and one along the columns.
    across, down = (
        np.exp(2j * np.pi * frequencies[:, None, None] * turned[:, None] * places)
        for turned in (np.sin(angles), np.cos(angles))
    )
    energy = np.abs(((down @ values) * across).sum(-1))
    frequency, orientation = np.unravel_index(energy.argmax(), energy.shape)
    return float(np.degrees(angles[orientation])), float(frequencies[frequency])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"objective": "center", **STILL}, marks=pytest.mark.slow),
        {"objective": "center", "contrast": 0.1},
        pytest.param(
            {"objective": "mean", "contrast": 0.1, "style": "maximal"}, marks=pytest.mark.slow
        ),
    ],
    ids=["center, still", "center", "mean"],
)
def test_a_gabor_banks_images_have_its_orientations_and_frequencies(
    climb: Climber, options: dict[str, object]
) -> None:
    """Also under random views, where images are not driven to black and white."""
    bank = [(8.0, 0.0), (8.0, 30.0), (6.0, 75.0), (10.0, 90.0), (7.0, 135.0), (9.0, 160.0)]
    kernels = [_gabor(29, *tuning, phase) for phase, tuning in enumerate(bank)]
    layer = nn.Conv2d(1, len(bank), 29)
    with torch.no_grad():
        layer.weight.copy_(torch.stack(kernels)[:, None])
        layer.bias.fill_(-1.0)
    network = nn.Sequential(layer, nn.ReLU())
    # Kernels of one channel and this size take four times as long in bfloat16.
    options = {"precision": "float32", "steps": 90, **options}
    am = ActivationMaximization(network, "1", input_spec=GRAY.resized(56), **options)
    climb(am)
    for item, (wavelength, orientation) in zip(am.results.items, bank, strict=True):
        found, frequency = _measured(item.seen(item.image)[0])
        apart = abs((found - orientation + 90) % 180 - 90)
        assert apart <= 2, item.label
        assert abs(math.log2(frequency * wavelength)) <= 0.1, item.label


# Groups.


def _climb_group(climb: Climber, kernels: Tensor, **options: object) -> Tensor:
    """The image ``(1, 16, 16)`` of a group of linear units."""
    group = GroupActivationMaximization(
        _linear_units(kernels),
        "0",
        input_spec=GRAY,
        contrast=CONTRAST,
        luminance=LUMINANCE,
        **{"steps": 150, "lr": 0.02, **EXACT, **options},
    )
    climb(group)
    (item,) = group.results.items
    own = (kernels[list(item.kernels)] * item.image).flatten(1).sum(1)
    torch.testing.assert_close(item.member_activations, own, atol=1e-3, rtol=1e-4)
    return item.image


@pytest.mark.parametrize("joint", [pytest.param("mean", marks=pytest.mark.slow), "min"])
def test_a_groups_image_of_orthogonal_units_is_the_analytic_one(climb: Climber, joint: str) -> None:
    """Within a sphere the lowest is highest where all are equal: at the sum of ``w / |w| ** 2``."""
    lengths = torch.tensor([1.0, 1.5, 2.0])
    kernels = _orthogonal(lengths.tolist())
    image = _climb_group(climb, kernels, joint=joint, lr=0.01, steps=280)
    scale = {"mean": torch.ones(3), "min": 1 / lengths**2}[joint]
    best = _optimum((kernels * scale[:, None, None, None]).sum(0))
    assert _correlation(image, best) > 0.995
    activations = (kernels * image).flatten(1).sum(1)
    if joint == "min":
        equal = CONTRAST * 16 / float((1 / lengths**2).sum().sqrt())
        assert float(activations.min()) == pytest.approx(equal, rel=0.03)
        assert activations.max() < 1.1 * activations.min()
    else:
        assert float(activations.max() / activations.min()) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("joint", [pytest.param("mean", marks=pytest.mark.slow), "min"])
def test_a_zscored_group_is_the_same_however_large_its_members_are(
    climb: Climber, joint: str
) -> None:
    options = {"joint": joint, "zscore": True, "steps": 30}
    plain = _climb_group(climb, _orthogonal([1.0, 1.0, 1.0]), **options)
    scaled = _climb_group(climb, _orthogonal([1.0, 100.0, 0.01]), **options)
    torch.testing.assert_close(scaled, plain, atol=1e-3, rtol=0)
    raw = _climb_group(climb, _orthogonal([1.0, 100.0, 0.01]), joint=joint, steps=30)
    assert _correlation(raw, plain) < 0.9


def test_suppressed_members_are_taken_off(climb: Climber) -> None:
    kernels = _orthogonal([1.0, 1.0, 1.0, 1.0])
    image = _climb_group(climb, kernels, groups=[[0, 1]], suppressed=[[2]])
    best = _optimum((kernels[0] + kernels[1]) / 2 - kernels[2])
    assert _correlation(image, best) > 0.999
    assert float((kernels[2] * image).sum()) < -0.5 * CONTRAST * 16


# Directions, positions, layers, classes.


@pytest.mark.parametrize("cosine_power", [pytest.param(0.0, marks=pytest.mark.slow), 4.0])
def test_a_directions_image_is_the_best_combination_of_kernels(
    climb: Climber, cosine_power: float
) -> None:
    """Kernels that overlap: along the direction at most, and closest to it, are not the same."""
    basis = _orthogonal([1.0, 1.0, 1.0]).flatten(1)
    mix = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.4, 0.3, 0.5]])
    kernels = (mix @ basis).reshape(3, 1, 16, 16)
    vector = torch.tensor([2.0, -1.0, 0.5])
    am = ActivationMaximization(
        _linear_units(kernels),
        "0",
        input_spec=GRAY,
        objective=Direction(vector.tolist(), cosine_power),
        contrast=CONTRAST,
        luminance=LUMINANCE,
        steps=280,
        lr=0.02,
        **EXACT,
    )
    climb(am)
    assert [item.label for item in am.results.items] == ["direction 0"]

    def minus(place: np.ndarray) -> float:
        activation = mix.double().numpy() @ (16 * CONTRAST * place / np.linalg.norm(place))
        dot = activation @ vector.numpy()
        cosine = dot / np.linalg.norm(activation) / float(vector.norm())
        return -float(dot * max(cosine, 0.1) ** cosine_power)

    found = minimize(minus, (mix.T @ vector).numpy(), method="Nelder-Mead", tol=1e-10)
    best = _optimum(torch.from_numpy(found.x).float() @ basis)
    assert _correlation(am.results.images[0], best) > 0.999
    assert float(am.results.activations) == pytest.approx(-found.fun, rel=0.02)
    if cosine_power == 0:
        assert _correlation(best, (vector @ mix) @ basis) > 0.999
    else:
        assert _correlation(best, (vector @ mix) @ basis) < 0.99


def test_a_positions_image_differs_from_noise_only_where_the_unit_looks(climb: Climber) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 5, stride=2), nn.ReLU(), nn.Conv2d(2, 3, 3))
    am = ActivationMaximization(
        network,
        "2",
        input_spec=GRAY,
        objective=Position(row=1, column=3),
        parametrization="pixel",
        steps=20,
        **EXACT,
    )
    climb(am)
    # Images are rounded to 16 bits, starts are not.
    moved = (am.results.images - am.results.starts).abs()[:, 0] > 1e-5
    # Units of the last map look at 9 x 9 pixels, two pixels from one to the next.
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[2:11, 6:15] = True
    assert not moved[:, ~expected].any()
    assert moved[:, expected].float().mean() > 0.9
    with torch.no_grad():
        units = network(am.results.images)[range(3), range(3), 1, 3]
    torch.testing.assert_close(am.results.activations, units)


def _likeness(activation: Tensor) -> float:
    """Mean cosine of the Gram matrices of ``(B, K, H, W)``, pair by pair."""
    grams = [np.einsum("khw,lhw->kl", one, one).ravel() for one in activation.double().numpy()]
    return float(
        np.mean(
            [
                grams[i] @ grams[j] / np.linalg.norm(grams[i]) / np.linalg.norm(grams[j])
                for i in range(len(grams))
                for j in range(i)
            ]
        )
    )


def test_diversity_makes_the_variants_of_a_kernel_differ(
    climb: Climber, small_network: nn.Module
) -> None:
    likeness, activations = {}, {}
    for diversity in (0.0, 1.0):
        am = ActivationMaximization(
            small_network, "5", [2], GRAY, variants=4, diversity=diversity, steps=30, **EXACT
        )
        climb(am)
        assert [item.variant for item in am.results.items] == [0, 1, 2, 3]
        assert (am.results.activations > am.results.noise_activations).all()
        with torch.no_grad():
            activation = small_network.eval()[:6](am.results.images)
        likeness[diversity] = _likeness(activation)
        activations[diversity] = am.results.activations.mean()
    assert likeness[1.0] < likeness[0.0] - 0.1
    assert activations[1.0] > 0.3 * activations[0.0]


def test_deep_dream_raises_the_layer_as_a_whole(climb: Climber, small_network: nn.Module) -> None:
    picture = torch.rand(GRAY.shape, generator=torch.Generator().manual_seed(1))
    am = ActivationMaximization(
        small_network, "5", input_spec=GRAY, objective="deep_dream", init=picture, steps=30
    )
    climb(am)
    assert [item.label for item in am.results.items] == ["layer 0"]
    with torch.no_grad():
        dreamt, plain = (
            small_network.eval()[:6](image[None]).square().mean()
            for image in (am.results.images[0], picture)
        )
    assert float(am.results.activations) == pytest.approx(float(dreamt), rel=1e-4)
    assert dreamt > 2 * plain


def test_inversion_brings_the_activation_close_to_the_pictures(
    climb: Climber, small_network: nn.Module
) -> None:
    picture = torch.rand(GRAY.shape, generator=torch.Generator().manual_seed(1))
    am = ActivationMaximization(
        small_network, "3", input_spec=GRAY, objective=Inversion(picture), steps=150, **EXACT
    )
    climb(am)
    with torch.no_grad():
        own = small_network.eval()[:4](picture[None])
        distances = [
            float((small_network[:4](image[None]) - own).square().sum() / own.square().sum())
            for image in (am.results.images[0], am.results.starts[0])
        ]
    assert distances[0] < 0.01 < 0.1 < distances[1]
    assert float(am.results.activations) == pytest.approx(-distances[0], rel=1e-2)
    assert not am.results.dead.any()


def test_class_logits(climb: Climber, small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "8", input_spec=GRAY, steps=30, **EXACT)
    climb(am)
    with torch.no_grad():
        logits = small_network.eval()(am.results.images)
    torch.testing.assert_close(am.results.activations, logits.diagonal())
    assert logits.argmax(0).tolist() == [0, 1, 2]


# What images are made of.


@pytest.mark.parametrize("contrast", [None, CONTRAST])
def test_a_fixed_magnitude_is_that_of_the_pictures(
    climb: Climber, small_network: nn.Module, contrast: float | None
) -> None:
    """A fixed contrast scales the spectrum, and leaves its shape."""
    pictures = 0.1 + 0.8 * torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    am = ActivationMaximization(
        small_network,
        "5",
        [0, 3],
        GRAY,
        parametrization=FixedMagnitude(pictures),
        contrast=contrast,
        steps=20,
        **EXACT,
    )
    climb(am)

    def magnitude(images: Tensor) -> np.ndarray:
        amplitude = np.abs(np.fft.rfft2(torch.logit(images[:, 0].double()).numpy()))
        # Without the mean, which a contrast may move.
        return amplitude.reshape(len(images), -1)[:, 1:]

    wanted = magnitude(pictures).mean(0)
    for found in magnitude(am.results.images):
        gain = float(np.median(found / wanted))
        # All but three, which are real in every real image, and averaged with their sign.
        same = np.isclose(found, gain * wanted, rtol=1e-3)
        assert same.sum() >= len(wanted) - 3
        assert (gain == pytest.approx(1, rel=1e-3)) == (contrast is None)
    assert (am.results.activations > am.results.noise_activations).all()


def test_a_center_units_image_is_climbed_where_it_looks(climb: Climber) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 3, 5, stride=2))
    options = {"input_spec": GRAY.resized(72), "objective": "center", "steps": 30}
    apart, whole = (
        ActivationMaximization(network, "2", crop=crop, **options) for crop in (True, False)
    )
    climb(apart)
    climb(whole)
    for item in apart.results.items:
        assert item.box is not None
        top, left, bottom, right = item.box
        assert (bottom - top, right - left) == (9, 9)
        outside = torch.ones(72, 72, dtype=torch.bool)
        outside[top:bottom, left:right] = False
        assert (item.image[0, outside] == 0.5).all()
        assert item.seen(item.image).std() > 0.1
    with torch.no_grad():
        units = network(apart.results.images)[range(3), range(3), 17, 17]
    torch.testing.assert_close(apart.results.activations, units)
    pixels = [math.prod(am.images.spec.size) for am in (apart, whole)]
    assert pixels[0] < pixels[1] / 2, "most of the work is not done"
    assert (apart.results.activations >= 0.97 * whole.results.activations).all()


# A network that has learned something.


@pytest.mark.slow
@pytest.mark.skipif(not SQUEEZENET.is_file(), reason=f"{SQUEEZENET} is absent")
@pytest.mark.parametrize("layer", ["features.0", "features.3"])
def test_squeezenets_kernels_prefer_their_images_to_a_photograph(
    climb: Climber, layer: str
) -> None:
    """In the maximal style; natural images of a first layer drive its kernels less."""
    photograph = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    network = load_model("torchvision.models.squeezenet1_0", SQUEEZENET)
    spec = InputSpec.rgb(224)
    am = ActivationMaximization(network, layer, range(8), spec, style="maximal")
    climb(am)
    with torch.no_grad():
        pictures = torch.stack([read_picture(photograph, spec), torch.rand(spec.shape)])
        responses = nn.Sequential(*list(network.features)[: int(layer.rpartition(".")[2]) + 1])(
            spec.to_network(pictures)
        ).mean((2, 3))
    for item in am.results.items:
        (kernel,) = item.kernels
        if item.dead:
            assert not responses[:, kernel].any(), f"{item.label} can be driven"
            continue
        assert item.activation > float(responses[0, kernel]), item.label
        assert item.image.std() > 0.05, f"{item.label} is gray"
