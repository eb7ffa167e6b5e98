"""Configs: sections that are empty, and files that stand for too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurovis.cli.ascent import AscentRun
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
def test_an_empty_section_has_its_defaults(command: str, tmp_path: Path) -> None:
    found, expected = [], []
    for content, options in zip(CONFIGS[command], (found, expected), strict=True):
        path = tmp_path / "a.yaml"
        path.write_text(content)
        ways = (["--config", str(path)], [f"--config={path}"], ["--config", content])
        for given in ways if options is found else ways[:1]:
            parsed = build_parser(command).parse_args(given)
            options.append({**vars(parsed), "config": None})
    assert found == expected * 3


def test_an_ascent_whose_epochs_are_left_empty_has_all_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{LAYER}trainer:\n  max_epochs:\n  accelerator: cpu\n  logger: false")
    arguments = ["--config", str(path), "--trainer.default_root_dir", str(tmp_path)]
    options = build_parser("am").parse_args(arguments)
    assert options.trainer.max_epochs is None
    module = ActivationMaximization(load_demo_network(), "conv1", [0], demo_input_spec())
    assert AscentRun(module, vars(options.trainer)).trainer.max_epochs == -1


@pytest.mark.parametrize(
    ("content", "refusal"),
    [("a: [", "line 2"), ("\0", r"b\.yaml")],
)
def test_a_section_in_a_file_of_its_own_is_looked_into(
    content: str, refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.yaml").write_text(content)
    (tmp_path / "a.yaml").write_text(f"{LAYER}trainer: b.yaml")
    # Paths in a config start from its folder, those on the command line from the current one.
    with pytest.raises(TypeError, match=refusal):
        build_parser("am").parse_args(["--config", str(tmp_path / "a.yaml")])
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["--trainer", "b.yaml"],
        ["--config", f"{{{LAYER.strip()}, trainer: b.yaml}}"],
    ):
        with pytest.raises(TypeError, match=refusal):
            build_parser("am").parse_args(arguments)


def test_a_section_in_a_file_of_its_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("max_steps: 3")
    (tmp_path / "a.yaml").write_text(f"{LAYER}trainer: b.yaml")
    arguments = ["--config", str(tmp_path / "a.yaml")]
    assert build_parser("am").parse_args(arguments).trainer.max_steps == 3
