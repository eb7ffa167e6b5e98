"""Run the parts of the demo: a training that is watched, and ascents in the shipped network."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    Monitor,
    SaliencyMonitor,
)
from neurovis.callbacks.base import MonitorOptions
from neurovis.cli.demo_options import DemoOptions
from neurovis.cli.printing import console, print_line, print_table, tensorboard_command
from neurovis.cli.trainers import RunLogger, build_trainer
from neurovis.demo import (
    SHAPES,
    ShapeClassifier,
    ShapeScenesDataModule,
    demo_input_spec,
    load_demo_network,
)
from neurovis.files import check_writable
from neurovis.layers import resolve_layer
from neurovis.maximization import (
    ActivationMaximization,
    AscentOptions,
    AscentProgress,
    AscentSettings,
    GroupActivationMaximization,
    MaximizationResults,
    TargetMaximization,
)

#: Ends of the names of accuracies, and what tables call them.
_CONDITIONS = {"": "RGB and depth", "_rgb": "RGB alone", "_depth": "depth alone"}
#: Training steps between two looks of the monitors: a dozen in all.
_MONITOR_EVERY = 64
#: Weight of total variation for the classes, whose logits reach some hundreds.
_CLASS_TV = 600.0


def check(demo: DemoOptions) -> None:
    """Refuse what cannot work before a minute goes into the training."""
    check_writable(demo.folder)
    AscentSettings(steps=demo.steps)
    _trainer(demo, logger=False)
    resolve_layer(load_demo_network(), demo.layer)


def show(demo: DemoOptions, folder: Path) -> None:
    """Train with monitors, maximize activations, and print the results."""
    accuracies = {}
    if demo.seconds > 0:
        console().rule("1. A network learns shapes, and monitors watch it")
        accuracies["after this training"] = _train(demo, folder)
    console().rule("2. What do the kernels and classes of the shipped network want?")
    accuracies["shipped network"] = _test(demo)
    results = _maximize(demo, folder)
    console().rule("3. What came of it")
    _print_accuracies(accuracies)
    _print_activations(results, folder)
    print_line(f"\nSee it with:\n  {tensorboard_command(folder)}")


class _Progress(TQDMProgressBar):
    """Lightning's progress bar without the end of the run's name."""

    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        """Return what the bar shows at its end."""
        metrics = super().get_metrics(*arguments)
        return {name: value for name, value in metrics.items() if name != "v_num"}


def _trainer(demo: DemoOptions, **options: Any) -> pl.Trainer:
    given = {
        "accelerator": demo.accelerator,
        "devices": 1,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "log_every_n_steps": 10,
        "callbacks": [_Progress(refresh_rate=8, leave=True)],
        **options,
    }
    return build_trainer(given, prefix="--")


def _logger(folder: Path, run_name: str) -> TensorBoardLogger:
    # TensorBoard shows the columns of one run's HParams: those of ascents, not of the training.
    return RunLogger(folder, "", run_name, default_hp_metric=False)


def _train(demo: DemoOptions, folder: Path) -> dict[str, float]:
    """Train from scratch and watch; returns accuracies on fresh scenes."""
    pl.seed_everything(0, verbose=False)
    trainer = _trainer(
        demo,
        logger=_logger(folder, "training"),
        max_epochs=demo.epochs,
        max_time=timedelta(seconds=demo.seconds),
        callbacks=[*_monitors(), _Progress(refresh_rate=8, leave=True)],
    )
    classifier, scenes = ShapeClassifier(), ShapeScenesDataModule()
    trainer.fit(classifier, datamodule=scenes)
    return _accuracies(trainer.test(classifier, datamodule=scenes, verbose=False))


def _monitors() -> list[Monitor]:
    """All there are, on a common schedule."""
    common: MonitorOptions = {
        "input_spec": demo_input_spec(),
        "every_n_train_steps": _MONITOR_EVERY,
    }
    return [
        FeatureMapMonitor(["network.relu1", "network.relu3"], max_kernels=24, **common),
        SaliencyMonitor(method="integrated_gradients", **common),
        ActivationMaximizationMonitor("network.relu3", objective="center", **common),
        KernelRankingMonitor("network.conv1", **common),
    ]


def _test(demo: DemoOptions) -> dict[str, float]:
    """Accuracies of the shipped network on fresh scenes."""
    classifier = ShapeClassifier()
    classifier.network = load_demo_network()
    scenes = ShapeScenesDataModule(seed=1000)
    trainer = _trainer(demo, logger=False)
    return _accuracies(trainer.test(classifier, datamodule=scenes, verbose=False))


def _accuracies(metrics: list[Any]) -> dict[str, float]:
    return {condition: metrics[0][f"test_accuracy{condition}"] for condition in _CONDITIONS}


def _maximize(demo: DemoOptions, folder: Path) -> dict[str, MaximizationResults]:
    """AM of a layer's kernels and of the classes, and group AM, each a run of its own."""
    network, spec = load_demo_network(), demo_input_spec()
    # It has learned drawn shapes, whose spectrum is not that of photographs.
    common: AscentOptions = {"style": "maximal", "steps": demo.steps, "batch_size": 32}
    kernels: AscentOptions = {**common, "objective": "center"}
    classes: AscentOptions = {**common, "tv": _CLASS_TV}
    runs: dict[str, TargetMaximization] = {
        "kernels": ActivationMaximization(network, demo.layer, "all", spec, **kernels),
        "classes": ActivationMaximization(network, "classifier", "all", spec, **classes),
        "groups": GroupActivationMaximization(network, demo.layer, "each:8", spec, **common),
    }
    for name, module in runs.items():
        trainer = _trainer(
            demo,
            logger=_logger(folder, name),
            max_epochs=-1,
            callbacks=[AscentProgress()],
        )
        trainer.fit(module)
    return {name: module.results for name, module in runs.items()}


def _print_accuracies(accuracies: dict[str, dict[str, float]]) -> None:
    rows = [
        {
            "": name,
            **{
                heading: f"{100 * values[condition]:.1f} %"
                for condition, heading in _CONDITIONS.items()
            },
        }
        for name, values in accuracies.items()
    ]
    print_table(f"Accuracy on fresh scenes ({len(SHAPES)} shapes, chance 12.5 %)", rows, [""])


def _print_activations(results: dict[str, MaximizationResults], folder: Path) -> None:
    rows = [
        {
            "run": name,
            "layer": found.layer,
            "images": str(len(found)),
            "activation": f"{found.activations.median():.3g}",
            "of noise": f"{found.noise_activations.median():.3g}",
            "dead": str(int(found.dead.sum())),
            "files": str(_count_files(folder / name)),
        }
        for name, found in results.items()
    ]
    title = "Activation reached against noise (medians over images)"
    print_table(title, rows, ["run", "layer"])
    print_line(f"{_count_files(folder)} files written to {folder}")


def _count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
