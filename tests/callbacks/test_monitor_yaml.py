"""Monitors in the YAML file of somebody's own LightningCLI."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from lightning.pytorch.cli import LightningCLI
from promise import BATCHES, TinyModule, loader, png_steps, written

from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    Monitor,
    SaliencyMonitor,
)
from neurovis.inputs import InputSpec

SHORT = """
trainer:
  callbacks:
    - class_path: neurovis.callbacks.FeatureMapMonitor
      init_args: {layers: all-conv}
    - class_path: neurovis.callbacks.SaliencyMonitor
    - class_path: neurovis.callbacks.ActivationMaximizationMonitor
      init_args: {layer: conv2}
    - class_path: neurovis.callbacks.KernelRankingMonitor
      init_args: {layers: [conv1]}
"""

LONG = """
trainer:
  callbacks:
    - class_path: neurovis.callbacks.FeatureMapMonitor
      init_args:
        layers: [conv1, Linear]
        kernels: most_active
        max_kernels: 2
        first_and_now: false
        every_n_train_steps: 5
        max_images: 2
        on_error: raise
        input_key: 0
    - class_path: neurovis.callbacks.SaliencyMonitor
      init_args:
        layer: conv2
        kernels: 0-1
        method: integrated_gradients
        every_n_epochs: 1
        on_error: raise
    - class_path: neurovis.callbacks.ActivationMaximizationMonitor
      init_args:
        layer: conv2
        kernels: [0, 3]
        steps: 2
        lr: 0.1
        on_error: raise
        input_spec:
          class_path: neurovis.InputSpec
          init_args:
            size: [12, 12]
            modalities:
              - class_path: neurovis.modality.Modality
                init_args: {name: rgb, channels: 3}
    - class_path: neurovis.callbacks.KernelRankingMonitor
      init_args:
        layers: [conv1, conv2]
        by: [orientation, color]
        orientations: 6
        spatial_frequencies: [0.1, 0.2]
        null_kernels: 10
        max_kernels: 2
        max_images: 1
        on_error: raise
"""

QUIET = {
    "accelerator": "cpu",
    "devices": 1,
    "max_epochs": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def cli(text: str, folder: Path) -> LightningCLI:
    """Somebody's own command line, run with a file of such text."""
    config = yaml.safe_load(text)
    config["trainer"] |= {**QUIET, "default_root_dir": str(folder)}
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    arguments = ["--config", str(folder / "config.yaml")]
    return LightningCLI(
        TinyModule,
        run=False,
        save_config_callback=None,
        args=arguments,
    )


def monitors_of(command_line: LightningCLI) -> list[Monitor]:
    return [one for one in command_line.trainer.callbacks if isinstance(one, Monitor)]


def test_they_run(tmp_path: Path) -> None:
    command_line = cli(SHORT, tmp_path)
    command_line.trainer.fit(command_line.model, loader(), loader(seed=1))
    assert {path.name for path in written(tmp_path).iterdir() if path.is_dir()} == {
        "feature_maps",
        "saliency",
        "activation_maximization",
        "kernel_ranking",
    }
    assert png_steps(tmp_path) == [BATCHES - 1]


def test_their_options(tmp_path: Path) -> None:
    command_line = cli(LONG, tmp_path)
    maps, saliency, preferred, ranking = monitors_of(command_line)
    assert isinstance(maps, FeatureMapMonitor)
    assert (maps.layers, maps.kernels, maps.max_kernels) == (("conv1", "Linear"), "most_active", 2)
    assert (maps.schedule.every_n_train_steps, maps.schedule.every_n_epochs) == (5, None)
    assert isinstance(saliency, SaliencyMonitor)
    assert (saliency.layer, saliency.method) == ("conv2", "integrated_gradients")
    assert isinstance(preferred, ActivationMaximizationMonitor)
    assert list(preferred.kernels) == [0, 3]  # type: ignore[arg-type]
    assert isinstance(preferred.input_spec, InputSpec)
    assert preferred.input_spec.shape == (3, 12, 12)
    assert (preferred.settings.steps, preferred.settings.lr) == (2, 0.1)
    assert isinstance(ranking, KernelRankingMonitor)
    assert [one.name for one in ranking.rankings] == ["orientation", "color"]
    assert (ranking.settings.orientations, ranking.settings.null_kernels) == (6, 10)
    assert list(ranking.settings.spatial_frequencies or []) == [0.1, 0.2]
    command_line.trainer.fit(command_line.model, loader(), loader(seed=1))
    assert png_steps(tmp_path) == [BATCHES - 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{class_path: neurovis.callbacks.SaliencyMonitor, init_args: {method: grad}}", "method"),
        ("{class_path: neurovis.callbacks.SaliencyMonitor, init_args: {layr: conv1}}", "layr"),
        ("{class_path: neurovis.callbacks.FeatureMapMonitor}", "layers"),
        ("{class_path: neurovis.callbacks.FeatureMapMonitors}", "FeatureMapMonitors"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    wrong: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli(f"trainer: {{callbacks: [{wrong}]}}", tmp_path)
    assert message in capsys.readouterr().err


def test_by_the_command_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``fit --config file.yaml --trainer.callbacks=… --trainer.callbacks.layer=…``."""
    monkeypatch.setattr(TinyModule, "train_dataloader", lambda _: loader(), raising=False)
    arguments = [
        "fit",
        *(f"--trainer.{name}={str(value).lower()}" for name, value in QUIET.items()),
        f"--trainer.default_root_dir={tmp_path}",
        "--trainer.callbacks=neurovis.callbacks.FeatureMapMonitor",
        "--trainer.callbacks.layers=conv2",
        "--trainer.callbacks.kernels=0,2",
    ]
    LightningCLI(TinyModule, save_config_callback=None, args=arguments)
    assert png_steps(written(tmp_path) / "feature_maps" / "conv2") == [BATCHES - 1]
