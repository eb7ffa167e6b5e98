"""First forwards of a network, which may have been made for other images.

On images that it was not made for, a network may raise anything: torch's own errors, failed
assertions, missing keys, even ``SystemExit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from neurovis.collectives import CollectiveError
from neurovis.inputs import InputSpec
from neurovis.layers import class_name

#: Exceptions whose messages need no explanation: of arguments, files, memory.
_SPEAKS_FOR_ITSELF = (
    *(ValueError, TypeError, OSError, CollectiveError),
    *(MemoryError, torch.OutOfMemoryError),
)


class IncompatibleInputError(ValueError):
    """A network fails on the images that it is tried with."""


@contextmanager
def checked_forward(network: nn.Module, spec: InputSpec, remedy: str = "") -> Iterator[None]:
    """Around the first forwards of a network.

    Args:
        network: Whose forward is run.
        spec: What it is shown.
        remedy: Remedy to state in the message.

    Raises:
        IncompatibleInputError: If the network fails; the message gives the images' shape and why.
    """
    try:
        yield
    except _SPEAKS_FOR_ITSELF:
        raise
    except (Exception, SystemExit) as error:
        parts = ", ".join(f"{part.name} {part.channels}" for part in spec.modalities)
        raise IncompatibleInputError(
            f"{class_name(network)} cannot take images of shape {spec.shape} ({parts}): "
            f"{reason(error)}{f'; {remedy}' if remedy else ''}"
        ) from error


def reason(error: BaseException) -> str:
    r"""Return an exception's message in one line; its name where the message tells nothing.

    Example:
        >>> reason(RuntimeError("mat1 and mat2 cannot be multiplied\nDetails follow"))
        'mat1 and mat2 cannot be multiplied'
        >>> reason(AssertionError()), reason(KeyError("mask"))
        ('AssertionError', "KeyError: 'mask'")
    """
    if isinstance(error, SystemExit):
        return f"it ends the program (exit status {error.code}), as a script does"
    said = next(iter(str(error).strip().splitlines()), "")
    name = type(error).__name__
    if isinstance(error, KeyError):
        return f"{name}: {said}"
    return said or name
