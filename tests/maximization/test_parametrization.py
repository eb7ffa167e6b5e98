from __future__ import annotations

import pytest
import torch

from neurovis.inputs import InputSpec, Modality
from neurovis.maximization.parametrization import FourierImages, Images, PixelImages
from neurovis.maximization.seeding import Stream, image_generator

SPECS = [
    InputSpec.rgb(24),
    InputSpec.rgbd((20, 17)),
    InputSpec((Modality("infrared", 5),), size=(9, 12)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.channels}x{spec.size}")
@pytest.mark.parametrize("parametrization", [PixelImages, FourierImages])
def test_an_image_comes_back_from_its_parameters(
    parametrization: type[Images], spec: InputSpec
) -> None:
    image = 0.05 + 0.9 * torch.rand(spec.shape, generator=torch.Generator().manual_seed(1))
    images = parametrization(2, spec)
    images.start_from_image(image)
    for shown in images():
        torch.testing.assert_close(shown, image, atol=1e-5, rtol=0)


def test_black_and_white_come_back_as_nearly_black_and_white() -> None:
    spec = InputSpec.rgb(8)
    images = PixelImages(1, spec)
    images.start_from_image(torch.zeros(spec.shape))
    assert images().max().item() == pytest.approx(1e-3, abs=1e-6)


def test_the_spectrum_is_that_of_numpy() -> None:
    spec = InputSpec((Modality("grey", 1),), size=(16, 16))
    images = FourierImages(1, spec)
    with torch.no_grad():
        images.values[0, 0, 0, 3, 0] = 2.0  # three cycles across, a cosine
    logits = images.logits()[0, 0].detach()
    position = torch.arange(16) / 16
    cosine = torch.cos(2 * torch.pi * 3 * position).expand(16, 16)
    torch.testing.assert_close(logits / logits.max(), cosine, atol=1e-5, rtol=0)


def test_noise_falls_with_frequency_as_one_over_f() -> None:
    spec = InputSpec((Modality("grey", 1),), size=(128, 128))
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
