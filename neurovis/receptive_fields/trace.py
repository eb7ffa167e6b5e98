"""Trace the image through tensors: the dimensions that carry it, and what their elements see.

Networks move the image's axes about (channels-last layers, flattening, tokens, windows), so a
:class:`Trace` follows them through every reshaping and says so when it has lost them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

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
    UnknownFieldError,
    axes_of,
    is_known,
    leading_ones,
    merged,
    other,
    size_of,
    take,
)
from neurovis.receptive_fields.extents import EVERYTHING, Extent

T = TypeVar("T")


@dataclass(frozen=True)
class Trace:
    """Dimensions of a tensor that carry the image's axes, and what its units see along each.

    Args:
        dims: The factors of each dimension. Each part of an axis occurs at most once.
        extents: Vertical and horizontal, for all ``lengths`` units. Units along an axis that is in
            no dimension all see the same.
        lengths: Number of units down and across, of which a tensor that was pooled over windows
            has fewer.
        shifts: How far the units are rolled down and across.
        tokens: What a factor of tokens consists of, if there is one.
    """

    dims: tuple[Dim, ...]
    extents: tuple[Extent, Extent]
    lengths: tuple[int, int]
    shifts: tuple[int, int] = (0, 0)
    tokens: Tokens | None = None

    @classmethod
    def image(cls, shape: Sequence[int]) -> Trace:
        """The trace of images ``(B, C, H, W)``."""
        dims = tuple(
            merged([Factor(axis, size)])
            for axis, size in zip((BATCH, OTHER, VERTICAL, HORIZONTAL), shape, strict=True)
        )
        height, width = shape[2:]
        return cls(dims, (Extent.image(height), Extent.image(width)), (height, width))

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""
        return tuple(size_of(dim) for dim in self.dims)

    def factors(self, axis: int) -> list[Factor]:
        """The factors that count units along an image axis, also those of tokens."""
        grid = () if self.tokens is None else self.tokens.grid
        return [factor for dim in (*self.dims, grid) for factor in dim if factor.axis == axis]

    def units(self, axis: int) -> int | None:
        """Number of units along an image axis; None if no dimension carries it."""
        factors = self.factors(axis)
        return size_of(factors) if factors else None

    def with_extent(self, axis: int, extent: Extent) -> Trace:
        """Return the trace with another extent along ``axis``."""
        return replace(self, extents=_changed(self.extents, axis, extent))

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
        trace = self.reduced(index, size)
        for axis in axes_of(self.dims[index]):
            remaining = trace.factors(axis)
            if len(remaining) == 1:
                trace = trace._compressed(remaining[0])
        return trace

    def reduced(self, index: int, size: int = 1) -> Trace:
        """As :meth:`mixed`, with units still counted as before where a part of their place is left.

        So it can be united with traces whose units have all of their place, as keys of attention
        within windows are with queries.
        """
        trace = self
        for axis, extent in self._extents_over(index):
            trace = trace.with_extent(axis, extent)
        if any(factor.axis == TOKENS for factor in self.dims[index]):
            trace = replace(trace, tokens=None)
        return trace.with_dim(index, other(size))

    def _compressed(self, factor: Factor) -> Trace:
        """The trace with units counted by the only factor that is left of their axis."""
        axis, units, step = factor
        alone = Factor(axis, units)
        dims = tuple(tuple(alone if one == factor else one for one in dim) for dim in self.dims)
        # Units that differ in other parts of their place see alike.
        extent = self.extents[axis].window(1, step, 0, 1, units)
        return replace(self, dims=dims).with_extent(axis, extent).with_length(axis, units)

    def spread(self, index: int) -> Trace:
        """Each element depends on all of a dimension and keeps its place there, as in softmax."""
        trace = self
        for axis, extent in self._extents_over(index):
            united = trace.extents[axis].union(extent, trace.lengths[axis])
            trace = trace.with_extent(axis, united)
        return trace

    def _extents_over(self, index: int) -> Iterator[tuple[int, Extent]]:
        """Yield each axis that a dimension carries, and its extent if units there see alike."""
        dim = self.dims[index]
        if self.tokens is not None and any(factor.axis == TOKENS for factor in dim):
            dim += self.tokens.grid
        for axis in AXES:
            parts = [factor for factor in dim if factor.axis == axis]
            if parts:
                yield axis, self._extent_over(axis, parts)

    def _extent_over(self, axis: int, parts: Sequence[Factor]) -> Extent:
        """The extent along an axis if units that differ in these parts of their place see alike."""
        extent, length = self.extents[axis], self.lengths[axis]
        if size_of(parts) == length:
            return extent.whole(length)
        if set(extent.intervals) == {EVERYTHING}:
            return extent
        offsets = [0]
        for part in parts:
            offsets = [
                offset + place * part.step for offset in offsets for place in range(part.size)
            ]
        firsts = [
            unit - sum(unit // part.step % part.size * part.step for part in parts)
            for unit in range(length)
        ]
        return extent.listed([[first + offset for offset in offsets] for first in firsts])

    def slid(self, index: int, size: int, move: Callable[[Extent, int, int], Extent]) -> Trace:
        """Each element along a dimension depends on some of its neighbors there.

        Args:
            index: The dimension.
            size: Its size afterwards.
            move: Takes an axis' extent, its size before and after, and returns the new extent.

        Raises:
            UnknownFieldError: If the dimension carries an image axis merged with anything else, or
                not all of it, or units that are not where they were.
        """
        dim = self.dims[index]
        if not axes_of(dim):
            if any(factor.axis != OTHER for factor in dim):
                raise UnknownFieldError
            return self.with_dim(index, other(size))
        ((axis, units, _), *more) = dim
        if more or axis not in AXES or units != self.lengths[axis] or self.shifts[axis]:
            raise UnknownFieldError
        trace = self.with_extent(axis, move(self.extents[axis], units, size))
        return trace.with_length(axis, size).with_dim(index, (Factor(axis, size),))

    def with_length(self, axis: int, length: int) -> Trace:
        """Return the trace with another number of units along ``axis``."""
        return replace(self, lengths=_changed(self.lengths, axis, length))

    def rolled(self, index: int, shift: int) -> Trace:
        """The trace after the elements of a dimension moved on by ``shift``, round its end.

        Raises:
            UnknownFieldError: If the dimension does not count other things, or one whole image
                axis.
        """
        dim = self.dims[index]
        if all(factor.axis == OTHER for factor in dim):
            return self
        ((axis, units, _), *more) = dim
        if more or axis not in AXES or units != self.lengths[axis]:
            raise UnknownFieldError
        extent = self.extents[axis]
        if set(extent.intervals) != {EVERYTHING}:
            extent = extent.listed([[(unit - shift) % units] for unit in range(units)])
        shifts = _changed(self.shifts, axis, (self.shifts[axis] + shift) % units)
        return replace(self, shifts=shifts).with_extent(axis, extent)

    def among_others(self, index: int, before: int, behind: int) -> Trace:
        """The trace after other elements were put before and behind those of a dimension.

        Raises:
            UnknownFieldError: If there are other tokens already in another dimension.
        """
        if not before and not behind:
            return self
        dim, tokens = self.dims[index], self.tokens
        if dim == (Factor(TOKENS, size_of(dim)),) and tokens is not None:
            tokens = Tokens(tokens.before + before, tokens.grid, tokens.behind + behind)
        elif tokens is None:
            tokens = Tokens(before, dim, behind)
        else:
            raise UnknownFieldError
        size = before + size_of(dim) + behind
        return replace(self, tokens=tokens).with_dim(index, (Factor(TOKENS, size),))

    def some_tokens(self, index: int, first: int, size: int, step: int) -> Trace:
        """The trace of some neighboring tokens: the grid, or none of it.

        Raises:
            UnknownFieldError: If they are a part of the grid.
        """
        tokens, dim = self.tokens, self.dims[index]
        if tokens is None or len(dim) > 1 or step != 1:
            raise UnknownFieldError
        start, end = tokens.before, tokens.before + size_of(tokens.grid)
        if first + size <= start or first >= end:
            return self.mixed(index, size)
        if first > start or first + size < end:
            raise UnknownFieldError
        before, behind = start - first, first + size - end
        trace = replace(self, tokens=None).with_dim(index, tokens.grid)
        return trace.among_others(index, before, behind)

    def reshaped(self, shape: Sequence[int]) -> Trace:
        """The trace of the same elements in row-major order in another shape.

        Raises:
            UnknownFieldError: If images or tokens would be cut into pieces.
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
                dim.append(take(factors, size, size_of(dim)))
            # Axes with a single unit go as far to the right as there are dimensions of size 1, a
            # single image to the first, or behind tokens to the next.
            later_ones = leading_ones(shape[position + 1 :])
            is_first = not position and not (dim and later_ones)
            if factors and factors[0] == (BATCH, 1, 1) and is_first:
                dim.append(factors.pop(0))
            while leading_ones([factor.size for factor in factors]) > later_ones:
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
        carrying = {trace.dims[index] for trace in aligned if is_known(trace.dims[index])}
        if len(carrying) > 1:
            raise UnknownFieldError
        dims.append(carrying.pop() if carrying else other(size))
    known_tokens = [trace.tokens for trace in aligned if trace.tokens is not None]
    tokens = _only(known_tokens) if known_tokens else None
    lengths, shifts, extents = [], [], []
    for axis in AXES:
        carrying_axis = [trace for trace in aligned if trace.factors(axis)] or aligned[:1]
        lengths.append(_only(trace.lengths[axis] for trace in carrying_axis))
        shifts.append(_only(trace.shifts[axis] for trace in carrying_axis))
        extent = aligned[0].extents[axis]
        for trace in aligned[1:]:
            extent = extent.union(trace.extents[axis], lengths[axis])
        extents.append(extent)
    result = Trace(tuple(dims), _pair(extents), _pair(lengths), _pair(shifts), tokens)
    factors = [factor for axis in AXES for factor in result.factors(axis)]
    batches = [factor for dim in dims for factor in dim if factor.axis == BATCH]
    if len(factors) != len(set(factors)) or len(batches) > 1:
        raise UnknownFieldError
    return result


def _only(values: Iterable[T]) -> T:
    """The only value, of which there may be several copies.

    Raises:
        UnknownFieldError: If there are several values.
    """
    first, *others = set(values)
    if others:
        raise UnknownFieldError
    return first


def _pair(values: Sequence[T]) -> tuple[T, T]:
    vertical, horizontal = values
    return vertical, horizontal


def _changed(values: tuple[T, T], axis: int, value: T) -> tuple[T, T]:
    """A pair, vertical and horizontal, with another value for one axis."""
    vertical, horizontal = values
    return (value, horizontal) if axis == VERTICAL else (vertical, value)
