"""Refuse collective operations where one process runs a network and the others do not.

A collective waits for all processes. In a forward that one process makes alone it would wait until
the job dies, on any backend, so it has to fail before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import distributed
from torch.utils._python_dispatch import TorchDispatchMode

#: All communication passes the dispatcher as operations of these namespaces:
#: ``torch.distributed``'s functions, and the functional collectives.
_NAMESPACES = ("c10d", "_c10d_functional", "_c10d_functional_autograd", "c10d_functional")


class CollectiveError(RuntimeError):
    """A collective operation in a forward that other processes do not run."""


class _RefusedCollectives(TorchDispatchMode):
    """While active, operations between processes raise; all others are left as they are."""

    supports_higher_order_operators = True

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation, unless it is one between processes."""
        if getattr(func, "namespace", None) in _NAMESPACES:
            raise CollectiveError(
                f"the forward exchanges data with other processes ({func}), which do not run it "
                "while one process watches; do so in training_step, or only if self.training"
            )
        return func(*args, **(kwargs or {}))


@contextmanager
def refused_collectives() -> Iterator[None]:
    """Let collective operations raise while inside, if there are other processes.

    Raises:
        CollectiveError: Inside, from whatever exchanges data between processes.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        yield
        return
    if distributed.get_world_size() == 1:
        yield
        return
    with _RefusedCollectives():  # type: ignore[no-untyped-call]
        yield
