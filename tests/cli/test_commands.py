from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from kept import kept_images
from torchvision.models import squeezenet1_1

from neurovis.cli.main import main

AM = ("am", "--layer", "conv2", "--kernels", "0-2", "--steps", "3", "--trainer.accelerator", "cpu")


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that must end with status 2."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("neurovis: error: ")
    return lines[0]


@pytest.mark.parametrize(("options", "said"), [((), "see --all"), (("--all",), "no layers\n")])
def test_layers_of_a_network_without(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", "--model", "torch.nn.Flatten", *options]) == 0
    assert said in capsys.readouterr().out


def test_layers_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", "--model", "torchvision.models.resnet18", "--input.size", "96"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "layer2.0.conv1" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "layer2.0.conv1",
        "Conv2d",
        "128",
        "12 x 12",
        "8",
        "51",
    ]


def test_am_writes_its_results_and_says_where(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*AM, "--trainer.default_root_dir", str(tmp_path)]) == 0
    folder = tmp_path / "lightning_logs" / "version_0"
    output = capsys.readouterr().out
    assert str(folder) in output
    assert "tensorboard --logdir" in output
    with open(folder / "results.csv", newline="") as file:
        assert [row["kernel"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    assert {path.name for path in folder.iterdir()} >= {"grid.png", "results.npz", "results.csv"}


def test_am_does_in_the_shell_what_it_does_in_python(tmp_path: Path) -> None:
    from neurovis.demo import demo_input_spec, load_demo_network
    from neurovis.maximization import ActivationMaximization, AscentSettings
    from neurovis.maximization.layer_response import LayerResponse

    assert (
        main([*AM, "--trainer.default_root_dir", str(tmp_path), "--trainer.logger", "false"]) == 0
    )
    arrays = np.load(tmp_path / "results.npz")
    am = ActivationMaximization(load_demo_network(), "conv2", [0, 1, 2], demo_input_spec(), steps=3)
    response = LayerResponse(load_demo_network(), "conv2", demo_input_spec())
    with torch.no_grad():
        own = AscentSettings().resolved_objective(response(torch.from_numpy(kept_images(tmp_path))))
    np.testing.assert_allclose(arrays["activations"], own[range(3), range(3)], rtol=1e-4)
    assert len(am.targets) == 3


def test_group_am_reports_every_member(tmp_path: Path) -> None:
    status = main(
        [
            *("group-am", "--layer", "conv2", "--groups", "0-2;5", "--joint", "min"),
            *("--steps", "3", "--trainer.accelerator", "cpu", "--trainer.logger", "false"),
            *("--trainer.default_root_dir", str(tmp_path)),
        ]
    )
    assert status == 0
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["group"], row["kernel"]) for row in rows] == [
        ("0", "0"),
        ("0", "1"),
        ("0", "2"),
        ("1", "5"),
    ]
    weakest = min(float(row["activation"]) for row in rows[:3])
    assert float(rows[0]["group_activation"]) == pytest.approx(weakest, rel=1e-5)


