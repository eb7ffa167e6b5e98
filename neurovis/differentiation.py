"""Make a forward differentiable with respect to its input, in evaluation mode and by any method.

Two things that are fine in training are not when an input's gradient is needed: reentrant
checkpoints refuse :func:`torch.autograd.grad`, and cuDNN's recurrent layers a backward pass in
evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils import checkpoint as checkpointing


@contextmanager
def differentiable(network: nn.Module, images: Tensor) -> Iterator[None]:
    """Run the network so that whatever it returns can be differentiated.

    Inside, checkpoints that ask for the reentrant form get the other one, whose memory and values
    are the same. Recurrent layers run without cuDNN if a gradient is needed.

    Args:
        network: Whose forward is run inside.
        images: What it is shown.
    """
    wanted = images.requires_grad and torch.is_grad_enabled()
    is_recurrent = any(isinstance(part, nn.RNNBase) for part in network.modules())
    was_enabled = torch.backends.cudnn.enabled
    with _replaced(checkpointing, CheckpointFunction=_NonReentrant):
        if not (wanted and is_recurrent and was_enabled):
            yield
            return
        torch.backends.cudnn.enabled = False
        try:
            yield
        finally:
            torch.backends.cudnn.enabled = was_enabled


@contextmanager
def without_checkpoints() -> Iterator[None]:
    """Run checkpointed parts as if they were not, keeping what a backward pass needs.

    For forwards that are changed while they run: the recomputation would be another one. The
    non-reentrant form is a pair of hooks on saved tensors; no such hooks are set inside.
    """
    with (
        _replaced(checkpointing, CheckpointFunction=_Plain),
        _replaced(saved_tensors_hooks, __enter__=_do_nothing, __exit__=_do_nothing),
    ):
        yield


class _NonReentrant:
    """Stands in for :class:`torch.utils.checkpoint.CheckpointFunction`."""

    @staticmethod
    def apply(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        return checkpointing.checkpoint(
            function, *args, use_reentrant=False, preserve_rng_state=preserve_rng_state
        )


class _Plain:
    """Stands in for it where nothing is to be computed twice."""

    @staticmethod
    def apply(function: Callable[..., Any], _preserve_rng_state: bool, *args: Any) -> Any:
        return function(*args)


def _do_nothing(*_: object) -> None:
    """Stand in for entering and leaving hooks on saved tensors."""


@contextmanager
def _replaced(owner: object, **attributes: object) -> Iterator[None]:
    """Replace attributes while inside.

    Of a module these are what its own functions call, however those were imported.
    """
    originals = {name: getattr(owner, name) for name in attributes}
    for name, attribute in attributes.items():
        setattr(owner, name, attribute)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(owner, name, original)
