from __future__ import annotations

from pathlib import Path

import pytest
from climbing import Climber, make_small_network
from torch import nn

from neurovis.maximization import MaximizationResults, results, run_log


@pytest.fixture
def climb(tmp_path: Path) -> Climber:
    return Climber(tmp_path)


@pytest.fixture
def small_network() -> nn.Module:
    """Two convolutions with batch norms that have seen data, and logits."""
    return make_small_network()


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what is drawn at the end of a run, which takes longer than a short ascent.

    Tables and arrays are written as ever; of images, the pictures that are kept anyway.
    """
    for name in ("grid", "curves_figure"):
        monkeypatch.setattr(MaximizationResults, name, lambda *_: None)
    for name in ("signature_figure", "save_png"):
        monkeypatch.setattr(results, name, lambda *_, **__: None)
    monkeypatch.setattr(run_log, "render", lambda _: None)
