"""Options of an ascent, and running it, for ``am`` and ``group-am``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor

from neurovis.cli.options import add_model_arguments
from neurovis.cli.printing import console, print_results, print_summary
from neurovis.cli.stopping import stoppable
from neurovis.cli.trainers import add_trainer_arguments, build_trainer, run_logger
from neurovis.inputs import InputSpec
from neurovis.maximization import (
    AscentOptions,
    AscentProgress,
    AscentSettings,
    TargetMaximization,
    unfinished_run,
)
from neurovis.maximization.checks import is_trial
from neurovis.maximization.manifest import MANIFEST, Manifest
from neurovis.maximization.network import chosen_precision
from neurovis.maximization.objectives import Objective
from neurovis.maximization.parametrizations import Parametrization, ParametrizationName
from neurovis.maximization.regularizers import Regularizer
from neurovis.maximization.settings import ObjectiveName
from neurovis.maximization.strategy import STRATEGY_NAME
from neurovis.maximization.transforms import Transform
from neurovis.pictures import read_picture
from neurovis.run_folder import RUNS, run_folder

#: Options that Python takes tensors and typed functions for; here they have types of their own.
_WRITTEN_OUT = {"init", "objective", "parametrization", "frozen", "regularizers", "transforms"}


def add_ascent_arguments(parser: ArgumentParser) -> None:
    """Options: the network, its input, the ascent and the Trainer."""
    add_model_arguments(parser)
    _add_object_arguments(parser)
    parser.add_class_arguments(AscentSettings, skip=_WRITTEN_OUT)
    parser.add_argument(
        "--init", type=str, default="noise", help="Start from noise, zero (gray), or a picture."
    )
    parser.add_argument(
        "--resume",
        type=bool,
        default=True,
        help="Go on with the latest run of the same command that was stopped, in its folder.",
    )
    add_trainer_arguments(parser, max_epochs=-1, log_every_n_steps=5)


def _add_object_arguments(parser: ArgumentParser) -> None:
    """Options that are names, classes with arguments, or functions of a person's own."""
    group = parser.add_argument_group(
        "What is climbed, and in what images. Classes are named as in --objective Position "
        "--objective.row 3, in a config as {class_path: Position, init_args: {row: 3}}; functions "
        "by their import path"
    )
    group.add_argument(
        "--objective",
        type=ObjectiveName | Objective | Callable[..., Any],
        default=AscentSettings.objective,
        help="Of each kernel's map its mean, its center unit or its max; deep_dream, the layer as "
        "a whole; Position, Direction or Inversion (of a picture); or a function from activations "
        "(B, K, ...) to (B, K).",
    )
    group.add_argument(
        "--parametrization",
        type=ParametrizationName | Parametrization,
        default=AscentSettings.parametrization,
        help="fourier (spatial frequencies, decorrelated color), pixel, or fixed_magnitude (a "
        "natural amplitude spectrum, only phases are optimized); or Fourier or FixedMagnitude "
        "with arguments, such as --parametrization.pictures for their spectrum.",
    )
    group.add_argument(
        "--frozen",
        type=dict[str, str] | None,
        default=AscentSettings.frozen,
        help="Modalities that stay as in a picture: --frozen.rgb photo.png.",
    )
    group.add_argument(
        "--regularizers",
        type=list[Regularizer | Callable[..., Any]],
        default=[],
        help="Penalties: a list of TotalVariation, LpContrast, HighFrequency, or functions from "
        "images (B, C, H, W) in [0, 1] to (B,), in units of activation.",
    )
    group.add_argument(
        "--transforms",
        type=list[Transform | Callable[..., Any]] | None,
        default=AscentSettings.transforms,
        help="What images are shown under, in place of --jitter, --scale and --rotate: a list of "
        "Affine, Jitter, GaussianBlur, GaussianNoise, Lighting, or functions from images to "
        "images, in this order; [] for nothing.",
    )


