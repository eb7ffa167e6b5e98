"""The order of images, kernels and positions in a layer's output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.receptive_fields.dimensions import (
    AXES,
    BATCH,
    HORIZONTAL,
    OTHER,
    TOKENS,
    VERTICAL,
    Dim,
    Factor,
    Tokens,
    axes_of,
    size_of,
)
from neurovis.receptive_fields.trace import Trace

#: Stands for the dimension that counts kernels, whatever it is made of.
_KERNELS = -2


@dataclass(frozen=True)
class Layout:
    """Order of images, kernels and positions in a layer's output.

    Args:
        kernel_dim: The dimension that counts kernels.
        dims: The factors of each dimension. None where a forward could not be followed: then the
            first dimension counts images, and all others count positions, in an unknown order.
        tokens: Contents of a factor of tokens, if there is one.
        shifts: Number of units that positions are rolled by, down and across, as in shifted
            windows.
        is_map: Whether two or more dimensions of positions that were not followed are rows and
            columns in the image's order.
    """

    kernel_dim: int
    dims: tuple[Dim, ...] | None = None
    tokens: Tokens | None = None
    shifts: tuple[int, int] = (0, 0)
    is_map: bool = True

    @classmethod
    def of(cls, trace: Trace | None, kernel_dim: int, *, is_map: bool = True) -> Layout:
        """The layout of a layer's output.

        Args:
            trace: Its dimensions, as they were followed; None where they were not. Where none but
                the kernels' counts images it is not used: there is nothing to put in order. A
                single image's dimension of size 1 may have been lost; it is the first then, which
                is checked for every output.
            kernel_dim: The dimension that counts kernels.
            is_map: As for the class.
        """
        if trace is None:
            return cls(kernel_dim, is_map=is_map)
        place, dims = kernel_dim % len(trace.dims), trace.dims
        counts_images = [any(factor.axis == BATCH for factor in dim) for dim in dims]
        if not any(counts_images) and not dims[0] and any(axes_of(dim) for dim in dims):
            dims = ((Factor(BATCH, 1),), *dims[1:])
        elif not any(counts_images[:place] + counts_images[place + 1 :]):
            return cls(kernel_dim)
        return cls(place, dims, trace.tokens, trace.shifts)

    @classmethod
    def of_tokens(cls, kernel_dim: int, grid: tuple[int, int], before: int) -> Layout:
        """The layout of ``(B, tokens, K)`` or ``(B, K, tokens)``, as the user has given it.

        Args:
            kernel_dim: The dimension that counts kernels, 1 or 2.
            grid: Rows and columns of tokens.
            before: Number of other tokens before the grid.
        """
        rows, columns = grid
        parts = (Factor(VERTICAL, rows), Factor(HORIZONTAL, columns))
        dims: list[Dim] = [(Factor(BATCH, 1),), (), ()]
        dims[3 - kernel_dim] = (Factor(TOKENS, before + rows * columns),)
        return cls(kernel_dim, tuple(dims), Tokens(before, parts))

    def places_are_known(self, shape: Sequence[int]) -> bool:
        """True if positions of an activation are known to lie in the order of the image's.

        Args:
            shape: ``(B, K, *positions)``, kernels second. Vectors have no positions.
        """
        if self.dims is None:
            is_known = self.is_map and len(shape) != 3
            return is_known or all(size == 1 for size in shape[2:])
        rest = [dim for index, dim in enumerate(self.dims) if index != self.kernel_dim]
        axes = [factor.axis for dim in rest for factor in dim]
        has_places = any(axis in (*AXES, TOKENS) for axis in axes)
        return has_places or all(size == 1 for size in shape[2:])

    @property
    def other_token_count(self) -> int:
        """Number of tokens that have no place in the image, such as a class token."""
        return 0 if self.tokens is None else self.tokens.before + self.tokens.behind

    def kernels_second(self, output: Tensor, batch: int) -> Tensor:
        """An output, or a gradient to it, as ``(B, K, ..., H', W')``.

        Args:
            output: The layer's output, of any shape.
            batch: How many images there were.

        Returns:
            Kernels second and the image's axes last, a view where that is possible; one number for
            each image is one kernel. Tokens that have no place in the image are left out.

        Raises:
            ValueError: If the output does not count the images, or has another size than the one
                that the layout is of.
        """
        if not self._is_plain:
            return self._arranged(output, batch)
        if output.shape[:1] != (batch,):
            raise ValueError
        return output[:, None] if output.ndim == 1 else output.movedim(self.kernel_dim, 1)

    def other_tokens(self, output: Tensor, batch: int) -> Tensor | None:
        """The tokens that have no place in the image, ``(B, K, ..., n)``; None if there are none.

        Args:
            output: The layer's output, of any shape.
            batch: How many images there were.

        Raises:
            ValueError: As :meth:`kernels_second`.
        """
        if self.dims is None or not self.other_token_count:
            return None
        return self._arranged(output, batch, of_grid=False)

    @property
    def _is_plain(self) -> bool:
        """True if images come first, and each other dimension counts one thing, in map order."""
        if self.dims is None:
            return True
        if [factor.axis for factor in self.dims[0]] != [BATCH] or self.shifts != (0, 0):
            return False
        rest = [dim for index, dim in enumerate(self.dims) if index not in (0, self.kernel_dim)]
        axes = [factor.axis for dim in rest for factor in dim]
        is_in_order = [axis for axis in axes if axis in AXES] in ([], [VERTICAL], [*AXES])
        return is_in_order and TOKENS not in axes and all(len(dim) <= 1 for dim in rest)

    def images_in(self, output: Tensor) -> int:
        """Number of images that an output, of any shape, is of."""
        for dim, size in zip(self.dims or (), output.shape, strict=False):
            if any(factor.axis == BATCH for factor in dim):
                return size // size_of(factor for factor in dim if factor.axis != BATCH)
        return len(output)

    def _arranged(self, output: Tensor, batch: int, *, of_grid: bool = True) -> Tensor:
        factors = [self._factors(index, size, batch) for index, size in enumerate(output.shape)]
        parts = [factor for dim in factors for factor in dim]
        values = output.reshape([part.size for part in parts])
        place = next((place for place, part in enumerate(parts) if part.axis == TOKENS), None)
        if place is not None and self.tokens is not None:
            grid, before = self.tokens.grid, self.tokens.before
            of_image = values.narrow(place, before, size_of(grid))
            if of_grid:
                values = of_image.unflatten(place, [part.size for part in grid])
                parts[place : place + 1] = grid
            else:
                behind = values.narrow(place, before + size_of(grid), self.tokens.behind)
                values = torch.cat([values.narrow(place, 0, before), behind], place)
        order = sorted(range(len(parts)), key=lambda place: _order(parts[place]))
        counted = [part.axis for part in parts]
        shape = [batch, output.shape[self.kernel_dim]]
        shape += [values.shape[place] for place in order if counted[place] in (OTHER, TOKENS)]
        for axis in AXES:
            if axis in counted:
                shape.append(size_of(part for part in parts if part.axis == axis))
        arranged = values.permute(order).reshape(shape)
        if not of_grid or self.shifts == (0, 0):
            return arranged
        return arranged.roll([-shift for shift in self.shifts], [-2, -1])

    def _factors(self, index: int, size: int, batch: int) -> Sequence[Factor]:
        """The factors of one dimension, for a number of images."""
        if index == self.kernel_dim:
            return [Factor(_KERNELS, size)]
        dims = self.dims or ()
        dim = dims[index] if index < len(dims) else ()
        factors = [
            Factor(BATCH, batch) if factor.axis == BATCH else factor
            for factor in dim or (Factor(OTHER, 1),)
        ]
        if size_of(factors) != size:
            raise ValueError
        return factors


def _order(factor: Factor) -> tuple[int, int]:
    """Images, kernels, other things, rows, columns, the coarse parts of these before the fine."""
    return [BATCH, _KERNELS, OTHER, TOKENS, VERTICAL, HORIZONTAL].index(factor.axis), -factor.step
