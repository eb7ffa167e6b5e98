"""Styles: named defaults, which options that are given override."""

from __future__ import annotations

import pytest
import torch
from climbing import GRAY, Climber
from torch import nn

from neurovis.inputs import IMAGENET_MEAN, InputSpec
from neurovis.maximization import ActivationMaximization, AscentSettings
from neurovis.maximization.ascent import AscentStep, Views, ascent_losses
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives import Max, Mean, Target, TargetBatch
from neurovis.maximization.parametrizations import Fourier, Pixel
from neurovis.maximization.regularizers import variation_across
from neurovis.maximization.transforms import Affine, Pad, apply_transforms, draw_transforms
from neurovis.modality import Modality


def views(size: int = 224, **options: object) -> Affine:
    *_, affine = AscentSettings(**options).views(InputSpec.rgb(size))  # type: ignore[arg-type]
    assert isinstance(affine, Affine)
    return affine


def test_natural_is_the_default() -> None:
    assert AscentSettings() == AscentSettings(style="natural")
    assert AscentSettings().resolved_parametrization == Fourier(decay=2, contrast=1)
    assert AscentSettings().most_steps == 128
    assert views() == Affine(jitter=32, scale=(0.5, 1.5), rotate=15, border=IMAGENET_MEAN)


def test_maximal_is_what_reaches_the_highest_activation() -> None:
    """The settings of before there were styles."""
    settings = AscentSettings(style="maximal")
    assert settings.resolved_parametrization == Fourier()
    assert settings.learning_rate == 0.2
    assert (settings.most_steps, settings.steps_without_improvement) == (256, 32)
    assert settings.views(InputSpec.rgb(224), border=True) == [
        Pad(12),
        Affine(jitter=8, scale=(0.95, 1.05), rotate=5, border="gray"),
    ]


@pytest.mark.parametrize("style", ["natural", "maximal"])
def test_options_that_are_given_override_a_style(style: str) -> None:
    given = {"jitter": 3, "scale": (0.9, 1.2), "rotate": 0}
    border = IMAGENET_MEAN if style == "natural" else "gray"
    assert views(style=style, **given) == Affine(3, (0.9, 1.2), 0, border)
    settings = AscentSettings(style=style, parametrization="pixel", patience=None)  # type: ignore[arg-type]
    assert settings.resolved_parametrization == Pixel()
    assert settings.steps_without_improvement is None


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec.rgb(112),
        InputSpec.rgbd(112, depth_range=(0.3, 2.3), depth_mean=0.8),
        InputSpec(Modality("flow", 2, range=(-1, 1), mean=(0.2,), std=(0.5,)), (80, 112)),
    ],
)
def test_a_network_sees_zeros_beyond_natural_images(spec: InputSpec) -> None:
    transforms = AscentSettings(seed=3).views(spec, border=True)
    assert [type(one) for one in transforms] == [Pad, Affine]
    drawn = draw_transforms(transforms, spec.size, 3, [(0, 0)], steps=20)
    white = torch.ones(20, *spec.shape)
    seen = spec.to_network(apply_transforms(white, transforms, [own[:, 0] for own in drawn]))
    inside = spec.to_network(white)[:, :, :1, :1].expand_as(seen)
    is_inside = (seen - inside).abs() < 1e-5
    is_beyond = seen.abs() < 1e-5
    for share in (is_inside.float().mean(), is_beyond.float().mean()):
        assert 0.2 < share < 0.8
    # Where they meet, pixels are interpolated.
    assert (is_inside | is_beyond).float().mean() > 0.9


def test_natural_images_without_a_known_mean_lie_on_gray() -> None:
    spec = InputSpec(Modality("thermal", 1), (64, 64))
    (affine,) = AscentSettings().views(spec)
    assert isinstance(affine, Affine)
    assert affine.border == (0.5,)


def test_natural_views_shift_in_proportion_to_the_image() -> None:
    assert views(64).jitter == pytest.approx(64 / 7)
    assert views(16).jitter == pytest.approx(16 / 7)


@pytest.mark.parametrize(
    "asked",
    [{"objective": "center"}, {"tv": 1.0}, {"regularizers": [torch.sum]}, {"init": "zero"}],
    ids=lambda asked: next(iter(asked)),
)
def test_what_natural_images_would_contradict_is_maximal(asked: dict[str, object]) -> None:
    assert views(**asked) == views(style="maximal")
    settings = AscentSettings(**asked)  # type: ignore[arg-type]
    assert settings.resolved_parametrization == Fourier()
    assert settings.steps_without_improvement == 32


def test_sums_of_means_are_natural_and_others_are_not() -> None:
    natural, maximal = views(), views(style="maximal")
    assert natural != maximal
    assert views(objective=2 * Mean() - 1) == views(objective=Mean() + Mean()) == natural
    assert views(objective=Mean() - 0.5 * Max()) == maximal


def test_smoothness_is_a_part_of_what_is_reached() -> None:
    """Costs of a ramp are the part that a line once across costs, in layers of any scale."""
    spec = InputSpec.rgb(8)
    ramp = torch.linspace(0, 1, 8).expand(1, 3, 8, 8).clone().requires_grad_(True)
    for scale in (1.0, 1000.0):
        network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(2)).requires_grad_(False)
        network[0].weight.mul_(scale)
        network[0].bias.zero_()
        response = LayerResponse(network, "0", spec)
        targets = TargetBatch([Target((1,))], torch.device("cpu"))

        def step(smoothness: float) -> AscentStep:
            settings = AscentSettings(smoothness=smoothness)
            return ascent_losses(ramp, Views([], []), response, targets, Mean(), settings)  # noqa: B023

        plain, smooth = step(0), step(0.25)
        assert torch.equal(plain.gains, smooth.gains)
        reached = plain.gains.abs().item()
        # 8 pixels have 7 differences.
        expected = plain.losses.item() + 0.25 * reached * 8 / 7
        assert smooth.losses.item() == pytest.approx(expected, rel=1e-5)
        (gradient,) = torch.autograd.grad(smooth.losses.sum() - plain.losses.sum(), ramp)
        (of_variation,) = torch.autograd.grad(variation_across(ramp).sum(), ramp)
        torch.testing.assert_close(gradient, 0.25 * reached * of_variation, atol=0, rtol=1e-3)


def test_smoothness_is_the_style_s_or_as_given() -> None:
    assert AscentSettings().relative_smoothness > 0
    assert AscentSettings(style="maximal").relative_smoothness == 0
    assert AscentSettings(smoothness=0).relative_smoothness == 0
    with pytest.raises(ValueError, match="smoothness"):
        AscentSettings(smoothness=-1)


def test_a_style_that_there_is_not() -> None:
    with pytest.raises(ValueError, match='style must be "natural" or "maximal"; got \'nice\''):
        AscentSettings(style="nice")  # type: ignore[arg-type]


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize(
    ("spec", "channels"), [(GRAY, 1), (InputSpec.rgb(16), 3), (InputSpec.rgbd(16), 4)]
)
def test_natural_images_are_in_range_and_the_same_each_time(
    climb: Climber, spec: InputSpec, channels: int
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(channels, 4, 5), nn.ReLU())

    def images() -> torch.Tensor:
        am = ActivationMaximization(network, "1", "all", spec, steps=12)
        climb(am)
        assert (am.results.activations > am.results.noise_activations).all()
        return am.results.images

    first = images()
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.std() > 0.05
    assert torch.equal(images(), first)
