"""Spatial frequencies as parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neurovis.inputs import InputSpec
from neurovis.maximization.option_checks import check_number, check_positive
from neurovis.maximization.parametrizations.images import (
    NOISE_STD,
    ImageParameters,
    Parametrization,
)

#: From decorrelated to correlated color: the square root of the covariance of natural colors,
#: as measured on ImageNet for Olah, Mordvintsev & Schubert (2017), "Feature Visualization".
COLOR_SQRT_COVARIANCE = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
#: Standard deviation of logits that come out with the largest contrast divided by the square root
#: of 2. Far less than ascents reach: images start with little contrast, and soon have all of it.
_HALF_CONTRAST = 0.05


class FourierImages(ImageParameters):
    """Each spatial frequency is a parameter, scaled by 1/f as natural images are.

    The optimizer then moves low frequencies as readily as high ones, which keeps preferred images
    from drowning in high-frequency noise; RGB is decorrelated besides. After Olah, Mordvintsev &
    Schubert (2017) and Mordvintsev et al. (2018), "Differentiable Image Parameterizations".

    Args:
        count: Number of images optimized together, at least 1.
        spec: Modalities and size of the images.
        decay: The exponent of f.
        decorrelate: Whether RGB is decorrelated.
        contrast: What the standard deviation of each modality's logits, whose mean is 0, comes
            near and does not exceed; None: logits are as they come.

    Attributes:
        amplitude: ``(H, W // 2 + 1)``, what each spatial frequency is scaled by.
        color: ``(C, C)`` from decorrelated planes to channels.
    """

    amplitude: Tensor
    color: Tensor

    def __init__(
        self,
        count: int,
        spec: InputSpec,
        decay: float = 1.0,
        decorrelate: bool = True,
        contrast: float | None = None,
    ) -> None:
        super().__init__(count, spec)
        self.contrast = contrast
        color = decorrelation(spec) if decorrelate else torch.eye(spec.channels)
        self.register_buffer("amplitude", one_over_f(spec.size, decay), persistent=False)
        self.register_buffer("color", color, persistent=False)

    def value_shape(self, spec: InputSpec) -> tuple[int, ...]:
        """Real and imaginary part per channel and non-negative horizontal frequency."""
        channels, height, width = spec.shape
        return (channels, height, width // 2 + 1, 2)

    def logits(self) -> Tensor:
        """Inverse Fourier transform, then from decorrelated to real color."""
        spectrum = torch.view_as_complex(self.values) * self.amplitude
        planes = torch.fft.irfft2(spectrum, s=self.spec.size, norm="ortho")
        logits = torch.einsum("oc,bchw->bohw", self.color, planes)
        if self.contrast is None:
            return logits
        parts = [
            functional.layer_norm(part, part.shape[1:], eps=_HALF_CONTRAST**2)
            for part in self._modalities(logits)
        ]
        return self.contrast * (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))

    def from_logits(self, logits: Tensor) -> Tensor:
        """Fourier transform of the decorrelated planes, computed in double precision.

        Where there is a largest contrast, mean and excessive contrast are lost.
        """
        if self.contrast is not None:
            parts = []
            for part in self._modalities(logits):
                centered = part - part.mean((1, 2, 3), keepdim=True)
                variance = centered.square().mean((1, 2, 3), keepdim=True)
                room = (self.contrast**2 - variance).clamp(min=(0.1 * self.contrast) ** 2)
                parts.append(centered * _HALF_CONTRAST / room.sqrt())
            logits = torch.cat(parts, dim=1)
        spectrum = decorrelated_spectrum(logits, self.color)
        return torch.view_as_real(spectrum / self.amplitude.cpu().double()).float()

    def noise(self, generator: torch.Generator) -> Tensor:
        """Noise with a 1/f amplitude spectrum, as natural images have."""
        return NOISE_STD * torch.randn(self.value_shape(self.spec), generator=generator)

    def _modalities(self, logits: Tensor) -> tuple[Tensor, ...]:
        parts: tuple[Tensor, ...] = logits.split([m.channels for m in self.spec.modalities], dim=1)
        return parts


@dataclass(frozen=True)
class Fourier(Parametrization):
    """Each spatial frequency is a parameter: see :class:`FourierImages`.

    After Mordvintsev et al. (2018).

    Args:
        decay: Spatial frequencies f are scaled by ``1 / f ** decay``: 1 is what natural images
            have, 0 makes all alike, more than 1 makes smoother images. At least 0.
        decorrelate: Whether RGB is made of decorrelated colors.
        contrast: Largest standard deviation of each modality before the sigmoid, about mid gray: 1
            is a contrast of about 0.2 in [0, 1], as photographs have. A positive number; None:
            mean and contrast are free.

    Raises:
        ValueError: If ``decay`` is negative or not finite, or ``contrast`` is not positive.
    """

    #: Four times what Lucid uses for the same parametrization: images are as good in fewer steps.
    lr = 0.2
    is_free = True

    decay: float = 1.0
    decorrelate: bool = True
    contrast: float | None = None

    def __post_init__(self) -> None:
        check_number("decay", self.decay)
        if self.contrast is not None:
            check_positive("contrast", self.contrast)

    def images(self, count: int, spec: InputSpec) -> ImageParameters:
        """``count`` images of ``spec``, on the CPU."""
        return FourierImages(count, spec, self.decay, self.decorrelate, self.contrast)


def one_over_f(size: tuple[int, int], decay: float = 1.0) -> Tensor:
    """Amplitudes ``(H, W // 2 + 1)`` falling with frequency; the mean of their squares is 1.

    The frequency 0 has the amplitude of the lowest other one.
    """
    height, width = size
    vertical = torch.fft.fftfreq(height)[:, None]
    horizontal = torch.fft.rfftfreq(width)[None, :]
    frequency = torch.sqrt(vertical**2 + horizontal**2)
    amplitude = 1.0 / frequency.clamp(min=1.0 / max(height, width)) ** decay
    scaled: Tensor = amplitude / amplitude.square().mean().sqrt()
    return scaled


def decorrelation(spec: InputSpec) -> Tensor:
    """``(C, C)``: color from decorrelated planes for RGB, the identity for everything else.

    Scaled so that color planes come out with about the variance that other modalities have.
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


def decorrelated_spectrum(logits: Tensor, color: Tensor) -> Tensor:
    """Orthonormal half spectrum of the decorrelated planes, in double precision on the CPU.

    Args:
        logits: ``(B, C, H, W)``.
        color: ``(C, C)``, from decorrelated to real planes.

    Returns:
        Complex ``(B, C, H, W // 2 + 1)``.
    """
    planes = torch.linalg.solve(color.cpu().double(), logits.cpu().double().flatten(2))
    spectrum: Tensor = torch.fft.rfft2(planes.reshape(logits.shape), norm="ortho")
    return spectrum
