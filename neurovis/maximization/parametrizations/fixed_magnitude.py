"""Phases as parameters: images whose amplitude spectrum is that of natural pictures, and stays so.

An ascent that may raise any frequency drifts into patterns that no picture has; with the spectrum
given, it can only arrange. After Fel et al. (2023), "Unlocking Feature Visualization for Deeper
Networks with MAgnitude Constrained Optimization" (MaCo).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.fingerprints import tensor_fingerprint
from neurovis.maximization.option_checks import check_number, check_picture
from neurovis.maximization.parametrizations.fourier import (
    decorrelated_spectrum,
    decorrelation,
    one_over_f,
)
from neurovis.maximization.parametrizations.images import ImageParameters, Parametrization
from neurovis.pictures import find_pictures, read_picture, stretched

#: Files or folders of pictures, or pictures ``(N, C, H, W)`` in [0, 1].
Pictures = str | Path | Sequence[str | Path] | Mapping[str, str | Path] | Tensor

#: Standard deviation before the sigmoid of an image with a 1/f spectrum: a contrast of about 0.2 in
#: [0, 1], as photographs have.
_STD = 1.0
#: What is darker (or as near to white) counts as this. Logits of full black and white are so large
#: that a few such pixels would make most of a picture's spectrum.
_DARKEST_OF_SPECTRUM = 0.02


class FixedMagnitudeImages(ImageParameters):
    """The phase of each spatial frequency is a parameter; amplitudes are given.

    Amplitudes are of the decorrelated planes before the sigmoid. Coefficients that are real (the
    mean, and the highest frequency of sides of even length) have no phase, and stay as they are.

    Args:
        count: Number of images optimized together, at least 1.
        spec: Modalities and size of the images.
        magnitude: ``(C, H, W // 2 + 1)``, orthonormal; real coefficients have their sign.

    Attributes:
        color: ``(C, C)`` from decorrelated planes to channels.
    """

    magnitude: Tensor
    color: Tensor

    def __init__(self, count: int, spec: InputSpec, magnitude: Tensor) -> None:
        super().__init__(count, spec)
        self.register_buffer("magnitude", magnitude, persistent=False)
        self.register_buffer("color", decorrelation(spec), persistent=False)

    def value_shape(self, spec: InputSpec) -> tuple[int, ...]:
        """A phase per channel and non-negative horizontal frequency, in radians."""
        channels, height, width = spec.shape
        return (channels, height, width // 2 + 1)

    def logits(self) -> Tensor:
        """Inverse Fourier transform, then from decorrelated to real color."""
        phases = _of_a_real_image(self.values, self.spec.size)
        spectrum = torch.polar(self.magnitude.to(phases.dtype).expand_as(phases), phases)
        planes = torch.fft.irfft2(spectrum, s=self.spec.size, norm="ortho")
        return torch.einsum("oc,bchw->bohw", self.color.to(planes.dtype), planes)

    def from_logits(self, logits: Tensor) -> Tensor:
        """The phases of the decorrelated planes; their amplitudes are lost."""
        return decorrelated_spectrum(logits, self.color).angle().float()

    def noise(self, generator: torch.Generator) -> Tensor:
        """Any phase with the same probability."""
        uniform = torch.rand(self.value_shape(self.spec), generator=generator)
        return math.pi * (2 * uniform - 1)

    def start_from_gray(self) -> None:
        """There is no such start.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "images of fixed magnitude are never gray, and cannot start from it; start from noise "
            "or from a picture, whose phases are taken"
        )


