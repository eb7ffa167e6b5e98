"""Somebody's ordinary script, and what one more line in it gives and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ordinary_script import main
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from neurovis.callbacks import ActivationMaximizationMonitor, FeatureMapMonitor, SaliencyMonitor

pytestmark = pytest.mark.drawn


def weights(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("*.ckpt")
    return dict(torch.load(path, weights_only=True)["state_dict"])


@pytest.mark.slow
def test_a_line_for_each_monitor(tmp_path: Path) -> None:
    main(str(tmp_path / "without"), callbacks=[])
    lines = [
        SaliencyMonitor(),
        FeatureMapMonitor("backbone.layer1"),
        ActivationMaximizationMonitor("backbone.layer1", range(2), steps=2),
    ]
    main(str(tmp_path / "with"), callbacks=list(lines))
    events = EventAccumulator(str(tmp_path / "with" / "lightning_logs" / "version_0"))
    events.Reload()
    assert set(events.Tags()["images"]) == {
        "saliency/gradient/output",
        "feature_maps/backbone.layer1",
        "feature_maps/backbone.layer1/first_and_now",
        "activation_maximization/backbone.layer1",
        "activation_maximization/backbone.layer1/first_and_now",
    }
    assert "train_loss" in events.Tags()["scalars"]
    watched, unwatched = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert watched.keys() == unwatched.keys()
    assert all(torch.equal(watched[name], value) for name, value in unwatched.items())