def test_am_starts_from_a_picture(tmp_path: Path) -> None:
    image = np.random.default_rng(0).uniform(0.1, 0.9, (4, 64, 64)).astype(np.float32)
    np.save(tmp_path / "start.npy", image)
    arguments = ["--init", str(tmp_path / "start.npy"), "--trainer.logger", "false"]
    assert main([*AM, *arguments, "--trainer.default_root_dir", str(tmp_path)]) == 0
    # Some steps on, an image has not gone far; noise would be 0.25 away.
    assert np.abs(kept_images(tmp_path)[0] - image).mean() < 0.1


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layer", "conv22"), 'layer "conv22" not found; did you mean "conv2"'),
        (("--layer", "norm"), "not found"),
        (("--kernels", "48"), 'kernel 48 is out of range: layer "conv2" has 48 kernels'),
        (("--kernels", ""), "none selected"),
        (("--kernels", "3-x"), 'cannot read "3-x"'),
        (("--steps", "0"), "steps must be an integer of at least 1; got 0"),
        (("--steps", "many"), "steps"),
        (("--lr", "-1"), "lr must be a number of at least 0; got -1.0"),
        (
            ("--objective", "meen"),
            'got "meen"; did you mean "mean"?',
        ),
        (
            ("--parametrization", "wavelet"),
            "must be fourier, pixel, fixed_magnitude",
        ),
        (("--precision", "bf16"), 'precision must be auto, float32, bfloat16; got "bf16"'),
        (("--init", "nowhere.png"), 'there is no picture "nowhere.png"'),
        (("--input.modalities", "rgb"), "cannot take images of shape (3, 64, 64) (rgb 3)"),
        (("--input.modalities", "lab"), 'must be "rgb", "rgbd" or a list'),
        (("--input.size", "0"), "at least 1 pixel"),
        (("--model", "torchvision.models.resnet81"), "torchvision.models.resnet81"),
        (("--model", "no_such_package.Net"), "no_such_package"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--config", "nowhere.yaml"), "nowhere.yaml"),
        (("--no_such_option", "1"), "no_such_option"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in _fails(capsys, *AM, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("damage", "message"), [("nan", "not finite numbers: conv1.bias"), ("missing", "conv3.weight")]
)
def test_damaged_weights_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, damage: str, message: str
) -> None:
    from neurovis.demo import load_demo_network

    weights = load_demo_network().state_dict()
    if damage == "nan":
        weights["conv1.bias"][3] = torch.nan
    else:
        del weights["conv3.weight"]
    torch.save(weights, tmp_path / "damaged.pt")
    arguments = ("--model", "neurovis.demo.ShapeNet", "--weights", str(tmp_path / "damaged.pt"))
    assert message in _fails(capsys, *AM, *arguments)


@pytest.mark.parametrize("name", ["a file", "a read-only folder"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    blocked = tmp_path / "blocked"
    if name == "a file":
        blocked.write_text("")
    else:
        blocked.mkdir(mode=0o500)
        try:
            (blocked / "probe").mkdir()
        except PermissionError:
            pass
        else:
            pytest.skip("this user may write to read-only folders")
    message = _fails(capsys, *AM, "--trainer.default_root_dir", str(blocked / "runs"))
    assert "cannot write to" in message


def test_print_config_can_be_read_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*AM, "--tv", "2.5", "--print_config"])
    assert stopped.value.code in (0, None)
    config = tmp_path / "printed.yaml"
    config.write_text(capsys.readouterr().out)
    arguments = ["--trainer.default_root_dir", str(tmp_path), "--trainer.logger", "false"]
    assert main(["am", "--config", str(config), *arguments]) == 0
    assert np.load(tmp_path / "results.npz")["kernels"].tolist() == [0, 1, 2]


def test_the_module_is_the_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "neurovis", "layrs"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 2
    assert shown.stderr.splitlines() == [
        'neurovis: error: there is no command "layrs"; did you mean "layers"?'
    ]


NO_WEIGHTS = "note: no --weights: the network has those that torchvision.models.squeezenet1_1 makes"
SHOWN = "note: the network is shown RGB of 32 x 32 pixels, normalized with ImageNet's mean and std"


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("given", "notes"),
    [
        ([], [NO_WEIGHTS, SHOWN]),
        (["--model_args", "{weights: null}"], [SHOWN]),
        (["--weights", "weights.pt"], [SHOWN]),
        (["--weights", "weights.pt", "--input.modalities", "[{name: rgb, channels: 3}]"], []),
    ],
)
def test_what_is_taken_for_granted_is_said(
    given: list[str],
    notes: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A random network, or one that is shown other than it was trained on, looks like any."""
    monkeypatch.chdir(tmp_path)
    torch.save(squeezenet1_1().state_dict(), "weights.pt")
    network = ["--model", "torchvision.models.squeezenet1_1", "--input.size", "32", *given]
    options = [
        "--layer",
        "features.0",
        "--kernels",
        "0",
        "--steps",
        "1",
        "--trainer.accelerator",
        "cpu",
    ]
    assert main(["am", *network, *options]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert [line[: len(note)] for line, note in zip(said, notes, strict=True)] == notes


def test_the_demo_needs_no_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*AM, "--trainer.default_root_dir", str(tmp_path)]) == 0
    assert "note: " not in capsys.readouterr().out
