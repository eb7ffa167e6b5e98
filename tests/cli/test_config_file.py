"""Sections of a config that are empty, as where all their lines are commented out."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurovis.cli.ascent import make_trainer
from neurovis.cli.config_file import check_configs
from neurovis.cli.main import build_parser
from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.maximization import ActivationMaximization

LAYER = "layer: [conv1]\n"
CONFIGS = {
    "am": (LAYER + "trainer:\n  # max_steps: 3\nsteps: 2\n", LAYER + "steps: 2\n"),
    "group-am": ("layer: conv1\ntrainer: null # none\ninput: ~", "layer: conv1"),
    "features": (LAYER + "images: [a.png]\ntrainer:\n", LAYER + "images: [a.png]"),
    "saliency": ("{images: [a.png], trainer: , input: null}", "{images: [a.png]}"),
    "rank": (LAYER + "input:\n\n# size: 3\n\nphases: 3", LAYER + "phases: 3"),
    "report": (LAYER + "ranking:\ntrainer: {max_steps: 3}", LAYER + "trainer: {max_steps: 3}"),
}


@pytest.mark.parametrize("command", CONFIGS)
def test_an_empty_section_is_none(command: str, tmp_path: Path) -> None:
    found, expected = [], []
    for content, options in zip(CONFIGS[command], (found, expected), strict=True):
        path = tmp_path / "a.yaml"
        path.write_text(content)
        ways = (["--config", str(path)], [f"--config={path}"], ["--config", content])
        for given in ways if options is found else ways[:1]:
            parsed = build_parser(command).parse_args(check_configs([command, *given]))
            options.append({**vars(parsed[command]), "config": None})
    assert found == expected * 3


def test_arguments_stay_as_they_are_where_no_section_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(CONFIGS["report"][1])
    arguments = ["report", "--config", str(path), "--steps", "2", f"--config={path}"]
    assert check_configs(arguments) == arguments


def test_an_ascent_whose_epochs_are_left_empty_has_all_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{LAYER}trainer:\n  max_epochs:\n  accelerator: cpu\n  logger: false")
    arguments = ["am", "--config", str(path), "--trainer.default_root_dir", str(tmp_path)]
    options = build_parser("am").parse_args(check_configs(arguments))["am"]
    assert options.trainer.max_epochs is None
    module = ActivationMaximization(load_demo_network(), "conv1", [0], demo_input_spec())
    assert make_trainer(module, options).max_epochs == -1


def _aliases(levels: int) -> str:
    """A mapping of a few lines that stands for ``10 ** levels`` values and more."""
    lines = ["k0: &a0 [x]"]
    lines += [f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels + 1)]
    return f"{{{', '.join(lines)}}}"


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (_aliases(9), r'config ".*b\.yaml" has more than 100000 values'),
        ("a: [", r'config ".*b\.yaml" cannot be read, line 1'),
        ("\0", r'config ".*b\.yaml" cannot be read'),
    ],
)
def test_a_section_in_a_file_of_its_own_is_looked_into(
    content: str, refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.yaml").write_text(content)
    (tmp_path / "a.yaml").write_text(f"{LAYER}trainer: b.yaml")
    # Paths in a config start from its folder, those on the command line from the current one.
    with pytest.raises(ValueError, match=refusal):
        check_configs(["am", "--config", str(tmp_path / "a.yaml")])
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["--trainer", "b.yaml"],
        ["--config", f"{{{LAYER.strip()}, trainer: b.yaml}}"],
    ):
        with pytest.raises(ValueError, match=refusal):
            check_configs(["am", *arguments])


def test_a_section_in_a_file_of_its_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("max_steps: 3")
    (tmp_path / "a.yaml").write_text(f"{LAYER}trainer: b.yaml")
    arguments = check_configs(["am", "--config", str(tmp_path / "a.yaml")])
    assert build_parser("am").parse_args(arguments)["am"].trainer.max_steps == 3


@pytest.mark.parametrize("option", ["trainer", "model_args"])
def test_values_of_a_text_that_is_yaml_are_counted(option: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{LAYER}{option}: '{_aliases(9)}'")
    with pytest.raises(ValueError, match="more than 100000 values, counting its aliases"):
        check_configs(["am", "--config", str(tmp_path / "a.yaml")])
    (tmp_path / "a.yaml").write_text(f"{LAYER}patterns: {{rgb: '*_RGB.png', depth: '[*]'}}")
    check_configs(["am", "--config", str(tmp_path / "a.yaml")])
