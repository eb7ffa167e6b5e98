"""Rankings on the simulated GPU: the CPU's, with their null, and without waiting for the device."""

from __future__ import annotations

import gc
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from budgets import waits_of_a_batch
from on_simulated_gpu import DEVICE
from step_counts import five_layer_network
from torch import nn
from torch.testing import assert_close

from neurovis import InputSpec, rank_kernels
from neurovis.top_images import TopImagesProbe
from neurovis.tuning import RANKINGS, Rankings, TuningProbe

SPEC = InputSpec.rgb(32)


def ranked(model: nn.Module, by: str, trainer: pl.Trainer | None = None) -> Rankings:
    shown: dict[str, Any] = {}
    if by == "adaptive":
        adaptive = ["size", "length", "contrast", "cross_orientation", "spatial_frequency"]
        few = {"orientations": 4, "phases": 4, "spatial_frequencies": [0.1, 0.2], "null_kernels": 3}
        options = {"input_spec": SPEC, "trainer": trainer, "reference": "macaque_v1", **few}
        return rank_kernels(model, ["2", "4"], adaptive, **options)
    if RANKINGS[by].needs_images:
        generator = torch.Generator().manual_seed(1)
        shown["images"] = torch.rand(21, 3, 32, 32, generator=generator)
        shown["labels"] = torch.arange(21) % 3
    if by in ("orientation", "phase", "color"):
        shown |= {"orientations": 8, "phases": 4, "spatial_frequencies": [0.1, 0.2]}
    options = {"null_kernels": 10, "batch_size": 8, "trainer": trainer, **shown}
    return rank_kernels(model, ["2", "4"], by=by, input_spec=SPEC, **options)


@pytest.mark.parametrize(
    "by",
    [
        *("orientation", "phase", "color", "sparseness", "class", "category", "texture"),
        *("tolerance", "curvature", "border_ownership", "weight", "activation", "predictable"),
        "adaptive",
    ],
)
def test_rankings_are_the_cpu_s(by: str) -> None:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(logger=False, **quiet)
    assert trainer.strategy.root_device == DEVICE
    expected = ranked(five_layer_network(), by)
    alone = ranked(five_layer_network().to(DEVICE), by)
    for found in (alone, ranked(five_layer_network(), by, trainer)):
        for one, other in zip(found, expected, strict=True):
            assert (one.layer, one.by, one.notes) == (other.layer, other.by, other.notes)
            assert one.reason == other.reason
            assert len(one.null_score) == len(other.null_score)
            assert_close(one.score, other.score, equal_nan=True)
            assert_close(one.null_score, other.null_score, equal_nan=True)
        if expected.reference_scores is not None:
            assert found.reference_scores is not None
            assert [*found.reference_scores.rows()] == [*expected.reference_scores.rows()]
        if by == "orientation":
            assert len(found["2"].null_score) == 10


def test_further_batches_of_images_wait_for_the_device_only_to_send_them() -> None:
    waits, counts = waits_of_a_batch()
    assert waits <= 4, counts


def convolutions_on_device() -> list[nn.Conv2d]:
    gc.collect()
    return [
        module
        for module in gc.get_objects()
        if isinstance(module, nn.Conv2d) and module.weight.device.type == DEVICE.type
    ]


def test_probes_leave_the_device_and_read_weights_that_changed_since() -> None:
    of_others = convolutions_on_device()
    model = five_layer_network()
    images = torch.rand(6, 3, 32, 32)
    ranking = TuningProbe(
        model,
        "2",
        "activation",
        input_spec=SPEC,
        images=images,
        null_kernels=0,
        readout="mean",
    )
    top = TopImagesProbe(model, {"2": "all"}, images, k=2, input_spec=SPEC)
    for probe in (ranking, top):
        quiet = {"enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(logger=False, **quiet)
        for _ in range(2):
            with torch.no_grad():
                model[0].weight += torch.randn_like(model[0].weight)
                responses = model[:3](SPEC.to_network(images)).mean((2, 3))
            trainer.predict(probe, return_predictions=False)
            if probe is ranking:
                expected = responses.mean(0).double()
                assert_close(ranking.results["2"].score, expected, rtol=1e-4, atol=1e-5)
            else:
                highest = responses.T.topk(2).values
                assert_close(top.results["2"].activations, highest, rtol=1e-4, atol=1e-5)
        assert len(convolutions_on_device()) == len(of_others)
