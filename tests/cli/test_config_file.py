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
        for given in (["--config", str(path)], [f"--config={path}"], ["--config", content]):
            parsed = build_parser(command).parse_args(check_configs([command, *given]))
            options.append({**vars(parsed[command]), "config": None})
    assert found == expected


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
