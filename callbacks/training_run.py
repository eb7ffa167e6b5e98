"""Checks of the Trainer and LightningModule that a monitor watches, and the context of a look.

The classes of ``lightning`` and ``pytorch_lightning`` differ: they are recognized by their names.
"""

from __future__ import annotations

import os
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import walk_tb
from typing import Any
from weakref import WeakKeyDictionary

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import nn
from typing_extensions import override

from neurovis.collectives import refused_collectives
from neurovis.layers import ArgumentError, resolve_layer, unwrap
from neurovis.recording import undisturbed
from neurovis.run_folder import RUNS, claim_version, is_shared, run_folder

_SHARDED = {"FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy"}
_LIGHTNINGS_OWN = ("lightning.pytorch.core.", "pytorch_lightning.core.")


def watched_part(
    pl_module: LightningModule, network: str | Callable[[Any], nn.Module] | None
) -> nn.Module:
    """The part of a LightningModule that is watched.

    Args:
        pl_module: The whole.
        network: Dotted name, or a function of the module; None for the whole.

    Raises:
        ArgumentError: If there is no such part, or the function returns no module.
    """
    if network is None:
        return pl_module
    if isinstance(network, str):
        return unwrap(resolve_layer(pl_module, network))
    part = network(pl_module)
    if not isinstance(part, nn.Module):
        raise ArgumentError(
            f"network must return a torch.nn.Module; got {type(part).__name__} from "
            f"{getattr(network, '__name__', network)}"
        )
    return unwrap(part)


def name_of_part(network: str | Callable[[Any], nn.Module] | None) -> str | None:
    """Return what a monitor's tags call a part; None for the whole, and for a lambda."""
    name = network if isinstance(network, str) else getattr(network, "__name__", "<lambda>")
    return None if network is None or name == "<lambda>" else name


def obstacle(trainer: Trainer, pl_module: LightningModule, *, is_of_part: bool) -> str | None:
    """Return why nothing of a run can be watched, and what would change that; None if it can.

    Args:
        trainer: The Trainer.
        pl_module: What it trains.
        is_of_part: Whether only a part is watched, so that the whole needs no forward.
    """
    strategy, module = type(trainer.strategy), type(pl_module).__name__
    if any(base.__name__ in _SHARDED for base in strategy.__mro__):
        return (
            f"{strategy.__name__} shards the parameters, so that one process alone cannot run a "
            "forward; train with DDP or on one device to watch"
        )
    if not is_of_part and not defines(pl_module, "forward"):
        return (
            f"{module} defines no forward(images), which a monitor calls; add one, or name the "
            'part that takes images, as in network="backbone"'
        )
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


def parameter_dtypes(module: nn.Module) -> list[str]:
    """Return the names of the floating-point dtypes that parameters have."""
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
    return sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)


def builds_layers_itself(pl_module: LightningModule) -> bool:
    """True if layers may be added after the callbacks' ``setup``."""
    return defines(pl_module, "configure_model") or defines(pl_module, "setup")


def defines(pl_module: LightningModule, method: str) -> bool:
    """True if a module defines a method itself, not Lightning's class; compiled or not."""
    module_of_method = getattr(getattr(pl_module, method), "__module__", None) or ""
    return not module_of_method.startswith(_LIGHTNINGS_OWN)


class FilesFolder(os.PathLike[str]):
    """Folder for what no logger takes, announced in the log when the first file is written.

    Args:
        folder: Folder of the run's files.
        is_shared: True if other runs use the same folder; files then go to a numbered folder in
            it, as those of Lightning's default logger.
    """

    def __init__(self, folder: Path, is_shared: bool) -> None:
        self.chosen = (folder, is_shared)
        self._path: Path | None = None

    @override
    def __fspath__(self) -> str:
        if self._path is None:
            folder, is_shared = self.chosen
            self._path = claim_version(folder / RUNS) if is_shared else folder
            rank_zero_info(f"Monitors write what no logger of the run takes to {self._path}")
        return str(self._path)


#: One for each run, which all its monitors share.
_FOLDERS: WeakKeyDictionary[Trainer, FilesFolder] = WeakKeyDictionary()


def files_folder(trainer: Trainer) -> FilesFolder:
    """Return the folder for what no logger takes, the same for all monitors of a Trainer.

    All processes must ask for it at once.
    """
    folder = FilesFolder(run_folder(trainer), is_shared(trainer))
    known = _FOLDERS.get(trainer)
    if known is None or known.chosen != folder.chosen:
        _FOLDERS[trainer] = known = folder
    return known


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
    with refused_collectives(), _without_logging(pl_module.trainer), undisturbed(pl_module):
        # Attributes, which undisturbed puts back; they also stand before a user's own methods.
        vars(pl_module).update(log=_log_nothing, log_dict=_log_nothing)
        yield


@contextmanager
def _without_logging(trainer: Trainer) -> Iterator[None]:
    """Let ``log`` return at once, also where a part of the network holds the method itself.

    In barebones mode it does, with a warning that would be wrong here.
    """
    message = re.compile(r"You are trying to `self\.log")
    ignored: Any = ("ignore", message, Warning, None, 0)
    was_barebones = trainer.barebones
    # Not by catch_warnings: warnings that are shown once would be shown again after it.
    filters = warnings.filters
    filters.insert(0, ignored)  # type: ignore[attr-defined]
    trainer.barebones = True
    try:
        yield
    finally:
        trainer.barebones = was_barebones
        with suppress(ValueError):
            filters.remove(ignored)  # type: ignore[attr-defined]


def _log_nothing(*_: Any, **__: Any) -> None:
    pass
