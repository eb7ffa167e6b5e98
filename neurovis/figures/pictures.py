"""From tensors to color pictures: modalities as rows, maps as grays, many pictures as one.

A *picture* is a float tensor ``(3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from neurovis.inputs import InputSpec

#: Color of values that are not finite, among grays.
NOT_FINITE = (0.85, 0.2, 0.15)


def modality_rows(images: Tensor, spec: InputSpec) -> dict[str, Tensor]:
    """Show each modality of some images as pictures, by the label of its row.

    Args:
        images: ``(N, C, H, W)`` in [0, 1], in the spec's channel order; values outside are clipped.
        spec: The modalities. ``rgb`` is shown as color and a one-channel modality as gray, both
            under its name; any other as one gray row a channel, ``name[0]``, ``name[1]``, ….

    Returns:
        ``(N, 3, H, W)`` pictures in [0, 1] by row label, in channel order.

    Raises:
        ValueError: If the images are not ``(N, C, H, W)`` with the spec's channels.

    Example:
        >>> list(modality_rows(torch.rand(2, 4, 8, 8), InputSpec.rgbd(8)))
        ['rgb', 'depth']
    """
    if images.ndim != 4:
        raise ValueError(f"images must be (N, C, H, W); got shape {tuple(images.shape)}")
    rows: dict[str, Tensor] = {}
    parts = spec.split(images.detach().float().clamp(0, 1))
    for modality in spec.modalities:
        part = parts[modality.name]
        if modality.is_rgb:
            rows[modality.name] = part
        elif modality.channels == 1:
            rows[modality.name] = part.expand(-1, 3, -1, -1)
        else:
            for channel in range(modality.channels):
                plane = part[:, channel : channel + 1]
                rows[f"{modality.name}[{channel}]"] = plane.expand(-1, 3, -1, -1)
    return rows


def tile(
    pictures: Tensor,
    columns: int | None = None,
    padding: int = 2,
    min_size: int = 0,
    background: float = 1.0,
) -> Tensor:
    """Lay pictures out as one, row by row.

    Args:
        pictures: ``(N, 3, H, W)`` in [0, 1], in any memory format.
        columns: Pictures in a row; by default the result is about square.
        padding: Pixels between neighbors and around the whole.
        min_size: Pictures whose longer side has fewer pixels are first enlarged by a whole factor,
            each pixel becoming a square.
        background: Gray of the padding and of empty places.

    Returns:
        One picture ``(3, H', W')``.

    Raises:
        ValueError: If there is no picture, the shape is another, or ``columns`` is not positive.

    Example:
        >>> tile(torch.rand(6, 3, 4, 4), columns=3, padding=1, min_size=8).shape
        torch.Size([3, 19, 28])
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not len(pictures):
        raise ValueError(f"pictures must be (N, 3, H, W), N > 0; got {tuple(pictures.shape)}")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1; got {columns}")
    pictures = enlarged(pictures, min_size)
    number, _, height, width = pictures.shape
    columns = columns or square_columns(number, height + padding, width + padding)
    rows = math.ceil(number / columns)
    empty = pictures.new_full((rows * columns - number, 3, height, width), background)
    cells = functional.pad(
        torch.cat([pictures, empty]), (padding, 0, padding, 0), value=background
    ).reshape(rows, columns, 3, height + padding, width + padding)
    whole = cells.permute(2, 0, 3, 1, 4).reshape(3, rows * (height + padding), -1)
    return functional.pad(whole, (0, padding, 0, padding), value=background)


def square_columns(number: int, height: float, width: float) -> int:
    """Columns that make a grid of ``number`` cells about square, rather wider than tall."""
    columns = min(number, math.ceil(math.sqrt(number * height / width)))
    return math.ceil(number / math.ceil(number / columns))


def enlarged(pictures: Tensor, min_size: int) -> Tensor:
    """Pictures ``(N, 3, H, W)`` with a longer side of at least ``min_size``: pixels as squares."""
    factor = math.ceil(min_size / max(pictures.shape[-2:]))
    if factor <= 1:
        return pictures
    return pictures.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def fitted(pictures: Tensor, min_size: int, max_size: int) -> Tensor:
    """Pictures whose longer side lies between the sizes; smoothed if they have to shrink."""
    pictures = enlarged(pictures.contiguous(), min_size)
    height, width = pictures.shape[-2:]
    if max(height, width) <= max_size:
        return pictures
    factor = max_size / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return functional.interpolate(pictures, size=size, mode="bilinear", antialias=True)


def finite_range(values: Tensor) -> tuple[float, float] | None:
    """The lowest and highest finite value, or None if there is none."""
    here = values.isfinite()
    finite = values if bool(here.all()) else values[here]
    return (finite.min().item(), finite.max().item()) if finite.numel() else None


def gray(maps: Tensor, limits: tuple[float, float] | None) -> Tensor:
    """Maps ``(N, H, W)`` as pictures, black at the lower limit and white at the upper.

    Where the limits are equal or missing everything is mid-gray; what is not finite is red.
    """
    low, high = limits or (0.0, 0.0)
    # Halved before subtracting, so that the widest range of float32 does not overflow.
    span = high / 2 - low / 2
    level = (maps / 2 - low / 2) / span if span > 0 else torch.full_like(maps, 0.5)
    return alarmed(level.clamp(0, 1)[:, None].expand(-1, 3, -1, -1), maps.isfinite())


def alarmed(pictures: Tensor, finite: Tensor) -> Tensor:
    """Pictures ``(N, 3, H, W)`` that are red wherever ``finite`` ``(N, H, W)`` is false."""
    alarm = torch.tensor(NOT_FINITE, device=pictures.device).view(1, 3, 1, 1)
    return torch.where(finite[:, None], pictures, alarm)


def number(value: float) -> str:
    """A number as figures state it: three digits, with a real minus sign.

    Example:
        >>> number(4.2), number(12345.6), number(0.0), number(-0.3141).encode("ascii", "replace")
        ('4.20', '1.23e+04', '0', b'?0.314')
    """
    text = f"{value:#.3g}".rstrip(".") if value else "0"
    return text.replace("-", "\N{MINUS SIGN}")


def stated_range(values: Tensor, limits: tuple[float, float] | None) -> str:
    """Return the values of black and white, and the number of those not finite, in words."""
    missing = values.numel() - int(values.isfinite().sum())
    if limits is None:
        return "no finite value (red)"
    if limits[0] == limits[1]:
        words = f"constant {number(limits[0])}"
    else:
        words = f"black {number(limits[0])}, white {number(limits[1])}"
    return words + (f", {missing} not finite (red)" if missing else "")


def constant_maps(maps: Tensor) -> str:
    """Return the number of constant maps in words; empty if there are none, or for single units."""
    flat = maps.flatten(1)
    if flat.shape[1] == 1:
        return ""
    constant = int((flat == flat[:, :1]).all(dim=1).sum())
    return f"; {constant} constant" if constant else ""
