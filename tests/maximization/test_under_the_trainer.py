"""Files, loggers, checkpoints, devices and options of the Trainer."""

from __future__ import annotations

import csv
import os
import pickle
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from climbing import GRAY, Climber
from kept import kept_images
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image
from torch import nn

from neurovis.maximization import ActivationMaximization, GroupActivationMaximization

TAG = "activation_maximization/3"


@pytest.mark.drawn
def test_files_and_tensorboard(climb: Climber, small_network: nn.Module, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    am = ActivationMaximization(small_network, "3", [1, 5], GRAY, steps=12, batch_size=1, seed=9)
    trainer = climb(am, logger=TensorBoardLogger(tmp_path), log_every_n_steps=4)
    folder = Path(trainer.log_dir or "")
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["kernel"], row["steps"], row["seed"]) for row in rows] == [
        ("3", "1", "12", "9"),
        ("3", "5", "12", "9"),
    ]
    assert float(rows[1]["activation"]) == pytest.approx(float(am.results.activations[1]))
    assert float(rows[1]["noise_activation"]) == pytest.approx(
        float(am.results.noise_activations[1])
    )
    assert rows[0]["dead"] == "False"
    arrays = np.load(folder / "results.npz")
    np.testing.assert_array_equal(kept_images(folder), am.results.images)
    assert arrays["kernels"].tolist() == [1, 5]
    for name in ("grid.png", "images/kernel_0005.png", "signatures/kernel_0001.png"):
        with Image.open(folder / name) as picture:
            assert np.asarray(picture).std() > 5, f"{name} is blank"
    events = EventAccumulator(str(folder)).Reload()
    assert "activation_maximization/3" in events.Tags()["images"]
    curve = events.Scalars("activation_maximization/3/activation")
    assert [event.step for event in curve] == [3, 7, 11, 15, 19, 23]
    assert curve[2].value > curve[0].value


