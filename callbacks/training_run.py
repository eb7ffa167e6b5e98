"""What a monitor asks of somebody's Trainer and LightningModule.

Those of ``lightning`` and of ``pytorch_lightning`` are different classes: they are told apart from
others by what they are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from neurovis.recording import undisturbed

_SHARDED = {"FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy"}
_LIGHTNINGS_OWN = ("lightning.pytorch.core.", "pytorch_lightning.core.")


def shards_parameters(trainer: Trainer) -> bool:
    """Whether no process has all parameters, so that all would have to run a forward."""
    return any(base.__name__ in _SHARDED for base in type(trainer.strategy).__mro__)


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


@contextmanager
def watched(pl_module: LightningModule) -> Iterator[None]:
    """:func:`~neurovis.recording.undisturbed`, in which nothing is logged by the module itself.

    What a forward logs in a monitor would mix with what it logs in training, or be refused.
    """
    with undisturbed(pl_module):
        # Attributes, which undisturbed puts back.
        vars(pl_module).update(log=_log_nothing, log_dict=_log_nothing)
        yield


def _log_nothing(*_: Any, **__: Any) -> None:
    pass
