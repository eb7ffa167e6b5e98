"""What the README tells newcomers to type is understood, and what it links to is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from neurovis import InputSpec, rank_kernels
from neurovis.cli.main import build_parser
from neurovis.tuning import Rankings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
NAMES = ("demo", "layers", "am", "group-am", "features", "saliency", "rank")
COMMANDS = sorted(
    set(re.findall(rf"neurovis (?:{'|'.join(NAMES)})\b[^`\n]*", README.replace("\\\n", " ")))
)


def test_the_two_commands_are_there() -> None:
    lines = [line.strip() for line in README.splitlines()]
    assert "pip install -e . && neurovis demo" in lines
    assert 'pip install -e ".[test]" && pytest' in lines


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    build_parser().parse_args(shlex.split(command)[1:])


def test_there_are_commands() -> None:
    assert {command.split()[1] for command in COMMANDS} == set(NAMES)


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/tuning.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing


def test_the_ranking_of_one_s_own_works() -> None:
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
        if "GratingRanking" in block
    )
    torch.manual_seed(0)
    model = nn.ModuleDict({"features": nn.Sequential(nn.Conv2d(3, 9, 5))})
    model.forward = model["features"].forward
    found: list[Rankings] = []

    def rank(*arguments: Any, **options: Any) -> Rankings:
        found.append(rank_kernels(*arguments, input_spec=InputSpec.rgb(24), **options))
        return found[0]

    exec(code, {"rank_kernels": rank, "model": model})
    assert found[0].only.by == "horizontal"
    assert found[0].only.null_percentile.isfinite().all()
    assert found[0].only.reliability.isfinite().all()
