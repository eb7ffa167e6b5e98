"""One call of one of torch's operations, as the rules for receptive fields see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from neurovis.receptive_fields.dimensions import UnknownFieldError
from neurovis.receptive_fields.trace import Trace


class Call:
    """One call of an operation: its arguments by name, their traces, and what it returned.

    Args:
        arguments: By the names in the operation's schema, with its defaults.
        traces: Traces of the arguments and of the tensors in arguments that are lists, by ``id``.
        outputs: The tensors that the operation returned.
    """

    def __init__(
        self, arguments: dict[str, Any], traces: dict[int, Trace], outputs: list[Tensor]
    ) -> None:
        self.arguments = arguments
        self.traces = traces
        self.outputs = outputs

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    def __contains__(self, argument: str) -> bool:
        return argument in self.arguments

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first output."""
        return tuple(self.outputs[0].shape)

    def trace(self, *names: str) -> Trace:
        """The trace of the first of these arguments that there is.

        Raises:
            UnknownFieldError: If another argument, such as a weight, depends on the image too.
        """
        name = next(name for name in names if name in self.arguments)
        if set(self.traces) != {id(self[name])}:
            raise UnknownFieldError
        return self.traces[id(self[name])]

    def dimension(self, trace: Trace) -> int:
        """The argument ``dim``, counted from the front."""
        return int(self["dim"]) % max(len(trace.dims), 1)

    def per_axis(self, name: str, count: int) -> list[int]:
        """An argument that is one number for all spatial dimensions, or one for each."""
        values = list(self[name]) if isinstance(self[name], Sequence) else [self[name]]
        return values * count if len(values) == 1 else values
