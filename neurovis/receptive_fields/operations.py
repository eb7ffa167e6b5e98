"""Effects of convolutions, poolings, normalizations and reductions on receptive fields."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

from neurovis.receptive_fields.call import Call
from neurovis.receptive_fields.dimensions import AXES, Factor, UnknownFieldError, axes_of
from neurovis.receptive_fields.extents import Extent
from neurovis.receptive_fields.trace import Trace


def convolution(call: Call) -> Trace:
    """Convolutions and transposed convolutions in any number of dimensions."""
    trace = call.trace("input")
    if call["groups"] > 1 and axes_of(trace.dims[1]):
        raise UnknownFieldError
    trace = trace.mixed(1, call.shape[1])
    count = len(trace.dims) - 2
    settings = zip(
        call["weight"].shape[2:],
        *(call.per_axis(name, count) for name in ("stride", "padding", "dilation")),
        strict=True,
    )
    for index, (kernel, stride, padding, dilation) in enumerate(settings, start=2):
        trace = _windowed(
            trace, index, call.shape[index], kernel, stride, padding, dilation, call["transposed"]
        )
    return trace


def pooling(call: Call, count: int) -> Trace:
    """Average and maximum pooling over the last ``count`` dimensions."""
    trace = call.trace("self")
    kernels = call.per_axis("kernel_size", count)
    strides = call.per_axis("stride", count) or kernels
    paddings = call.per_axis("padding", count)
    dilations = call.per_axis("dilation", count) if "dilation" in call else [1] * count
    for position in range(count):
        index = len(trace.dims) - count + position
        trace = _windowed(
            trace,
            index,
            call.shape[index],
            kernels[position],
            strides[position],
            paddings[position],
            dilations[position],
        )
    return trace


def adaptive_pooling(call: Call, count: int) -> Trace:
    """Pooling to a given size: of everything, of equal parts, or of parts that overlap."""
    trace = call.trace("self")
    for index in range(len(trace.dims) - count, len(trace.dims)):
        before, after = trace.shape[index], call.shape[index]
        if after == 1:
            trace = trace.mixed(index)
        elif before % after == 0:
            part = before // after
            trace = _windowed(trace, index, after, part, part)
        else:
            parts = [
                range(unit * before // after, -(-(unit + 1) * before // after))
                for unit in range(after)
            ]
            trace = trace.slid(index, after, lambda extent, *_, parts=parts: extent.listed(parts))
    return trace


def padding(call: Call) -> Trace:
    """Padding with a constant, or with values from near the edge, which count as padding."""
    trace = call.trace("self")
    pads = list(call["pad"] if "pad" in call else call["padding"])
    for position in range(len(pads) // 2):
        index = len(trace.dims) - 1 - position
        if pads[2 * position : 2 * position + 2] != [0, 0]:
            trace = _windowed(trace, index, call.shape[index], padding=pads[2 * position])
    return trace


def nearest(call: Call, count: int) -> Trace:
    """Upsampling by a whole number of copies."""

    def move(extent: Extent, before: int, after: int) -> Extent:
        factor = after // before
        return extent.upsampled(lambda unit: [unit // factor], factor, after)

    return _upsampled(call, count, move)


def linear_interpolation(call: Call, count: int) -> Trace:
    """Bilinear upsampling by a whole number, and its siblings in one and three dimensions."""

    def from_centers(extent: Extent, before: int, after: int) -> Extent:
        factor = after // before
        places = partial(_between, scale=Fraction(1, factor), offset=Fraction(1 - factor, 2))
        return extent.upsampled(places, factor, after)

    def from_corners(extent: Extent, before: int, after: int) -> Extent:
        scale = Fraction(before - 1, after - 1)
        return extent.listed([_between(unit, scale, Fraction(0)) for unit in range(after)])

    return _upsampled(call, count, from_corners if call["align_corners"] else from_centers)


def reduction(call: Call) -> Trace:
    """Each element depends on all of some dimensions, which then have size 1 or are gone."""
    trace = call.trace("self")
    named = call.arguments.get("dim")
    if named is None or named == []:
        named = range(len(trace.dims))
    chosen = [named] if isinstance(named, int) else named
    for index in sorted({index % len(trace.dims) for index in chosen}, reverse=True):
        trace = trace.mixed(index)
        if not call.arguments.get("keepdim"):
            trace = trace.without(index)
    return trace


def softmax(call: Call) -> Trace:
    """Each element depends on all of one dimension and keeps its place."""
    trace = call.trace("self")
    return trace.spread(call.dimension(trace))


def batch_norm(call: Call) -> Trace:
    """Elementwise with running statistics; with those of the batch, the whole map matters."""
    trace = call.trace("input")
    if call.arguments.get("training", False):
        for index in set(range(len(trace.dims))) - {1}:
            trace = trace.spread(index)
    return trace


def layer_norm(call: Call) -> Trace:
    """Each element depends on all of the last dimensions and keeps its place."""
    trace = call.trace("input")
    for index in range(len(trace.dims) - len(call["normalized_shape"]), len(trace.dims)):
        trace = trace.spread(index)
    return trace


def group_norm(call: Call) -> Trace:
    """Each element depends on all places of its group of channels."""
    trace = call.trace("input")
    for index in range(1, len(trace.dims)):
        trace = trace.spread(index)
    return trace


def _between(unit: int, scale: Fraction, offset: Fraction) -> set[int]:
    """The old units on both sides of a new one's place, ``unit * scale + offset * scale``."""
    place = (unit + offset) * scale
    return {place.__floor__(), place.__ceil__()}


def _windowed(
    trace: Trace,
    index: int,
    size: int,
    kernel: int = 1,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    transposed: bool = False,
) -> Trace:
    """Slide a window along a dimension, which then has the given size."""
    if (kernel, stride, padding, size) == (1, 1, 0, trace.shape[index]):
        return trace

    def move(extent: Extent, _: int, units: int) -> Extent:
        slide = extent.transposed if transposed else extent.window
        return slide(kernel, stride, padding, dilation, units)

    return trace.slid(index, size, move)


def _upsampled(call: Call, count: int, move: Callable[[Extent, int, int], Extent]) -> Trace:
    """Apply ``move(extent, size before, size after)`` to the last ``count`` dimensions."""
    trace = call.trace("self", "input")
    scales = [value for name, value in call.arguments.items() if name.startswith("scale")]
    for position in range(count):
        index = len(trace.dims) - count + position
        before, after = trace.shape[index], call.shape[index]
        scale = scales[position] if len(scales) == count else None
        if after % before or (scale is not None and scale != after / before):
            raise UnknownFieldError
        if before == 1:
            trace = trace.mixed(index, after)
            if count == 2 and after > 1 and not trace.factors(AXES[position]):
                # A pooled map that is made as large as others has rows and columns again.
                trace = trace.with_length(AXES[position], after)
                trace = trace.with_dim(index, (Factor(AXES[position], after),))
        elif before != after:
            trace = trace.slid(index, after, move)
    return trace


def linear(call: Call) -> Trace:
    """A weighted sum over the last dimension."""
    return call.trace("input").mixed(-1, call.shape[-1])


def gated(call: Call) -> Trace:
    """``glu``: one half of the channels times a function of the other half."""
    trace = call.trace("self")
    index = call.dimension(trace)
    if axes_of(trace.dims[index]):
        raise UnknownFieldError
    return trace.mixed(index, call.shape[index])
