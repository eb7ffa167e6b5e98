"""Track images through a network's forward, one of torch's operations at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from neurovis.receptive_fields.call import Call
from neurovis.receptive_fields.dimensions import UnknownFieldError
from neurovis.receptive_fields.rules import Rule, rule_of
from neurovis.receptive_fields.trace import Trace


class Tracker(TorchDispatchMode):
    """While active, knows for each tensor what its elements see of the images.

    Args:
        images: ``(B, C, H, W)``; whatever is computed from them is tracked.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # None: depends on the images in an unknown way. Missing: a constant.
        self._traces: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        # Memory of constants into which something was written that depends on the images.
        self._written: dict[int, torch.UntypedStorage] = {}
        self._traces[images] = Trace.image(images.shape)

    def trace(self, tensor: Tensor) -> Trace | None:
        """Return the trace of a tensor; None if it is unknown, or if its elements see nothing."""
        trace: Trace | None = self._traces.get(tensor)
        return trace

    def is_tracked(self, tensor: Tensor) -> bool:
        """True if a tensor may depend on the images."""
        if tensor in self._traces:
            return True
        return bool(self._written) and _memory(tensor).data_ptr() in self._written

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation, then work out what its results see."""
        kwargs = kwargs or {}
        if not any(self.is_tracked(tensor) for tensor in _tensors([args, kwargs])):
            return func(*args, **kwargs)
        if not isinstance(func, OpOverload):
            output = func(*args, **kwargs)
            self._store(_tensors(output), None)
            return output
        rule = rule_of(func)
        if rule is None:
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = func(*args, **kwargs)
        self._follow(rule, func, args, kwargs, output)
        return output

    def _follow(
        self,
        rule: Rule | None,
        operation: OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
    ) -> None:
        """Store the traces of an operation's outputs, and of what it wrote into."""
        arguments, written = _bound(operation, args, kwargs)
        traces = {
            id(tensor): self.trace(tensor)
            for tensor in _tensors(arguments)
            if self.is_tracked(tensor)
        }
        known = {key: trace for key, trace in traces.items() if trace is not None}
        outputs = list(_tensors(output))
        result: Trace | list[Trace] | None = None
        unknown = rule is None or len(known) < len(traces)
        if rule is not None and not unknown:
            try:
                result = rule(Call(arguments, known, outputs))
            except UnknownFieldError:
                unknown = True
        for tensor in written:
            self._overwrite(tensor, result if isinstance(result, Trace) else None)
        if unknown or result is not None:
            self._store((tensor for tensor in outputs if not _among(tensor, written)), result)

    def _store(self, outputs: Iterable[Tensor], result: Trace | list[Trace] | None) -> None:
        for position, tensor in enumerate(outputs):
            trace = result[position] if isinstance(result, list) else result
            # A safeguard, and for operations that also return statistics of another shape.
            fits = trace is not None and trace.shape == tuple(tensor.shape)
            self._traces[tensor] = trace if fits else None

    def _overwrite(self, tensor: Tensor, trace: Trace | None) -> None:
        """Store the trace of a tensor whose memory now sees something else than before."""
        if trace is not None and trace.shape != tuple(tensor.shape):
            trace = None
        if tensor in self._traces and self._traces[tensor] == trace:
            return
        memory = _memory(tensor)
        if tensor not in self._traces:
            self._written[memory.data_ptr()] = memory
        for alias in list(self._traces.keys()):
            if _memory(alias).data_ptr() == memory.data_ptr():
                self._traces[alias] = None
        self._traces[tensor] = trace


def _bound(
    operation: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, Any], list[Tensor]]:
    """The arguments by name, without those for results; and the tensors that are written into."""
    arguments: dict[str, Any] = {}
    written: list[Tensor] = []
    for position, argument in enumerate(operation._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        value = args[position] if position < len(args) else kwargs.get(argument.name, default)
        is_written = argument.alias_info is not None and argument.alias_info.is_write
        if is_written:
            written.extend(_tensors(value))
        if not (is_written and argument.kwarg_only):
            arguments[argument.name] = value
    return arguments, written


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)


def _among(tensor: Tensor, tensors: list[Tensor]) -> bool:
    return any(tensor is candidate for candidate in tensors)


def _memory(tensor: Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()
