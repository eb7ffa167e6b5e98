"""Put on the simulated GPU what tests of functions of tensors make, networks included."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from typing_extensions import override

import neurovis

_PACKAGE = str(Path(neurovis.__file__).parent)
_TESTS = Path(__file__).resolve().parent.parent

#: Files and folders of tests whose tensors are made on the device.
MADE_ON_DEVICE = (
    "restoration",
    "test_differentiation.py",
    "test_readouts.py",
    "test_recording.py",
    "test_rectifiers.py",
    "test_restoration.py",
)


class _MadeOnDevice(TorchFunctionMode):
    """Moves tensors of the tests' own, or of the modules that they make; NeuroVis's stay."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._constructors = _device_constructors()

    @override
    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        made = function(*args, **options)
        is_placed = options.get("device") is not None
        if function not in self._constructors or is_placed or not _is_for_a_test():
            return made
        # Made on the CPU first, so that its generators may be used, and the numbers are the same.
        return made.detach().to(self._device).requires_grad_(made.requires_grad)


def _is_for_a_test() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_PACKAGE):
            return False
        if file.startswith(str(_TESTS)):
            return True
        frame = frame.f_back
    return False


def placed_tensors(file: Path, device: torch.device) -> AbstractContextManager[object]:
    """Make tensors of a test file on the device, if it is one of those."""
    is_one = any(file.is_relative_to(_TESTS / path) for path in MADE_ON_DEVICE)
    return _MadeOnDevice(device) if is_one else nullcontext()
