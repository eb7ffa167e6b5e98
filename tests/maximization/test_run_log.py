"""What a run of activation maximization tells TensorBoard beside its curves and pictures."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from climbing import GRAY, Climber, make_small_network
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.metadata import (
    parse_experiment_plugin_data,
    parse_session_start_info_plugin_data,
)
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.maximization import (
    ActivationMaximization,
    AscentSettings,
    GroupActivationMaximization,
    TargetMaximization,
)
from neurovis.maximization.objectives import Position
from neurovis.maximization.run_log import EVIDENCE, hyperparameters, run_metrics
from neurovis.maximization.transforms import Affine


def read(folder: str | Path) -> EventAccumulator:
    return EventAccumulator(str(folder), {"tensors": 0, "scalars": 0}).Reload()


def asked(events: EventAccumulator) -> dict[str, Any]:
    """The hyperparameters of a run, as TensorBoard's page of HParams reads them."""
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    values = parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


def run(climb: Climber, am: TargetMaximization, folder: Path, **options: Any) -> EventAccumulator:
    trainer = climb(am, logger=TensorBoardLogger(folder), log_every_n_steps=2, **options)
    return read(trainer.log_dir or "")


def run_of(network: nn.Module) -> ActivationMaximization:
    return ActivationMaximization(
        network, "3", [1, 5, 2], GRAY, steps=6, patience=None, contrast=0.2, seed=3
    )


