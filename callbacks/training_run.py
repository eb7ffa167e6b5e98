"""What a monitor asks of somebody's Trainer and LightningModule.

Those of ``lightning`` and of ``pytorch_lightning`` are different classes: they are told apart from
others by what they are called.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import nn

from neurovis.collectives import refused_collectives
from neurovis.recording import undisturbed

_SHARDED = {"FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy"}
_LIGHTNINGS_OWN = ("lightning.pytorch.core.", "pytorch_lightning.core.")


def obstacle(trainer: Trainer, pl_module: LightningModule) -> str | None:
    """Return why nothing of a run can be watched, and what would change that; None if it can."""
    strategy, module = type(trainer.strategy), type(pl_module).__name__
    if any(base.__name__ in _SHARDED for base in strategy.__mro__):
        return (
            f"{strategy.__name__} shards the parameters, so that one process alone cannot run a "
            "forward; train with DDP or on one device to watch"
        )
    if not defines(pl_module, "forward"):
        return f"{module} defines no forward(images), which a monitor calls; add one"
    if getattr(trainer, "barebones", False):
        return "Trainer(barebones=True) logs nothing; leave barebones out to watch"
    return None


def is_lazy(module: nn.Module) -> bool:
    """True if a first forward has yet to initialize parameters, which must be the training's."""
    return any(map(nn.parameter.is_lazy, (*module.parameters(), *module.buffers())))


def input_channels(module: nn.Module) -> int | None:
    """Return the channels that the first convolution takes; None where nothing tells."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            return part.in_channels or None  # A lazy one has 0.
    return None


def builds_layers_itself(pl_module: LightningModule) -> bool:
    """True if layers may come after the callbacks' ``setup``."""
    return defines(pl_module, "configure_model") or defines(pl_module, "setup")


def defines(pl_module: LightningModule, method: str) -> bool:
    """Whether a module has a method of its own, not Lightning's; compiled or not."""
    module_of_method = getattr(getattr(pl_module, method), "__module__", None) or ""
    return not module_of_method.startswith(_LIGHTNINGS_OWN)


def files_folder(trainer: Trainer) -> str:
    """Where files go: the folder of the first logger, as ``trainer.log_dir``.

    All processes must ask for it at once.
    """
    # A broadcast: every process has to take part in it.
    folder = trainer.log_dir
    # Loggers of the other package, whose folder the Trainer does not know.
    if trainer.is_global_zero and trainer.loggers:
        own = getattr(trainer.loggers[0], "log_dir", None)
        folder = own if isinstance(own, str) else folder
    return folder if isinstance(folder, str) else trainer.default_root_dir


def is_of_the_user(error: BaseException) -> bool:
    """True if an exception is the user's: Ctrl-C, or an exit in the handler of a signal."""
    if not isinstance(error, SystemExit):
        return isinstance(error, KeyboardInterrupt)
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    functions = [getattr(handler, "__code__", type(handler).__call__) for handler in handlers]
    codes = [getattr(function, "__code__", function) for function in functions]
    return any(frame.f_code in codes for frame, _ in walk_tb(error.__traceback__))


@contextmanager
def watched(pl_module: LightningModule) -> Iterator[None]:
    """:func:`~neurovis.recording.undisturbed`, without logging and without collectives.

    What a forward logs in a monitor would mix with what it logs in training, or be refused. In a
    collective the process would wait for others, which do not run the monitor.
    """
    with refused_collectives(), undisturbed(pl_module):
        # Attributes, which undisturbed puts back.
        vars(pl_module).update(log=_log_nothing, log_dict=_log_nothing)
        yield


def _log_nothing(*_: Any, **__: Any) -> None:
    pass