class _Activations(pl.Callback):
    """Notes what early stopping and checkpoints would see after each step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        both = (trainer.callback_metrics[name] for name in ("activation", f"{TAG}/activation"))
        first, second = map(float, both)
        assert first == second
        self.seen.append(first)


def test_callbacks_see_activations_also_without_a_logger(
    climb: Climber, small_network: nn.Module
) -> None:
    callback = _Activations()
    am = ActivationMaximization(small_network, "3", [1, 5], GRAY, steps=4)
    climb(am, callbacks=[callback])
    assert callback.seen == pytest.approx(am.results.curves.mean(0).tolist())
    alone = ActivationMaximization(small_network, "3", [2], GRAY, steps=1)
    assert not climb(alone).callback_metrics, "nobody sees them, and they take time"


def test_tensorboard_of_groups(climb: Climber, small_network: nn.Module, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    group = GroupActivationMaximization(small_network, "3", "each:4", GRAY, steps=6)
    trainer = climb(group, logger=TensorBoardLogger(tmp_path), log_every_n_steps=2)
    events = EventAccumulator(trainer.log_dir).Reload()
    assert "group_activation_maximization/3" in events.Tags()["images"]
    assert len(events.Scalars("group_activation_maximization/3/activation")) == 3
    names = {path.name for path in (Path(trainer.log_dir or "") / "images").iterdir()}
    assert names == {"group_0000.png", "group_0001.png"}


def test_the_picture_of_an_image_is_that_image(
    climb: Climber, small_network: nn.Module, tmp_path: Path
) -> None:
    am = ActivationMaximization(small_network, "3", [1], GRAY, steps=5)
    climb(am)
    with Image.open(tmp_path / "images" / "kernel_0001.png") as picture:
        shown = np.asarray(picture.convert("L"))
    expected = (am.results.images[0, 0].numpy() * 255).round()
    height, width = shown.shape
    top, left = (height - 16) // 2, (width - 16) // 2
    np.testing.assert_allclose(shown[top : top + 16, left : left + 16], expected, atol=1)


@pytest.mark.usefixtures("without_figures")
def test_a_checkpoint_holds_results_and_the_ascent_goes_on(
    climb: Climber, small_network: nn.Module, tmp_path: Path
) -> None:
    options = {"layer": "3", "kernels": [0, 2, 4], "input_spec": GRAY, "steps": 6}
    whole = ActivationMaximization(small_network, batch_size=1, **options)
    climb(whole)
    first = ActivationMaximization(small_network, batch_size=1, **options)
    checkpoint = tmp_path / "first.ckpt"
    other = tmp_path / "other"
    climb(first, max_steps=12, default_root_dir=other).save_checkpoint(checkpoint)
    assert len(first.results) == 2
    assert not [key for key in torch.load(checkpoint)["state_dict"] if "network" in key]
    rest = ActivationMaximization(small_network, batch_size=1, **options)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path / "third",
    )
    trainer.fit(rest, ckpt_path=checkpoint, weights_only=True)
    assert torch.equal(rest.results.images, whole.results.images)


def test_a_second_fit_has_nothing_left_to_do(
    climb: Climber, small_network: nn.Module, tmp_path: Path
) -> None:
    am = ActivationMaximization(small_network, "3", [0, 2], GRAY, steps=4)
    climb(am)
    before = am.results.images
    (tmp_path / "results.csv").unlink()
    assert climb(am).global_step == 0
    assert torch.equal(am.results.images, before)
    assert (tmp_path / "results.csv").exists()


@pytest.mark.usefixtures("without_figures")
def test_an_ascent_that_is_cut_short_says_so(climb: Climber, small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "3", [0, 2], GRAY, steps=4, batch_size=1)
    climb(am, max_steps=6)
    assert [row["steps"] for row in am.results.rows()] == [4, 2]
    assert am.results.curves.isnan().sum() == 2


@pytest.mark.parametrize("every", [pytest.param(2, marks=pytest.mark.slow), 3, 4])
@pytest.mark.usefixtures("without_figures")
def test_a_checkpoint_in_the_middle_of_a_batch_is_gone_on_from(
    climb: Climber, small_network: nn.Module, tmp_path: Path, every: int
) -> None:
    options = {"layer": "5", "kernels": [0, 2, 4], "input_spec": GRAY, "steps": 4, "batch_size": 2}
    whole = ActivationMaximization(small_network, **options)
    saved = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=every, save_top_k=-1)
    climb(whole, enable_checkpointing=True, callbacks=[saved])
    for checkpoint in (tmp_path / "kept").iterdir():
        rest = ActivationMaximization(small_network, **options)
        trainer = pl.Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, max_epochs=-1,
            default_root_dir=tmp_path, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(rest, ckpt_path=checkpoint, weights_only=True)
        assert torch.equal(rest.results.images, whole.results.images), checkpoint.name
        assert torch.equal(rest.results.curves, whole.results.curves)


@pytest.mark.usefixtures("without_figures")
def test_one_trainer_serves_two_modules(climb: Climber, small_network: nn.Module) -> None:
    first = ActivationMaximization(small_network, "3", [0, 2], GRAY, steps=3)
    second = ActivationMaximization(small_network, "3", [5], GRAY, steps=3)
    trainer = climb(first)
    trainer.fit(second)
    assert len(second.results) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate_grad_batches": 2}, "accumulate_grad_batches"),
        ({"gradient_clip_val": 1.0}, "gradient_clip_val"),
        # Of 2 steps: without a refusal, max_epochs alone would end the run.
        ({"min_steps": 3, "max_epochs": 5}, "min_steps would keep the Trainer running"),
        ({"min_epochs": 2}, "min_epochs would keep the Trainer running"),
        ({"precision": "bf16-true"}, "optimized in float32"),
        (
            {"plugins": [MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))]},
            'precision="16-mixed" scales gradients',
        ),
    ],
)
def test_trainer_options_that_would_falsify_images_are_refused(
    climb: Climber, small_network: nn.Module, options: dict[str, object], message: str
) -> None:
    am = ActivationMaximization(small_network, "3", [0], GRAY, steps=2)
    with pytest.raises(ValueError, match=message):
        climb(am, **options)


def test_a_trial_run_writes_nothing(
    climb: Climber, small_network: nn.Module, tmp_path: Path
) -> None:
    climb(ActivationMaximization(small_network, "3", [0], GRAY, steps=5), fast_dev_run=True)
    assert not list(tmp_path.iterdir())


def test_without_results_it_says_so(climb: Climber, small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "3", [0], GRAY, steps=5)
    with pytest.warns(UserWarning, match="no results"):
        climb(am, limit_train_batches=1, max_steps=0)


def test_it_pickles(small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "3", [0], GRAY, steps=2)
    assert pickle.loads(pickle.dumps(am)).targets == am.targets


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    small_network: nn.Module, climb: Climber
) -> None:
    am = ActivationMaximization(small_network, "3", [0, 1], GRAY, steps=2)
    (climb.folder / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="cannot write to"):
        climb(am, default_root_dir=climb.folder / "file" / "runs")
    assert len(am.results) == 0


def test_a_strategy_that_mixes_images_is_refused(small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "3", [0, 1], GRAY, steps=2)
    am.trainer = SimpleNamespace(strategy=DDPStrategy(), world_size=2)
    with pytest.raises(ValueError, match=r'DDPStrategy would average .*"neurovis_independent"'):
        am.on_fit_start()


_TWO_PROCESSES = """
import sys
import lightning.pytorch as pl
import torch
from torch import nn
from neurovis import ActivationMaximization, InputSpec

torch.set_num_threads(1)
devices, folder = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 5, 5), nn.ReLU(), nn.Conv2d(5, 5, 3))
am = ActivationMaximization(network, "2", input_spec=InputSpec.rgb(20), steps=8, batch_size=1)
trainer = pl.Trainer(
    accelerator="cpu", devices=devices, default_root_dir=folder, logger=False,
    enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    strategy="neurovis_independent" if devices > 1 else "auto",
)
trainer.fit(am)
assert len(am.results) == 5
"""


@pytest.fixture
def same_number_of_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow  # And so is test_sharing.py, with three.
@pytest.mark.usefixtures("same_number_of_threads")
def test_two_processes_make_the_images_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "run.py"
    script.write_text(_TWO_PROCESSES)
    subprocess.run(
        [sys.executable, str(script), "2", str(tmp_path / "2")],
        check=True,
        timeout=200,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    monkeypatch.setattr(sys, "argv", ["run.py", "1", str(tmp_path / "1")])
    runpy.run_path(str(script))
    runs = [tmp_path / devices for devices in ("1", "2")]
    np.testing.assert_array_equal(*(kept_images(run) for run in runs))
    arrays = [np.load(run / "results.npz") for run in runs]
    np.testing.assert_array_equal(arrays[0]["kernels"], arrays[1]["kernels"])
