"""Styles of preferred images: named defaults of settings that are not given.

An image that may be anything reaches the highest activation, by patterns that only the network that
it was made for responds to. ``natural`` gives up some of that activation for images that other
networks, and people, recognize; ``maximal`` is for what activations are measured for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurovis.maximization.parametrizations import Fourier, Parametrization

StyleName = Literal["natural", "maximal"]


@dataclass(frozen=True)
class Style:
    """Defaults that images of one style share.

    Attributes:
        parametrization: What images are made of.
        jitter: Largest shift of views, as a part of the image's shorter side.
        scale: Smallest and largest magnification of views.
        rotate: Largest rotation of views in degrees.
        steps: Most steps for each image.
        patience: Steps without improvement after which an image is done: the more views vary, the
            longer it takes to tell.
        smoothness: The part of what is maximized that a line across the image costs whose pixels
            go once from black to white.
        gain_noise: Standard deviation of the gains of kernels before the layer, see
            :mod:`~neurovis.maximization.gain_noise`.
    """

    parametrization: Parametrization
    jitter: float
    scale: tuple[float, float]
    rotate: float
    steps: int
    patience: int
    smoothness: float
    gain_noise: float


#: Styles by their names.
STYLES: dict[StyleName, Style] = {
    # Few large things on plain grounds, seen from afar: see docs/comparison.md.
    "natural": Style(Fourier(decay=2.0, contrast=1.0), 1 / 7, (0.5, 1.5), 15.0, 128, 64, 0.13, 0.1),
    "maximal": Style(Fourier(), 1 / 28, (0.95, 1.05), 5.0, 256, 32, 0.0, 0.0),
}
