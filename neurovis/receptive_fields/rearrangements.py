"""Effects of copying, reshaping, slicing, joining and multiplying on receptive fields."""

from __future__ import annotations

from dataclasses import replace

from neurovis.receptive_fields.call import Call
from neurovis.receptive_fields.dimensions import TOKENS, UnknownFieldError, axes_of, is_known, other
from neurovis.receptive_fields.trace import Trace, united


def elementwise(call: Call) -> Trace:
    """Every element depends on the elements at its own place."""
    return united(call.traces.values(), call.shape)


def copied(call: Call) -> Trace | None:
    """``self.copy_(src)``: what was there before does not matter."""
    source = call.traces.get(id(call["src"]))
    return None if source is None else source.broadcast(call.shape)


def filled(call: Call) -> None:
    """``self.fill_(value)``: what was there before does not matter."""
    if id(call["value"]) in call.traces:
        raise UnknownFieldError


def constant(call: Call) -> None:  # noqa: ARG001 - every rule takes the call
    """The values do not depend on the argument's, only the shape does."""
    return


def same(call: Call) -> Trace:
    """The same elements in the same places, or channels moved among each other."""
    trace = call.trace("self", "input")
    if axes_of(trace.dims[1]):
        raise UnknownFieldError
    return trace


def restrided(call: Call) -> Trace:
    """``as_strided_``, with which torch tidies up the strides of dimensions of size 1."""
    trace = call.trace("self")
    if call.shape != trace.shape or len([size for size in call.shape if size > 1]) > 1:
        raise UnknownFieldError
    return trace


def reshaped(call: Call) -> Trace:
    """The same elements in row-major order in another shape."""
    return call.trace("self").reshaped(call.shape)


def squeezed(call: Call) -> Trace:
    """Dimensions of size 1 are gone: all of them, or those that are named."""
    trace = call.trace("self")
    named = call.arguments.get("dim", range(len(trace.dims)))
    chosen = [named] if isinstance(named, int) else named
    for index in sorted({index % len(trace.dims) for index in chosen}, reverse=True):
        if trace.shape[index] == 1:
            trace = trace.mixed(index).without(index)
    return trace


def unsqueezed(call: Call) -> Trace:
    """A new dimension of size 1."""
    trace = call.trace("self")
    return trace.inserted(call["dim"] % (len(trace.dims) + 1))


def permuted(call: Call) -> Trace:
    """The dimensions in another order."""
    trace = call.trace("self")
    return replace(trace, dims=tuple(trace.dims[index] for index in call["dims"]))


def transposed(call: Call) -> Trace:
    """Two dimensions exchanged."""
    trace = call.trace("self")
    dims = list(trace.dims)
    if len(dims) > 1:
        one, two = (call["dim0"], call["dim1"]) if "dim0" in call else (0, 1)
        dims[one], dims[two] = dims[two], dims[one]
    return replace(trace, dims=tuple(dims))


def expanded(call: Call) -> Trace:
    """Dimensions of size 1 repeated."""
    return call.trace("self").broadcast(call.shape)


def repeated(call: Call) -> Trace:
    """Copies side by side, which must not be copies of the image's axes."""
    trace = call.trace("self")
    missing = len(call.shape) - len(trace.dims)
    trace = replace(trace, dims=((),) * missing + trace.dims)
    for index, size in enumerate(call.shape):
        if size != trace.shape[index]:
            trace = _replaced(trace, index, size)
    return trace


def sliced(call: Call) -> Trace:
    """Every ``step``-th element of a dimension from ``start`` on."""
    trace = call.trace("self")
    index = call.dimension(trace)
    size = trace.shape[index]
    start = call["start"] or 0
    first = min(start + size if start < 0 else start, size)
    return _part(trace, index, max(first, 0), call["step"], call.shape[index])


def selected(call: Call) -> Trace:
    """One element of a dimension, which is then gone."""
    trace = call.trace("self")
    index = call.dimension(trace)
    trace = _part(trace, index, call["index"] % trace.shape[index], 1, 1)
    return trace.mixed(index).without(index)


def split(call: Call) -> list[Trace]:
    """Consecutive parts of a dimension."""
    trace = call.trace("self")
    index = call.dimension(trace)
    parts, first = [], 0
    for output in call.outputs:
        parts.append(_part(trace, index, first, 1, output.shape[index]))
        first += output.shape[index]
    return parts