@dataclass(frozen=True, eq=False, repr=False)
class FixedMagnitude(Parametrization):
    """The amplitude spectrum is fixed, phases are optimized: see :class:`FixedMagnitudeImages`.

    After MaCo, Fel et al. (2023).

    Args:
        pictures: Where the spectrum is from: files or folders of pictures, as
            :func:`~neurovis.pictures.find_pictures` takes them, or pictures ``(N, C, H, W)`` in
            [0, 1]; of any size, they are stretched to the images'. Amplitudes are averaged over
            pictures, and the mean color is theirs. None: a spectrum that falls as
            ``1 / f ** decay`` about mid gray, the same in all channels, with a contrast of about
            0.2.
        decay: The exponent: 1 is what natural images have, more makes smoother images with larger
            things in them. At least 0; without effect where there are pictures.

    Raises:
        ValueError: If pictures are not as described, or ``decay`` is negative or not finite.
    """

    #: Radians.
    lr = 0.2
    has_gray = False

    @property
    def is_free(self) -> bool:
        """True unless the spectrum is that of pictures: what it is then promised to be."""
        return self.pictures is None

    pictures: Pictures | None = None
    decay: float = 1.0
    _magnitudes: dict[InputSpec, Tensor] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        check_number("decay", self.decay)
        pictures = self.pictures
        if isinstance(pictures, Tensor):
            check_picture("pictures", pictures, "(N, C, H, W)")
        elif not (pictures is None or isinstance(pictures, (str, Path, Sequence, Mapping))):
            raise ValueError(
                "pictures must be files, folders or a tensor (N, C, H, W) in [0, 1]; got "
                f"{type(pictures).__name__}"
            )

    def images(self, count: int, spec: InputSpec) -> ImageParameters:
        """``count`` images of ``spec``, on the CPU; pictures are read at the first call for a spec.

        Raises:
            ValueError: If a picture does not have the spec's channels, or none is found.
            FileNotFoundError: If there is no such file or folder.
        """
        return FixedMagnitudeImages(count, spec, self.magnitude(spec))

    def magnitude(self, spec: InputSpec) -> Tensor:
        """Orthonormal amplitudes ``(C, H, W // 2 + 1)`` of decorrelated planes before the sigmoid.

        Real coefficients have their sign.
        """
        if spec not in self._magnitudes:
            self._magnitudes[spec] = (
                _natural_magnitude(spec, self.decay)
                if self.pictures is None
                else _mean_magnitude(self._read(self.pictures, spec), spec)
            )
        return self._magnitudes[spec]

    def fingerprint(self, spec: InputSpec) -> str:
        """Also says what was found in the files."""
        return f"{self!r} {tensor_fingerprint(self.magnitude(spec))}"

    def _read(self, pictures: Pictures, spec: InputSpec) -> Iterator[Tensor]:
        """Pictures ``(C, H, W)`` in [0, 1] of the spec's size, one after the other."""
        if not isinstance(pictures, Tensor):
            for found in find_pictures(pictures, spec):
                yield read_picture(found, spec)
            return
        if pictures.shape[1] != spec.channels:
            raise ValueError(
                f"pictures must have the {spec.channels} channels of the input; got shape "
                f"{tuple(pictures.shape)}"
            )
        for picture in pictures.detach().cpu().float():
            yield stretched(picture, spec)

    def __repr__(self) -> str:
        pictures = self.pictures
        if isinstance(pictures, Tensor):
            said = tensor_fingerprint(pictures)
        else:
            said = repr(_plain(pictures))
        return f"FixedMagnitude(pictures={said}, decay={self.decay})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FixedMagnitude) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


def _plain(paths: object) -> Any:
    """Paths as strings, however they were given."""
    if isinstance(paths, Path):
        return str(paths)
    if isinstance(paths, Mapping):
        return {name: str(path) for name, path in paths.items()}
    if isinstance(paths, Sequence) and not isinstance(paths, str):
        return [str(path) for path in paths]
    return paths


def _natural_magnitude(spec: InputSpec, decay: float) -> Tensor:
    """The falling spectrum ``(C, H, W // 2 + 1)``; real coefficients are 0."""
    amplitude = one_over_f(spec.size, decay) * ~_is_real(spec.size)
    # Frequencies between the first and the last column stand for two of the full spectrum.
    twice = torch.full((spec.size[1] // 2 + 1,), 2.0)
    twice[_own_columns(spec.size[1])] = 1.0
    power = (amplitude.square() * twice).sum() / math.prod(spec.size)
    scaled = _STD * amplitude / power.sqrt().clamp(min=1e-12)
    return scaled.expand(spec.channels, -1, -1).contiguous()


def _mean_magnitude(pictures: Iterator[Tensor], spec: InputSpec) -> Tensor:
    """Mean amplitudes of pictures ``(C, H, W)``, with the sign of real coefficients kept."""
    color, real = decorrelation(spec), _is_real(spec.size)
    total, count = torch.zeros(spec.channels, *real.shape, dtype=torch.float64), 0
    for picture in pictures:
        logits = torch.logit(picture.double().clamp(_DARKEST_OF_SPECTRUM, 1 - _DARKEST_OF_SPECTRUM))
        (spectrum,) = decorrelated_spectrum(logits[None], color)
        total += torch.where(real, spectrum.real, spectrum.abs())
        count += 1
    return (total / count).float()


def _own_columns(width: int) -> list[int]:
    """Columns of the half spectrum that hold both a frequency and its mirror image."""
    return [0] if width % 2 else [0, width // 2]


def _is_real(size: tuple[int, int]) -> Tensor:
    """Return True for coefficients ``(H, W // 2 + 1)`` that are real in every real image."""
    height, width = size
    real = torch.zeros(height, width // 2 + 1, dtype=torch.bool)
    rows = [0] if height % 2 else [0, height // 2]
    for column in _own_columns(width):
        real[rows, column] = True
    return real


def _of_a_real_image(phases: Tensor, size: tuple[int, int]) -> Tensor:
    """Phases ``(B, C, H, W // 2 + 1)`` that a real image has.

    In the first column (and the last, if the width is even) the lower half mirrors the upper one;
    without this, the inverse transform would average the two, and change their amplitude.
    """
    height, width = size
    first = _mirrored(phases[..., :1], height)
    if width % 2:
        return torch.cat([first, phases[..., 1:]], dim=-1)
    return torch.cat([first, phases[..., 1:-1], _mirrored(phases[..., -1:], height)], dim=-1)


def _mirrored(column: Tensor, height: int) -> Tensor:
    own = column[..., 1 : (height + 1) // 2, :]
    zero = torch.zeros_like(column[..., :1, :])
    middle = [] if height % 2 else [zero]
    return torch.cat([zero, own, *middle, -own.flip(-2)], dim=-2)
