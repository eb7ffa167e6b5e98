"""Styles of preferred images: named defaults of settings that are not given.

An image that may be anything reaches the highest activation, by patterns that only the network that
it was made for responds to. ``natural`` gives up some of that activation for images that other
networks, and people, recognize; ``maximal`` is for what activations are measured for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurovis.inputs import InputSpec
from neurovis.maximization.parametrizations import Fourier, Parametrization
from neurovis.maximization.transforms.geometry import Border, Pad

StyleName = Literal["natural", "maximal"]

#: A border around views is as wide as this part of the image's shorter side: 12 pixels of 224.
_BORDER = 12 / 224
#: Images so small that it would be narrower have none: on the scale of a layer's stride, it would
#: change where units look rather than what they see at the edges.
_LEAST_BORDER = 4


@dataclass(frozen=True)
class Style:
    """Defaults that images of one style share.

    Attributes:
        parametrization: What images are made of.
        jitter: Largest shift of views, as a part of the image's shorter side.
        scale: Smallest and largest magnification of views.
        rotate: Largest rotation of views in degrees.
        border: What is seen beyond an image: mid ``gray``, or the ``mean`` of natural images.
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
    border: Literal["gray", "mean"]
    steps: int
    patience: int
    smoothness: float
    gain_noise: float

    def border_color(self, spec: InputSpec) -> Border:
        """Return the color of what is seen beyond images of a spec."""
        return spec.channel_means if self.border == "mean" else "gray"

    def borders(self, spec: InputSpec) -> list[Pad]:
        """Return the border around images of a spec: one, or none where they are small."""
        width = round(min(spec.size) * _BORDER)
        return [Pad(width, self.border_color(spec))] if width >= _LEAST_BORDER else []


#: Styles by their names.
STYLES: dict[StyleName, Style] = {
    # Few large things on plain grounds, seen from afar: see docs/comparison.md.
    "natural": Style(
        Fourier(decay=2.0, contrast=1.0),
        jitter=1 / 7,
        scale=(0.5, 1.5),
        rotate=15.0,
        border="mean",
        steps=128,
        patience=64,
        smoothness=0.13,
        gain_noise=0.1,
    ),
    "maximal": Style(
        Fourier(),
        jitter=1 / 28,
        scale=(0.95, 1.05),
        rotate=5.0,
        border="gray",
        steps=256,
        patience=32,
        smoothness=0.0,
        gain_noise=0.0,
    ),
}
