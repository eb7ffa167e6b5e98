"""ImageParameters of fixed magnitude, against numpy's full Fourier transform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.parametrizations import FixedMagnitude, ImageParameters
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.modality import Modality

SPECS = [
    InputSpec.rgb(16),
    InputSpec.rgbd((12, 9)),
    InputSpec((Modality("infrared", 2),), size=(7, 10)),
    InputSpec((Modality("gray", 1),), size=(9, 11)),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.channels}x{spec.size}")

COLOR = np.array(((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03)))


def spectrum(images: Tensor, spec: InputSpec) -> npt.NDArray[np.complex128]:
    """Full spectrum ``(B, C, H, W)`` of the decorrelated logits of images, channel by channel."""
    logits = torch.logit(images.detach().double()).numpy()
    if spec.modalities[0].is_rgb:
        matrix = np.eye(spec.channels)
        matrix[:3, :3] = COLOR / np.linalg.norm(COLOR) * np.sqrt(3)
        logits = np.einsum("oc,bchw->bohw", np.linalg.inv(matrix), logits)
    return np.fft.fft2(logits, norm="ortho")


def some_pictures(spec: InputSpec, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return 0.05 + 0.9 * torch.rand(count, *spec.shape, generator=generator)


def noise(parametrization: FixedMagnitude, spec: InputSpec, count: int = 2) -> ImageParameters:
    images = parametrization.images(count, spec)
    images.start_from_noise([image_generator(0, kernel, Stream.START) for kernel in range(count)])
    return images


@each_spec
def test_every_image_has_the_mean_magnitude_of_the_pictures(spec: InputSpec) -> None:
    pictures = some_pictures(spec, 3)
    expected = np.abs(spectrum(pictures, spec)).mean(0)
    height, width = spec.size
    # Coefficients without a phase are averaged with their sign.
    for row in {0, height // 2} if height % 2 == 0 else {0}:
        for column in {0, width // 2} if width % 2 == 0 else {0}:
            real = spectrum(pictures, spec)[:, :, row, column].real.mean(0)
            expected[:, row, column] = np.abs(real)
    found = np.abs(spectrum(noise(FixedMagnitude(pictures), spec)(), spec))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=2e-4)


@each_spec
def test_magnitude_stays_whatever_the_phases_do(spec: InputSpec) -> None:
    images = noise(FixedMagnitude(some_pictures(spec, 2)), spec)
    before = spectrum(images(), spec)
    optimizer = torch.optim.Adam(images.parameters(), lr=0.5)
    weights = torch.randn(images().shape, generator=torch.Generator().manual_seed(0))
    driven = [float((images().detach() * weights).sum())]
    for _ in range(20):
        optimizer.zero_grad()
        (-(images() * weights).sum()).backward()
        optimizer.step()
    driven.append(float((images().detach() * weights).sum()))
    after = spectrum(images(), spec)
    assert driven[1] > driven[0] + 1
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-3)
    # The mean color has no phase: it is that of the pictures, sign and all.
    np.testing.assert_allclose(after[:, :, 0, 0], before[:, :, 0, 0], atol=1e-3)


@each_spec
def test_a_picture_of_the_magnitude_comes_back_from_its_phases(spec: InputSpec) -> None:
    picture = some_pictures(spec, 1)[0]
    images = FixedMagnitude(picture[None]).images(2, spec)
    images.start_from_image(picture)
    for shown in images():
        torch.testing.assert_close(shown, picture, atol=1e-4, rtol=0)


def test_only_the_phases_of_a_start_image_are_taken() -> None:
    spec = SPECS[1]
    pictures = some_pictures(spec, 3)
    images = FixedMagnitude(pictures[:1]).images(1, spec)
    images.start_from_image(pictures[1])
    found, phases = spectrum(images(), spec)[0], spectrum(pictures[1:2], spec)[0]
    inner = (slice(None), slice(None), slice(1, 4))
    np.testing.assert_allclose(np.angle(found[inner] / phases[inner]), 0, atol=1e-3)


@pytest.mark.parametrize("size", [(32, 32), (33, 20)])
def test_without_pictures_magnitude_falls_as_one_over_f(size: tuple[int, int]) -> None:
    spec = InputSpec.rgb(size)
    found = np.abs(spectrum(noise(FixedMagnitude(), spec)(), spec))
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None, :])
    # None at the mean, nor at the highest frequency of even sides.
    empty = [(row, column) for row in {0, size[0] / 2} for column in {0, size[1] / 2}]
    for row in range(size[0]):
        for column in range(size[1]):
            if (row, column) in empty:
                assert found[:, :, row, column] == pytest.approx(0, abs=1e-3)
            else:
                scaled = found[:, :, row, column] * max(frequency[row, column], 1 / max(size))
                assert scaled == pytest.approx(found[0, 0, 1, 0] * frequency[1, 0], rel=0.01)


def test_contrast_without_pictures_is_that_of_photographs() -> None:
    spec = InputSpec.rgbd(48)
    images = noise(FixedMagnitude(), spec)().detach()
    for part in spec.split(images).values():
        contrast = part.flatten(1).std(1)
        assert ((contrast > 0.15) & (contrast < 0.25)).all()


def test_pictures_are_read_from_files_once(tmp_path: Path) -> None:
    spec = InputSpec((Modality("gray", 1),), size=(8, 8))
    values = np.random.default_rng(0).integers(20, 230, (2, 8, 8), dtype=np.uint8)
    for number, picture in enumerate(values):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    of_files = FixedMagnitude(tmp_path)
    of_tensor = FixedMagnitude(torch.from_numpy(values[:, None] / 255).float())
    torch.testing.assert_close(of_files.magnitude(spec), of_tensor.magnitude(spec))
    known = of_files.fingerprint(spec)
    (tmp_path / "1.png").unlink()
    assert torch.equal(of_files.images(1, spec)(), of_files.images(1, spec)())
    assert of_files.fingerprint(spec) == known
    # Of the same name, and yet of other pictures.
    assert FixedMagnitude(tmp_path) == of_files
    assert FixedMagnitude(tmp_path).fingerprint(spec) != known


def test_pictures_of_another_size_are_brought_to_the_images() -> None:
    spec = InputSpec.rgb(16)
    pictures = some_pictures(spec.resized(32), 1)
    smaller = torch.nn.functional.interpolate(
        pictures, size=(16, 16), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(
        FixedMagnitude(pictures).magnitude(spec), FixedMagnitude(smaller).magnitude(spec)
    )


def test_black_and_white_do_not_make_most_of_a_spectrum() -> None:
    spec = InputSpec((Modality("gray", 1),), size=(16, 16))
    picture = torch.full((1, *spec.shape), 0.5)
    picture[..., :8] = 0.0
    picture[..., 8:] = 1.0
    logits = noise(FixedMagnitude(picture), spec).logits().detach()
    assert float(logits.std()) < 4


def test_there_is_no_gray_start() -> None:
    images = FixedMagnitude().images(1, SPECS[0])
    assert not FixedMagnitude.has_gray
    with pytest.raises(ValueError, match=r"never gray.*start from noise or from a picture"):
        images.start_from_gray()


def test_equal_pictures_make_equal_parametrizations() -> None:
    pictures = some_pictures(SPECS[0], 2)
    assert FixedMagnitude(pictures) == FixedMagnitude(pictures.clone())
    assert hash(FixedMagnitude(pictures)) == hash(FixedMagnitude(pictures.clone()))
    assert FixedMagnitude(pictures) != FixedMagnitude(1 - pictures)
    assert FixedMagnitude("a") != FixedMagnitude("b")
    assert FixedMagnitude(Path("a")) == FixedMagnitude("a")


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (torch.zeros(3, 8, 8), r"\(N, C, H, W\) in \[0, 1\], .*float32 of shape \(3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), "got torch.float32"),
        (torch.zeros(1, 3, 8, 8).int(), "got torch.int32"),
        (torch.full((1, 3, 8, 8), 1.5), "got 1.5 to 1.5"),
        (torch.full((1, 3, 8, 8), torch.nan), "got nan to nan"),
        (7, "files, folders or a tensor .*got int"),
    ],
)
def test_bad_pictures_are_refused(pictures: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FixedMagnitude(pictures)


def test_pictures_of_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the 4 channels of the input; got shape \(2, 3, 12, 9\)"):
        FixedMagnitude(torch.zeros(2, 3, 12, 9)).images(1, SPECS[1])


def test_missing_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no picture"):
        FixedMagnitude(tmp_path / "none").images(1, SPECS[0])
