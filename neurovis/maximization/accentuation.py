"""Accentuation: images that stay near a photograph, and where they differ from it.

An ascent from a photograph shows what a kernel sees in this picture, not only what it likes best
(Hamblin et al. 2024, "Feature accentuation"). There, a penalty on the distance in a layer keeps
images near, with a weight that has to fit network, layer and kernel. Here they keep to a largest
distance from the photograph, in which a change counts for less where the photograph has contrast,
since it hardly shows there; structural similarity (SSIM) weighs differences in the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurovis.maximization.regularizers import blurred

#: The distance from a photograph where none is asked for: an SSIM of about 0.8.
DEFAULT_CHANGE = 1.0
#: Standard deviation in pixels of the window of local contrast, as that of SSIM.
_WINDOW = 1.5
#: Contrast that is added everywhere, so that what is flat may change a little.
_LEAST_CONTRAST = 0.02
#: Standard deviation of an alpha map's blur, as a part of the image's shorter side.
_ALPHA_BLUR = 1 / 56


class Photograph:
    """Photograph that images stay near.

    The distance of an image is the root mean square, over pixels and channels, of its difference in
    units of the photograph's local contrast: of its standard deviation under a Gaussian window.

    Args:
        picture: ``(C, H, W)`` in [0, 1].
        change: The largest distance.
    """

    def __init__(self, picture: Tensor, change: float) -> None:
        self._picture = picture.detach().float()[None]
        variance = blurred(self._picture.square(), _WINDOW) - blurred(self._picture, _WINDOW) ** 2
        self._inverse = (variance.clamp(min=0) + _LEAST_CONTRAST**2).rsqrt()
        self._change = change

    def near(self, images: Tensor) -> Tensor:
        """Move images ``(B, C, H, W)`` towards the photograph, as far as needed, differentiably."""
        if self._picture.device != images.device:
            self._picture, self._inverse = (
                one.to(images.device) for one in (self._picture, self._inverse)
            )
        difference = images - self._picture
        squares = (difference * self._inverse).square().flatten(1).mean(1)
        # Behind the square root, an image without a difference would have no gradient.
        part = (self._change / squares.clamp(min=1e-12).sqrt()).clamp(max=1)
        return self._picture + part[:, None, None, None] * difference

    def with_noise(self, noise: Tensor) -> Tensor:
        """Add noise images ``(B, C, H, W)`` in [0, 1], which are 0 at mid gray."""
        return self.near((self._picture.to(noise) + noise - 0.5).clamp(0, 1))


def structural_similarity(image: Tensor, photograph: Tensor) -> float:
    """Return the structural similarity (SSIM; Wang et al. 2004) of two images ``(C, H, W)``."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    found = structural_similarity_index_measure(image[None], photograph[None], data_range=1.0)
    if not isinstance(found, Tensor):
        raise TypeError("SSIM must be one tensor")
    return float(found)


def alpha_map(image: Tensor, photograph: Tensor) -> Tensor:
    """Return where an image ``(C, H, W)`` differs from its photograph, ``(H, W)`` in [0, 1].

    The root mean square difference of channels, blurred; 1 where it is largest.
    """
    squares = (image - photograph).square().mean(0, keepdim=True)
    sigma = min(image.shape[-2:]) * _ALPHA_BLUR
    values = blurred(squares[None], sigma)[0, 0].clamp(min=0).sqrt()
    return values / values.max().clamp(min=torch.finfo(values.dtype).tiny)
