"""Evidence in the tables, figures, logs and cards of a run."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import parse_experiment_plugin_data
from torch import nn

from neurovis import ActivationMaximization, InputSpec
from neurovis.analysis import (
    ImageEvidence,
    Judgments,
    PathSimilarity,
    Predictability,
    Stability,
    make_report,
    save_evidence,
)
from neurovis.modality import Modality
from neurovis.top_images import find_top_images
from neurovis.tuning import Rankings

SPEC = InputSpec(Modality("gray", 1), 8)
KERNELS = [2, 0]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(48, 4))
    return nn.Sequential(*layers)


def ascents(
    network: nn.Module, layers: list[str], folder: Path, logger: TensorBoardLogger | None = None
) -> tuple[ActivationMaximization, pl.Trainer]:
    """Images that drive two kernels most, in two variants, and least."""
    module = ActivationMaximization(
        network, layers, KERNELS, SPEC, sign="both", steps=2, variants=2, objective="max"
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=logger or False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module)
    return module, trainer


def evidence(layer: str, network: nn.Module) -> ImageEvidence:
    """Numbers that stand for no network's: of four images that drive kernels 2, 2, 0 and 0."""
    numbers = torch.tensor([1.0, 3.0, 1.0, torch.nan])
    kernels = [kernel for kernel in KERNELS for _ in range(2)]
    names = ["ostrich (9)", "ostrich (9)", "goose (99)", ""]
    classes = Judgments(
        "A", layer, kernels, names, {"rank": numbers, "probability": numbers / 10}, []
    )
    partners = Judgments(
        *("B", layer, kernels, ["3 kernel 1"] * 3 + [""]),
        {"percentile": 20 * numbers, "correlation": numbers / 5},
        [],
    )
    two = torch.tensor([0.75, torch.nan])
    null = torch.zeros(2, 1)
    return ImageEvidence(
        [classes, partners],
        find_top_images(network, layer, KERNELS, torch.rand(12, *SPEC.shape), 2, "max", SPEC),
        Predictability(layer, KERNELS, two, null, two, 20, "pixels"),
        Stability(layer, [0, 2], torch.tensor([-0.25, 3.21]), two, two, "pixels"),
        PathSimilarity(
            *(layer, [0, 2], ["pixels"], torch.tensor([[0.5], [0.05]]), torch.zeros(2, 1, 1)),
            *(torch.ones(2, 1), 12, 2),
        ),
    )


