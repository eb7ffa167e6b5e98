"""``am`` and ``group-am``: several layers, stopped runs, progress, and groups of all kinds."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from kept import FIRST_RUN, kept_images
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn

from neurovis.cli.ascent import AscentRun
from neurovis.cli.main import build_parser, main
from neurovis.maximization import (
    ActivationMaximization,
    AscentProgress,
    GroupActivationMaximization,
    MaximizationResults,
    progress,
    run_log,
)
from neurovis.maximization.strategy import IndependentDDPStrategy
from neurovis.tables import write_table

QUIET = ("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false")
AM = ("am", "--layer", "conv2", "--kernels", "0-3", "--steps", "4", "--batch_size", "2", *QUIET)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time; these tests look at images and tables."""
    for name in ("grid", "curves_figure"):
        monkeypatch.setattr(MaximizationResults, name, lambda *_: None)
    monkeypatch.setattr(MaximizationResults, "save", _save_arrays_and_table)
    monkeypatch.setattr(run_log, "render", lambda _: None)
    monkeypatch.setattr(run_log, "log_picture", lambda *_: None)


def _save_arrays_and_table(results: MaximizationResults, folder: Path, *_: object) -> None:
    results._save_arrays(folder / "results.npz")
    write_table(folder / "results.csv", results.rows())


def runs(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "lightning_logs").iterdir())


