"""Custom functions as objectives, penalties and transforms.

Where one fails, what it was given says more than where in the ascent it was called.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor


def call_user_function(function: Callable[[Tensor], object], role: str, tensor: Tensor) -> object:
    """Call a custom function on a tensor, and return its result.

    Args:
        function: The custom function.
        role: What it is used as, for the message.
        tensor: Its argument.

    Raises:
        ValueError: If it fails.
    """
    try:
        return function(tensor)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"the {role} {function_name(function)} failed on a tensor {tuple(tensor.shape)}: "
            f"{type(error).__name__}: {said}"
        ) from error


def function_name(function: object) -> str:
    """Return the module and name of a function; for one without a name, its ``repr``."""
    name = getattr(function, "__qualname__", None)
    # Without memory addresses, which differ in another process.
    return (
        f"{getattr(function, '__module__', None)}.{name}"
        if name
        else re.sub(r" at 0x\w+", "", repr(function))
    )
