"""Options of an ascent, and running it, for ``am`` and ``group-am``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar

from neurovis.cli.printing import print_line, print_results, print_summary, print_written
from neurovis.cli.stopping import stoppable
from neurovis.cli.trainers import RunLogger, as_list, build_trainer
from neurovis.inputs import InputSpec
from neurovis.maximization import (
    AscentOptions,
    AscentProgress,
    AscentSettings,
    TargetMaximization,
    unfinished_run,
)
from neurovis.maximization.accentuation import DEFAULT_CHANGE
from neurovis.maximization.checks import is_trial
from neurovis.maximization.manifest import MANIFEST, Manifest
from neurovis.maximization.network import chosen_precision
from neurovis.maximization.objectives import Objective, ObjectiveName
from neurovis.maximization.parametrizations import Parametrization, ParametrizationName
from neurovis.maximization.regularizers import Regularizer
from neurovis.maximization.strategy import STRATEGY_NAME
from neurovis.maximization.transforms import Transform
from neurovis.pictures import read_picture
from neurovis.run_folder import RUNS, run_folder

#: Defaults of the Trainer's arguments, where they are not Lightning's.
ASCENT_TRAINER = MappingProxyType({"max_epochs": -1, "log_every_n_steps": 5})


# Settings of an ascent that a command line writes in another way than Python, and options that
# settings do not have; all other fields of AscentSettings are options by themselves.
@dataclass(frozen=True)
class ImageOptions:
    """Objective, parametrization, penalties and transforms of the images.

    Classes are named as in --objective Position --objective.row 3, in a config as {class_path:
    Position, init_args: {row: 3}}; functions by their import path.

    Args:
        objective: Of each kernel's map its mean, its center unit or its max; deep_dream, the layer
            as a whole; Position, Direction or Inversion (of a picture); or a function from
            activations (B, K, ...) to (B, K).
        parametrization: fourier (spatial frequencies, decorrelated color), pixel, or
            fixed_magnitude (a natural amplitude spectrum, only phases are optimized); or Fourier
            or FixedMagnitude with arguments, such as --parametrization.pictures for their
            spectrum; by default that of --style.
        frozen: Modalities that stay as in a picture: --frozen.rgb photo.png.
        regularizers: Penalties: a list of TotalVariation, LpContrast, HighFrequency, or functions
            from images (B, C, H, W) in [0, 1] to (B,), in units of activation.
        transforms: What images are shown under, in place of --jitter, --scale and --rotate: a list
            of Affine, Jitter, GaussianBlur, GaussianNoise, Lighting, or functions from images to
            images, in this order; [] for nothing.
        init: Start from noise, zero (gray), or a picture.
        accentuate: Start from this photograph and stay near it, to show what a kernel sees in it:
            --init with a --change of 1.
        change: Largest distance from the picture of --init: the root mean square of differences, in
            units of the picture's local contrast.
        resume: Resume the latest run of the same command that was stopped, in its folder.
    """

    objective: ObjectiveName | Objective | Callable[..., Any] = AscentSettings.objective
    parametrization: ParametrizationName | Parametrization | None = None
    frozen: dict[str, str] | None = None
    regularizers: list[Regularizer | Callable[..., Any]] = field(default_factory=list)
    transforms: list[Transform | Callable[..., Any]] | None = None
    init: str = "noise"
    accentuate: str | None = None
    change: float | None = None
    resume: bool = True

    def settings(self, ascent: AscentSettings, spec: InputSpec) -> AscentOptions:
        """Return all options of an ascent as keyword arguments.

        Args:
            ascent: The other options.
            spec: What the network is shown.
        """
        named = {one.name: getattr(ascent, one.name) for one in fields(ascent)}
        own = dict(vars(self))
        del own["resume"], own["accentuate"]
        if self.accentuate is not None:
            if self.init != "noise":
                raise ValueError("--accentuate starts from its photograph; leave out --init")
            own["change"] = DEFAULT_CHANGE if self.change is None else self.change
        picture = self.accentuate or self.init
        if picture not in ("noise", "zero"):
            own["init"] = read_picture(picture, spec)
        return cast(AscentOptions, {**named, **own})


class AscentRun:
    """Ascent of a command under its Trainer, in the folder of a run that was stopped, if any.

    Args:
        module: What is to be run.
        arguments: Arguments of the Trainer.
        resume: Whether a run that was stopped is resumed.
        last_file: What the command writes in the end.

    Attributes:
        trainer: The Trainer.
        is_resumable: True if the same command resumes the run where it is stopped, in its folder.

    Raises:
        ValueError: If there is no such Trainer, or the folder holds another complete run.
        OSError: If the folder cannot be written to.
    """

    def __init__(
        self,
        module: TargetMaximization,
        arguments: Mapping[str, Any],
        resume: bool = True,
        last_file: str = MANIFEST,
    ) -> None:
        _check_arguments(arguments)
        given = _trainer_arguments(module, arguments, resume, last_file)
        trainer = build_trainer(given)
        if trainer.world_size > 1 and given["strategy"] == "auto":
            # Lightning's own choice would average the images of all devices.
            trainer = build_trainer({**given, "strategy": STRATEGY_NAME})
        module.check_trainer(trainer)
        if not trainer.loggers:
            _check_not_replaced(module, trainer)
        self._module = module
        self.trainer = trainer
        # A logger that an option names chooses its folder itself.
        is_named = arguments["logger"] not in (None, True)
        self.is_resumable = not trainer.loggers or (resume and not is_named)

    def run(self) -> Path:
        """Generate the images, print the results, and return the run's folder.

        Raises:
            Stopped: After Ctrl-C or SIGTERM.
            ValueError: If the Trainer stopped before an image was finished.
        """
        module, trainer = self._module, self.trainer
        kept = "finished images are in"
        if self.is_resumable:
            kept = "the same command makes the rest, in"
        with stoppable(
            lambda: (
                f"when {module.finished_count} of {len(module.jobs)} were finished; {kept} "
                f"{run_folder(trainer)}"
            )
        ):
            trainer.fit(module)
        folder = run_folder(trainer)  # All ranks must ask.
        if not any(len(module.results_of(layer)) for layer in module.layers):
            raise ValueError(
                "the Trainer stopped before an image was finished; see --trainer.max_steps, "
                "--trainer.max_time and --trainer.limit_train_batches"
            )
        if trainer.is_global_zero:
            if len(module.layers) == 1:
                print_results(module.results)
            else:
                print_summary(module.results_of(layer) for layer in module.layers)
            print_written(None if is_trial(trainer) else folder, trainer.loggers)
        return folder


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    for name in ("max_epochs", "max_steps"):
        if arguments[name] == 0:
            raise ValueError(f"--trainer.{name} 0 leaves no step to make images in; leave it out")
    if str(arguments["precision"]) in ("16", "16-mixed"):
        # Without a GPU, Lightning would use another one instead.
        raise ValueError(
            f"--trainer.precision {arguments['precision']} would skip a step of all images of a "
            "batch where one of them overflows; leave it out: --precision auto is bfloat16 where "
            "the device computes in it"
        )


def _check_not_replaced(module: TargetMaximization, trainer: pl.Trainer) -> None:
    """Refuse to replace the images of another complete run; unfinished ones are refused later."""
    folder = Path(trainer.default_root_dir)
    there = Manifest.read(folder)
    if there is None or not there.is_complete:
        return
    precision = chosen_precision(module.settings.precision, trainer.strategy.root_device)
    wanted = module.manifest().resuming(there).with_entries(computed_in=precision)
    differences = wanted.differences(there) or wanted.differences_in_images(there)
    if differences:
        raise ValueError(
            f'"{folder}" holds a complete run that differs in {"; ".join(differences)}; choose '
            "another folder: --trainer.default_root_dir"
        )


def _trainer_arguments(
    module: TargetMaximization, arguments: Mapping[str, Any], resume: bool, last_file: str
) -> dict[str, Any]:
    """The Trainer's arguments, in the folder of a run that was stopped if there is one."""
    given = dict(arguments)
    if given["max_epochs"] is None:  # As an empty line in a config says.
        given["max_epochs"] = -1
    callbacks = as_list(given["callbacks"])
    has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    if not has_bar and given["enable_progress_bar"] is not False:
        callbacks.append(AscentProgress())
    given["callbacks"] = callbacks
    if given["logger"] in (None, True) and resume and not given["fast_dev_run"]:
        root = Path(given["default_root_dir"] or Path.cwd())
        stopped = unfinished_run(root / RUNS, module.manifest(), last_file)
        if stopped is not None:
            given["logger"] = RunLogger(root, RUNS, stopped.name)
            print_line(f"Resuming in {stopped}, where a run was stopped")
    return given
