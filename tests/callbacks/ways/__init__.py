"""Ways in which people train, each a small function, in one table.

A way makes its Trainers by a :class:`Training`, which attaches monitors or none, and afterwards
tells all that is left behind.
"""

from __future__ import annotations

import pkgutil
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from left_behind import (
    Diary,
    History,
    files_left,
    global_state,
    leaves,
    left_behind,
    without_folder,
)
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Checkpoint
from matplotlib.backends.backend_agg import FigureCanvasAgg
from promise import TinyModule, loader, trainer

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    Monitor,
    SaliencyMonitor,
)

#: What else a way wants to be compared, by name.
Kept = Mapping[str, Any] | None


@dataclass(frozen=True)
class Way:
    """One way to train.

    Args:
        train: Trains by a :class:`Training`; what it returns is compared too.
        layer: The layer that is watched.
        is_slow: Whether it takes longer than the default suite allows.
        processes: How many processes train.
        ends: What the training itself raises in the end: a regular expression.
        warnings: What monitors warn of, by their class's name: regular expressions.
    """

    train: Callable[[Training], Kept]
    layer: str = "conv2"
    is_slow: bool = False
    processes: int = 1
    ends: str = ""
    warnings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.train.__name__


#: All ways by name.
WAYS: dict[str, Way] = {}


def way(**options: Any) -> Callable[[Callable[[Training], Kept]], Callable[[Training], Kept]]:
    """Enter a function into the table."""

    def enter(train: Callable[[Training], Kept]) -> Callable[[Training], Kept]:
        found = Way(train, **options)
        assert found.name not in WAYS, found.name
        WAYS[found.name] = found
        return train

    return enter


def all_warn(pattern: str) -> dict[str, str]:
    """Each of the monitors warns of the same."""
    return dict.fromkeys([type(monitor).__name__ for monitor in monitors("conv2")], pattern)


def monitors(layer: str) -> list[Monitor]:
    """All four with little to do: two fire on steps, two on epochs."""
    small: dict[str, Any] = {"max_images": 1, "first_and_now": False}
    return [
        FeatureMapMonitor(layer, max_kernels=1, every_n_train_steps=1, **small),
        SaliencyMonitor(every_n_train_steps=2, **small),
        ActivationMaximizationMonitor(layer, kernels=[0], steps=1, **small),
        KernelRankingMonitor(
            layer,
            max_kernels=1,
            orientations=4,
            spatial_frequencies=[0.2],
            null_kernels=2,
            **small,
        ),
    ]


class Training:
    """What a way trains with: a folder, and Trainers that are watched or not.

    Args:
        folder: Where all that a way writes goes.
        make_monitors: Makes what each Trainer is watched with.
    """

    def __init__(self, folder: Path, make_monitors: Callable[[], list[Any]]) -> None:
        self.folder = folder
        self.observed: Counter[str] = Counter()
        self.trainers: list[Trainer] = []
        self._make_monitors = make_monitors

    def trainer(self, *callbacks: Callback, **arguments: Any) -> Trainer:
        """A Trainer whose own callbacks have monitors before and behind them."""
        watching = self._make_monitors()
        for monitor in watching:
            if isinstance(monitor, Monitor):
                self._count(monitor)
        half = len(watching) // 2
        around = [*watching[:half], *callbacks, *watching[half:], Diary()]
        defaults = {
            "logger": History(self.folder),
            "enable_checkpointing": any(isinstance(own, Checkpoint) for own in callbacks),
        }
        run = trainer(self.folder, callbacks=around, **{**defaults, **arguments})
        self.trainers.append(run)
        return run

    def fit(
        self,
        module: LightningModule | None = None,
        *callbacks: Callback,
        train: Any = None,
        validation: Any = None,
        ckpt_path: Path | str | None = None,
        **arguments: Any,
    ) -> Trainer:
        """Train on two batches an epoch, unless others are given, and validate on one."""
        run = self.trainer(*callbacks, **arguments)
        run.fit(
            TinyModule() if module is None else module,
            loader(shuffle=True, batches=2) if train is None else train,
            loader(seed=1, batches=1) if validation is None else validation,
            ckpt_path=ckpt_path,
        )
        return run

    def _count(self, monitor: Monitor) -> None:
        observe = monitor.observe

        def counted(*arguments: Any) -> Any:
            self.observed[type(monitor).__name__] += 1
            return observe(*arguments)

        monitor.observe = counted  # type: ignore[method-assign]


@dataclass(frozen=True)
class Outcome:
    """What a training run left behind, what it warned of, and how often monitors observed."""

    left: dict[str, Any]
    warnings: list[str]
    observed: Mapping[str, int]


def outcome_of(found: Way, folder: Path, make_monitors: Callable[[], list[Any]] = list) -> Outcome:
    """Train in one way from the same random state as always."""
    training = Training(folder, make_monitors)
    with _usual_switches(), _unpainted(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seed_everything(1, verbose=False)
        ended, kept = "", None
        try:
            kept = found.train(training)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            ended = repr(error)
        left: dict[str, Any] = global_state()
        for number, run in enumerate(training.trainers):
            left |= {f"{number}.{key}": value for key, value in left_behind(run).items()}
    left |= {"exception": ended, "files": files_left(folder)}
    values = [*leaves(left), *leaves(kept, "kept")]
    messages = list(dict.fromkeys(str(warning.message) for warning in caught))
    return Outcome(without_folder(values, folder), messages, training.observed)


@contextmanager
def _usual_switches() -> Iterator[None]:
    """Turn off afterwards what a Trainer turns on for the whole process."""
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)


@contextmanager
def _unpainted() -> Iterator[None]:
    """Lay figures out, but leave them white: to paint takes longest, and sees no network."""
    with mock.patch.object(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer):
        yield


for _module in pkgutil.iter_modules(__path__):
    import_module(f"ways.{_module.name}")
