"""Layout and descriptions beside the data, as TensorBoard's own readers find them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.metadata import parse_experiment_plugin_data

from neurovis.tensorboard_layout import arrange, describe, log_hyperparameters

LAYOUT = "custom_scalars__config__"


def read(folder: str) -> EventAccumulator:
    return EventAccumulator(folder, {"tensors": 0, "scalars": 0}).Reload()


def layout(folder: str) -> Layout:
    """The last layout of a run, which is the one that TensorBoard shows."""
    return Layout.FromString(read(folder).Tensors(LAYOUT)[-1].tensor_proto.string_val[0])


def charts(folder: str) -> dict[str, dict[str, list[str]]]:
    return {
        category.title: {chart.title: list(chart.multiline.tag) for chart in category.chart}
        for category in layout(folder).category
    }


def test_descriptions(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    describe([object(), logger], "scalars", {"a/b/c": "**What** it is.", "plain": "Else."}, 3)
    describe([logger], "images", {}, 3)
    logger.log_metrics({"a/b/c": 2.5}, step=3)
    logger.save()
    events = read(logger.log_dir)
    found = events.SummaryMetadata("a/b/c")
    assert (found.summary_description, found.display_name) == ("**What** it is.", "b/c")
    assert found.plugin_data.plugin_name == "scalars"
    assert events.SummaryMetadata("plain").display_name == ""
    assert [(event.step, event.value) for event in events.Scalars("a/b/c")] == [(3, 2.5)]


class Board:
    """A logger with a writer that is not torch's: none of what is asked of it is there."""

    experiment = object()

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        raise AssertionError("this is for TensorBoard alone")


def test_others_are_left_alone(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    for one in (Board(), object(), logger):
        describe([one], "images", {"a": "b"}, 0)
        arrange([one], {"a": {"b": ["c"]}})
        log_hyperparameters([one], {"a": 1}, {"b": 2.0}, 0)
    assert not logger.experiment.hparams
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


class TestArranging:
    @pytest.fixture
    @staticmethod
    def logger(tmp_path: Path) -> TensorBoardLogger:
        return TensorBoardLogger(tmp_path)

    def test_charts_are_joined(self, logger: TensorBoardLogger) -> None:
        arrange([logger], {"maps": {"mean": ["maps/*/mean"]}})
        arrange([logger], {"maps": {"dead": ["maps/*/dead"]}, "ranks": {"tau": ["ranks/tau"]}})
        arrange([logger], {"maps": {"mean": ["maps/*/mean", "maps/x.y"]}})
        logger.save()
        found = charts(logger.log_dir)
        assert {category: list(titled) for category, titled in found.items()} == {
            "maps": ["mean", "dead"],
            "ranks": ["tau"],
        }
        assert len(found["maps"]["mean"]) == 2

    def test_patterns(self, logger: TensorBoardLogger) -> None:
        arrange([logger], {"maps": {"mean": ["maps/*/mean", "maps/x.y"]}})
        logger.save()
        wild, plain = (re.compile(one) for one in charts(logger.log_dir)["maps"]["mean"])
        # As TensorBoard asks for them.
        assert wild.match("maps/layer1.0.conv/mean")
        assert wild.match("prefix-maps/conv/mean")
        assert not wild.match("maps/conv/mean_of_all")
        assert not wild.match("other/maps/conv/mean")
        assert plain.match("maps/x.y")
        assert not plain.match("maps/xzy")

    def test_nothing_new_writes_nothing(self, logger: TensorBoardLogger) -> None:
        for _ in range(2):
            arrange([logger], {"maps": {"mean": ["maps/*/mean"]}})
        arrange([logger], {})
        arrange([logger], {"maps": {}})
        logger.save()
        assert len(read(logger.log_dir).Tensors(LAYOUT)) == 1

    def test_none_without_charts(self, logger: TensorBoardLogger) -> None:
        logger.log_metrics({"a": 1.0}, step=0)
        arrange([logger], {"maps": {}})
        logger.save()
        assert LAYOUT not in read(logger.log_dir).Tags()["tensors"]

    def test_what_somebody_wrote_before_stays(self, logger: TensorBoardLogger) -> None:
        margin = ["loss", "loss/low", "loss/high"]
        logger.experiment.add_custom_scalars(
            {"mine": {"loss": ["Multiline", ["loss"]], "range": ["Margin", margin]}}
        )
        arrange([logger], {"maps": {"mean": ["maps/*/mean"]}})
        logger.save()
        mine, ours = layout(logger.log_dir).category
        assert (mine.title, ours.title) == ("mine", "maps")
        assert list(mine.chart[0].multiline.tag) == ["loss"]
        assert [mine.chart[1].margin.series[0].value] == ["loss"]

    def test_over_several_files_of_a_run(self, logger: TensorBoardLogger, tmp_path: Path) -> None:
        arrange([logger], {"maps": {"mean": ["maps/*/mean"]}})
        logger.experiment.close()
        again = TensorBoardLogger(tmp_path, version=logger.version)
        again.log_metrics({"a": 1.0}, step=0)
        arrange([again], {"maps": {"dead": ["maps/*/dead"]}})
        again.save()
        assert len(list(Path(again.log_dir).glob("*tfevents*"))) == 2
        assert list(charts(again.log_dir)["maps"]) == ["mean", "dead"]


class TestHyperparameters:
    def test_with_metrics(self, tmp_path: Path) -> None:
        logger = TensorBoardLogger(tmp_path)
        log_hyperparameters([logger], {"lr": 0.1, "kind": "x"}, {"results/dead": 0.25}, 7)
        logger.save()
        events = read(logger.log_dir)
        assert [(e.step, e.value) for e in events.Scalars("results/dead")] == [(7, 0.25)]
        assert "hp_metric" not in events.Tags()["scalars"]
        assert set(events.PluginTagToContent("hparams")) == {
            "_hparams_/experiment",
            "_hparams_/session_start_info",
            "_hparams_/session_end_info",
        }

    def test_metrics_that_come_later_have_a_column(self, tmp_path: Path) -> None:
        logger = TensorBoardLogger(tmp_path)
        log_hyperparameters([logger], {"lr": 0.1}, {"results/dead": 0.25}, 7, ["results/later"])
        logger.log_metrics({"results/later": 0.5}, step=7)
        logger.save()
        events = read(logger.log_dir)
        content = events.PluginTagToContent("hparams")["_hparams_/experiment"]
        columns = [one.name.tag for one in parse_experiment_plugin_data(content).metric_infos]
        assert sorted(columns) == ["results/dead", "results/later"]
        assert [event.value for event in events.Scalars("results/later")] == [0.5]

    def test_nothing_without_metrics(self, tmp_path: Path) -> None:
        logger = TensorBoardLogger(tmp_path)
        log_hyperparameters([logger], {"lr": 0.1}, {}, 7)
        assert not logger.hparams