def unbound(call: Call) -> list[Trace]:
    """Each element of a dimension on its own."""
    trace = call.trace("self")
    index = call.dimension(trace)
    parts = (_part(trace, index, unit, 1, 1) for unit in range(trace.shape[index]))
    return [part.mixed(index).without(index) for part in parts]


def indexed(call: Call) -> Trace:
    """Some elements of one dimension that carries no axis of the image, such as channels."""
    trace = call.trace("self")
    used = [index for index, chosen in enumerate(call["indices"]) if chosen is not None]
    if len(used) != 1 or call["indices"][used[0]].ndim != 1:
        raise UnknownFieldError
    return _replaced(trace, used[0], call.shape[used[0]])


def resized(call: Call) -> Trace:
    """Elements of one dimension combined or reordered, which must not be an axis of the image."""
    trace = call.trace("self")
    chosen = [call["dim"]] if "dim" in call else call["dims"]
    if not chosen:
        raise UnknownFieldError
    for index in (dim % len(trace.dims) for dim in chosen):
        trace = _replaced(trace, index, call.shape[index])
    return trace


def rolled(call: Call) -> Trace:
    """The elements of some dimensions, each moved on round its end."""
    trace = call.trace("self")
    if not call["dims"]:
        raise UnknownFieldError
    for dim, shift in zip(call["dims"], call["shifts"], strict=True):
        trace = trace.rolled(dim % len(trace.dims), shift)
    return trace


def joined(call: Call) -> Trace:
    """Tensors behind each other: each output counts as seeing what any of them sees."""
    index = call.dimension(next(iter(call.traces.values())))
    size, first = call.shape[index], 0
    traces = []
    for tensor in call["tensors"]:
        part = tensor.shape[index] if tensor.ndim == len(call.shape) else 0
        trace = call.traces.get(id(tensor))
        if trace is not None and axes_of(trace.dims[index]):
            traces.append(trace.among_others(index, first, size - first - part))
        elif trace is not None:
            traces.append(_replaced(trace, index, size))
        first += part
    return united(traces, call.shape)


def stacked_trace(call: Call) -> Trace:
    """Tensors behind each other in a new dimension."""
    traces = list(call.traces.values())
    index = call["dim"] % len(call.shape)
    return united([trace.inserted(index) for trace in traces], call.shape)


def multiplied(call: Call, left: str, right: str) -> Trace:
    """Products of matrices, plus what is added to them.

    Where both carry the image, as products of queries and keys do, rows keep their place, and
    every element counts as seeing what any column sees.
    """
    rows = call.traces.get(id(call[left]))
    parts = []
    for name, argument in call.arguments.items():
        trace = call.traces.get(id(argument))
        if trace is not None and name == left:
            trace = trace.mixed(-1, call.shape[-1])
        elif trace is not None and name == right:
            trace = trace.reduced(-2, call.shape[-2])
            if rows is not None and {*axes_of(rows.dims[-2])} & {*axes_of(trace.dims[-1])}:
                trace = trace.reduced(-1, call.shape[-1])
        if trace is not None:
            parts.append(trace)
    return united(parts, call.shape)


def attention(call: Call) -> Trace:
    """Scaled dot-product attention: queries keep their place, and see what all keys see.

    Queries that are parameters, as of attention pooling, see nothing themselves.
    """
    parts = []
    if id(call["query"]) in call.traces:
        parts.append(call.traces[id(call["query"])].mixed(-1, call.shape[-1]))
    for name in ("key", "value"):
        trace = call.traces.get(id(call[name]))
        if trace is not None:
            parts.append(trace.reduced(-2).reduced(-1))
    return united(parts, call.shape)


def _part(trace: Trace, index: int, first: int, step: int, size: int) -> Trace:
    """Elements ``first``, ``first + step``, … of a dimension."""
    if (first, step, size) == (0, 1, trace.shape[index]):
        return trace
    if any(factor.axis == TOKENS for factor in trace.dims[index]):
        return trace.some_tokens(index, first, size, step)
    return trace.slid(
        index, size, lambda extent, _, units: extent.window(1, step, -first, 1, units)
    )


def _replaced(trace: Trace, index: int, size: int) -> Trace:
    """Another number of elements along a dimension that carries no axis of the image."""
    if is_known(trace.dims[index]):
        raise UnknownFieldError
    return trace.with_dim(index, other(size))
