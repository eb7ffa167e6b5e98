from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from neurovis.inputs import InputSpec
from neurovis.maximization.parametrizations import (
    FixedMagnitude,
    Fourier,
    FourierImages,
    ImageParameters,
    Parametrization,
    Pixel,
    PixelImages,
    as_parametrization,
)
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.modality import Modality

SPECS = [
    InputSpec.rgb(24),
    InputSpec.rgbd((20, 17)),
    InputSpec((Modality("infrared", 5),), size=(9, 12)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.channels}x{spec.size}")
@pytest.mark.parametrize("parametrization", [PixelImages, FourierImages])
def test_an_image_comes_back_from_its_parameters(
    parametrization: type[ImageParameters], spec: InputSpec
) -> None:
    image = 0.05 + 0.9 * torch.rand(spec.shape, generator=torch.Generator().manual_seed(1))
    images = parametrization(2, spec)
    images.start_from_image(image)
    for shown in images():
        torch.testing.assert_close(shown, image, atol=1e-5, rtol=0)


class TestFourierOfAContrast:
    """Each modality has mean 0, and a standard deviation that saturates."""

    @pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.channels}x{spec.size}")
    def test_modalities_have_it_whatever_the_values(self, spec: InputSpec) -> None:
        images = Fourier(decay=2, contrast=0.8).images(2, spec)
        for factor in (1.0, 1000.0):
            with torch.no_grad():
                images.values.copy_(factor * torch.randn(images.values.shape))
            for part in images.logits().detach().split([m.channels for m in spec.modalities], 1):
                assert part.mean((1, 2, 3)).abs().max() < 1e-5
                stds = part.std((1, 2, 3), correction=0)
                assert stds.min() > 0.7 or factor == 1
                assert stds.max() <= 0.8 + 1e-5

    def test_little_contrast_stays_little_and_gray_has_a_gradient(self) -> None:
        images = Fourier(contrast=1).images(1, SPECS[0])
        images.start_from_gray()
        assert images().detach().std() == 0
        (gradient,) = torch.autograd.grad(images()[0, 0, 3, 3], images.values)
        assert gradient.isfinite().all()
        assert gradient.any()

    def test_an_image_of_less_contrast_comes_back(self) -> None:
        logits = torch.randn(SPECS[0].shape, generator=torch.Generator().manual_seed(1))
        logits = 0.5 * (logits - logits.mean()) / logits.std()
        images = Fourier(contrast=0.8).images(1, SPECS[0])
        images.start_from_image(torch.sigmoid(logits))
        torch.testing.assert_close(images()[0], torch.sigmoid(logits), atol=1e-4, rtol=0)

    def test_no_contrast_is_refused(self) -> None:
        with pytest.raises(ValueError, match="contrast must be a positive number; got 0"):
            Fourier(contrast=0)


def test_black_and_white_come_back_as_nearly_black_and_white() -> None:
    spec = InputSpec.rgb(8)
    images = PixelImages(1, spec)
    images.start_from_image(torch.zeros(spec.shape))
    assert images().max().item() == pytest.approx(1e-3, abs=1e-6)


def test_the_spectrum_is_that_of_numpy() -> None:
    spec = InputSpec((Modality("gray", 1),), size=(16, 16))
    images = FourierImages(1, spec)
    with torch.no_grad():
        images.values[0, 0, 0, 3, 0] = 2.0  # three cycles across, a cosine
    logits = images.logits()[0, 0].detach()
    position = torch.arange(16) / 16
    cosine = torch.cos(2 * torch.pi * 3 * position).expand(16, 16)
    torch.testing.assert_close(logits / logits.max(), cosine, atol=1e-5, rtol=0)


def test_noise_falls_with_frequency_as_one_over_f() -> None:
    spec = InputSpec((Modality("gray", 1),), size=(128, 128))
    images = FourierImages(16, spec)
    images.start_from_noise([image_generator(0, kernel, Stream.START) for kernel in range(16)])
    power = torch.fft.rfft2(images.logits().detach()).abs().square().mean((0, 1))[0]
    low, high = power[2:6].mean(), power[32:64].mean()
    expected = (
        torch.tensor([1 / f**2 for f in range(2, 6)]).mean()
        / torch.tensor([1 / f**2 for f in range(32, 64)]).mean()
    )
    assert low / high == pytest.approx(float(expected), rel=0.5)


def test_images_share_nothing() -> None:
    images = FourierImages(3, InputSpec.rgb(16))
    images()[1].sum().backward()
    assert images.values.grad is not None
    touched = images.values.grad.abs().flatten(1).sum(1) > 0
    assert touched.tolist() == [False, True, False]


def test_noise_depends_on_seed_and_kernel_alone() -> None:
    spec = InputSpec.rgb(16)
    alone, among = FourierImages(1, spec), FourierImages(3, spec)
    alone.start_from_noise([image_generator(7, 42, Stream.START)])
    among.start_from_noise([image_generator(7, kernel, Stream.START) for kernel in (3, 42, 5)])
    assert torch.equal(alone.values[0], among.values[1])
    assert not torch.equal(among.values[0], among.values[1])


