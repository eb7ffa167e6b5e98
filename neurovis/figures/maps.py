"""Feature maps of one image, beside the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurovis.figures.cells import Cells
from neurovis.figures.page import GAP, Beside, page_figure
from neurovis.figures.pictures import (
    constant_maps,
    finite_range,
    fitted,
    gray,
    modality_rows,
    square_columns,
    stated_range,
)
from neurovis.inputs import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Maps are at least this large, and a grid of them about as wide as one of these.
_LEAST_FEATURE_MAP, _GRID_WIDTHS = 48, (320, 880)
_MOST_IMAGE_CHANNELS = 8


def feature_map_figure(
    image: Tensor,
    maps: Tensor,
    kernels: Sequence[int | str],
    spec: InputSpec | None,
    title: str,
    other_tokens: Tensor | None = None,
) -> Figure:
    """One image beside a grid of feature maps, each under its kernel's number.

    All maps share one scale from black, the lowest value in the grid, to white, the highest; both
    are stated, and so is how many maps are constant. What is not finite is red.

    Args:
        image: ``(C, H, W)``; in [0, 1] if there is a spec, else in any unit: shown from its own
            lowest to its own highest value, as the figure says (at most 8 channels).
        maps: ``(K, H', W')``, one map a kernel; ``(K, 1, 1)`` for a linear layer.
        kernels: The kernels' numbers or names.
        spec: The modalities, see :func:`modality_rows`.
        title: Stands over the figure.
        other_tokens: ``(K, n)`` values of tokens without a place in the image, such as a class
            token, drawn at the right of each map on the same scale.

    Raises:
        ValueError: If there is no map, or the number of kernels is another.
    """
    if maps.ndim != 3 or len(maps) == 0 or len(kernels) != len(maps):
        raise ValueError(
            f"needs maps (K, H', W') and K > 0 kernels; got {tuple(maps.shape)} and "
            f"{len(kernels)} kernels"
        )
    rows, image_note = _image_rows(image.detach().float(), spec)
    smallest = 160 if len(rows) <= 4 else 80
    shown = Cells(
        {name: fitted(one, smallest, 256) for name, one in rows.items()},
        ["image"],
        frames=1 if spec is None else spec.frames,
    )
    maps = maps.detach().float()
    tokens = maps.new_empty(len(maps), 0) if other_tokens is None else other_tokens.float()
    limits = finite_range(torch.cat([maps.flatten(1), tokens], 1))
    drawn = _beside(gray(maps, limits), gray(tokens[:, None], limits))
    across = square_columns(len(maps), *drawn.shape[2:])
    smallest = max(_LEAST_FEATURE_MAP, min(128, _GRID_WIDTHS[0] // across))
    pictures = fitted(drawn, smallest, max(smallest, min(256, _GRID_WIDTHS[1] // across)))
    grid = Cells({"": pictures}, [str(kernel) for kernel in kernels])
    notes = [
        f"{len(maps)} feature maps: {stated_range(maps, limits)}{constant_maps(maps)}",
        "at the right of each map: what has no place in the image, such as a class token"
        if tokens.numel()
        else "",
        image_note,
    ]
    return page_figure(Beside([shown, grid], 2 * GAP), title, [note for note in notes if note])


def _beside(maps: Tensor, tokens: Tensor) -> Tensor:
    """Maps ``(K, 3, H', W')`` with tokens ``(K, 3, 1, n)`` in columns at their right, if any."""
    count, _, height, _ = maps.shape
    number = tokens.shape[-1]
    if not number:
        return maps
    columns = 1 + math.ceil(number / height)
    # The first column is left white.
    places = maps.new_ones(count, 3, columns * height)
    places[..., height : height + number] = tokens[:, :, 0]
    return torch.cat([maps, places.unflatten(2, (columns, height)).transpose(2, 3)], dim=-1)


def _image_rows(image: Tensor, spec: InputSpec | None) -> tuple[dict[str, Tensor], str]:
    """Return the image's pictures ``(1, 3, H, W)`` by row label, and a note on them."""
    if spec is not None:
        return modality_rows(image[None], spec), ""
    limits = finite_range(image)
    planes = gray(image, limits)
    note = f"image scaled to its own range: {stated_range(image, limits)}"
    channels = len(image)
    if channels == 3:
        return {"image": planes[:, 0][None]}, note
    if channels > _MOST_IMAGE_CHANNELS:
        note += f"; channels 0-{_MOST_IMAGE_CHANNELS - 1} of {channels}"
    rows = {
        f"[{channel}]": planes[channel][None] for channel in range(channels)[:_MOST_IMAGE_CHANNELS]
    }
    return rows, note
