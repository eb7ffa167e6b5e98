"""A GPU that is simulated on the CPU: torch's device ``simulated``, made by importing this module.

It runs the CPU's kernels on the same memory, after refusing what CUDA refuses: tensors of two
devices, random generators of another device, dtype mixtures in convolutions, ``.numpy()`` without
``.cpu()``. There are two such devices. It counts kernels, and what the host of a real GPU would
wait for. Autocast has CUDA's lists.

Functions without a docstring are those that torch looks for in the module of a device.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any

import torch
from simulated_build import NAME, built
from torch import Tensor

DEVICE_TYPE = "simulated"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(NAME, built())
    if spec is None or spec.loader is None:
        raise ImportError(f"{built()} is no library")
    library = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)
    return library


_library = _loaded()
device_count = _library.device_count
current_device = _library.current_device


def is_available() -> bool:
    return True


def is_initialized() -> bool:
    return True


def _is_in_bad_fork() -> bool:
    return False


def _lazy_init() -> None:
    pass


def _index(of: torch.device | int | str | None) -> int:
    index = of if of is None or isinstance(of, int) else torch.device(of).index
    return current_device() if index is None else index


def set_device(to: torch.device | int | str) -> None:
    _library.set_device(_index(to))


def synchronize(_: torch.device | int | str | None = None) -> None:
    pass


def empty_cache() -> None:
    pass


def get_amp_supported_dtype() -> list[torch.dtype]:
    return [torch.float16, torch.bfloat16, torch.float32]


def manual_seed(seed: int) -> None:
    _library.default_generator(current_device()).manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    for index in range(device_count()):
        _library.default_generator(index).manual_seed(seed)


def get_rng_state(of: torch.device | int | str | None = None) -> Tensor:
    return _library.default_generator(_index(of)).get_state()


def set_rng_state(state: Tensor, of: torch.device | int | str | None = None) -> None:
    _library.default_generator(_index(of)).set_state(state)


class device:  # noqa: N801 - torch's own name
    def __init__(self, to: torch.device | int | str) -> None:
        self._to, self._before = to, current_device()

    def __enter__(self) -> None:
        self._before = current_device()
        set_device(self._to)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        set_device(self._before)


_has_float64 = True


def has_float64() -> bool:
    """Return whether the device has float64, as CUDA's; Apple's do not."""
    return _has_float64


def set_float64(allowed: bool) -> None:
    """Have float64 from now on, or none."""
    global _has_float64
    _has_float64 = allowed
    _library.set_float64(allowed)


def launched_kernels() -> int:
    """Return how many kernels this process has launched."""
    return _library.counters().get("kernel", 0)


class Counts:
    """What happened within a :func:`counting` block.

    Attributes:
        kernels: Operations that launch a kernel; copies on the device are counted apart.
        copies: Copies on the device, such as of ``contiguous`` or to another dtype.
        waits: What the host waited for, by kind: ``item``, ``copy to device``, ``copy to host``,
            ``aten::nonzero``, ``boolean index``, ...
        lines: The same by the line of Python that asked, where ``counting(lines=True)``.
    """

    def __init__(self) -> None:
        self.kernels = 0
        self.copies = 0
        self.waits: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()

    @property
    def all_waits(self) -> int:
        return sum(self.waits.values())

    def __repr__(self) -> str:
        waits = ", ".join(f"{number} {kind}" for kind, number in self.waits.most_common())
        return f"{self.kernels} kernels, {self.copies} copies, {self.all_waits} waits ({waits})"


@contextmanager
def counting(lines: bool = False) -> Iterator[Counts]:
    """Count kernels and waits of a block; the result is filled in at its end.

    Args:
        lines: Whether to note the lines of NeuroVis, Lightning or torchmetrics that wait.
    """
    counts = Counts()
    if lines:
        _library.set_wait_listener(lambda kind: counts.lines.update([f"{kind}: {_asking_line()}"]))
    before = Counter(_library.counters())
    try:
        yield counts
    finally:
        _library.set_wait_listener(None)
        happened = Counter(_library.counters())
        happened.subtract(before)
        counts.kernels, counts.copies = happened["kernel"], happened["copy"]
        for event, number in happened.items():
            if event.startswith("wait:") and number:
                counts.waits[event.removeprefix("wait:")] = number


@contextmanager
def refusing_waits() -> Iterator[None]:
    """Raise where the host would wait, for a traceback that shows why."""

    def refuse(kind: str) -> None:
        raise RuntimeError(f"the host waits for the device: {kind}")

    _library.set_wait_listener(refuse)
    try:
        yield
    finally:
        _library.set_wait_listener(None)


def _asking_line() -> str:
    frames = traceback.extract_stack(limit=80)[::-1]
    for part in ("/neurovis/", "/callbacks/", "lightning", "torchmetrics"):
        for frame in frames:
            if part in frame.filename and "/tests/" not in frame.filename:
                return f"{frame.filename.rpartition(part)[2]}:{frame.lineno} {frame.line}"
    return "?"


def _register() -> None:
    torch.utils.rename_privateuse1_backend(DEVICE_TYPE)
    this: Any = sys.modules[__name__]
    torch._register_device_module(DEVICE_TYPE, this)
    torch.utils.generate_methods_for_privateuse1_backend(
        for_tensor=True, for_module=True, for_storage=True
    )


_register()
