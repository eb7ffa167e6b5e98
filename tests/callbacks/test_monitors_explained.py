"""What monitors log is explained and arranged in TensorBoard, once, and nothing else changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from promise import TinyModule, every_monitor, fit, loader, one_monitor, trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from typing_extensions import override

from neurovis.callbacks import ActivationMaximizationMonitor, SaliencyMonitor
from neurovis.callbacks import activation_maximization as monitors_module
from neurovis.inputs import InputSpec

LAYOUT = "custom_scalars__config__"
OURS = re.compile(r"(feature_maps|saliency|activation_maximization|kernel_ranking)(_\w+)?/")
SPEC = InputSpec.rgb(12)


def events_of(folder: str) -> EventAccumulator:
    return EventAccumulator(folder, {"tensors": 0, "scalars": 0, "images": 0}).Reload()


def summaries(folder: str) -> list[Any]:
    """Every summary of a run in the order of writing, as it was written."""
    return [
        value
        for path in sorted(Path(folder).glob("*tfevents*"))
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]


def patterns(folder: str) -> dict[tuple[str, str], list[re.Pattern[str]]]:
    """The regular expressions of the last layout by category and title."""
    last = events_of(folder).Tensors(LAYOUT)[-1].tensor_proto.string_val[0]
    return {
        (category.title, chart.title): [re.compile(one) for one in chart.multiline.tag]
        for category in Layout.FromString(last).category
        for chart in category.chart
    }


class TestEveryMonitor:
    @pytest.fixture(scope="class")
    @staticmethod
    def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
        folder = tmp_path_factory.mktemp("board")
        logger = TensorBoardLogger(folder)
        integrated = one_monitor(SaliencyMonitor, layer=None, method="integrated_gradients")
        fit([*every_monitor(), integrated], folder, logger=logger, max_epochs=1)
        return logger.log_dir

    def test_all_tags_are_described(self, folder: str) -> None:
        events = events_of(folder)
        tags = events.Tags()
        kinds = {
            tag: kind
            for kind in ("images", "scalars", "histograms")
            for tag in tags[kind]
            if OURS.match(tag)
        }
        assert {kind: list(kinds.values()).count(kind) > 2 for kind in set(kinds.values())} == {
            "images": True,
            "scalars": True,
            "histograms": True,
        }
        for tag, kind in kinds.items():
            found = events.SummaryMetadata(tag)
            assert found.plugin_data.plugin_name == kind, tag
            assert found.summary_description.startswith("**"), tag
            assert 80 < len(found.summary_description) < 450, tag
            assert not re.search(r"[{}]|\bNone\b", found.summary_description), tag
            assert tag.endswith(f"/{found.display_name}"), tag

    def test_each_once_before_the_data(self, folder: str) -> None:
        seen: dict[str, list[bool]] = {}
        for value in summaries(folder):
            if OURS.match(value.tag):
                is_data = value.WhichOneof("value") is not None
                seen.setdefault(value.tag, []).append(is_data)
        for tag, kinds in seen.items():
            assert kinds[0] is False, tag
            assert all(kinds[1:]), tag
            assert len(kinds) > 1, tag

    def test_every_scalar_is_in_a_chart_and_no_chart_is_empty(self, folder: str) -> None:
        scalars = [tag for tag in events_of(folder).Tags()["scalars"] if OURS.match(tag)]
        found = patterns(folder)
        for tag in scalars:
            assert any(one.match(tag) for chart in found.values() for one in chart), tag
        for chart, expressions in found.items():
            assert any(one.match(tag) for one in expressions for tag in scalars), chart
        assert {category for category, _ in found} == {
            "feature_maps",
            "feature_maps_active",
            "saliency",
            "activation_maximization",
            "kernel_ranking/orientation",
            "kernel_ranking/color",
            "kernel_ranking/reference_scores/macaque_v1",
        }

    def test_a_chart_for_each_ranking_and_one_for_all(self, folder: str) -> None:
        found = patterns(folder)
        titles = [title for category, title in found if category == "kernel_ranking/orientation"]
        assert titles == [
            "conv2: median score, beyond chance, dead",
            "likeness of each layer's order to the time before (tau)",
        ]
        compared = found["kernel_ranking/orientation", titles[0]]
        tag = "kernel_ranking/orientation/conv2"
        assert [one.match(f"{tag}/above_null") is not None for one in compared].count(True) == 1
        assert not any(one.match(f"{tag}/kendall_tau") for one in compared)


def test_nothing_to_arrange(tmp_path: Path) -> None:
    """A saliency method without scalars."""
    logger = TensorBoardLogger(tmp_path)
    fit(one_monitor(SaliencyMonitor, method="gradient"), tmp_path, logger=logger)
    assert LAYOUT not in events_of(logger.log_dir).Tags()["tensors"]


@pytest.mark.slow
def test_a_layout_of_somebodys_own_stays(tmp_path: Path) -> None:
    class Mine(Callback):
        @override
        def on_fit_start(self, trainer: Trainer, *_: Any) -> None:
            layout = {"mine": {"losses": ["Multiline", ["loss_step", "val_loss"]]}}
            trainer.logger.experiment.add_custom_scalars(layout)

    logger = TensorBoardLogger(tmp_path)
    fit([*every_monitor(), Mine()], tmp_path, logger=logger)
    found = patterns(logger.log_dir)
    assert [one.pattern for one in found["mine", "losses"]] == ["loss_step", "val_loss"]
    assert len(found) > 5


def test_a_second_stage_arranges_nothing_again(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    run = fit(one_monitor(ActivationMaximizationMonitor), tmp_path, logger=logger)
    before = len(events_of(logger.log_dir).Tensors(LAYOUT))
    run.test(run.lightning_module, loader(seed=2), verbose=False)
    assert len(events_of(logger.log_dir).Tensors(LAYOUT)) == before == 1


def test_a_writer_that_is_full_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be explained is still logged, and training goes on."""
    from neurovis import summaries as module

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "describe", full)
    logger = TensorBoardLogger(tmp_path)
    with pytest.warns(UserWarning, match="no space left on device"):
        fit(one_monitor(ActivationMaximizationMonitor, on_error="warn"), tmp_path, logger=logger)
    assert "activation_maximization/conv2" in events_of(logger.log_dir).Tags()["images"]


