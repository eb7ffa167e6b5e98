"""Somebody's ordinary script, and what one more line in it gives and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ordinary_script import main
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from neurovis.callbacks import ActivationMaximizationMonitor, FeatureMapMonitor, SaliencyMonitor


def weights(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("*.ckpt")
    return dict(torch.load(path, weights_only=True)["state_dict"])


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("without")
    main(str(folder), callbacks=[])
    return weights(folder)


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        (lambda: SaliencyMonitor(), "saliency/gradient/output"),
        (lambda: FeatureMapMonitor("backbone.layer1"), "feature_maps/backbone.layer1"),
        (
            lambda: ActivationMaximizationMonitor("backbone.layer1", range(2), steps=2),
            "activation_maximization/backbone.layer1",
        ),
    ],
    ids=["saliency", "feature maps", "activation maximization"],
)
def test_one_line_more(line: Any, tag: str, without: dict[str, Any], tmp_path: Path) -> None:
    main(str(tmp_path), callbacks=[line()])
    events = EventAccumulator(str(tmp_path / "lightning_logs" / "version_0"))
    events.Reload()
    assert tag in events.Tags()["images"]
    assert "train_loss" in events.Tags()["scalars"]
    watched = weights(tmp_path)
    assert watched.keys() == without.keys()
    assert all(torch.equal(watched[name], value) for name, value in without.items())
