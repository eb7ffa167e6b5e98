"""Images as small pictures that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neurovis.figures.colors import color_limit, colored, overlaid
from neurovis.figures.modalities import shown_images
from neurovis.figures.output import to_pixels
from neurovis.figures.pictures import alarmed, fitted, modality_rows
from neurovis.inputs import InputSpec

#: Between the pictures of modalities, in pixels.
_PIXELS_APART = 2
#: Pictures no larger than this are seen pixel by pixel: enlarged.
_PIXELS, _ENLARGED = 24, 64
#: So large at most are pictures kept without loss.
_LOSSLESS = 72
#: How pictures are kept. What is no photograph has colors of its own from pixel to pixel, which
#: photographs' formats leave out by default.
_WITHOUT_LOSS: dict[str, Any] = {"format": "webp", "lossless": True, "method": 3}
_DRAWN: dict[str, Any] = {"format": "jpeg", "quality": 88, "subsampling": 0, "optimize": True}
_PHOTOGRAPH: dict[str, Any] = {"format": "webp", "quality": 82, "method": 3}


def data_uri(pictures: Tensor, largest: int, *, is_photograph: bool = False) -> str:
    """Pictures side by side, as one picture in a ``data:`` URI.

    Args:
        pictures: ``(N, 3, H, W)``, floating-point in [0, 1]; clipped. What is not finite is red.
        largest: Longest side in pixels of each, at least 1; larger ones are shrunk. Those of 24
            pixels and less are enlarged, each pixel becoming a square.
        is_photograph: Whether colors may be kept less exactly than brightness; else those of up
            to 72 pixels are kept without loss, and all of larger ones' colors.

    Returns:
        The URI.

    Raises:
        ValueError: If there is no picture, the shape or type is another, or ``largest`` is below 1.
    """
    from PIL import Image

    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.numel():
        raise ValueError(f"pictures must be (N, 3, H, W), N > 0; got {tuple(pictures.shape)}")
    if not pictures.is_floating_point():
        raise ValueError(
            f"pictures must be floating-point, in [0, 1]; got {pictures.dtype}: divide bytes by 255"
        )
    if largest < 1:
        raise ValueError(f"largest must be at least 1 pixel; got {largest}")
    pictures = pictures.detach().float().cpu()
    pictures = alarmed(pictures, pictures.isfinite().all(1))
    is_small = max(pictures.shape[2:]) <= _PIXELS
    shown = fitted(pictures, _ENLARGED if is_small else 1, max(largest, _ENLARGED))
    count, _, height, width = shown.shape
    whole = torch.full((3, height, count * (width + _PIXELS_APART) - _PIXELS_APART), 0.5)
    for place, one in enumerate(shown):
        left = place * (width + _PIXELS_APART)
        whole[:, :, left : left + width] = one
    kept = _WITHOUT_LOSS if max(height, width) <= _LOSSLESS else _DRAWN
    if is_photograph:
        kept = _PHOTOGRAPH
    content = io.BytesIO()
    Image.fromarray(to_pixels(whole)).save(content, **kept)
    encoded = base64.b64encode(content.getvalue()).decode()
    return f"data:image/{kept['format']};base64,{encoded}"


def image_uri(image: Tensor, spec: InputSpec, largest: int, *, is_photograph: bool = False) -> str:
    """An image ``(C, H, W)`` in [0, 1], its modalities side by side, as a ``data:`` URI.

    Args:
        image: In the spec's channel order.
        spec: The modalities.
        largest: Longest side of each modality's picture, in pixels.
        is_photograph: As in :func:`data_uri`.
    """
    rows = modality_rows(image[None], spec)
    return data_uri(torch.cat(list(rows.values())), largest, is_photograph=is_photograph)


def map_uri(values: Tensor, largest: int) -> str:
    """A map ``(H, W)`` of magnitudes, violet 0 and yellow its highest, as a ``data:`` URI.

    Args:
        values: Whose sizes are shown; what is not finite is red.
        largest: Longest side in pixels.

    Raises:
        ValueError: If it is no such map, or ``largest`` is below 1.
    """
    if values.ndim != 2 or not values.numel():
        raise ValueError(f"a map must be (H, W), not empty; got {tuple(values.shape)}")
    values = values.detach().float().cpu()
    limit = torch.tensor([color_limit(values)])
    return data_uri(colored(values[None], limit, signed=False), largest)


def overlay_uri(
    image: Tensor, maps: Mapping[str, Tensor], spec: InputSpec, largest: int, signed: bool
) -> str:
    """Maps over an image in gray, its modalities side by side, as a ``data:`` URI.

    Args:
        image: ``(C, H, W)`` in [0, 1].
        maps: ``(H, W)`` for each modality by its name; or one by ``""`` for all. They share one
            scale.
        spec: The modalities.
        largest: Longest side of each modality's picture, in pixels.
        signed: Whether the maps' sign matters.
    """
    shown = shown_images(image[None], spec).pictures
    limit = torch.tensor([color_limit(torch.stack(list(maps.values())))])
    over = [
        overlaid(picture, maps.get(name, maps.get("", picture[0, 0] * 0))[None], limit, signed)
        for name, picture in shown.items()
    ]
    return data_uri(torch.cat(over), largest)
