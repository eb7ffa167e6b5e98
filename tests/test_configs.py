"""Each committed experiment runs, by the command in its first line, at a small scale."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from neurovis.cli import top_kernels
from neurovis.cli.main import build_parser, main
from neurovis.demo import training
from neurovis.figures.page_figure import PageFigure

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))

QUICK = {
    "demo": "--seconds 0 --steps 2 --layer relu1 --folder {folder}",
    "layers": "",
    "am": "--steps 2 --kernels 0,1 --trainer.accelerator cpu --trainer.default_root_dir {folder}",
    "group-am": "--steps 2 --trainer.accelerator cpu --trainer.default_root_dir {folder}",
    "features": "--images {folder}/pictures --trainer.accelerator cpu "
    "--trainer.default_root_dir {folder}/results",
    "saliency": "--steps 2 --samples 2 --images {folder}/pictures --trainer.accelerator cpu "
    "--trainer.default_root_dir {folder}/results",
    "rank": "--orientations 4 --phases 3 --null_kernels 10 --sheets 1 --top 2 --preferred_images 0 "
    "--receptive_fields 0 --trainer.accelerator cpu --trainer.default_root_dir {folder}",
    "report": "--steps 2 --kernels 0,1 --top_images 2 --field_images 2 --ranking.orientations 4 "
    "--ranking.phases 3 --ranking.null_kernels 10 --trainer.accelerator cpu "
    "--trainer.default_root_dir {folder}",
    "training": "--trainer.max_epochs 1 --data.train_length 64 --data.val_length 16 "
    "--data.test_length 16 --data.batch_size 16 --trainer.accelerator cpu "
    "--trainer.default_root_dir {folder} --export {folder}/weights.pt",
}
#: Nothing is downloaded in a test.
WITHOUT_DOWNLOAD = {
    "am_sweep_four_devices": "--weights null --input.size 32 --layer features.0 "
    "--trainer.devices 1 --trainer.strategy auto",
    "features_squeezenet_imagenet": "--weights null --input.size 64 "
    "--images {folder}/pictures/X_RGB.png",
    "am_squeezenet_imagenet": "--weights null",
    "am_resnet50_classes": "--weights random --input.size 64",
    "rank_squeezenet_imagenet": "--weights null --input.size 64",
    "rank_squeezenet_macaque_v1": "--weights null --input.size 64",
    "saliency_squeezenet_imagenet": "--weights null --input.size 64 "
    "--images {folder}/pictures/X_RGB.png",
}
#: One of each command; all run among the slow tests.
RUN_BY_DEFAULT = {
    *("am_rgbd_network", "am_two_streams", "group_am_demo_top", "layers_resnet18", "features_demo"),
    *("saliency_demo_kernels", "rank_rgbd_network", "demo_training"),
}
RUNS = [
    pytest.param(
        config, id=config.stem, marks=() if config.stem in RUN_BY_DEFAULT else pytest.mark.slow
    )
    for config in CONFIGS
]


@pytest.fixture(autouse=True)
def same_number_of_threads() -> Iterator[None]:
    """The demo's training sets it, for weights that can be reproduced."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Color, with depth in meters beside it."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (32, 24), (200, 100, 0)).save(folder / "X_RGB.png")
    Image.new("F", (32, 24), 1.0).save(folder / "X_perfect_depth.tiff")
    return folder


def _command(config: Path) -> list[str]:
    return shlex.split(config.read_text().splitlines()[0].removeprefix("#"))


def _options(config: Path) -> dict[str, object]:
    options: dict[str, object] = yaml.safe_load(config.read_text())
    return options


def test_there_are_experiments() -> None:
    assert len(CONFIGS) >= 20


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_configs_have_one_form(config: Path) -> None:
    """The command, an empty comment, what it does in sentences; then options."""
    lines = config.read_text().splitlines()
    command, empty, *rest = lines
    assert command.startswith(("# neurovis ", "# python -m neurovis."))
    assert empty == "#"
    said = list(itertools.takewhile(lambda line: line.startswith("# "), rest))
    assert said
    assert said[-1].endswith((".", ".)"))
    assert rest[len(said)] != ""
    assert max(map(len, lines)) <= 100
    assert all(line == line.rstrip() for line in lines)
    assert any("#" in line for line in rest[len(said) :])
    for line in rest:
        if line.startswith("images:"):
            named = line.partition(":")[2].partition("#")[0].strip()
            assert (ROOT / named).exists() or "put in your own" in line


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_command_takes_all_options_of_a_config(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["neurovis"])  # LightningCLI warns of others' arguments
    if _command(config)[0] == "python":
        with pytest.raises(SystemExit) as ended:
            training.main(["--config", str(config), "--print_config"])
        assert ended.value.code is None or ended.value.code == 0
        assert yaml.safe_load(capsys.readouterr().out).keys() >= _options(config).keys()
    else:
        name = _command(config)[1]
        parsed = build_parser(name).parse_args(["--config", str(config)])
        assert {option for option in _options(config) if option not in parsed} == set()


@pytest.mark.parametrize("config", RUNS)
def test_config_runs_by_the_command_in_its_first_line(
    config: Path, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    # Made and saved, and looked at elsewhere.
    monkeypatch.setattr(PageFigure, "draw", lambda *_: None)
    few = partial(top_kernels.rank_kernels, orientations=4, phases=3, null_kernels=10)
    monkeypatch.setattr(top_kernels, "rank_kernels", few)
    command = _command(config)
    assert command[-2:] == ["--config", str(config.relative_to(ROOT))]
    is_training = command[0] == "python"
    name = "training" if is_training else command[1]
    monkeypatch.setattr(sys, "argv", ["neurovis"])  # LightningCLI warns of others' arguments
    quick = f"{QUICK[name]} {WITHOUT_DOWNLOAD.get(config.stem, '')}".format(folder=tmp_path)
    if is_training:
        assert command[:3] == ["python", "-m", "neurovis.demo.training"]
        training.main([*command[3:], *shlex.split(quick)])
    else:
        assert command[0] == "neurovis"
        assert main([*command[1:], *shlex.split(quick)]) == 0
    if name != "layers":
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert any(pictures not in path.parents for path in written)
