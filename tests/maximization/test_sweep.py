"""Several layers in one run: their results, their folders, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from climbing import GRAY, Climber
from kept import kept_images
from torch import nn

from neurovis.files import safe_name
from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization

OPTIONS: dict[str, Any] = {"input_spec": GRAY, "steps": 5, "batch_size": 2}


class Named(nn.Module):
    """Two convolutions with names that folders could not have, and one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.parts = nn.ModuleDict(
            {"a/b": nn.Conv2d(1, 3, 3, padding=1), "a_b": nn.Conv2d(3, 2, 3, padding=1)}
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first: torch.Tensor = self.parts["a/b"](images)
        second: torch.Tensor = self.parts["a_b"](first.relu())
        return second


@pytest.mark.usefixtures("without_figures")
def test_a_sweep_makes_what_its_layers_make_alone(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    sweep = ActivationMaximization(small_network, "all-conv", **OPTIONS)
    climb(sweep)
    assert sweep.layers == ["0", "3"]
    assert sweep.kernel_counts == {"0": 6, "3": 8}
    for layer, count in sweep.kernel_counts.items():
        alone = ActivationMaximization(small_network, layer, **OPTIONS)
        climb(alone, default_root_dir=tmp_path / "alone" / layer)
        results = sweep.results_of(layer)
        assert results.layer == layer
        assert [item.kernels for item in results.items] == [(n,) for n in range(count)]
        assert torch.equal(results.images, alone.results.images)
        assert torch.equal(results.activations, alone.results.activations)


def test_each_layer_has_its_folder_and_the_table_has_all(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    sweep = ActivationMaximization(small_network, ["3", "0"], {"3": [1, 4], "0": "0-2"}, **OPTIONS)
    climb(sweep)
    expected = [("3", "1"), ("3", "4"), ("0", "0"), ("0", "1"), ("0", "2")]
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["kernel"]) for row in rows] == expected
    for layer, kernels in (("3", [1, 4]), ("0", [0, 1, 2])):
        folder = tmp_path / layer
        assert folder == sweep.folder_of(layer, tmp_path)
        with open(folder / "results.csv", newline="") as file:
            assert list(csv.DictReader(file)) == [row for row in rows if row["layer"] == layer]
        arrays = np.load(folder / "results.npz")
        assert arrays["kernels"].tolist() == kernels
        kept = kept_images(tmp_path, layer)
        np.testing.assert_array_equal(kept, sweep.results_of(layer).images)
        names = {f"kernel_{kernel:04d}.png" for kernel in kernels}
        assert {path.name for path in (folder / "images").iterdir()} == names
        assert (folder / "grid.png").exists()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["complete"] is True
    listed = [(image["layer"], str(image["kernels"][0])) for image in manifest["images"]]
    assert listed == expected
    assert all((tmp_path / image["file"]).is_file() for image in manifest["images"])


def test_one_layer_goes_into_the_folder_itself(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    am = ActivationMaximization(small_network, ["3"], [0], **OPTIONS)
    climb(am)
    assert am.folder_of("3", tmp_path) == tmp_path
    assert (tmp_path / "results.npz").exists()
    assert torch.equal(am.results.images, am.results_of("3").images)


@pytest.mark.usefixtures("without_figures")
def test_names_that_look_alike_as_folders_are_kept_apart(climb: Climber, tmp_path: Path) -> None:
    sweep = ActivationMaximization(Named(), "all-conv", **OPTIONS)
    climb(sweep)
    names = ["parts.a/b", "parts.a_b"]
    assert sweep.layers == names
    folders = [sweep.folder_of(name, tmp_path) for name in names]
    assert len(set(folders)) == 2
    assert [len(np.load(folder / "results.npz")["activations"]) for folder in folders] == [3, 2]
    assert {path.name for path in (tmp_path / "finished").iterdir()} == {
        safe_name(name) for name in names
    }


@pytest.mark.usefixtures("without_figures")
def test_a_stopped_sweep_goes_on_in_the_layer_where_it_stopped(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    whole = ActivationMaximization(small_network, "all-conv", **OPTIONS)
    climb(whole, default_root_dir=tmp_path / "whole")
    first = ActivationMaximization(small_network, "all-conv", **OPTIONS)
    # Three pairs of the first layer, one of the second, and two steps of the next.
    climb(first, max_steps=5 * 4 + 2)
    assert first.finished_count == 8
    assert [len(first.results_of(layer)) for layer in ("0", "3")] == [6, 4]
    assert [item.ended for item in first.results_of("3").items].count("cut short") == 2
    rest = ActivationMaximization(small_network, "all-conv", **OPTIONS)
    assert climb(rest).global_step == 5 * 3
    for layer in ("0", "3"):
        assert torch.equal(rest.results_of(layer).images, whole.results_of(layer).images)


@pytest.mark.usefixtures("without_figures")
def test_layers_that_are_finished_are_passed_over(small_network: nn.Module, climb: Climber) -> None:
    climb(ActivationMaximization(small_network, ["0", "3"], {"0": [0], "3": [1]}, **OPTIONS))
    sweep = ActivationMaximization(small_network, ["0", "3"], {"0": [0, 1], "3": [1]}, **OPTIONS)
    assert climb(sweep).global_step == 5
    assert [len(sweep.results_of(layer)) for layer in ("0", "3")] == [2, 1]


def test_a_mapping_may_leave_layers_to_all_their_kernels(small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "all-conv", {"3": [2]}, **OPTIONS)
    assert [(job.layer, job.label) for job in am.jobs] == [
        *(("0", f"kernel {kernel}") for kernel in range(6)),
        ("3", "kernel 2"),
    ]


def test_the_same_kernels_of_every_layer(small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, ["0", "3"], "1,3", **OPTIONS)
    assert [(job.layer, job.target.kernels, job.index) for job in am.jobs] == [
        ("0", (1,), 0),
        ("0", (3,), 1),
        ("3", (1,), 0),
        ("3", (3,), 1),
    ]


def test_results_before_a_run_are_empty(small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "all-conv", **OPTIONS)
    assert len(am.results_of("0")) == 0
    assert am.progress == am.finished_count == 0
    assert am.current_layer is None


def test_results_of_several_layers_are_asked_for_by_layer(small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "all-conv", **OPTIONS)
    with pytest.raises(ValueError, match=r'images of 2 layers; use results_of\("0"\)'):
        _ = am.results
    with pytest.raises(ValueError, match=r'layer "5" is not maximized; the layers are \[\'0\''):
        am.results_of("5")


@pytest.mark.parametrize(
    ("layer", "kernels", "message"),
    [
        (["0", "3"], [6], 'kernel 6 is out of range: layer "0" has 6 kernels'),
        (["0", "3"], {"0": [0], "3": [8]}, 'kernel 8 is out of range: layer "3" has 8 kernels'),
        (["0", "33"], "all", 'layer "33" not found'),
        ([], "all", "layer"),
        ("all-conv", {"0": []}, 'layer "0"'),
        ("all-conv", {"4": [0]}, '"4"'),
        ("all-conv", {"conv": [0]}, '"conv"'),
    ],
)
def test_what_cannot_be_swept_is_refused(
    small_network: nn.Module, layer: Any, kernels: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ActivationMaximization(small_network, layer, kernels, **OPTIONS)


class Odd(nn.Module):
    """Convolutions that cannot be climbed beside one that can."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.pruned = nn.Conv2d(3, 2, 3)
        self.never = nn.Conv2d(3, 2, 3)
        nn.init.zeros_(self.pruned.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen: torch.Tensor = self.pruned(self.twice(self.twice(self.first(images)).relu()))
        return seen


@pytest.mark.usefixtures("without_figures")
def test_layers_that_cannot_be_climbed_are_left_out_unless_they_are_named(climb: Climber) -> None:
    warned = "3 of the layers are left out: .*twice.*2 times.*pruned.*same.*never.*never reached"
    with pytest.warns(UserWarning, match=warned):
        sweep = ActivationMaximization(Odd(), "all-conv", **OPTIONS)
    assert sweep.layers == ["first"]
    climb(sweep)
    assert len(sweep.results) == 3
    for name in ("twice", "pruned", "never"):
        with pytest.raises(ValueError, match=name):
            ActivationMaximization(Odd(), ["first", name], **OPTIONS)
    with pytest.raises(ValueError, match="cannot take images"):
        ActivationMaximization(Odd(), "all-conv", input_spec=InputSpec.rgb(16))


def test_no_convolutions_are_nothing_to_sweep() -> None:
    with pytest.raises(ValueError, match="no layer of type convolution"):
        ActivationMaximization(nn.Sequential(nn.Flatten(), nn.Linear(256, 3)), "all-conv")
