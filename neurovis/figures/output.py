"""From a Figure to pixels, and from pixels to a file."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurovis.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

#: Number of pixels that a palette is chosen from, since k-means is slow.
_LOOKED_AT = 20_000

Pixels = npt.NDArray[np.uint8]


def render(figure: Figure) -> Pixels:
    """Draw a Figure.

    Args:
        figure: Drawn at its own size and resolution.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)  # matplotlib leaves its Agg classes untyped
    canvas.draw()
    pixels: Pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return pixels


def png_bytes(picture: Pixels | Tensor | Figure) -> bytes:
    """Return the content of a PNG file of a picture, as :func:`save_png` takes it."""
    from PIL.Image import fromarray

    content = io.BytesIO()
    fromarray(_as_pixels(picture)).save(content, format="png")
    return content.getvalue()


def stacked(pictures: Sequence[Pixels]) -> Pixels:
    """Pictures ``(H, W, 3)`` one below the other, on white where they differ in width."""
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate(
        [
            np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
            for picture in pictures
        ]
    )


def side_by_side(pictures: Sequence[Pixels], frames: int) -> list[Pixels]:
    """Pictures ``(h, w, 3)`` of a video, frame by frame, as one strip for each row of a frame.

    Args:
        pictures: All of one size.
        frames: Their number; with one, nothing changes.
    """
    rows = max(1, len(pictures) // frames)
    apart = ((0, 0), (0, 3 if frames > 1 else 0), (0, 0))
    return [
        np.concatenate([np.pad(one, apart, constant_values=255) for one in pictures[row::rows]], 1)
        for row in range(rows)
    ]


def save_png(
    path: str | Path, picture: Pixels | Tensor | Figure, colors: int | None = None
) -> None:
    """Write a picture to a PNG file, whole or not at all.

    Args:
        path: Its folder is made if need be.
        picture: ``(H, W, 3)`` uint8, a tensor ``(3, H, W)`` in [0, 1] (clipped), or a Figure.
        colors: Write a palette of this many colors, at most 256, in a third of the space: for
            figures whose pictures are kept elsewhere, pixel for pixel. All colors when None.

    Raises:
        ValueError: If an array or tensor has another shape or type.
        OSError: If the file cannot be written.
    """
    from PIL.Image import fromarray

    image = fromarray(_as_pixels(picture))
    if colors is not None:
        image = _with_palette(image, colors)
    with whole_file(path) as partial:
        image.save(partial, format="png", compress_level=6)


def save_gif(path: str | Path, frames: Sequence[Tensor]) -> None:
    """Write a film to a GIF file, whole or not at all, which plays again and again.

    Args:
        path: Its folder is made if need be.
        frames: Tensors ``(3, H, W)`` in [0, 1] of one size, shown for a tenth of a second each.

    Raises:
        OSError: If the file cannot be written.
    """
    from PIL.Image import fromarray

    first, *others = (fromarray(to_pixels(frame)) for frame in frames)
    with whole_file(path) as partial:
        first.save(partial, format="gif", save_all=True, append_images=others, duration=100, loop=0)


def to_pixels(picture: Tensor) -> Pixels:
    """A tensor ``(..., 3, H, W)`` in [0, 1] as ``(..., H, W, 3)`` uint8; NaN is black."""
    # In place from the second operation on, since a page may hold millions of pixels.
    values = picture.detach().float().nan_to_num(0).clamp_(0, 1).mul_(255).round_()
    levels: Pixels = values.to(torch.uint8).movedim(-3, -1).cpu().numpy()
    return levels


def _with_palette(image: Image, colors: int) -> Image:
    """Reduce a picture to a few colors that are near all of its own, rare ones too."""
    from PIL.Image import Dither, Quantize

    every = math.ceil(math.sqrt(image.width * image.height / _LOOKED_AT))
    sample = image.resize((-(-image.width // every), -(-image.height // every)), 0)
    # Median cut, Pillow's default, turns magenta into purple where it is rare;
    # without k-means, cubes of maximum coverage tint what is gray.
    palette = sample.quantize(colors, Quantize.MAXCOVERAGE, kmeans=1)
    # Without dither, smooth pictures have steps like a map's.
    return image.quantize(palette=palette, dither=Dither.FLOYDSTEINBERG)


def _as_pixels(picture: Pixels | Tensor | Figure) -> Pixels:
    if isinstance(picture, Tensor):
        if picture.ndim != 3 or picture.shape[0] != 3:
            raise ValueError(f"a picture tensor must be (3, H, W); got {tuple(picture.shape)}")
        return to_pixels(picture)
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"a picture array must be (H, W, 3) uint8; got {picture.shape} {picture.dtype}"
            )
        return picture
    return render(picture)
