"""Figures of the effect of training: feature maps or images at first above those of now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from neurovis.figures.cells import Cells
from neurovis.figures.page import MINIMUM_WIDTH, page_figure
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

#: Pixels across that pairs take together, at most, unless they are of the least size.
_PAIRS_WIDTH = 1000
#: Least sizes of many and of few maps, least size of images, and largest size of both.
_MANY_MAPS, _FEW_MAPS, _LEAST_IMAGE, _LARGEST_OF_PAIR = 56, 128, 96, 192


def first_and_now_figure(
    first: Tensor,
    now: Tensor,
    labels: Sequence[str],
    rows: tuple[str, str],
    title: str,
    notes: Sequence[str] = (),
) -> Figure:
    """Feature maps of one image at two moments, one above the other for each kernel.

    The maps of a moment share one scale from black, their lowest value, to white, their highest;
    each moment has its own, since activations grow by orders of magnitude. Both are stated, and so
    is how many maps are constant. What is not finite is red.

    Args:
        first: ``(K, H', W')``, one map a kernel; ``(K, 1, 1)`` for a linear layer.
        now: ``(K, H', W')``, those of the same kernels now.
        labels: One for each kernel, such as ``"5: r 0.42"``.
        rows: What to call the two moments, such as ``("step 0", "step 120")``; they differ.
        title: Stands over the figure.
        notes: Lines under the title.

    Raises:
        ValueError: If there is no map, the two shapes or the number of labels differ, or the two
            moments have the same name.
    """
    _check(first, now, ("K", "H'", "W'"), labels, rows)
    across = square_columns(len(first), 2 * first.shape[1], first.shape[2])
    smallest = max(_MANY_MAPS, min(_FEW_MAPS, MINIMUM_WIDTH // across))
    largest = max(smallest, min(_LARGEST_OF_PAIR, _PAIRS_WIDTH // across))
    pictures, scales = {}, []
    for row, maps in zip(rows, (first, now), strict=True):
        maps = maps.detach().float().cpu()
        limits = finite_range(maps)
        pictures[row] = fitted(gray(maps, limits), smallest, largest)
        scales.append(f"{row}: {stated_range(maps, limits)}{constant_maps(maps)}")
    grid = Cells(pictures, labels, across)
    return page_figure(grid, title, [*notes, "the maps of each row share one scale", *scales])


def first_and_now_images(
    first: Tensor,
    now: Tensor,
    labels: Sequence[str],
    rows: tuple[str, str],
    spec: InputSpec,
    title: str,
    notes: Sequence[str] = (),
) -> Figure:
    """Images at two moments, one above the other, each with its modalities.

    Args:
        first: ``(N, C, H, W)`` in [0, 1]; small ones are enlarged, large ones shrunk.
        now: ``(N, C, H, W)`` in [0, 1], of the same shape.
        labels: One for each pair; long ones are wrapped.
        rows: What to call the two moments, such as ``("step 0", "step 120")``; they differ.
        spec: The modalities, see :func:`~neurovis.figures.modality_rows`.
        title: Stands over the figure.
        notes: Lines under the title.

    Raises:
        ValueError: If there is no image, the two shapes or the number of labels differ, or the two
            moments have the same name.
    """
    _check(first, now, ("N", "C", "H", "W"), labels, rows)
    parts = {
        row: modality_rows(images, spec) for row, images in zip(rows, (first, now), strict=True)
    }
    names = list(parts[rows[0]])
    in_frame = len(names) // spec.frames
    pictures = {
        f"{row}: {name}" if len(names) > 1 else row: parts[row][name]
        for start in range(0, len(names), in_frame)
        for row in rows
        for name in names[start : start + in_frame]
    }
    stacked = len(pictures) // spec.frames
    across = square_columns(len(first), stacked * first.shape[2], spec.frames * first.shape[3])
    largest = max(_LEAST_IMAGE, min(_LARGEST_OF_PAIR, _PAIRS_WIDTH // across))
    sized = {row: fitted(shown, _LEAST_IMAGE, largest) for row, shown in pictures.items()}
    return page_figure(Cells(sized, labels, across, spec.frames), title, notes)


def _check(
    first: Tensor,
    now: Tensor,
    axes: tuple[str, ...],
    labels: Sequence[str],
    rows: tuple[str, str],
) -> None:
    """Refuse two moments that are not of such axes and alike, or whose names do not fit them."""
    if first.ndim != len(axes) or first.numel() == 0 or first.shape != now.shape:
        raise ValueError(
            f"first and now must both be ({', '.join(axes)}), {axes[0]} > 0; got "
            f"{tuple(first.shape)} and {tuple(now.shape)}"
        )
    if len(labels) != len(first):
        raise ValueError(f"needs one label for each kernel; got {len(labels)} for {len(first)}")
    if rows[0] == rows[1]:
        raise ValueError(f"rows must be two different names; got {rows[0]!r} twice")
