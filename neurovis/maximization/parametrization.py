"""Images as parameters: what the optimizer moves, and how it becomes a picture in [0, 1].

Each parametrization holds a fixed number of images that share nothing, so that an image comes out
the same whatever its neighbours are. Pixels live behind a sigmoid, hence always inside (0, 1).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec

Parametrization = Literal["fourier", "pixel"]

#: From decorrelated to correlated colour: the square root of the covariance of natural colours,
#: as measured on ImageNet for Olah, Mordvintsev & Schubert (2017), "Feature Visualization".
COLOR_SQRT_COVARIANCE = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))

#: Standard deviation of the noise start before the sigmoid: visible, with room on either side.
NOISE_STD = 0.3

_DARKEST = 1e-3


class Images(nn.Module, ABC):
    """Base of the parametrizations: ``count`` images of ``spec``, each its own parameter slice.

    Subclasses say how logits are made from :attr:`values` and back.

    Args:
        count: Number of images optimized together, at least 1.
        spec: Modalities and size of the images.
    """

    values: nn.Parameter

    def __init__(self, count: int, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        self.values = nn.Parameter(torch.zeros(count, *self.value_shape(spec)))

    @abstractmethod
    def value_shape(self, spec: InputSpec) -> tuple[int, ...]:
        """Shape of one image's parameters."""

    @abstractmethod
    def logits(self) -> Tensor:
        """Images ``(count, C, H, W)`` before the sigmoid."""

    @abstractmethod
    def from_logits(self, logits: Tensor) -> Tensor:
        """Parameters of given logits; the inverse of :meth:`logits`."""

    @abstractmethod
    def noise(self, generator: torch.Generator) -> Tensor:
        """Parameters of one noise image, drawn on the CPU so that every device starts alike."""

    def forward(self) -> Tensor:
        """The images ``(count, C, H, W)`` in (0, 1), float32 also under autocast."""
        with torch.autocast(self.values.device.type, enabled=False):
            return torch.sigmoid(self.logits())

    @torch.no_grad()
    def start_from_noise(self, generators: Sequence[torch.Generator]) -> None:
        """Fill the first images with noise, one generator for each."""
        for slot, generator in enumerate(generators):
            self.values[slot] = self.noise(generator).to(self.values)

    @torch.no_grad()
    def start_from_grey(self) -> None:
        """Make every image mid grey."""
        self.values.zero_()

    @torch.no_grad()
    def start_from_image(self, image: Tensor) -> None:
        """Make every image ``image``, ``(C, H, W)`` in [0, 1]; black and white become 0.1 % grey.

        Raises:
            ValueError: If the shape is not the spec's.
        """
        if tuple(image.shape) != self.spec.shape:
            raise ValueError(
                f"the start image must have shape {self.spec.shape}; got {tuple(image.shape)}"
            )
        logits = torch.logit(image.float().cpu().clamp(_DARKEST, 1 - _DARKEST))
        self.values[:] = self.from_logits(logits[None]).to(self.values)


class PixelImages(Images):
    """Each pixel is its own parameter; nothing ties neighbours together."""

    def value_shape(self, spec: InputSpec) -> tuple[int, ...]:
        """One value per channel and pixel."""
        return spec.shape

    def logits(self) -> Tensor:
        """The parameters themselves."""
        return self.values

    def from_logits(self, logits: Tensor) -> Tensor:
        """The logits themselves."""
        return logits

    def noise(self, generator: torch.Generator) -> Tensor:
        """White noise."""
        return NOISE_STD * torch.randn(self.spec.shape, generator=generator)


class FourierImages(Images):
    """Each spatial frequency is a parameter, scaled by 1/f as natural images are.

    The optimizer then moves low frequencies as readily as high ones, which keeps preferred images
    from drowning in high-frequency noise; RGB is decorrelated besides. After Olah, Mordvintsev &
    Schubert (2017) and Mordvintsev et al. (2018), "Differentiable Image Parameterizations".
    """

    amplitude: Tensor
    color: Tensor

    def __init__(self, count: int, spec: InputSpec) -> None:
        super().__init__(count, spec)
        self.register_buffer("amplitude", _one_over_f(spec.size), persistent=False)
        self.register_buffer("color", _decorrelation(spec), persistent=False)

    def value_shape(self, spec: InputSpec) -> tuple[int, ...]:
        """Real and imaginary part per channel and non-negative horizontal frequency."""
        channels, height, width = spec.shape
        return (channels, height, width // 2 + 1, 2)

    def logits(self) -> Tensor:
        """Inverse Fourier transform, then from decorrelated to real colour."""
        spectrum = torch.view_as_complex(self.values) * self.amplitude
        planes = torch.fft.irfft2(spectrum, s=self.spec.size, norm="ortho")
        return torch.einsum("oc,bchw->bohw", self.color, planes)

    def from_logits(self, logits: Tensor) -> Tensor:
        """Fourier transform of the decorrelated planes, computed in double precision."""
        planes = torch.linalg.solve(self.color.double().cpu(), logits.double().flatten(2))
        spectrum = torch.fft.rfft2(planes.reshape(logits.shape), norm="ortho")
        return torch.view_as_real(spectrum / self.amplitude.double().cpu()).float()

    def noise(self, generator: torch.Generator) -> Tensor:
        """Noise with a 1/f amplitude spectrum, as natural images have."""
        return NOISE_STD * torch.randn(self.value_shape(self.spec), generator=generator)


PARAMETRIZATIONS: dict[Parametrization, type[Images]] = {
    "fourier": FourierImages,
    "pixel": PixelImages,
}


def _one_over_f(size: tuple[int, int]) -> Tensor:
    """Amplitudes ``(H, W // 2 + 1)`` falling with frequency; the mean of their squares is 1."""
    height, width = size
    vertical = torch.fft.fftfreq(height)[:, None]
    horizontal = torch.fft.rfftfreq(width)[None, :]
    frequency = torch.sqrt(vertical**2 + horizontal**2)
    amplitude = 1.0 / frequency.clamp(min=1.0 / max(height, width))
    scaled: Tensor = amplitude / amplitude.square().mean().sqrt()
    return scaled


def _decorrelation(spec: InputSpec) -> Tensor:
    """``(C, C)``: colour from decorrelated planes for RGB, the identity for everything else.

    Scaled so that colour planes come out with about the variance that other modalities have.
    """
    blocks = []
    for modality in spec.modalities:
        if modality.is_rgb:
            color = torch.tensor(COLOR_SQRT_COVARIANCE)
            blocks.append(color / color.norm() * math.sqrt(modality.channels))
        else:
            blocks.append(torch.eye(modality.channels))
    matrix: Tensor = torch.block_diag(*blocks)
    return matrix
