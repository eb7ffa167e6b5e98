"""Everything that a training run leaves behind, by name, and what differs bitwise between two."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin
from typing_extensions import override

from neurovis.callbacks import Monitor

#: Tags of what monitors log, which is not part of the training run.
_MONITORS_OWN = ("activation_maximization", "feature_maps", "kernel_ranking", "saliency")


def left_behind(run: Trainer) -> dict[str, Any]:
    """Weights, buffers, gradients, flags, and all that a checkpoint and the Trainer hold."""
    module: Any = run.lightning_module
    if module is None:  # Refused before it began.
        return {}
    left: dict[str, Any] = {f"weights.{key}": value for key, value in module.state_dict().items()}
    # Buffers that are not saved are not in the state either.
    left |= {f"buffers.{key}": value for key, value in module.named_buffers()}
    left |= {f"gradients.{key}": p.grad for key, p in module.named_parameters()}
    left |= {f"training.{key}": part.training for key, part in module.named_modules()}
    left |= {f"requires_grad.{key}": p.requires_grad for key, p in module.named_parameters()}
    left["hooks"] = number_of_hooks(module)
    left |= {f"metrics.{key}": value for key, value in run.callback_metrics.items()}
    state = run.state
    left["ended"] = (state.status, state.fn, run.should_stop, run.global_step, run.current_epoch)
    left |= {f"checkpoint.{key}": value for key, value in leaves(_checkpoint(run))}
    for number, logger in enumerate(run.loggers):
        if isinstance(logger, History):
            left |= {f"logged.{number}.{key}": value for key, value in leaves(logger.logged)}
    for callback in run.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Diary):
            left |= {f"diary.{key}": value for key, value in leaves(callback.entries)}
    return left


def global_state() -> dict[str, Any]:
    """The random generators and the switches that belong to the whole process."""
    return {
        "random.torch": torch.get_rng_state(),
        "random.numpy": torch.as_tensor(np.random.get_state()[1].astype(np.int64)),
        "random.python": random.getstate(),
        "switches": (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.is_anomaly_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_num_threads(),
            np.geterr(),
        ),
    }


def files_left(folder: Path) -> list[str]:
    """The names of files that no monitor wrote."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        str(name)
        for name in names
        if name.suffix != ".png" and name.name != "scalars.csv" and "tfevents" not in name.name
    )


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values in nested collections, by their dotted places."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from leaves(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)) and value:
        for index, part in enumerate(value):
            yield from leaves(part, f"{name}.{index}" if name else str(index))
    else:
        yield name, value


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The names of all values that are not bitwise equal, or are in one of the two only."""
    names = [*first, *(name for name in second if name not in first)]
    return [
        name
        for name in names
        if name not in first or name not in second or not _equal(first[name], second[name])
    ]


def number_of_hooks(module: nn.Module) -> int:
    """All hooks of any sort on a module and its parts."""
    return sum(
        len(hooks)
        for part in module.modules()
        for name, hooks in vars(part).items()
        if name.endswith("_hooks") and not name.startswith("_state_dict")
    )


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=True)
    if isinstance(first, UninitializedTensorMixin) or isinstance(second, UninitializedTensorMixin):
        return type(first) is type(second)
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        alike = first.dtype == second.dtype and first.shape == second.shape
        return alike and first.stride() == second.stride() and _same_bits(first, second)
    if isinstance(first, float) and isinstance(second, float):
        return first == second or (first != first and second != second)
    return bool(first == second)


def _same_bits(first: Tensor, second: Tensor) -> bool:
    values = (first.detach().contiguous().flatten(), second.detach().contiguous().flatten())
    of_first, of_second = (value.view(torch.uint8) for value in values)
    return torch.equal(of_first, of_second)


def _checkpoint(run: Trainer) -> dict[str, Any]:
    """What the Trainer would save now, without the weights, which are there already."""
    path = Path(run.default_root_dir) / "left_behind.ckpt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.save_checkpoint(path)
    saved: dict[str, Any] = {}
    if run.is_global_zero:
        saved = torch.load(path, weights_only=False)
        path.unlink()
    run.strategy.barrier()
    monitors = {c.state_key for c in run.callbacks if isinstance(c, Monitor)}  # type: ignore[attr-defined]
    saved["callbacks"] = {
        key: state for key, state in saved.get("callbacks", {}).items() if key not in monitors
    }
    return saved


class History(Logger):
    """Keeps in memory all that training logs, in its order."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.logged: list[tuple[int | None, dict[str, float]]] = []

    @property
    @override
    def name(self) -> str:
        return "history"

    @property
    @override
    def version(self) -> int:
        return 0

    @property
    @override
    def save_dir(self) -> str:
        return str(self._folder)

    @override
    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        of_training = {
            key: value for key, value in metrics.items() if not key.startswith(_MONITORS_OWN)
        }
        if of_training:
            self.logged.append((step, of_training))

    @override
    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


class Diary(Callback):
    """Writes down what happens in which order, and what every batch comes to."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def _write(self, event: str, run: Trainer, *values: Any) -> None:
        copies = [
            (key, value.detach().clone() if isinstance(value, Tensor) else value)
            for key, value in leaves(values)
        ]
        self.entries.append((event, run.global_step, run.current_epoch, copies))

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._write("train", trainer, batch_idx, outputs, batch)

    @override
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *values: Any
    ) -> None:
        self._write("validate", trainer, *values)

    @override
    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *values: Any) -> None:
        self._write("test", trainer, *values)

    @override
    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *values: Any
    ) -> None:
        self._write("predict", trainer, *values)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write("epoch", trainer, dict(trainer.callback_metrics))

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write("fit", trainer)

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._write("exception", trainer, repr(exception))


def without_folder(values: Sequence[tuple[str, Any]], folder: Path) -> dict[str, Any]:
    """The values by name, without the folder's own name."""
    path = str(folder)
    return {
        name.replace(path, ""): value.replace(path, "") if isinstance(value, str) else value
        for name, value in values
    }
