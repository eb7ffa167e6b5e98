"""Failures of a monitor: their explanations, and the one warning that is given of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from neurovis.callbacks.probe import Probe
from neurovis.callbacks.training_run import is_of_the_user, parameter_dtypes
from neurovis.collectives import CollectiveError
from neurovis.first_forward import IncompatibleInputError, reason
from neurovis.layers import class_name

#: Exceptions of a forward that does not take images alone.
_OF_A_FORWARD = (TypeError, LookupError, AttributeError, AssertionError, RuntimeError)
#: Exceptions whose messages need no name of a class before them.
_OURS = (ValueError, CollectiveError)


class Failures:
    """Turns a monitor's exceptions into one warning, or raises them.

    Args:
        owner: Name of the monitor, for the warning.
        on_error: ``"raise"`` to raise all of them.

    Raises:
        ValueError: If ``on_error`` is something else.
    """

    def __init__(self, owner: str, on_error: Literal["warn", "raise"]) -> None:
        if on_error not in ("warn", "raise"):
            raise ValueError(f'on_error must be "warn" or "raise"; got {on_error!r}')
        self.on_error = on_error
        self._owner = owner
        self._has_warned = False

    def reset(self) -> None:
        """Warn again of the next failure."""
        self._has_warned = False

    @contextmanager
    def guarded(self, *raised: type[Exception]) -> Iterator[None]:
        """Turn an exception into a warning, unless it is of a type to be raised.

        A forward may end the program (``SystemExit``); only the user's own interrupt does so here.
        """
        try:
            yield
        except BaseException as error:
            if self.on_error == "raise" or isinstance(error, raised) or is_of_the_user(error):
                raise
            if not self._has_warned:
                self._has_warned = True
                rank_zero_warn(
                    f"{self._owner} cannot watch, and training continues without its "
                    f"pictures: {_message(error)}. Further failures are not reported; "
                    'on_error="raise" ends the run instead'
                )


@contextmanager
def explained(network: nn.Module, images: Tensor, probe: Probe) -> Iterator[None]:
    """Explain failures of a forward that cannot be called with the probe images alone.

    Raises:
        ValueError: With the call, what failed in it, and the remedy.
    """
    try:
        yield
    except Exception as error:
        raised, dtypes = error.__cause__ or error, parameter_dtypes(network)
        if isinstance(raised, RuntimeError) and "type" in str(raised) and len(dtypes) > 1:
            raise ValueError(
                f"{class_name(network)} has parameters of {' and '.join(dtypes)}, which "
                "do not go together without autocast, and monitors compute without "
                f"({reason(raised)}); keep all its parameters in one of these, which autocast "
                "allows, or convert between them in the forward"
            ) from error
        # Where torch failed, the error already explains the images; elsewhere it is of the call.
        is_explained = isinstance(error.__cause__, (RuntimeError, IndexError))
        is_ours = isinstance(error, IncompatibleInputError)
        failed = error.__cause__ if is_ours and not is_explained else error
        if isinstance(failed, (CollectiveError, torch.OutOfMemoryError)) or not isinstance(
            failed, _OF_A_FORWARD
        ):
            raise
        first_line = (str(failed).splitlines() or [""])[0]
        raise ValueError(
            f"it calls {class_name(network)}.forward(images) with one tensor "
            f"{tuple(images.shape)} {images.dtype}, {probe.origin}, which failed: "
            f"{type(failed).__name__}: {first_line}. Give a forward that takes images alone and "
            f"returns tensors, or {probe.remedy}"
        ) from error


def _message(error: BaseException) -> str:
    """Return an exception's message, with its type's name if the message is not ours."""
    if isinstance(error, SystemExit):
        return reason(error)
    text = str(error).rstrip(".")
    return text if isinstance(error, _OURS) else f"{type(error).__name__}: {text}"
