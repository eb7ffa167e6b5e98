"""Trace the image through tensors: the dimensions that carry it, and what their elements see.

Networks move the image's axes about (channels-last layers, flattening, channel shuffles), so a
:class:`Trace` follows them through every reshaping and says so when it has lost them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from neurovis.receptive_fields.extents import Extent

#: The image's axes. A dimension without either counts something else: batch, kernels, tokens.
VERTICAL, HORIZONTAL, OTHER = 0, 1, -1
AXES = (VERTICAL, HORIZONTAL)

#: An axis and a size. A dimension is a row-major sequence of factors: one for a plain dimension,
#: ``((OTHER, 512), (VERTICAL, 7), (HORIZONTAL, 7))`` after flattening, none for a size of 1.
Factor = tuple[int, int]
Dim = tuple[Factor, ...]


class UnknownFieldError(Exception):
    """The receptive field cannot be followed through an operation."""


@dataclass(frozen=True)
class Trace:
    """Dimensions of a tensor that carry the image's axes, and what its units see along each.

    Args:
        dims: The factors of each dimension. An axis occurs at most once.
        extents: Vertical and horizontal. That of an axis in no dimension is fixed.
    """

    dims: tuple[Dim, ...]
    extents: tuple[Extent, Extent]

    @classmethod
    def image(cls, shape: Sequence[int]) -> Trace:
        """The trace of images ``(B, C, H, W)``."""
        batch, channels, height, width = shape
        factors = ((OTHER, batch), (OTHER, channels), (VERTICAL, height), (HORIZONTAL, width))
        dims = tuple(merged([factor]) for factor in factors)
        return cls(dims, (Extent.image(height), Extent.image(width)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""
        return tuple(size_of(dim) for dim in self.dims)

    def units(self, axis: int) -> int | None:
        """Number of units along an image axis; None if no dimension carries it."""
        sizes = [size for dim in self.dims for owner, size in dim if owner == axis]
        return sizes[0] if sizes else None

    def with_extent(self, axis: int, extent: Extent) -> Trace:
        """The same dimensions, with another extent along ``axis``."""
        extents = list(self.extents)
        extents[axis] = extent
        return replace(self, extents=(extents[0], extents[1]))

    def with_dim(self, index: int, dim: Dim) -> Trace:
        """The same extents, with other factors in a dimension."""
        dims = list(self.dims)
        dims[index] = dim
        return replace(self, dims=tuple(dims))

    def without(self, index: int) -> Trace:
        """The trace after a dimension of size 1 that carries no axis is gone."""
        dims = list(self.dims)
        del dims[index]
        return replace(self, dims=tuple(dims))

    def inserted(self, index: int) -> Trace:
        """The trace with a new dimension of size 1."""
        dims = list(self.dims)
        dims.insert(index, ())
        return replace(self, dims=tuple(dims))

    def mixed(self, index: int, size: int = 1) -> Trace:
        """Each element depends on all of a dimension, which then counts ``size`` other things."""
        trace = self
        for axis, units in self.dims[index]:
            if axis in AXES:
                trace = trace.with_extent(axis, trace.extents[axis].whole(units))
        return trace.with_dim(index, other(size))

    def spread(self, index: int) -> Trace:
        """Each element depends on all of a dimension and keeps its place there, as in softmax."""
        trace = self
        for axis, units in self.dims[index]:
            if axis in AXES:
                extent = trace.extents[axis]
                trace = trace.with_extent(axis, extent.union(extent.whole(units), units))
        return trace

    def slid(self, index: int, size: int, move: Callable[[Extent, int, int], Extent]) -> Trace:
        """Each element along a dimension depends on some of its neighbors there.

        Args:
            index: The dimension.
            size: Its size afterwards.
            move: Takes an axis' extent, its size before and after, and returns the new extent.

        Raises:
            UnknownFieldError: If the dimension carries an image axis merged with anything else.
        """
        axes = axes_of(self.dims[index])
        if not axes:
            return self.with_dim(index, other(size))
        if len(self.dims[index]) > 1:
            raise UnknownFieldError
        axis, units = self.dims[index][0]
        trace = self.with_extent(axis, move(self.extents[axis], units, size))
        return trace.with_dim(index, ((axis, size),))

    def reshaped(self, shape: Sequence[int]) -> Trace:
        """The trace of the same elements in row-major order in another shape.

        Raises:
            UnknownFieldError: If an image axis would be cut into pieces.
        """
        if tuple(shape) == self.shape:
            return self
        if 0 in shape:
            raise UnknownFieldError
        factors = list(merged([factor for dim in self.dims for factor in dim]))
        dims = []
        for position, size in enumerate(shape):
            dim: list[Factor] = []
            while size_of(dim) < size:
                dim.append(_take(factors, size, size_of(dim)))
            # Axes with a single unit go as far to the right as there are dimensions of size 1.
            later_ones = _leading_ones(shape[position + 1 :])
            while _leading_ones([units for _, units in factors]) > later_ones:
                dim.append(factors.pop(0))
            dims.append(merged(dim))
        return replace(self, dims=tuple(dims))

    def broadcast(self, shape: Sequence[int]) -> Trace:
        """The trace after the tensor was broadcast to ``shape``."""
        missing = len(shape) - len(self.dims)
        trace = replace(self, dims=((),) * missing + self.dims)
        for index, size in enumerate(shape):
            if trace.shape[index] != size:
                trace = trace.mixed(index, size)
        return trace


def united(traces: Iterable[Trace], shape: Sequence[int]) -> Trace:
    """The trace of an elementwise operation on tensors that broadcast to ``shape``.

    Raises:
        UnknownFieldError: If the tensors carry the image's axes in different places.
    """
    aligned = [trace.broadcast(shape) for trace in traces]
    dims = []
    for index, size in enumerate(shape):
        carrying = {trace.dims[index] for trace in aligned if axes_of(trace.dims[index])}
        if len(carrying) > 1:
            raise UnknownFieldError
        dims.append(carrying.pop() if carrying else other(size))
    axes = [axis for dim in dims for axis in axes_of(dim)]
    if len(axes) != len(set(axes)):
        raise UnknownFieldError
    result = Trace(tuple(dims), aligned[0].extents)
    for trace in aligned[1:]:
        for axis in AXES:
            units = result.units(axis) or 1
            united = result.extents[axis].union(trace.extents[axis], units)
            result = result.with_extent(axis, united)
    return result


def size_of(dim: Iterable[Factor]) -> int:
    """Number of elements along a dimension."""
    return math.prod(size for _, size in dim)


def axes_of(dim: Dim) -> list[int]:
    """The image axes that a dimension carries."""
    return [axis for axis, _ in dim if axis in AXES]


def other(size: int) -> Dim:
    """A dimension that carries no image axis."""
    return merged([(OTHER, size)])


def merged(dim: Sequence[Factor]) -> Dim:
    """The dimension with neighboring factors that carry no axis multiplied into one."""
    factors: list[Factor] = []
    for axis, size in dim:
        if (axis, size) == (OTHER, 1):
            continue
        if factors and axis == OTHER == factors[-1][0]:
            factors[-1] = (OTHER, factors[-1][1] * size)
        else:
            factors.append((axis, size))
    return tuple(factors)


def _take(factors: list[Factor], size: int, taken: int) -> Factor:
    """Remove and return the first factor, or only the part that ``taken`` lacks of ``size``."""
    axis, units = factors.pop(0)
    missing = size // taken
    if size % taken == 0 and missing % units == 0:
        return axis, units
    if size % taken or units % missing or axis in AXES:
        raise UnknownFieldError
    factors.insert(0, (axis, units // missing))
    return axis, missing


def _leading_ones(sizes: Sequence[int]) -> int:
    return next((index for index, size in enumerate(sizes) if size != 1), len(sizes))
