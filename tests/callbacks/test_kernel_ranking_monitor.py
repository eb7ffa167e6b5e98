"""The kernel ranking monitor: its numbers, what it shows the network, and what it refuses."""

from __future__ import annotations

import io
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from lightning.pytorch import LightningModule
from promise import BATCH, BATCHES, SIZE, TinyModule, fit, loader, trainer, written
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from neurovis import rank_kernels, undisturbed
from neurovis.callbacks import KernelRankingMonitor, kernel_ranking
from neurovis.inputs import InputSpec
from neurovis.maximization import AscentSettings
from neurovis.maximization.continuation import AscentState, continue_ascents
from neurovis.maximization.layer_response import LayerResponse
from neurovis.modality import Modality
from neurovis.observation import Observation
from neurovis.tuning.rankings.activation import ActivationRanking
from neurovis.tuning.stimuli import gabor

SPEC = InputSpec.rgb(SIZE)
IMAGES = torch.randn(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
FEW: dict[str, Any] = {"null_kernels": 20, "max_kernels": 1, "on_error": "raise"}


def watching(layers: Any = "conv1", by: Any = "orientation", **options: Any) -> Any:
    return KernelRankingMonitor(layers, by, **{"input_spec": SPEC, **FEW, **options})


def observed(monitor: KernelRankingMonitor, module: nn.Module, begin: bool = True) -> Observation:
    """What a monitor sees of a module, at the time and in the way of the base."""
    with undisturbed(module):
        if begin:
            monitor.observe_first(module, IMAGES, 0)  # type: ignore[arg-type]
        return monitor.observe(module, IMAGES, 7)  # type: ignore[arg-type]


def randomized(module: TinyModule, seed: int) -> TinyModule:
    """The same module with other weights, as training would leave it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


class TestNumbers:
    @pytest.mark.parametrize(
        ("layer", "by"),
        [
            ("conv1", "orientation"),
            ("relu", "orientation"),
            ("conv2", "weight"),
            ("relu", "size"),
        ],
    )
    def test_of_the_network_as_it_is_now(self, layer: str, by: str) -> None:
        """What was learned of the layers before does not show in what is seen later."""
        module, monitor = TinyModule(), watching(layer, by)
        observed(monitor, module)
        seen = observed(monitor, randomized(module, 5), begin=False)
        found = rank_kernels(
            module, layer, by, input_spec=SPEC, orientations=8, phases=4, null_kernels=20
        ).only
        score, null = found.score.numpy(), found.null_score.numpy()
        tag = f"kernel_ranking/{by}/{layer}"
        assert seen.scalars[f"{tag}/median"] == pytest.approx(np.nanmedian(score))
        assert seen.scalars[f"{tag}/dead"] == np.isnan(score).mean()
        above = [(null < one).mean() >= 0.95 for one in score]
        assert seen.scalars[f"{tag}/above_null"] == np.mean(above)
        assert seen.histograms[f"{tag}/scores"].total == pytest.approx(np.nansum(score))
        assert seen.histograms[f"{tag}/null_scores"].total == pytest.approx(np.nansum(null))
        assert set(seen.pictures) >= {tag, f"{tag}/histogram"}

    def test_gabors_score_what_their_closed_form_says(self) -> None:
        """gOSI = I2 / I0 of (2 pi sigma / wavelength)^2, at any orientation."""
        wavelength, sigma = 8.0, 4.0
        kernels = [
            gabor(27, wavelength, sigma, angle, phase=90) for angle in (0.0, 30.0, 45.0, 100.0)
        ]
        module = TinyModule()
        module.conv1 = nn.Conv2d(3, 4, 27, bias=False)
        with torch.no_grad():
            module.conv1.weight.copy_(torch.stack(kernels)[:, None].expand(-1, 3, -1, -1))
        spec = InputSpec.rgb(64)
        monitor = watching(input_spec=spec, spatial_frequencies=[1 / wavelength])
        monitor.observe_first(module.eval(), IMAGES, 0)
        seen = monitor.observe(module, IMAGES, 0)
        kappa = (2 * np.pi * sigma / wavelength) ** 2
        expected = scipy.special.iv(2, kappa) / scipy.special.iv(0, kappa)
        tag = "kernel_ranking/orientation/conv1"
        assert seen.scalars[f"{tag}/median"] == pytest.approx(expected, abs=0.003)
        assert seen.scalars[f"{tag}/above_null"] == 1
        null = seen.histograms[f"{tag}/null_scores"]
        assert null.total / sum(null.counts) < 0.5

    def test_dead_kernels(self) -> None:
        module = TinyModule()
        with torch.no_grad():
            module.conv1.weight[1:] = 0
        seen = observed(watching(), module)
        assert seen.scalars["kernel_ranking/orientation/conv1/dead"] == 0.75

    def test_tau_is_against_the_time_before(self) -> None:
        """The first time, against when the fit began."""
        module, monitor, scores, taus = TinyModule(), watching("conv2"), [], []
        for seed in (1, 2, 3):
            randomized(module, seed)
            found = rank_kernels(module, "conv2", input_spec=SPEC, orientations=8, phases=4)
            scores.append(found.only.score.numpy())
            if seed == 1:
                with undisturbed(module):
                    monitor.observe_first(module, IMAGES, 0)  # type: ignore[arg-type]
                continue
            seen = observed(monitor, module, begin=False)
            taus.append(seen.scalars["kernel_ranking/orientation/conv2/kendall_tau"])
        expected = [
            scipy.stats.kendalltau(scores[0], scores[1]).statistic,
            scipy.stats.kendalltau(scores[1], scores[2]).statistic,
        ]
        assert taus == pytest.approx(expected)
        assert max(map(abs, np.subtract(1, taus))) > 0.1

    def test_by_the_probe_images(self) -> None:
        module = TinyModule().eval()
        seen = observed(watching("conv2", "activation", input_spec=None), module)
        center = module.conv2(module.relu(module.frozen_norm(module.conv1(IMAGES))))[:, :, 4, 4]
        found = seen.scalars["kernel_ranking/activation/conv2/median"]
        assert found == pytest.approx(center.mean(0).quantile(0.5).item(), rel=1e-5)

    def test_how_well_models_predict_the_probe_images(self) -> None:
        pictures = torch.rand(16, *IMAGES.shape[1:], generator=torch.Generator().manual_seed(0))
        monitor, module = watching("conv1", "predictable", input_spec=None), TinyModule().eval()
        with undisturbed(module):
            monitor.observe_first(module, pictures, 0)
            seen = monitor.observe(module, pictures, 7)
        assert seen.scalars["kernel_ranking/predictable/conv1/median"] > 0.99
        assert "kernel_ranking/predictable/conv1" in seen.pictures

    def test_likeness_to_neurons(self, tmp_path: Path) -> None:
        """The score as of rank_kernels, over training: of the network as it is now."""
        cells = tmp_path / "cells.csv"
        cells.write_text("gOSI\n0.05\n0.1\n0.2\n0.3\n0.4\n0.6\n")
        module = TinyModule()
        monitor = watching("conv2", ["orientation", "spatial_frequency"], reference=cells)
        first = observed(monitor, module)
        seen = observed(monitor, randomized(module, 5), begin=False)
        found = rank_kernels(
            module, "conv2", input_spec=SPEC, orientations=8, phases=4, null_kernels=20,
            reference=cells,
        ).reference_scores  # fmt: skip
        assert found is not None
        tag = "kernel_ranking/reference_scores/cells"
        for name in ("gOSI", "mean"):
            expected = found["conv2", name]
            assert seen.scalars[f"{tag}/{name}/conv2/score"] == expected.score
            assert seen.scalars[f"{tag}/{name}/conv2/null_score"] == expected.null_score
        assert {tag, f"{tag}/gOSI/histogram"} <= set(seen.pictures)
        assert first.scalars[f"{tag}/mean/conv2/score"] != seen.scalars[f"{tag}/mean/conv2/score"]
        assert seen.charts[tag]
        described = {one for one in seen.tags if one.startswith(tag)}
        assert described <= set(seen.descriptions)

    @pytest.mark.parametrize("layer", ["conv1", "frozen_norm"])
    def test_parts_that_are_compiled(self, layer: str) -> None:
        """They have weights, and a null, like any other."""
        module = TinyModule()
        expected = observed(watching(layer), module)
        module.conv1 = torch.compile(module.conv1, backend="eager")  # type: ignore[assignment]
        seen = observed(watching(layer), module)
        assert f"kernel_ranking/orientation/{layer}/above_null" in seen.scalars
        assert seen.scalars == expected.scalars
        for tag, picture in expected.pictures.items():
            assert np.array_equal(seen.pictures[tag], picture)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    def test_other_precisions(self, dtype: torch.dtype) -> None:
        module, tag = TinyModule(), "kernel_ranking/orientation/conv2/median"
        expected = observed(watching("conv2"), module).scalars[tag]
        with undisturbed(module.to(dtype)):
            monitor = watching("conv2")
            monitor.observe_first(module, IMAGES.to(dtype), 0)
            found = monitor.observe(module, IMAGES.to(dtype), 0).scalars[tag]
        assert found == pytest.approx(expected, abs=0.03 if dtype == torch.bfloat16 else 1e-5)


class TestTags:
    def test_of_several_layers_and_rankings(self) -> None:
        monitor = watching(["conv1", "conv2"], ["orientation", "weight"])
        seen, module = observed(monitor, TinyModule()), TinyModule()
        tags = {
            f"kernel_ranking/{by}/{layer}"
            for by in ("orientation", "weight")
            for layer in ("conv1", "conv2")
        }
        assert set(monitor.settings_by_tag(module)) == tags
        assert tags | {f"{tag}/histogram" for tag in tags} <= set(seen.pictures)
        names = ["median", "above_null", "dead", "kendall_tau"]
        assert set(seen.scalars) == {f"{tag}/{name}" for tag in tags for name in names}

    def test_a_ranking_that_applies_to_some_layers(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        monitor = watching(["conv1", "relu"], "phase", every_n_train_steps=2)
        with caplog.at_level(logging.INFO):
            fit(monitor, tmp_path, max_epochs=1)
        said = [line for line in caplog.messages if "cannot be ranked by phase" in line]
        assert len(said) == 1
        assert said[0].startswith('layer "conv1"')
        folders = {path.name for path in (written(tmp_path) / "kernel_ranking" / "phase").iterdir()}
        assert folders == {"relu"}

    def test_a_name(self, tmp_path: Path) -> None:
        fit(watching(name="mine"), tmp_path, max_epochs=1)
        assert (written(tmp_path) / "kernel_ranking_mine" / "orientation" / "conv1").is_dir()

    def test_two_that_differ_need_names(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="two KernelRankingMonitors would log different"):
            fit([watching(), watching(["conv1", "conv2"], orientations=6)], tmp_path)
        fit([watching(), watching(by="weight")], tmp_path, max_epochs=1)


class _NoModules(pickle.Pickler):
    def persistent_id(self, one: object) -> None:
        assert not isinstance(one, nn.Module), f"a {type(one).__name__} is kept"


def test_the_network_is_not_kept(tmp_path: Path) -> None:
    monitor = watching(["conv1", "relu"], ["orientation", "weight"], preferred_images=True)
    fit(monitor, tmp_path, max_epochs=1)
    # Lightning itself puts the module's methods on callbacks.
    own = {name: kept for name, kept in vars(monitor).items() if name not in ("log", "log_dict")}
    assert own["_facts"] is not None
    assert own["_ascents"].keys() == {"relu"}
    _NoModules(io.BytesIO()).dump(own)


def test_a_firing_learns_nothing_anew() -> None:
    """Forwards that trace or count would cost as much again as the stimuli."""
    module, monitor = TinyModule(), watching("relu", spatial_frequencies=[0.2], batch_size=100)
    with undisturbed(module):
        monitor.observe_first(module, IMAGES, 0)  # type: ignore[arg-type]
        calls: list[int] = []
        module.conv1.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
        monitor.observe(module, IMAGES, 0)  # type: ignore[arg-type]
    # 32 trials that tell where the null's kernels have their thresholds; 8 x 4 gratings, a blank.
    assert calls == [32, 33]


class Flat(TinyModule):
    """Trains on batches without images in them."""

    @override
    def _loss(self, batch: Any) -> Tensor:
        values, classes = batch
        return super()._loss((values.unflatten(1, (3, SIZE, SIZE)), classes))


class TestStimuli:
    def test_batches_without_images(self, tmp_path: Path) -> None:
        values = torch.randn(BATCH * BATCHES, 3 * SIZE * SIZE)
        flat = DataLoader(TensorDataset(values, torch.zeros(len(values)).long()), BATCH)
        trainer(tmp_path, callbacks=[watching()], max_epochs=1).fit(Flat(), flat, flat)
        folder = written(tmp_path) / "kernel_ranking" / "orientation" / "conv1"
        assert len(list(folder.glob("*.png"))) == 1

    def test_like_the_probe_images(self, caplog: pytest.LogCaptureFixture) -> None:
        """Of their size and range, and mid gray is in the middle of it."""
        probe, shown = torch.linspace(-3, 5, 2 * 3 * 14 * 12).reshape(2, 3, 14, 12), []
        module, monitor = TinyModule(), watching(input_spec=None, probe_images=probe)
        with caplog.at_level(logging.INFO), undisturbed(module):
            module.conv1.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
            for _ in range(2):
                monitor.observe_first(module, monitor.probe.images_for(module, module.device), 0)
                shown.clear()
                monitor.observe(module, monitor.probe.images_for(module, module.device), 0)
        said = [line for line in caplog.messages if "makes images like the probe images" in line]
        assert len(said) == 1
        assert "rgb of shape (3, 14, 12), values from -3 to 5" in said[0]
        gratings = torch.cat(shown[1:])
        assert gratings.shape[1:] == (3, 14, 12)
        torch.testing.assert_close(gratings[-1], torch.ones(3, 14, 12))
        assert -3 <= gratings.min() < -2.9
        assert 4.9 < gratings.max() <= 5

    def test_many_images_for_rankings_by_images(self, tmp_path: Path) -> None:
        monitor = watching("relu", "sparseness", input_spec=None)
        fit(monitor, tmp_path, max_epochs=1)
        assert len(monitor.probe._images) == BATCH  # There are no more in a batch.

    def test_versions_of_the_probe_images(self, tmp_path: Path) -> None:
        fit(watching("relu", ["texture", "tolerance"], input_spec=None), tmp_path, max_epochs=1)
        for by in ("texture", "tolerance"):
            assert list(tmp_path.glob(f"**/kernel_ranking/{by}/relu/histogram/*"))


class ByClass(ActivationRanking):
    name = "by_class"
    needs_labels = True


class Own(ActivationRanking):
    name = "own"


class Strict(TinyModule):
    @override
    def training_step(self, batch: Any) -> Tensor:
        raise AssertionError("a training step was reached")


class TestMisconfigured:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"by": "orientations"}, ValueError, 'no ranking "orientations"; did you mean "orient'),
            ({"by": []}, ValueError, "at least one ranking"),
            ({"by": [3]}, TypeError, "a ranking is an object .* got 3"),
            ({"by": "class"}, ValueError, "class needs the classes of many images"),
            ({"by": ["weight", ByClass()]}, ValueError, "by_class needs the classes"),
            ({"max_kernels": 0}, ValueError, "max_kernels must be at least 1; got 0"),
            ({"orientations": 3}, ValueError, "orientations must be at least 4.*got 3"),
            ({"phases": 2}, ValueError, "phases must be at least 3.*got 2"),
            ({"input_spec": 224}, TypeError, "must be an InputSpec; got int"),
            ({"every_n_epochs": 0}, ValueError, "every_n_epochs"),
            ({"orientation": 8}, TypeError, "orientation"),
        ],
    )
    def test_at_once(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            watching(**options)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"layers": "conv3"}, 'layer "conv3" not found; did you mean "conv'),
            ({"layers": "Conv3d"}, "Conv3d"),
            ({"spatial_frequencies": [0.1, 0.5]}, "0.5"),
            ({"spatial_frequencies": [-0.1]}, "-0.1"),
            ({"contrast": 2.0}, "contrast.* 2"),
        ],
    )
    def test_before_the_first_step(
        self, options: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match=message):
            fit(watching(**{"on_error": "warn", **options}), tmp_path, Strict())

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"by": "modality"}, "two modalities; the input has 1: rgb"),
            ({"by": "phase"}, 'layer "conv1" cannot be ranked by phase: .*cut off at 0'),
            ({"layers": "relu", "by": "weight"}, 'layer "relu" cannot be ranked by weight'),
            ({"by": "activation", "max_images": 1, "input_spec": None}, "got 1 probe image"),
            ({"by": "activation"}, r"images must be floating-point numbers in \[0, 1\]"),
            ({"input_spec": InputSpec.rgbd(SIZE)}, "4 channels"),
            ({"input_spec": InputSpec.rgb(2)}, "size"),
            (
                {"by": "color", "input_spec": InputSpec((Modality("infrared", 3),), (SIZE, SIZE))},
                "rgb",
            ),
        ],
    )
    def test_what_this_run_cannot_show(
        self, options: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        """One warning, or an error before the first step on request."""
        with pytest.warns(UserWarning, match=f"cannot watch.*{message}"):
            fit(watching(**{**options, "on_error": "warn"}), tmp_path, max_epochs=1)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(ValueError, match=message):
            fit(watching(**{**options, "on_error": "raise"}), tmp_path, Strict())

    def test_float64_by_default(self, tmp_path: Path) -> None:
        torch.set_default_dtype(torch.float64)
        try:
            fit(watching("conv2", preferred_images=True), tmp_path, max_epochs=1)
        finally:
            torch.set_default_dtype(torch.float32)

    def test_no_gradient_to_preferred_images(self, tmp_path: Path) -> None:
        class Cut(Strict):
            @override
            def forward(self, images: Tensor) -> Tensor:
                with torch.no_grad():
                    return super().forward(images)

        with pytest.raises(ValueError, match="no gradient"):
            fit(watching("conv2", preferred_images=True), tmp_path, Cut())


class TestPreferredImages:
    @pytest.fixture
    def drawn(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Tensor | None]]:
        """Each ranking and the pictures that are drawn with it."""
        calls: list[tuple[Any, Tensor | None]] = []

        def remember(*arguments: Any) -> Observation:
            ranking, _, pictures, *_ = arguments
            calls.append((ranking, pictures))
            return Observation()

        monkeypatch.setattr(kernel_ranking, "ranking_observation", remember)
        return calls

    def test_they_go_on(self, drawn: list[Any]) -> None:
        """Two times eight steps on a network that stays are sixteen steps."""
        module = TinyModule()
        monitor = watching(["conv1", "conv2"], preferred_images=True, max_kernels=3)
        observed(monitor, module)
        observed(monitor, module, begin=False)
        (of_first, none), (ranking, pictures) = drawn[2:]
        assert (of_first.layer, none) == ("conv1", None)
        shown = sorted(ranking.order[:3])
        with undisturbed(module):
            response = LayerResponse(module, "conv2", SPEC)
            settings = AscentSettings(steps=16, style="maximal")
            _, snapshot = continue_ascents(
                AscentState(), shown, response, settings, torch.device("cpu")
            )
        torch.testing.assert_close(pictures[shown], snapshot.images)
        others = [kernel for kernel in range(6) if kernel not in shown]
        assert (pictures[others] == 0.5).all()

    def test_kernels_come_and_go(self, drawn: list[Any]) -> None:
        module = TinyModule()
        monitor = watching("conv2", preferred_images=True, max_kernels=2)
        observed(monitor, module)
        for seed in range(4):
            observed(monitor, randomized(module, seed), begin=False)
        tops = [set(ranking.order[:2]) for ranking, _ in drawn]
        assert len(set(map(frozenset, tops))) > 1
        for (_, pictures), top in zip(drawn, tops, strict=True):
            assert {kernel for kernel in range(6) if (pictures[kernel] != 0.5).any()} == top


def test_it_can_be_one_of_your_own(tmp_path: Path) -> None:
    fit(KernelRankingMonitor("relu", Own(), **FEW), tmp_path, max_epochs=1)
    assert (written(tmp_path) / "kernel_ranking" / "own" / "relu").is_dir()


def test_during_training_in_channels_last(tmp_path: Path) -> None:
    module: LightningModule = TinyModule()
    module.to(memory_format=torch.channels_last)
    run = trainer(tmp_path, callbacks=[watching("relu", readout="mean")], max_epochs=1)
    run.fit(module, loader())
    assert list(tmp_path.rglob("*.png"))
