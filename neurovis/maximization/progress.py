"""A progress bar that counts what is waited for: images, not steps; and stimuli of a pass."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from typing_extensions import override

from neurovis.maximization.target_maximization import TargetMaximization

#: Seconds between two looks at what there is, and between two lines where there is no terminal.
_EVERY, _EVERY_LINE = 0.5, 30.0


class AscentProgress(ProgressBar):
    """Shows images done, their rate, and the time left; of all processes of a run together.

    On a terminal a bar, elsewhere a line every half minute. For the Trainer's ``callbacks``. Where
    the same Trainer then shows pictures or stimuli in ``predict``, their batches are counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: Progress | None = None
        self._looked = 0.0
        self._begun = (0.0, 0.0)
        self._passed, self._total = 0, 0.0

    @override
    def disable(self) -> None:
        self._enabled = False

    @override
    def enable(self) -> None:
        self._enabled = True

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not (self._enabled and trainer.is_global_zero):
            return
        module = _ascent(pl_module)
        self._begun = (time.monotonic(), module.progress)
        self._looked = self._begun[0]
        if sys.stderr.isatty():
            self._bar = progress_bar(_WholeImages(), _Rate())
            total = len(module.jobs)
            finished = module.finished_count
            self._bar.add_task("images", total=total, completed=finished, finished=finished)
            self._bar.start()

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        now = time.monotonic()
        every = _EVERY if self._bar else _EVERY_LINE
        if not (self._enabled and trainer.is_global_zero) or now - self._looked < every:
            return
        self._looked = now
        module = _ascent(pl_module)
        if self._bar is not None:
            (task,) = self._bar.task_ids
            name = module.current_layer or "images"
            self._bar.update(
                task,
                completed=module.progress,
                finished=module.finished_count,
                description=name,
            )
        else:
            sys.stderr.write(f"{self._line(module, now)}\n")
            sys.stderr.flush()

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not (self._enabled and trainer.is_global_zero):
            return
        self._looked = time.monotonic()
        self._begun = (self._looked, 0.0)
        self._passed, self._total = 0, sum(trainer.num_predict_batches)
        if sys.stderr.isatty():
            self._bar = progress_bar(MofNCompleteColumn(), TextColumn("batches"))
            total = self._total if math.isfinite(self._total) else None
            self._bar.add_task(_pass_name(pl_module), total=total)
            self._bar.start()

    @override
    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not (self._enabled and trainer.is_global_zero):
            return
        self._passed += 1
        now = time.monotonic()
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.update(task, completed=self._passed)
        elif now - self._looked >= _EVERY_LINE:
            self._looked = now
            sys.stderr.write(f"{self._pass_line(pl_module, now)}\n")
            sys.stderr.flush()

    @override
    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _pass_line(self, module: pl.LightningModule, now: float) -> str:
        """Return the progress of a pass as a line for a log."""
        known = math.isfinite(self._total)
        left = (self._total - self._passed) * (now - self._begun[0]) / self._passed
        of = f" of {self._total:.0f} batches, about {duration(left)} left" if known else " batches"
        return f"{_pass_name(module)}: {self._passed}{of}"

    def _line(self, module: TargetMaximization, now: float) -> str:
        """Return the progress of the ascent as a line for a log."""
        start, before = self._begun
        progress, total = module.progress, len(module.jobs)
        rate = (progress - before) / (now - start)
        left = f", about {duration((total - progress) / rate)} left" if rate > 0 else ""
        where = f" ({module.current_layer})" if module.current_layer else ""
        return f"{module.finished_count} of {total} images{where}, {per_time(rate)}{left}"


class _WholeImages(MofNCompleteColumn):
    """Images that are finished; those in the making move the bar, and do not count."""

    @override
    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['finished']}/{int(task.total or 0)} images")


class _Rate(ProgressColumn):
    """Images in a second or a minute."""

    @override
    def render(self, task: Task) -> Text:
        return Text(per_time(task.speed) if task.speed else "")


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A bar on stderr with what it is of, such columns, and the time left; gone in the end."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *columns,
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
        transient=True,
    )


def _pass_name(module: pl.LightningModule) -> str:
    """Return the name of a pass, which modules may give."""
    return str(getattr(module, "pass_name", "images"))


def _ascent(module: pl.LightningModule) -> TargetMaximization:
    if not isinstance(module, TargetMaximization):
        raise TypeError(f"AscentProgress is for ascents; got {type(module).__name__}")
    return module


def per_time(rate: float) -> str:
    """A rate in Hz, by the second or by the minute."""
    return f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"


def duration(seconds: float) -> str:
    """Seconds in a form that is easily read."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