def rows_of(table: Path) -> list[dict[str, str]]:
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.drawn
def test_tables_figures_logs_and_cards_have_the_evidence(
    network: nn.Module, tmp_path: Path
) -> None:
    logger = TensorBoardLogger(tmp_path)
    module, trainer = ascents(network, ["0"], tmp_path, logger)
    folder = Path(logger.log_dir)
    before = rows_of(folder / "results.csv")
    found = evidence("0", network)
    assert found.top_images is not None
    save_evidence(module, {"0": found}, folder, trainer.loggers, module.global_step)

    rows = rows_of(folder / "results.csv")
    assert [row | before[place] for place, row in enumerate(rows)] == rows
    most = [row for row in rows if row["sign"] == "1"]
    assert [(row["kernel"], row["A:rank"]) for row in most] == [
        *(("2", "1.0"), ("2", "3.0"), ("0", "1.0"), ("0", "nan"))
    ]
    assert [row["B:partner"] for row in most] == ["3 kernel 1"] * 3 + [""]
    assert [row["predictability"] for row in most] == ["0.75", "0.75", "nan", "nan"]
    assert [float(row["stability"]) for row in most] == pytest.approx([3.21, 3.21, -0.25, -0.25])
    similarities = [float(row["path_similarity"]) for row in most]
    assert similarities == pytest.approx([0.05, 0.05, 0.5, 0.5])
    best = {kernel: found.top_images.values(kernel)[0] for kernel in KERNELS}
    parts = [float(row["activation"]) / best[int(row["kernel"])] for row in most]
    assert [float(row["of_best_picture"]) for row in most] == pytest.approx(parts)
    assert not any(row["A:rank"] for row in rows if row["sign"] == "-1")

    first, _, third, fourth = [item for item in module.results.items if item.sign > 0]
    times = f"{parts[0]:.2g} times the best picture"
    assert first.remark == (
        f"A: ostrich (9), 1st · B: partner above 20 % of pictures · {times} · "
        "predicts held-out pictures 0.75 · stable d′ 3.2 · "
        "takes another way in than its top pictures"
    )
    assert "another way" not in third.remark
    assert third.remark.startswith("A: goose (99), 1st · ")
    assert fourth.remark.startswith("A: no such class · B: no partner · ")
    shown = " ".join(text.get_text() for text in module.results.grid().texts)
    assert "A: ostrich (9), 1st" in shown

    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0}).Reload()
    logged = {
        tag: event.value
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
        if tag.startswith("results/")
    }
    assert logged["results/judged_first"] == pytest.approx(2 / 3)
    assert logged["results/median_percentile"] == 20
    assert logged["results/median_path_similarity"] == pytest.approx(0.275)
    assert logged["results/median_predictability"] == 0.75
    assert logged["results/median_of_best_picture"] == pytest.approx(np.median(parts))
    assert logged["results/median_stability"] == pytest.approx((3.21 - 0.25) / 2)
    content = events.PluginTagToContent("hparams")["_hparams_/experiment"]
    columns = {one.name.tag for one in parse_experiment_plugin_data(content).metric_infos}
    assert columns == set(logged)
    assert len(events.Images("activation_maximization/0")) == 2

    page = make_report(network, module, Rankings([]), field_images=0)
    of_kernel = {card.kernel: card for card in page.cards}
    highest = max(
        (item for item in module.results.items if item.kernels == (2,)),
        key=lambda one: (one.sign, one.activation),
    )
    assert highest.remark in of_kernel[2].remarks


def test_of_several_layers_all_tables_have_it(network: nn.Module, tmp_path: Path) -> None:
    module, _ = ascents(network, ["0", "2"], tmp_path)
    only_first = ImageEvidence(stability=evidence("0", network).stability)
    save_evidence(module, {"0": only_first, "2": ImageEvidence()}, tmp_path)
    every, first, second = (rows_of(tmp_path / part / "results.csv") for part in ("", "0", "2"))
    assert [row["stability"] for row in every] == [row["stability"] for row in first] + [""] * 8
    assert "stability" not in second[0]
    assert module.results_of("2").items[0].remark == ""


def test_pictures_that_drive_a_kernel_nowhere_have_no_part(network: nn.Module) -> None:
    module = ActivationMaximization(network, "0", KERNELS, SPEC, steps=2, objective="max")
    pl.Trainer(accelerator="cpu", max_epochs=-1, fast_dev_run=2, logger=False).fit(module)
    silent = find_top_images(network, "0", KERNELS, torch.rand(3, *SPEC.shape), 1, "max", SPEC)
    silent.activations.fill_(-1.0)
    results = ImageEvidence(top_images=silent).added_to(module.results)
    for item in results.items:
        assert math.isnan(float(str(item.evidence["of_best_picture"])))
        assert item.remark == ""


def test_images_of_dead_kernels_have_no_evidence() -> None:
    dead = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    nn.init.zeros_(dead[0].weight[2].detach())
    nn.init.constant_(dead[0].bias.detach(), -0.5)
    module = ActivationMaximization(dead, "1", KERNELS, SPEC, steps=2, style="maximal")
    pl.Trainer(accelerator="cpu", max_epochs=-1, fast_dev_run=2, logger=False).fit(module)
    two = torch.ones(2)
    found = ImageEvidence(stability=Stability("1", KERNELS, two, two, two, "pixels"))
    items = found.added_to(module.results).items
    assert [(item.dead, item.remark) for item in items if item.kernels == (2,)] == [(True, "")]
    assert {item.remark for item in items if not item.dead} <= {"stable d′ 1.0"}