class TestRun:
    @pytest.fixture
    @staticmethod
    def am(small_network: nn.Module) -> ActivationMaximization:
        return run_of(small_network)

    @pytest.fixture(scope="class")
    @staticmethod
    def logged(
        tmp_path_factory: pytest.TempPathFactory,
    ) -> tuple[ActivationMaximization, EventAccumulator]:
        folder = tmp_path_factory.mktemp("logged")
        am = run_of(make_small_network())
        return am, run(Climber(folder), am, folder)

    @pytest.fixture
    @staticmethod
    def events(logged: tuple[ActivationMaximization, EventAccumulator]) -> EventAccumulator:
        return logged[1]

    def test_hyperparameters(self, logged: tuple[ActivationMaximization, EventAccumulator]) -> None:
        am, events = logged
        found = asked(events)
        expected = {
            "kind": "kernels",
            "layer": "3",
            "steps": 6.0,
            "seed": 3.0,
            "contrast": "0.2",
            "objective": "mean",
            "style": "natural",
            "parametrization": "Fourier(decay=2, contrast=1)",
            "patience": "none",
            "others": "as by default",
        }
        assert {name: found[name] for name in expected} == expected
        assert found["lr"] == am.settings.learning_rate

    def test_metrics(self, logged: tuple[ActivationMaximization, EventAccumulator]) -> None:
        am, events = logged
        found = {
            tag.removeprefix("results/"): [(one.step, one.value) for one in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
            if tag.startswith("results/")
        }
        reached, noise = am.results.activations.numpy(), am.results.noise_activations.numpy()
        expected = {
            "median_activation": np.median(reached),
            "median_noise_activation": np.median(noise),
            "dead": am.results.dead.float().mean().item(),
            "median_steps": 6,
            "images": 3,
        }
        ratio = np.median(np.where(noise > 0, reached / noise, np.inf))
        expected["median_ratio_to_noise"] = ratio if np.isfinite(ratio) else np.nan
        for name, value in expected.items():
            assert found.pop(name) == [(6, pytest.approx(value, nan_ok=True))], name
        assert not found

    def test_columns_and_no_metric_of_lightnings(self, events: EventAccumulator) -> None:
        assert "hp_metric" not in events.Tags()["scalars"]
        content = events.PluginTagToContent("hparams")["_hparams_/experiment"]
        experiment = parse_experiment_plugin_data(content)
        metrics = {one.name.tag for one in experiment.metric_infos}
        logged = {tag for tag in events.Tags()["scalars"] if tag.startswith("results/")}
        later = {f"results/{name}" for name in EVIDENCE}
        assert metrics == logged | later
        assert not logged & later
        assert {one.name for one in experiment.hparam_infos} == set(asked(events))

    def test_descriptions(self, events: EventAccumulator) -> None:
        tags = events.Tags()
        described = [*tags["images"], *(t for t in tags["scalars"] if t not in ("epoch",))]
        assert "activation_maximization/3/activation" in described
        assert len(described) > 6
        for tag in described:
            words = events.SummaryMetadata(tag).summary_description
            assert words.startswith("**"), tag
            assert not re.search("[{}]", words), tag

    def test_charts(self, events: EventAccumulator) -> None:
        (event,) = events.Tensors("custom_scalars__config__")
        (category,) = Layout.FromString(event.tensor_proto.string_val[0]).category
        (chart,) = category.chart
        assert chart.title == "3: activation during the ascent"
        assert re.match(chart.multiline.tag[0], "activation_maximization/3/activation")

    def test_a_run_that_goes_on_is_logged_with_what_it_came_to(
        self, climb: Climber, am: ActivationMaximization, tmp_path: Path
    ) -> None:
        def logger() -> TensorBoardLogger:
            return TensorBoardLogger(tmp_path, version=0)

        with pytest.warns(UserWarning, match="images were finished"):
            climb(am, logger=logger(), max_steps=4)
        trainer = climb(am, logger=logger())
        events = read(trainer.log_dir or "")
        # Files of one second are read in the order of their names.
        found = sorted(events.Scalars("results/median_steps"), key=lambda event: event.wall_time)
        assert [event.value for event in found] == [4, 6]
        assert len(events.Tensors("custom_scalars__config__")) == 1
        assert asked(events)["steps"] == 6.0

    def test_other_loggers_see_nothing_of_it(
        self, climb: Climber, am: ActivationMaximization, tmp_path: Path
    ) -> None:
        logger = CSVLogger(tmp_path)
        climb(am, logger=logger, log_every_n_steps=1)
        folder = Path(logger.log_dir)
        assert "results/" not in (folder / "metrics.csv").read_text()
        assert not (folder / "hparams.yaml").exists()

    def test_a_trial_writes_nothing(
        self, climb: Climber, am: ActivationMaximization, tmp_path: Path
    ) -> None:
        climb(am, logger=TensorBoardLogger(tmp_path), fast_dev_run=2)
        assert not [path for path in tmp_path.rglob("*tfevents*") if path.stat().st_size]

    def test_nothing_of_it_is_in_a_checkpoint(
        self, climb: Climber, am: ActivationMaximization, tmp_path: Path
    ) -> None:
        trainer = climb(am, logger=TensorBoardLogger(tmp_path))
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        content = torch.load(tmp_path / "last.ckpt", weights_only=False)
        assert "hyper_parameters" not in content


def test_groups(climb: Climber, small_network: nn.Module, tmp_path: Path) -> None:
    group = GroupActivationMaximization(small_network, "3", "each:4", GRAY, steps=4)
    events = run(climb, group, tmp_path)
    assert asked(events)["kind"] == "groups"
    assert [one.value for one in events.Scalars("results/images")] == [2]
    words = events.SummaryMetadata("group_activation_maximization/3").summary_description
    assert "each group" in words


def test_several_layers(climb: Climber, small_network: nn.Module, tmp_path: Path) -> None:
    am = ActivationMaximization(small_network, "all-conv", [0], GRAY, steps=3)
    events = run(climb, am, tmp_path)
    assert asked(events)["layer"] == ", ".join(am.layers)
    assert [one.value for one in events.Scalars("results/images")] == [len(am.layers)]


class TestHyperparameters:
    def settings_of(self, **options: Any) -> dict[str, Any]:
        return dict(
            hyperparameters("Net", ["a"], "kernels", InputSpec.rgb(8), AscentSettings(**options))
        )

    def test_all_runs_have_the_same_columns_of_the_same_types(self) -> None:
        def penalty(images: Tensor) -> Tensor:
            return images.mean((1, 2, 3))

        plain = self.settings_of()
        changes: list[dict[str, Any]] = [
            {"contrast": {"rgb": 0.2}, "patience": None, "leak": 0.1},
            {"objective": Position(row=3, column=4), "transforms": [Affine(jitter=2.0)]},
            {"init": torch.rand(3, 8, 8), "regularizers": [penalty], "parametrization": "pixel"},
            {"frozen": {"rgb": torch.rand(3, 8, 8)}, "luminance": 0.5, "precision": "float32"},
        ]
        for change in changes:
            found = self.settings_of(**change)
            assert list(found) == list(plain)
            assert [type(one) for one in found.values()] == [type(one) for one in plain.values()]
            for name, value in found.items():
                assert not isinstance(value, str) or 0 < len(value) <= 80, name
                assert "tensor" not in str(value), name

    def test_every_option_that_shapes_an_image_shows(self) -> None:
        """By its column, or among the others as soon as it is changed."""
        changes: dict[str, Any] = {
            "steps": 7, "patience": 9, "min_improvement": 0.5, "lr": 0.125, "leak": 0.25,
            "seed": 11, "precision": "float32", "objective": "max", "crop": False, "variants": 2,
            "diversity": 0.75, "parametrization": "pixel", "init": "zero", "contrast": 0.375,
            "luminance": 0.625, "frozen": {"rgb": torch.rand(3, 8, 8)}, "tv": 13.0, "lp": 17.0,
            "lp_order": 3.0, "regularizers": [torch.mean], "jitter": 1.5, "scale": (0.5, 2.0),
            "rotate": 45.0, "transforms": [], "style": "maximal", "smoothness": 0.625,
            "gain_noise": 0.375,
        }  # fmt: skip
        others = {one.name for one in fields(AscentSettings)} - set(changes)
        assert others == {"batch_size", "change"}
        accentuated = self.settings_of(init=torch.rand(4, 8, 8), change=0.5)
        assert accentuated["others"] == "change 0.5"
        plain = self.settings_of()
        for name, value in changes.items():
            found = self.settings_of(**{name: value})
            changed = {key for key in found if found[key] != plain[key]}
            # What follows from others, too.
            changed -= {"parametrization", "patience", "steps", "lr"} - {name}
            assert changed in ({name}, {"others"}), name
            if changed == {"others"}:
                assert str(found["others"]).startswith(name)

    def test_many_layers(self) -> None:
        layers = [f"layer{index}" for index in range(9)]
        found = hyperparameters("Net", layers, "kernels", InputSpec.rgbd(8), AscentSettings())
        assert found["layer"] == "9 layers: layer0, layer1, layer2, …"
        assert found["modalities"] == "rgb 3, depth 1"


class TestRunMetrics:
    def test_ratios(self) -> None:
        metrics = run_metrics([(2.0, 1.0, False, 5), (9.0, 0.0, False, 6), (4.0, 1.0, False, 7)])
        assert metrics["median_ratio_to_noise"] == 4
        mostly_silent = [(2.0, 1.0, False, 5), (9.0, 0.0, False, 6), (4.0, -1.0, False, 7)]
        assert np.isnan(run_metrics(mostly_silent)["median_ratio_to_noise"])

    def test_what_stayed_silent_gained_nothing(self) -> None:
        silent = [(0.0, 0.0, True, 5), (-1.0, -1.0, True, 5)]
        metrics = run_metrics([*silent, (2.0, 1.0, False, 5), (6.0, 2.0, False, 5)])
        assert metrics["median_ratio_to_noise"] == 1.5

    def test_what_is_not_finite_or_nothing_at_all(self) -> None:
        assert run_metrics([]) == {}
        broken = run_metrics([(float("nan"), 1.0, True, 3)])
        assert np.isnan(broken.pop("median_activation"))
        assert np.isnan(broken.pop("median_ratio_to_noise"))
        assert broken == {
            "median_noise_activation": 1.0,
            "dead": 1.0,
            "median_steps": 3.0,
            "images": 1.0,
        }
