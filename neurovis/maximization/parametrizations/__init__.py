"""Images as parameters: what the optimizer moves, and how it becomes a picture in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from neurovis.maximization.parametrizations.fixed_magnitude import (
    FixedMagnitude,
    FixedMagnitudeImages,
)
from neurovis.maximization.parametrizations.fourier import Fourier, FourierImages
from neurovis.maximization.parametrizations.images import ImageParameters, Parametrization
from neurovis.maximization.parametrizations.pixel import Pixel, PixelImages

ParametrizationName = Literal["fourier", "pixel", "fixed_magnitude"]

#: Parametrizations with their defaults, by the names that options give them.
PARAMETRIZATIONS: dict[ParametrizationName, Callable[[], Parametrization]] = {
    "fourier": Fourier,
    "pixel": Pixel,
    "fixed_magnitude": FixedMagnitude,
}


def as_parametrization(value: ParametrizationName | Parametrization) -> Parametrization:
    """The parametrization of a name, or the one that is given.

    Raises:
        ValueError: If there is none of this name.

    Example:
        >>> as_parametrization("fourier")
        Fourier(decay=1.0, decorrelate=True, contrast=None)
    """
    if isinstance(value, Parametrization):
        return value
    if not isinstance(value, str) or value not in PARAMETRIZATIONS:
        names = ", ".join(f'"{name}"' for name in PARAMETRIZATIONS)
        raise ValueError(f"parametrization must be {names} or a Parametrization; got {value!r}")
    return PARAMETRIZATIONS[value]()


__all__ = [
    "PARAMETRIZATIONS",
    "FixedMagnitude",
    "FixedMagnitudeImages",
    "Fourier",
    "FourierImages",
    "ImageParameters",
    "Parametrization",
    "ParametrizationName",
    "Pixel",
    "PixelImages",
    "as_parametrization",
]
