from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from kept import FIRST_RUN

from neurovis.cli import top_kernels as module
from neurovis.cli.main import main

QUICK = ("--steps", 2, "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false")


@pytest.fixture(autouse=True)
def _few_gratings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rankings of these tests are of few stimuli, and the same whoever asks."""
    rank_kernels = module.rank_kernels
    monkeypatch.setattr(
        module,
        "rank_kernels",
        lambda *given, **named: rank_kernels(*given, **named, **FEW),
    )


FEW = {
    "orientations": 4,
    "phases": 3,
    "spatial_frequencies": [0.1, 0.2],
    "null_kernels": 10,
}


@pytest.fixture
def same_number_of_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _run(folder: Path, *arguments: object) -> list[dict[str, str]]:
    """The rows of the results."""
    where = ("--trainer.default_root_dir", folder, "--trainer.logger", "false")
    assert main([str(part) for part in (*arguments, *where)]) == 0
    return _rows(folder / (FIRST_RUN if "rank" in arguments else "") / "results.csv")


def _ranked(folder: Path, layer: str, by: str) -> list[dict[str, str]]:
    """The rows of ``neurovis rank``, best first."""
    few = [part for name, value in FEW.items() for part in (f"--{name}", value)]
    quick = ("--trainer.accelerator", "cpu", "--top", 1, "--sheets", 0)
    return _run(folder / by, "rank", "--layer", layer, "--by", by, *few, *quick)


def test_am_is_of_the_first_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ranked = _ranked(tmp_path, "conv2", "orientation")
    for asked in ("top:3", "top:3:orientation"):
        capsys.readouterr()
        rows = _run(tmp_path, "am", "--layer", "conv2", "--kernels", asked, *QUICK)
        assert [row["kernel"] for row in rows] == [row["kernel"] for row in ranked[:3]]
        output = capsys.readouterr().out
        for row in ranked[:3]:
            assert f"{row['kernel']} ({float(row['score']):.3g})" in output


@pytest.mark.slow
def test_groups_are_of_several_rankings(tmp_path: Path) -> None:
    first = {
        by: [row["kernel"] for row in _ranked(tmp_path, "relu2", by)] for by in ("color", "class")
    }
    groups = "top:3:color;0-1; top:2:class"
    rows = _run(tmp_path, "group-am", "--layer", "relu2", "--groups", groups, *QUICK)
    members = [[row["kernel"] for row in rows if row["group"] == str(group)] for group in range(3)]
    assert members == [first["color"][:3], ["0", "1"], first["class"][:2]]


def test_groups_of_a_config_and_one_alone(tmp_path: Path) -> None:
    config = tmp_path / "groups.yaml"
    config.write_text("layer: conv2\ngroups: ['top:2', '5']\n")
    rows = _run(tmp_path, "group-am", "--config", config, *QUICK)
    asked = ("--layer", "conv2", "--groups", "top:2", *QUICK)
    alone = _run(tmp_path / "alone", "group-am", *asked)
    assert [row["kernel"] for row in alone] == [row["kernel"] for row in rows[:2]]
    assert [row["kernel"] for row in rows[2:]] == ["5"]


def test_kernels_below_the_null_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranked = _ranked(tmp_path, "conv1", "orientation")
    below = sum(float(row["null_percentile"]) < 95 for row in ranked)
    assert 0 < below < 24
    capsys.readouterr()
    # Said before the images are made: a trial makes few of them.
    trial = (
        "--batch_size",
        1,
        "--trainer.fast_dev_run",
        "true",
        "--trainer.default_root_dir",
        tmp_path,
    )
    arguments = ("am", "--layer", "conv1", "--kernels", "top:24", *QUICK, *trial)
    assert main([str(part) for part in arguments]) == 0
    assert f"note: {below} of 24 below the 95th percentile" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("same_number_of_threads")
def test_every_process_chooses_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Processes may have other numbers of threads."""
    chosen = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rows = _run(
            tmp_path / str(threads), "am", "--layer", "relu2", "--kernels", "top:8:class", *QUICK
        )
        chosen.append([row["kernel"] for row in rows])
    assert chosen[0] == chosen[1]
    assert capsys.readouterr().out.count("first 8 by class") == 2


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("am", "--kernels", "top:4:orientatoin"), 'did you mean "orientation"?'),
        (("am", "--kernels", "top:49"), 'top(49): layer "conv2" has 48 of 48 kernels with a gOSI'),
        (("am", "--kernels", "top:many"), 'cannot read "top:many"; write it as in "top:16"'),
        (("am", "--kernels", "top:0"), 'cannot read "top:0"'),
        (("am", "--kernels", "top:4:all"), 'cannot read "top:4:all"'),
        (("am", "--kernels", "top:4:phase"), "phase needs responses that are cut off at 0"),
        (("am", "--kernels", "top:4", "--steps", "0"), "steps must be an integer of at least 1"),
        (("group-am", "--groups", "0-3;top:4:modalty"), 'did you mean "modality"?'),
        (("group-am", "--groups", "top:4;48"), "kernel 48 is out of range"),
        (
            (
                *("am", "--model", "torchvision.models.squeezenet1_0", "--input.size", "32"),
                *("--layer", "features.1", "--kernels", "top:4:sparseness"),
            ),
            "ranking by sparseness needs images: run neurovis rank --by sparseness --images",
        ),
        (
            (
                *("am", "--model", "torchvision.models.squeezenet1_0", "--input.size", "32"),
                *("--layer", "features.1", "--kernels", "top:4:modality"),
            ),
            "the input has 1: rgb",
        ),
    ],
)
def test_bad_selections_are_one_line_and_leave_nothing(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *rest = arguments
    given = [command, "--layer", "conv2", *rest, "--trainer.accelerator", "cpu"]
    assert main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("neurovis: error: ")
    assert message in line
    assert not list(tmp_path.iterdir())
