"""A progress bar that counts what is waited for: images, not steps; and batches of a pass."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from typing_extensions import override

from neurovis.maximization.target_maximization import TargetMaximization

#: Seconds between two looks at a terminal, and between two lines elsewhere.
_EVERY, _EVERY_LINE = 0.5, 30.0


class AscentProgress(TQDMProgressBar):
    """Shows images done, their rate, and the time left; of all processes of a run together.

    On a terminal a bar, elsewhere a line every half minute. For the Trainer's ``callbacks``. Where
    the same Trainer then shows pictures or stimuli in ``predict``, their batches are counted.
    """

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = _ascent(pl_module)
        self.train_progress_bar = progress_bar(
            "images",
            len(module.jobs),
            is_shown=self.is_enabled,
            # The images in the making move the bar, and are not finished.
            count="",
            initial=module.progress if self.is_enabled else 0,
        )

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Keep the total, which is no number of batches."""

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        bar = self.train_progress_bar
        if bar.disable or time.time() - bar.last_print_t < bar.mininterval:
            return
        module = _ascent(pl_module)
        layer = module.current_layer
        finished = f"{module.finished_count} of {len(module.jobs)} images"
        bar.set_description_str(f"{layer}: {finished}" if layer else finished, refresh=False)
        bar.update(module.progress - bar.n)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show no metrics: the module logs none to the bar."""

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = sum(trainer.num_predict_batches)
        name = str(getattr(pl_module, "pass_name", "images"))
        known = total if math.isfinite(total) else None
        self.predict_progress_bar = progress_bar(name, known, is_shown=self.is_enabled)

    @override
    def on_predict_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Keep the total, which is of all loaders."""

    @override
    def on_predict_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.predict_progress_bar.update()

    @override
    def on_exception(self, *_: Any) -> None:
        for bar in (self._train_progress_bar, self._predict_progress_bar):
            if bar is not None:
                bar.close()


def progress_bar(
    noun: str,
    total: float | None,
    *,
    is_shown: bool = True,
    count: str = ": {n_fmt} of {total_fmt}",
    initial: float = 0,
) -> Tqdm:
    """Return a bar on stderr, which is gone in the end; elsewhere than on a terminal, lines.

    Args:
        noun: What is counted, in the plural.
        total: How many there are, if it is known.
        is_shown: Whether anything is shown.
        count: What stands behind the noun, in tqdm's format.
        initial: How many are done.
    """
    is_terminal = sys.stderr.isatty()
    every = _EVERY if is_terminal else _EVERY_LINE
    ends = ("|{bar}|", "") if is_terminal else ("", "\n")
    return Tqdm(
        desc=noun,
        total=total,
        initial=initial,
        disable=not is_shown,
        file=sys.stderr,
        leave=False,
        mininterval=every,
        miniters=0,
        delay=0 if is_terminal else every,
        smoothing=0,
        dynamic_ncols=True,
        bar_format=f"{{desc}}{count} {ends[0]}[{{rate_fmt}}, {{remaining}} left]{ends[1]}",
    )


def _ascent(module: pl.LightningModule) -> TargetMaximization:
    if not isinstance(module, TargetMaximization):
        raise TypeError(f"AscentProgress is for ascents; got {type(module).__name__}")
    return module