def settings(options: Namespace, spec: InputSpec) -> AscentOptions:
    """The options of the ascent as keyword arguments."""
    init: str | Tensor = options.init
    if init not in ("noise", "zero"):
        init = read_picture(options.init, spec)
    named = {
        field.name: options[field.name] for field in fields(AscentSettings) if field.name != "init"
    }
    return cast(AscentOptions, {**named, "init": init})


def make_trainer(
    module: TargetMaximization, options: Namespace, last_file: str = MANIFEST
) -> pl.Trainer:
    """The Trainer that the options ask for; in the folder of a run that was stopped, if any.

    Args:
        module: What is to be run.
        options: The command's options.
        last_file: What the command writes in the end.
    """
    for name in ("max_epochs", "max_steps"):
        if options.trainer[name] == 0:
            raise ValueError(f"--trainer.{name} 0 leaves no step to make images in; leave it out")
    if str(options.trainer.precision) in ("16", "16-mixed"):
        # Without a GPU, Lightning would use another one instead.
        raise ValueError(
            f"--trainer.precision {options.trainer.precision} would skip a step of all images of a "
            "batch where one of them overflows; leave it out: --precision auto is bfloat16 where "
            "the device computes in it"
        )
    given = _trainer_options(module, options, last_file)
    trainer = build_trainer(given)
    if trainer.world_size > 1 and given["strategy"] == "auto":
        # Lightning's own choice would average the images of all devices.
        trainer = build_trainer({**given, "strategy": STRATEGY_NAME})
    module.check_trainer(trainer)
    if not trainer.loggers:
        _check_not_replaced(module, trainer)
    return trainer


def _check_not_replaced(module: TargetMaximization, trainer: pl.Trainer) -> None:
    """Refuse to replace the images of another complete run; unfinished ones are refused later."""
    folder = Path(trainer.default_root_dir)
    there = Manifest.read(folder)
    if there is None or not there.is_complete:
        return
    precision = chosen_precision(module.settings.precision, trainer.strategy.root_device)
    wanted = module.manifest().resuming(there).computed_in(precision)
    differences = wanted.differences(there) or wanted.differences_in_images(there)
    if differences:
        raise ValueError(
            f'"{folder}" holds a complete run that differs in {"; ".join(differences)}; choose '
            "another folder: --trainer.default_root_dir"
        )


def resumes(options: Namespace, trainer: pl.Trainer) -> bool:
    """Return True if the same command resumes a run that was stopped, in its folder."""
    if not trainer.loggers:
        return True
    # A logger that an option names chooses its folder itself.
    return bool(options.resume) and options.trainer.logger in (None, True)


def climb(module: TargetMaximization, options: Namespace, trainer: pl.Trainer) -> Path:
    """Run the ascent and print its results.

    Args:
        module: What is to be run.
        options: The command's options.
        trainer: From :func:`make_trainer`.

    Returns:
        The folder of the run.
    """
    goes_on = resumes(options, trainer)
    kept = "the same command goes on with the rest, in" if goes_on else "finished images are in"
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
        written = None if is_trial(trainer) else folder
        if len(module.layers) == 1:
            print_results(module.results, written, trainer.loggers)
        else:
            results = (module.results_of(layer) for layer in module.layers)
            print_summary(results, written, trainer.loggers)
    return folder


def _trainer_options(
    module: TargetMaximization, options: Namespace, last_file: str
) -> dict[str, Any]:
    """The Trainer's own options, in the folder of a run that was stopped if there is one."""
    given = dict(options.trainer)
    if given["max_epochs"] is None:  # As an empty line in a config says.
        given["max_epochs"] = -1
    callbacks = given["callbacks"] or []
    callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
    has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    if not has_bar and given["enable_progress_bar"] is not False:
        callbacks.append(AscentProgress())
    given["callbacks"] = callbacks
    if given["logger"] in (None, True) and options.resume and not given["fast_dev_run"]:
        root = Path(given["default_root_dir"] or Path.cwd())
        stopped = unfinished_run(root / RUNS, module.manifest(), last_file)
        if stopped is not None:
            given["logger"] = run_logger(root, RUNS, stopped.name)
            console().print(f"Going on in {stopped}, where a run was stopped", soft_wrap=True)
    return given