def test_images_stay_float32_under_autocast() -> None:
    images = FourierImages(1, InputSpec.rgb(16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert images().dtype == torch.float32


def test_a_start_image_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 8, 8\); got \(3, 9, 8\)"):
        PixelImages(1, InputSpec.rgb(8)).start_from_image(torch.zeros(3, 9, 8))


@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_frequencies_are_scaled_by_their_decay(decay: float) -> None:
    spec = InputSpec((Modality("gray", 1),), size=(16, 12))
    images = Fourier(decay=decay).images(1, spec)
    with torch.no_grad():
        images.values[..., 0] = 1.0
    amplitude = np.abs(np.fft.rfft2(images.logits()[0, 0].detach().double().numpy()))
    for row, column in ((0, 3), (5, 2), (3, 0)):
        frequency = np.hypot(row / 16, column / 12)
        expected = (frequency / (1 / 16)) ** -decay
        assert amplitude[row, column] / amplitude[1, 0] == pytest.approx(expected, rel=1e-4)


def test_colors_may_stay_as_they_are() -> None:
    spec = InputSpec.rgb(8)
    images = Fourier(decorrelate=False).images(1, spec)
    with torch.no_grad():
        images.values[0, 1] = 1.0
    logits = images.logits()[0].detach()
    assert not logits[[0, 2]].any()
    assert logits[1].any()
    with torch.no_grad():
        correlated = Fourier().images(1, spec)
        correlated.values[0, 1] = 1.0
        assert correlated.logits()[0, [0, 2]].any()


def test_default_images_are_what_they_were() -> None:
    """A literal copy of the formula with which the first images of the project were made."""
    spec = InputSpec.rgbd((10, 7))
    vertical, horizontal = torch.fft.fftfreq(10)[:, None], torch.fft.rfftfreq(7)[None, :]
    amplitude = 1.0 / torch.sqrt(vertical**2 + horizontal**2).clamp(min=1.0 / 10)
    amplitude = amplitude / amplitude.square().mean().sqrt()
    color = torch.tensor(((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03)))
    color = torch.block_diag(color / color.norm() * 3**0.5, torch.eye(1))
    values = 0.3 * torch.randn(4, 10, 4, 2, generator=image_generator(3, 5, Stream.START))
    planes = torch.fft.irfft2(
        torch.view_as_complex(values[None]) * amplitude, s=(10, 7), norm="ortho"
    )
    expected = torch.sigmoid(torch.einsum("oc,bchw->bohw", color, planes))
    images = as_parametrization("fourier").images(1, spec)
    images.start_from_noise([image_generator(3, 5, Stream.START)])
    assert torch.equal(images(), expected)
    pixels = as_parametrization("pixel").images(1, spec)
    pixels.start_from_noise([image_generator(3, 5, Stream.START)])
    white = 0.3 * torch.randn(4, 10, 7, generator=image_generator(3, 5, Stream.START))
    assert torch.equal(pixels()[0], torch.sigmoid(white))


class TestByName:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [("fourier", Fourier()), ("pixel", Pixel()), ("fixed_magnitude", FixedMagnitude())],
    )
    def test_names_stand_for_defaults(self, name: str, expected: Parametrization) -> None:
        assert as_parametrization(name) == expected  # type: ignore[arg-type]

    def test_an_object_is_itself(self) -> None:
        parametrization = Fourier(decay=1.5)
        assert as_parametrization(parametrization) is parametrization

    @pytest.mark.parametrize("value", ["wavelet", 3, None])
    def test_anything_else_is_refused(self, value: object) -> None:
        with pytest.raises(ValueError, match=rf'"fixed_magnitude" or .*got {value!r}'):
            as_parametrization(value)  # type: ignore[arg-type]

    @pytest.mark.parametrize("decay", [-1, float("nan"), True, "1"])
    def test_a_decay_out_of_range_is_refused(self, decay: float) -> None:
        with pytest.raises(ValueError, match="decay must be a number of at least 0; got"):
            Fourier(decay=decay)


@pytest.mark.parametrize(
    "parametrization", [Pixel(), Fourier(1.5, False), FixedMagnitude()], ids=lambda p: repr(p)
)
def test_parametrizations_survive_pickling(parametrization: Parametrization) -> None:
    spec = InputSpec.rgbd(12)
    copy = pickle.loads(pickle.dumps(parametrization))
    assert copy == parametrization
    pictures = []
    for one in (parametrization, copy):
        images = one.images(1, spec)
        images.start_from_noise([image_generator(0, 0, Stream.START)])
        pictures.append(images())
    assert torch.equal(*pictures)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--parametrization=Pixel"], Pixel()),
        (["--parametrization=Fourier", "--parametrization.decay=1.5"], Fourier(1.5)),
        (
            ["--parametrization=FixedMagnitude", "--parametrization.pictures=a_folder"],
            FixedMagnitude("a_folder"),
        ),
        (
            [
                '--parametrization={"class_path": "FixedMagnitude", "init_args": '
                '{"pictures": ["a.png", "b.png"]}}'
            ],
            FixedMagnitude(["a.png", "b.png"]),
        ),
        (["--parametrization=FixedMagnitude"], FixedMagnitude()),
    ],
)
def test_parametrizations_are_chosen_by_options(
    arguments: list[str], expected: Parametrization
) -> None:
    parser = ArgumentParser()
    parser.add_argument("--parametrization", type=Parametrization)
    chosen = parser.instantiate(parser.parse_args(arguments)).parametrization
    assert chosen == expected
