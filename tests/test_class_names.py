"""Names of classes in place of numbers of kernels: in figures, tables and cards."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from neurovis.analysis import FeatureReader, PictureExplainer, SaliencyProbe, make_report
from neurovis.analysis import explained_pictures as explained
from neurovis.callbacks import ActivationMaximizationMonitor, FeatureMapMonitor, SaliencyMonitor
from neurovis.class_names import class_label, class_names
from neurovis.cli.main import main
from neurovis.demo import SHAPES
from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization
from neurovis.top_images import find_top_images
from neurovis.tuning import rank_kernels
from neurovis.tuning.results import Rankings

NAMES = ["cat, house cat", "lorikeet", "dog"]
SPEC = InputSpec.rgb(16)


class Net(nn.Module):
    """A classifier with as many kernels in its first layer as classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 3)
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(3, 3))
        self.softmax = nn.Softmax(1)
        self.class_names = NAMES

    def forward(self, images: Tensor) -> Tensor:
        return self.softmax(self.head(self.conv(images).mean((2, 3))))


class Training(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net()
        self.projector = nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class TestNames:
    @pytest.mark.parametrize("layer", [None, "head.1", "head.1@1", "head", "softmax"])
    def test_the_output_and_the_last_layer_have_them(self, layer: str | None) -> None:
        assert class_names(Net(), layer, 3) == NAMES

    @pytest.mark.parametrize("layer", ["conv", "head.0", "elsewhere"])
    def test_other_layers_have_none(self, layer: str) -> None:
        assert class_names(Net(), layer, 3) == []

    def test_another_number_of_kernels_has_none(self) -> None:
        assert class_names(Net(), None, 4) == []

    @pytest.mark.parametrize(
        ("layer", "names"), [("net.head.1", NAMES), (None, NAMES), ("projector", [])]
    )
    def test_of_a_part_of_a_module(self, layer: str | None, names: list[str]) -> None:
        assert class_names(Training(), layer, 3) == names

    def test_none_without(self) -> None:
        assert class_names(nn.Linear(3, 3), None, 3) == []

    def test_labels(self) -> None:
        assert [class_label(NAMES, 0), class_label([], 0), class_label([], 0, "class")] == [
            *("cat (0)", "kernel 0", "class 0")
        ]


def test_preferred_images_and_cards(tmp_path: Path) -> None:
    am = ActivationMaximization(Net(), "head.1", [1], SPEC, steps=2)
    L.Trainer(
        max_epochs=-1,
        logger=False,
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_progress_bar=False,
    ).fit(am)
    results = am.results
    assert results.label(results.items[0]) == "lorikeet (1)"
    (row,) = results.rows()
    assert (row["kernel"], row["class_name"]) == (1, "lorikeet")
    probe = SaliencyProbe(torch.rand(SPEC.shape), "a picture")
    (card,) = make_report(Net(), am, Rankings(), probe=probe, field_images=0).cards
    assert card.name == "lorikeet (1)"
    assert card.saliency is not None
    assert [card.preferred[0].title, card.saliency.title] == [
        *("preferred image of lorikeet (1)", "gradient of lorikeet (1) on a picture")
    ]
    hidden = ActivationMaximization(Net(), "conv", [1], SPEC, steps=2)
    assert hidden.results.class_names == []


def test_rankings() -> None:
    ranking = rank_kernels(Net(), "head.1", by="orientation", input_spec=SPEC).only
    rows = {row["kernel"]: row["class_name"] for row in ranking.rows()}
    assert rows == dict(enumerate(NAMES))
    hidden = rank_kernels(Net(), "conv", by="orientation", input_spec=SPEC).only
    assert all("class_name" not in row for row in hidden.rows())


def test_saliency(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(explained, "saliency_figure", lambda *given, **_: drawn.append(given))
    (found,) = PictureExplainer(Net(), None, "1", input_spec=SPEC)(torch.rand(1, *SPEC.shape))
    found.figure()
    assert drawn[0][2][0].startswith("lorikeet (1): ")
    (row,) = found.rows()
    assert row["class_name"] == "lorikeet"


def test_top_images(tmp_path: Path) -> None:
    images = torch.rand(4, *SPEC.shape)
    found = find_top_images(Net(), "head.1", [1], images, k=2, input_spec=SPEC)
    found.save(tmp_path)
    with (tmp_path / "top_images.csv").open() as table:
        assert [row["class_name"] for row in csv.DictReader(table)] == ["lorikeet"] * 2


def test_feature_maps() -> None:
    (found,) = FeatureReader(Net(), ["head.1", "conv"], SPEC)(torch.rand(1, *SPEC.shape))
    names = [[row["class_name"] for row in one.rows()] for one in found]
    assert names == [NAMES, [""] * 3]
    ((alone,),) = FeatureReader(Net(), "conv", SPEC)(torch.rand(1, *SPEC.shape))
    assert all("class_name" not in row for row in alone.rows())


@pytest.mark.parametrize(
    ("module", "function", "monitor"),
    [
        (
            "activation_maximization",
            "labeled_grid",
            ActivationMaximizationMonitor("net.head.1", kernels=[1], steps=1, input_spec=SPEC),
        ),
        ("feature_maps", "feature_map_figure", FeatureMapMonitor("net.head.1", kernels=[1])),
        ("feature_maps", "feature_map_figure", FeatureMapMonitor(None, kernels=[1])),
        ("saliency", "saliency_figure", SaliencyMonitor(kernels=[1])),
    ],
)
def test_monitors(
    module: str, function: str, monitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurovis import callbacks

    drawing = getattr(callbacks, module)
    drawn: list[Any] = []
    draw = getattr(drawing, function)

    def remembering(*given: Any, **named: Any) -> Any:
        drawn.append(given)
        return draw(*given, **named)

    monkeypatch.setattr(drawing, function, remembering)
    images = torch.rand(1, *SPEC.shape)
    training = Training().eval()
    monitor.observe_first(training, images, 0)
    monitor.observe(training, images, 1)
    assert "lorikeet (1)" in str(drawn[-1])


def test_the_demo_says_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["am", "--layer", "classifier", "--kernels", "0-1", "--steps", "2"]
    assert main([*arguments, "--trainer.accelerator", "cpu"]) == 0
    assert f"{SHAPES[0]} (0)" in capsys.readouterr().out
    (file,) = tmp_path.rglob("results.csv")
    with file.open() as table:
        assert [row["class_name"] for row in csv.DictReader(table)] == list(SHAPES[:2])
