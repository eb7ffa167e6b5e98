"""Images under affine maps, with gradients that can come out the same each time on every device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from neurovis.transfer import sent

#: Sums of integers below this fit into 64 bits.
_LARGEST_SUM = 2.0**61


def sampled(images: Tensor, maps: Tensor, beyond: Tensor | None = None) -> Tensor:
    """Images under affine maps, interpolated bilinearly; edges are mirrored.

    What ``torch.nn.functional.affine_grid`` and ``grid_sample`` give. Positions are added
    up without a matrix multiplication, so that they are exact under autocast too: in bfloat16 they
    would be off by almost a pixel.

    Args:
        images: ``(B, C, H, W)``.
        maps: ``(B, 2, 3)``, from positions in the result to positions in the images, ``x`` first;
            coordinates run from -1 to 1 along either axis.
        beyond: ``(C, 1, 1)`` the color of what lies beyond the edges, in place of mirrored pixels.

    Returns:
        ``(B, C, H, W)`` of the images' type.
    """
    dtype = torch.promote_types(images.dtype, torch.float32)
    pixels, grid = images.to(dtype), positions(sent(maps.to(dtype), images.device), images.shape)
    must_repeat = pixels.is_cuda and torch.are_deterministic_algorithms_enabled()
    result: Tensor = _Sampled.apply(pixels, grid) if must_repeat else _sample(pixels, grid)
    if beyond is not None:
        is_beyond = grid.abs().amax(-1)[:, None] > 1
        result = torch.where(is_beyond, beyond.to(dtype), result)
    return result.to(images.dtype)


def positions(maps: Tensor, shape: torch.Size) -> Tensor:
    """Return the position ``(B, H, W, 2)`` that each pixel samples, as ``grid_sample`` wants it."""
    height, width = shape[-2:]
    across, down, shift = maps[:, :, :, None, None].unbind(2)
    columns = across * _centers(width, maps) + shift
    rows = down * _centers(height, maps)[:, None]
    # Coordinates by themselves in memory: each of the two is a single addition of whole rows.
    return (columns + rows).permute(0, 2, 3, 1)


def _centers(pixels: int, like: Tensor) -> Tensor:
    """Pixels' centers where the outer edges of an axis are at -1 and 1."""
    outermost = (pixels - 1) / pixels
    return torch.linspace(-outermost, outermost, pixels, dtype=like.dtype, device=like.device)


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


class _Sampled(torch.autograd.Function):
    """``grid_sample``, whose own backward pass on a GPU adds up in an order that varies.

    With deterministic algorithms, torch refuses that.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        return _sample(images, grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return exact_adjoint(gradient, grid), None


def exact_adjoint(gradient: Tensor, grid: Tensor) -> Tensor:
    """The gradient of :func:`sampled` for its images, the same in whatever order it is added up.

    Floating-point sums depend on their order, sums of integers do not: each image's terms are
    rounded to multiples of a tiny part of its largest one.

    Args:
        gradient: ``(B, C, H, W)`` for the result.
        grid: ``(B, H, W, 2)`` of :func:`positions`.
    """
    batch, channels, height, width = gradient.shape
    x, y = _mirrored(grid[..., 0], width), _mirrored(grid[..., 1], height)
    left, top = x.floor(), y.floor()
    largest = gradient.abs().amax((1, 2, 3), keepdim=True).double()
    unit = largest / (_LARGEST_SUM / (4 * height * width))
    unit = unit.where(unit != 0, torch.ones_like(unit))
    terms = gradient.double() / unit
    total = gradient.new_zeros((batch, channels, height * width), dtype=torch.int64)
    for down in (0, 1):
        for right in (0, 1):
            weight = (1 - (x - left - right).abs()) * (1 - (y - top - down).abs())
            # What lies beyond the last pixel has no weight.
            row, column = (top + down).clamp(max=height - 1), (left + right).clamp(max=width - 1)
            places = (row * width + column).long().flatten(1)[:, None].expand(-1, channels, -1)
            part = (terms * weight[:, None].double()).round().long()
            total.scatter_add_(2, places, part.flatten(2))
    return (total.view_as(gradient).double() * unit).to(gradient.dtype)


def _mirrored(coordinates: Tensor, pixels: int) -> Tensor:
    """Pixel coordinates in [0, pixels - 1] of coordinates where the image ends at -1 and 1."""
    beyond = ((coordinates + 1) * pixels / 2).abs()
    turns = (beyond / pixels).floor()
    inside = beyond - turns * pixels
    inside = torch.where(turns % 2 == 0, inside, pixels - inside)
    return (inside - 0.5).clamp(0, pixels - 1)