def manifest(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return content


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_several_devices_have_images_of_their_own(tmp_path: Path) -> None:
    """Also where nobody says how they are to share the work."""
    module = ActivationMaximization(nn.Sequential(nn.Conv2d(3, 2, 3)), "0", [0], steps=1)
    for devices, strategy in ((1, pl.strategies.SingleDeviceStrategy), (2, IndependentDDPStrategy)):
        given = ["--trainer.devices", str(devices), "--trainer.default_root_dir", str(tmp_path)]
        options = build_parser("am").parse_args([*AM[1:], *given])
        trainer = AscentRun(module, vars(options.trainer)).trainer
        assert isinstance(trainer.strategy, strategy)


@pytest.mark.usefixtures("without_figures")
def test_am_over_several_layers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--layer", "conv1", "conv3", "--kernels", "1,4", "--trainer.logger", "false")
    assert main([*AM, *arguments, "--trainer.default_root_dir", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")[1:3]] for line in table.splitlines()]
    assert ["conv1", "2"] in cells
    assert ["conv3", "2"] in cells
    assert f"Written to {tmp_path}" in table
    expected = [("conv1", "1"), ("conv1", "4"), ("conv3", "1"), ("conv3", "4")]
    found = [(row["layer"], row["kernel"]) for row in rows(tmp_path / "results.csv")]
    assert found == expected
    for layer in ("conv1", "conv3"):
        assert np.load(tmp_path / layer / "results.npz")["kernels"].tolist() == [1, 4]


@pytest.mark.usefixtures("without_figures")
def test_all_convolutions_are_swept(tmp_path: Path) -> None:
    arguments = ("--layer", "all-conv", "--kernels", "0", "--steps", "1")
    folder = ("--trainer.default_root_dir", str(tmp_path), "--trainer.logger", "false")
    assert main([*AM, *arguments, *folder]) == 0
    layers = [row["layer"] for row in rows(tmp_path / "results.csv")]
    assert len(layers) > 3
    assert layers == list(manifest(tmp_path)["layers"])


@pytest.mark.usefixtures("without_figures")
def test_a_stopped_run_goes_on_in_its_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = ("--trainer.default_root_dir", str(tmp_path))
    run = tmp_path / "lightning_logs" / "version_0"
    assert main([*AM, *folder, "--trainer.max_steps", "6"]) == 0
    assert not manifest(run)["complete"]
    assert len(list(run.glob("finished/*/*.npz"))) == 2
    kept = {path: path.stat().st_mtime_ns for path in run.glob("finished/*/*")}
    capsys.readouterr()
    assert main([*AM, *folder]) == 0
    assert f"Resuming in {run}, where a run was stopped" in capsys.readouterr().out
    assert runs(tmp_path) == ["version_0"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert manifest(run)["complete"]
    # What is complete is not gone on with: the same command is another run.
    assert main([*AM, *folder]) == 0
    assert "Going on" not in capsys.readouterr().out
    assert runs(tmp_path) == ["version_0", "version_1"]
    np.testing.assert_array_equal(*(kept_images(run.with_name(name)) for name in runs(tmp_path)))
    arrays = [np.load(run.with_name(name) / "results.npz") for name in runs(tmp_path)]
    assert arrays[0]["kernels"].tolist() == [0, 1, 2, 3]


@pytest.mark.usefixtures("without_figures")
def test_only_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = ("--trainer.default_root_dir", str(tmp_path))
    stopped = (*AM, *folder, "--trainer.max_steps", "6")
    assert main([*stopped]) == 0
    for number, other in enumerate(
        (("--resume", "false"), ("--seed", "1"), ("--kernels", "0-4"), ("--layer", "conv1"))
    ):
        assert main([*stopped, *other]) == 0
        assert len(runs(tmp_path)) == number + 2, other
    # Of those that were stopped, the latest that was to make the same images.
    (tmp_path / "lightning_logs/version_0/manifest.json").touch()
    assert main([*AM, *folder]) == 0
    complete = [name for name in runs(tmp_path) if manifest(_run(tmp_path, name))["complete"]]
    assert complete == ["version_0"]
    assert main([*AM, *folder]) == 0
    complete = [name for name in runs(tmp_path) if manifest(_run(tmp_path, name))["complete"]]
    assert complete == ["version_0", "version_1"]


def _run(folder: Path, name: str) -> Path:
    return folder / "lightning_logs" / name


@pytest.mark.usefixtures("without_figures")
def test_a_folder_that_was_given_a_changed_command_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = ("--trainer.default_root_dir", str(tmp_path), "--trainer.logger", "false")
    assert main([*AM, *folder, "--trainer.max_steps", "6"]) == 0
    capsys.readouterr()
    assert main([*AM, *folder, "--seed", "3", "--tv", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unfinished run that differs in settings.seed (3 here, 0 there); settings.tv" in line
    # The same command goes on, and leaves alone what is complete.
    assert main([*AM, *folder]) == 0
    assert f"Written to {tmp_path}\n" in capsys.readouterr().out
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("finished/*/*")}
    assert main([*AM, *folder]) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([*AM, *folder, "--seed", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds a complete run that differs in settings.seed (3 here, 0 there); choose" in line
    assert line.endswith("another folder: --trainer.default_root_dir")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert {path: path.stat().st_mtime_ns for path in made} == made


@pytest.mark.usefixtures("without_figures")
def test_a_complete_run_is_found_again_with_the_batch_size_it_chose(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = ("--trainer.default_root_dir", str(tmp_path), "--trainer.logger", "false")
    default = [part for part in (*AM, *folder) if part not in ("--batch_size", "2")]
    assert main(default) == 0
    assert manifest(tmp_path)["settings"]["batch_size"] == 8
    assert main(default) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([*default, "--kernels", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'differs in layers.conv2 (["kernel 0, (0,), mean"] here, ["kernel 0' in line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("without_figures")
def test_a_metric_that_is_not_there_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stopping = ("--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "nonsense")
    folder = ("--trainer.default_root_dir", str(tmp_path))
    assert main([*AM, *folder, *stopping]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("neurovis: error: --trainer.callbacks EarlyStopping: ")
    assert "`nonsense` which is not available" in line
    # It is looked for at the end, when all images are made.
    assert main([*AM, *folder]) == 0
    assert "Resuming in" in capsys.readouterr().out
    assert runs(tmp_path) == ["version_0"]


def test_a_fault_of_the_package_in_a_callback_is_no_refusal(tmp_path: Path) -> None:
    arguments = ("--trainer.callbacks", f"{__name__}.Faulty", "--trainer.logger", "false")
    with pytest.raises(RuntimeError, match="a fault"):
        main([*AM, *arguments, "--trainer.default_root_dir", str(tmp_path)])


class Faulty(EarlyStopping):
    def __init__(self) -> None:
        super().__init__("activation")

    def on_train_epoch_end(self, *_: object) -> None:
        raise RuntimeError("a fault")


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("name", ["CSVLogger", "TensorBoardLogger"])
def test_loggers_that_are_named_write_what_they_write_elsewhere(
    name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    logger = ("--trainer.logger", name, "--trainer.logger.save_dir", str(tmp_path))
    assert main([*AM, *logger, "--trainer.log_every_n_steps", "1"]) == 0
    written = {path.name.partition(".")[0] for path in (tmp_path / FIRST_RUN).iterdir()}
    assert written >= {"manifest", "results", "finished"}
    assert not [one for one in recwarn if "Experiment logs directory" in str(one.message)]
    if name == "CSVLogger":
        steps = rows(tmp_path / FIRST_RUN / "metrics.csv")
        assert any(row["activation_maximization/conv2/activation"] for row in steps)
    else:
        assert "events" in written


def test_before_the_first_image_there_is_nothing_to_show(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = ("--trainer.default_root_dir", str(tmp_path), "--trainer.logger", "false")
    assert main([*AM, *folder, "--trainer.limit_train_batches", "0"]) == 2
    assert "before an image was finished; see --trainer.max_steps" in capsys.readouterr().err


def test_a_trial_says_that_it_wrote_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = ("--trainer.default_root_dir", str(tmp_path))
    assert main([*AM, *folder, "--trainer.fast_dev_run", "true"]) == 0
    assert not list(tmp_path.iterdir())
    said = capsys.readouterr().out
    assert said.endswith("Nothing was written: --trainer.fast_dev_run is a trial\n")
    assert "Written to" not in said


# Progress.


def _am_with_progress(tmp_path: Path, *arguments: str) -> None:
    options = [argument for argument in AM if argument not in QUIET[2:]]
    folder = ("--trainer.default_root_dir", str(tmp_path), "--trainer.logger", "false")
    assert main([*options, *folder, *arguments]) == 0


@pytest.mark.usefixtures("without_figures")
def test_without_a_terminal_progress_is_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_EVERY_LINE", 0.0)
    _am_with_progress(tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if " of 4 images" in line]
    # Two batches of four steps each, of which the last leaves no layer to tell of.
    assert len(lines) == 8
    pattern = r"(?:conv2: )?(\d) of 4 images \[ *[\d.]+(?:it/s|s/it), \d\d:\d\d left\]"
    found = [re.fullmatch(pattern, line.strip()) for line in lines]
    assert all(found), lines
    done = [int(match[1]) for match in found if match]
    # Those in the making do not count.
    assert done == [0, 0, 0, 0, 2, 2, 2, 2]
    assert lines[0].startswith("conv2: 0 of 4 images ")


@pytest.mark.usefixtures("without_figures")
def test_lines_are_half_a_minute_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _am_with_progress(tmp_path)
    assert " of 4 images" not in capsys.readouterr().err


@pytest.mark.usefixtures("without_figures")
def test_progress_goes_on_from_what_was_finished(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _am_with_progress(tmp_path, "--trainer.max_steps", "4")
    monkeypatch.setattr(progress, "_EVERY_LINE", 0.0)
    capsys.readouterr()
    _am_with_progress(tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if " of 4 images" in line]
    assert [line.strip().partition(" of ")[0][-1] for line in lines] == ["2", "2", "2", "2"]


@pytest.mark.usefixtures("without_figures")
def test_on_a_terminal_progress_is_a_bar(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    _am_with_progress(tmp_path)
    shown = capsys.readouterr().err
    assert re.search(r"2 of 4 images \|[^\n]+\| ?\[", shown)
    assert "\n" not in shown.strip("\n")


@pytest.mark.usefixtures("without_figures")
def test_passes_show_how_far_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_EVERY_LINE", 0.0)
    _am_with_progress(tmp_path, "--top_images", "1")
    shown = capsys.readouterr().err
    # The demo's 256 scenes, 32 at a time.
    assert "top images: 1 of 8 " in shown
    assert re.search(r"top images: 8 of 8 \[.*00:00 left\]", shown)


def test_progress_is_for_ascents_only() -> None:
    with pytest.raises(TypeError, match="AscentProgress is for ascents; got LightningModule"):
        progress._ascent(pl.LightningModule())


@pytest.mark.usefixtures("without_figures")
def test_a_bar_of_ones_own_stays_the_only_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_EVERY_LINE", 0.0)
    made: list[object] = []
    original = AscentProgress.__init__

    def init(self: AscentProgress) -> None:
        made.append(self)
        original(self)

    monkeypatch.setattr(AscentProgress, "__init__", init)
    _am_with_progress(tmp_path, "--trainer.callbacks", "TQDMProgressBar")
    assert not made
    assert " of 4 images" not in capsys.readouterr().err


# Groups.


@pytest.mark.usefixtures("without_figures")
def test_group_am_with_noise_statistics_and_suppressed_kernels(tmp_path: Path) -> None:
    from neurovis.demo import demo_input_spec, load_demo_network

    arguments = [
        *("group-am", "--layer", "conv2", "--groups", "0,1;2", "--suppressed", "5;6,7"),
        *("--zscore", "true", "--steps", "4", *QUIET, "--trainer.logger", "false"),
    ]
    assert main([*arguments, "--trainer.default_root_dir", str(tmp_path)]) == 0
    found = rows(tmp_path / "results.csv")
    assert [(row["group"], row["kernel"], float(row["weight"])) for row in found] == [
        ("0", "0", 1),
        ("0", "1", 1),
        ("0", "5", -1),
        ("1", "2", 1),
        ("1", "6", -1),
        ("1", "7", -1),
    ]
    module = GroupActivationMaximization(
        load_demo_network(), "conv2", "0,1;2", demo_input_spec(), suppressed="5;6,7", zscore=True
    )
    means, deviations = (values.numpy() for values in module.noise_statistics("conv2"))
    for group, wanted, silenced in (("0", [0, 1], [5]), ("1", [2], [6, 7])):
        own = {int(row["kernel"]): row for row in found if row["group"] == group}

        def score(kernel: int, column: str, own: dict[int, dict[str, str]] = own) -> float:
            raw = float(own[kernel][column])
            return float((raw - means[kernel]) / deviations[kernel])

        for column in ("activation", "noise_activation"):
            expected = np.mean([score(kernel, column) for kernel in wanted]) - np.mean(
                [score(kernel, column) for kernel in silenced]
            )
            assert float(own[wanted[0]][f"group_{column}"]) == pytest.approx(expected, rel=1e-3)
    listed = manifest(tmp_path)["layers"]["conv2"]
    assert listed == [
        "group 0 (0,1 without 5), (0, 1), mean, suppressed (5,), zscore",
        "group 1 (2 without 6,7), (2,), mean, suppressed (6, 7), zscore",
    ]


@pytest.mark.usefixtures("without_figures")
def test_a_stopped_group_am_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = [
        *("group-am", "--layer", "conv2", "--groups", "each:16", "--zscore", "true"),
        *("--steps", "4", "--batch_size", "1", *QUIET, "--trainer.default_root_dir"),
    ]
    assert main([*arguments, str(tmp_path), "--trainer.max_steps", "6"]) == 0
    # Statistics are measured again, in another process: their last digits may not matter.
    capsys.readouterr()
    assert main([*arguments, str(tmp_path)]) == 0
    assert "Resuming in" in capsys.readouterr().out
    assert runs(tmp_path) == ["version_0"]
    assert len(np.load(tmp_path / "lightning_logs/version_0/results.npz")["activations"]) == 3


def test_suppressed_kernels_for_too_few_groups(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["group-am", "--layer", "conv2", "--groups", "0;1", "--suppressed", "2"]
    assert main([*arguments, "--trainer.default_root_dir", str(tmp_path)]) == 2
    assert "suppressed has 1 parts for 2 groups" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert torch.is_grad_enabled()


def test_a_sweep_by_type_leaves_out_what_cannot_be_climbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "twice.py").write_text(
        "from torch import nn\n"
        "class Twice(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first, self.again = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)\n"
        "    def forward(self, images):\n"
        "        return self.again(self.again(self.first(images)))\n"
    )
    monkeypatch.chdir(tmp_path)
    options = ("--model", "twice.Twice", "--input.size", "16", "--steps", "2", "--kernels", "0")
    trainer = ("--trainer.accelerator", "cpu", "--trainer.logger", "false")
    with pytest.warns(UserWarning, match='1 of the layers are left out: .*"again"'):
        assert main(["am", *options, "--layer", "all-conv", *trainer]) == 0
    assert "first,0" in (tmp_path / "results.csv").read_text()
    assert main(["am", *options, "--layer", "again", *trainer]) == 2


def test_a_pipe_for_a_manifest_in_another_run_is_passed_over(tmp_path: Path) -> None:
    """Where runs are looked through for one that was stopped."""
    other = tmp_path / "lightning_logs" / "version_7"
    other.mkdir(parents=True)
    os.mkfifo(other / "manifest.json")
    options = f"--layer conv1 --kernels 0 --steps 1 --trainer.default_root_dir {tmp_path}"
    assert main(shlex.split(f"am {options} --trainer.accelerator cpu")) == 0
    assert (tmp_path / "lightning_logs" / "version_8" / "results.csv").exists()
