"""Log the settings and results of activation maximization, beside curves and pictures.

TensorBoard shows the run's settings and results on the page HParams, where runs are compared;
descriptions say what is seen on the other pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from statistics import median
from typing import Any

from torch import Tensor

from neurovis.figures import render
from neurovis.files import remove_partial_files, safe_name
from neurovis.inputs import InputSpec
from neurovis.maximization.jobs import FINISHED
from neurovis.maximization.results import MaximizationResults
from neurovis.maximization.run_images import RunImages
from neurovis.maximization.settings import AscentSettings
from neurovis.summaries import log_picture, log_scalars
from neurovis.tables import write_table
from neurovis.tensorboard_layout import arrange, describe, log_hyperparameters

Plain = bool | int | float | str

#: First part of the tags of numbers that runs are compared by, for kernels and for groups.
_RESULTS = "results"
_LONGEST = 80
_MOST_NAMED = 3

#: Options with a column of their own: numbers always, or text always.
_NUMBER_OPTIONS = ("seed", "tv", "lp", "variants")
_TEXTS = ("style", "objective", "contrast", "init")
#: What an image does not depend on.
_WITHOUT_EFFECT = ("batch_size",)

_PICTURES = {
    "": "**The preferred image of each {target}**, with the activation that it reaches in the "
    "layer's own unit (SD where it is counted from noise); *dead* is what stayed silent. Each "
    "one's activation on noise, and all other numbers, are in `results.csv` beside this log.",
    "/curves": "**The number that was maximized at each step**, on randomly moved views of the "
    "images, in the layer's own unit. A curve that has levelled off has converged; one that still "
    "rises wants more `steps`.",
}
_CURVE = (
    "**Activation during the ascent**, on randomly moved views, the mean over the {target}s in the "
    "making, in the layer's own unit. It falls where finished images make room for new ones; each "
    "one's own curve is under *Images*."
)
_METRICS = {
    "median_activation": "**Activation that the preferred images reach**, shown as they are, the "
    "median over images, in the layer's own unit. Compare runs of one layer and objective only.",
    "median_noise_activation": "**Activation of noise images**, the median over the same images, "
    "in the layer's own unit: what any image does.",
    "median_ratio_to_noise": "**Activation over that of noise**, the median over images: 1 is "
    "nothing gained, as of what stayed silent. NaN where noise leaves most of the kernels at 0 or "
    "below, and any activation is infinitely more.",
    "dead": "**Fraction of images of which every kernel stayed silent**, at zero or unmoved from "
    "what noise gives: from 0 (none) to 1 (all).",
    "median_steps": "**Ascent steps that an image took**, the median; fewer than `steps` where it "
    "converged before.",
    "images": "**Number of images** that were made.",
}

#: Numbers that are logged once there is evidence for them.
EVIDENCE = {
    "judged_first": "**Fraction of judgments in which the class is the judge's first guess**, over "
    "images of classes and judges, from 0 to 1.",
    "median_percentile": "**Percent of held-out pictures that drive a judge's partner kernel less "
    "than the image does**, the median over images and judges: 50 is what any picture does.",
    "median_of_best_picture": "**Activation of the image over that of the best picture**, the "
    "median over kernels.",
    "median_predictability": "**Part of pairs of held-out pictures that the images tell apart**, "
    "the median over kernels: 1 is all, 0.5 chance.",
    "median_stability": "**d′ of the likeness of variants**, of one kernel against different ones, "
    "the median over kernels: 0 is chance.",
    "median_path_similarity": "**Likeness of what images and top pictures excite in the layer "
    "before**, the median over kernels: 1 as the pictures are like each other, 0 as those of other "
    "kernels.",
}


def announce(loggers: Iterable[object], tag: str, layers: Sequence[str], step: int) -> None:
    """Say what the run's tags mean, and put its curves together.

    Args:
        loggers: Loggers of the Trainer.
        tag: First part of the run's tags.
        layers: Dotted names.
        step: The step to log at.
    """
    loggers = list(loggers)
    target = "group" if tag.startswith("group") else "kernel"
    pictures = {
        f"{tag}/{layer}{end}": text.format(target=target)
        for layer in layers
        for end, text in _PICTURES.items()
    }
    curves = [f"{tag}/{layer}/activation" for layer in layers]
    describe(loggers, "images", pictures, step)
    describe(loggers, "scalars", dict.fromkeys(curves, _CURVE.format(target=target)), step)
    titled = {
        f"{layer}: activation during the ascent": [f"{tag}/{layer}/activation"] for layer in layers
    }
    arrange(loggers, {tag: titled})


def run_metrics(outcomes: Sequence[tuple[float, float, bool, int]]) -> dict[str, float]:
    """Return the numbers that runs are compared by, by name; NaN for what is undefined.

    Args:
        outcomes: Of each image its activation, that of noise, whether it is dead, and its steps.
    """
    if not outcomes:
        return {}
    activations, noise_activations, dead, steps = zip(*outcomes, strict=True)
    found: dict[str, float] = {
        "median_activation": median(activations),
        "median_noise_activation": median(noise_activations),
        "median_ratio_to_noise": median(_ratio(*outcome[:3]) for outcome in outcomes),
        "dead": sum(dead) / len(dead),
        "median_steps": median(steps),
        "images": len(steps),
    }
    return {
        name: float(value) if math.isfinite(value) else math.nan for name, value in found.items()
    }


def hyperparameters(
    network: str, layers: Sequence[str], kind: str, spec: InputSpec, settings: AscentSettings
) -> dict[str, Plain]:
    """Return the settings of a run as numbers and words that a table can show.

    TensorBoard takes the columns of the table from one run, and cannot tell which matter: all runs
    have the same ones, and what is seldom changed shares the last, ``others``.

    Args:
        network: Name of its class.
        layers: Dotted names.
        kind: What images are of.
        spec: What the network is shown.
        settings: How the ascent is done.

    Example:
        >>> from neurovis.maximization.transforms import Affine
        >>> settings = AscentSettings(contrast={"rgb": 0.2}, transforms=[Affine(jitter=4)])
        >>> asked = hyperparameters("Net", ["conv1"], "kernels", InputSpec.rgb(64), settings)
        >>> asked["layer"], asked["size"], asked["contrast"], asked["lr"], asked["tv"]
        ('conv1', '64 x 64', 'rgb 0.2', 0.2, 0.0)
        >>> asked["others"]
        'transforms Affine(jitter=4)'
    """
    named = ", ".join(layers[:_MOST_NAMED])
    height, width = spec.size
    asked: dict[str, Plain] = {
        "kind": kind,
        "network": network,
        "layer": named if len(layers) <= _MOST_NAMED else f"{len(layers)} layers: {named}, …",
        "modalities": ", ".join(f"{one.name} {one.channels}" for one in spec.modalities),
        "size": f"{height} x {width}",
        "lr": settings.learning_rate,
        "steps": settings.most_steps,
        **{name: getattr(settings, name) for name in _NUMBER_OPTIONS},
        **{name: _short(_text(getattr(settings, name))) for name in _TEXTS},
        "parametrization": _short(
            _text(settings.parametrization or settings.resolved_parametrization)
        ),
        "patience": _text(settings.steps_without_improvement),
    }
    others = [
        f"{option.name} {_text(getattr(settings, option.name))}"
        for option in fields(settings)
        if option.name not in {*asked, *_WITHOUT_EFFECT} and not _is_default(settings, option)
    ]
    return {**asked, "others": _short(", ".join(others) or "as by default")}


def save_run(
    run: RunImages,
    folders: Mapping[str, Path],
    tag: str,
    loggers: Iterable[object],
    asked: Mapping[str, Plain],
    step: int,
) -> None:
    """Write the files of all layers, and log their pictures and metrics.

    Args:
        run: The images of a run.
        folders: Of each layer, in the run's folder.
        tag: First part of the run's tags.
        loggers: Loggers of the Trainer.
        asked: See :func:`hyperparameters`.
        step: The step at which the run ended.
    """
    if run.folder is None:
        return
    loggers = list(loggers)
    rows: list[dict[str, object]] = []
    outcomes: list[tuple[float, float, bool, int]] = []
    made: set[tuple[str, int]] = set()
    for layer, folder in folders.items():
        results = run.of(layer)
        if not len(results):
            continue
        rows += results.rows()
        outcomes += [
            (item.activation, item.noise_activation, item.dead, len(item.curve))
            for item in results.poles()[0].items
        ]
        made |= {(layer, item.index) for item in results.items if item.ended != "cut short"}
        results.save(folder, run.picture)
        for part in (folder, folder / "images", folder / "signatures"):
            remove_partial_files(part)
        remove_partial_files(run.folder / FINISHED / safe_name(layer))
        pictures = {"": results.grid(), "/curves": results.curves_figure()}
        for end, figure in pictures.items():
            # Without a logger that takes images, the files are enough.
            log_picture(loggers, f"{tag}/{layer}{end}", render(figure), step, None)
    _log_metrics(loggers, run_metrics(outcomes), asked, step)
    remove_partial_files(run.folder)
    if len(folders) > 1:
        write_table(run.folder / "results.csv", rows)
    if len(made) == len(run.jobs):
        run.complete()


def _log_metrics(
    loggers: Sequence[object], metrics: Mapping[str, float], asked: Mapping[str, Plain], step: int
) -> None:
    words = {f"{_RESULTS}/{name}": _METRICS[name] for name in metrics}
    describe(loggers, "scalars", words, step)
    tagged = {f"{_RESULTS}/{name}": value for name, value in metrics.items()}
    log_hyperparameters(loggers, asked, tagged, step, [f"{_RESULTS}/{name}" for name in EVIDENCE])


def log_evidence(
    loggers: Iterable[object],
    tag: str,
    results: Iterable[MaximizationResults],
    metrics: Mapping[str, float],
    step: int,
) -> None:
    """Log images again, with the evidence for them, and numbers that runs are compared by.

    Args:
        loggers: Loggers of the Trainer.
        tag: First part of the run's tags.
        results: Of each layer, with evidence.
        metrics: By name, see :data:`EVIDENCE`.
        step: The step at which the run ended.
    """
    loggers = list(loggers)
    for one in results:
        log_picture(loggers, f"{tag}/{one.layer}", render(one.grid()), step, None)
    words = {f"{_RESULTS}/{name}": EVIDENCE[name] for name in metrics}
    describe(loggers, "scalars", words, step)
    tagged = {f"{_RESULTS}/{name}": value for name, value in metrics.items()}
    log_scalars(loggers, tagged, step, None)


def _ratio(reached: float, noise: float, dead: bool) -> float:
    if dead and not math.isnan(reached):
        return 1.0
    return reached / noise if noise > 0 else math.inf


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _is_default(owner: object, option: Field[Any]) -> bool:
    """Return True if a field of a dataclass has its default value."""
    value = getattr(owner, option.name)
    default = option.default if option.default_factory is MISSING else option.default_factory()
    # Tensors, which are not compared by ==, are never the default.
    return not isinstance(value, Tensor) and bool(value == default)


def _text(value: object) -> str:
    """Any option as text."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Tensor):
        return f"image {tuple(value.shape)}" if value.ndim else f"{value.item():g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(part) for part in value) or "none"
    if is_dataclass(value) and not isinstance(value, type):
        listed = ", ".join(
            f"{one.name}={_text(getattr(value, one.name))}"
            for one in fields(value)
            if one.init and not _is_default(value, one)
        )
        return f"{type(value).__name__}({listed})"
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__name__))
    return str(value)