class TestFirstPreferredImages:
    def compared(self, monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
        """The images and labels of all comparisons that will be drawn."""
        seen: list[list[Any]] = []
        plain = monitors_module.first_and_now_images

        def remembering(first: Any, now: Any, labels: Any, *arguments: Any) -> Any:
            seen.append([first, now, labels])
            return plain(first, now, labels, *arguments)

        monkeypatch.setattr(monitors_module, "first_and_now_images", remembering)
        return seen

    def test_what_the_first_image_does_now(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A convolution without bias that is doubled answers twice as much to the same image."""
        seen = self.compared(monkeypatch)
        module = TinyModule().eval()
        monitor = ActivationMaximizationMonitor("conv1", [2, 0], steps=3, input_spec=SPEC)
        images = torch.rand(1, 3, 12, 12)
        with torch.no_grad():
            module.conv1.bias.zero_()
        monitor.observe_first(module, images, 0)
        first = monitor.observe(module, images, 0)
        assert not seen
        assert list(first.pictures) == ["activation_maximization/conv1"]
        with torch.no_grad():
            module.conv1.weight.mul_(2)
        monitor.observe(module, images, 5)
        ((before, now, labels),) = seen
        numbers = [[float(one) for one in re.findall(r" (-?[\d.]+)", text)] for text in labels]
        assert [kernel for kernel, *_ in numbers] == [2, 0]
        for slot, (kernel, then, still, latest) in enumerate(numbers):
            with torch.no_grad():
                of_first, of_now = (
                    module.conv1(SPEC.to_network(shown[slot : slot + 1]))[0, int(kernel)].mean()
                    for shown in (before, now)
                )
            assert still == pytest.approx(2 * then, rel=0.02)
            assert still == pytest.approx(of_first.item(), rel=0.02)
            assert latest == pytest.approx(of_now.item(), rel=0.02)
            assert latest > still

    def test_a_new_fit_has_a_new_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = self.compared(monkeypatch)
        monitor = one_monitor(ActivationMaximizationMonitor)
        for _ in range(2):
            run = trainer(tmp_path, callbacks=[monitor])
            run.fit(TinyModule(), loader())
        assert len(seen) == 2, "one in each fit of two epochs"

    def test_not_unless_it_is_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = self.compared(monkeypatch)
        fit(one_monitor(ActivationMaximizationMonitor, first_and_now=False), tmp_path)
        assert not seen
