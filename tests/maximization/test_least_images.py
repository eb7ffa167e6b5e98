"""Images that drive kernels least: closed forms, rectifiers, files, and what is said of them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from climbing import GRAY, STILL, Climber
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization
from neurovis.models import load_model

SQUEEZENET = Path(__file__).resolve().parents[3] / "shared" / "data" / "squeezenet1_0_imagenet.pth"
EXACT = {"style": "maximal", **STILL, "precision": "float32", "patience": None}
CONTRAST, LUMINANCE = 0.12, 0.45

pytestmark = pytest.mark.filterwarnings("ignore:.*never falls below 0:UserWarning")


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


@pytest.mark.usefixtures("without_figures")
def test_a_linear_units_poles_are_the_analytic_optimum_and_its_negative(
    climb: Climber, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(1, 1, 7, bias=False))
    am = ActivationMaximization(
        network,
        "0",
        input_spec=GRAY.resized(61),
        sign="both",
        objective="center",
        contrast=CONTRAST,
        luminance=LUMINANCE,
        parametrization="pixel",
        steps=150,
        **EXACT,
    )
    climb(am)
    assert [item.sign for item in am.results.items] == [1, -1]
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for item, row in zip(am.results.items, rows, strict=True):
        kernel = network[0].weight.detach()[item.kernels[0]]
        centered = (kernel - kernel.mean()) / kernel.std(correction=0)
        best = LUMINANCE + item.sign * CONTRAST * centered
        assert _correlation(item.seen(item.image), best) > 0.9999
        expected = pytest.approx(float((kernel * best).sum()), rel=2e-3)
        assert item.activation == expected
        assert float(row["activation"]) == expected
        assert int(row["sign"]) == item.sign
        # What is shown of an ascent is the kernel's own activation, which here falls.
        assert item.sign * float(item.curve[-1] - item.curve[0]) > 0


@pytest.mark.usefixtures("without_figures")
def test_behind_a_rectifier_they_silence_kernels_and_that_is_said(
    small_network: nn.Module, climb: Climber
) -> None:
    with pytest.warns(UserWarning, match='the output of "5" never falls below 0'):
        am = ActivationMaximization(
            small_network, "5", input_spec=GRAY, sign=-1, steps=40, style="maximal"
        )
    climb(am)
    # Kernels that noise silences stay as they are.
    assert (am.results.activations <= 0.7 * am.results.noise_activations).all()
    (silent,) = (am.results.activations == 0).nonzero().T.tolist()
    assert 0 < len(silent) < len(am.results)
    assert am.results.items[silent[0]].counted(am.results.activations[silent[0]].item()) == "0"
    assert not am.results.dead.any()


def test_of_a_layer_before_a_rectifier_nothing_is_said(
    small_network: nn.Module, recwarn: pytest.WarningsRecorder
) -> None:
    ActivationMaximization(small_network, "1", input_spec=GRAY, sign="both")
    assert not any("falls below" in str(one.message) for one in recwarn)


@pytest.mark.usefixtures("without_figures")
def test_they_have_files_and_labels_of_their_own_and_are_found_again(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    options = {"input_spec": GRAY, "steps": 3, "variants": 2}
    am = ActivationMaximization(small_network, "3", [4], sign="both", **options)
    climb(am)
    names = ["kernel_0004", "kernel_0004_2", "kernel_0004_least", "kernel_0004_least_2"]
    assert [item.file_name for item in am.results.items] == names
    assert {path.stem for path in (tmp_path / "finished").rglob("*.npz")} == set(names[::2])
    again = ActivationMaximization(small_network, "3", [4], sign="both", **options)
    climb(again)
    assert torch.equal(again.results.images, am.results.images)
    assert [item.sign for item in again.results.items] == [1, 1, -1, -1]
    # Each is the same alone.
    alone = ActivationMaximization(small_network, "3", [4], sign=-1, **options)
    climb(alone, default_root_dir=tmp_path / "alone")
    assert torch.equal(alone.results.images, am.results.images[2:])
    assert am.results._columns() == 4


def test_labels_name_the_pole_beside_the_class(small_network: nn.Module, climb: Climber) -> None:
    am = ActivationMaximization(small_network, "8", [1], GRAY, "both", steps=2)
    climb(am)
    named = replace(am.results, class_names=["cat", "dog", "owl"])
    assert [named.label(item) for item in named.items] == ["dog (1)", "dog (1), least"]
    assert [len(pole) for pole in named.poles()] == [1, 1]
    assert [len(pole) for pole in replace(named, items=[]).poles()] == [0]


def test_other_signs_are_refused(small_network: nn.Module) -> None:
    with pytest.raises(ValueError, match='sign must be 1, -1 or "both"; got 2'):
        ActivationMaximization(small_network, "3", input_spec=GRAY, sign=2)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.skipif(not SQUEEZENET.exists(), reason=f"{SQUEEZENET} is absent")
@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("layer", ["features.10.expand1x1", "classifier.1"])
def test_natural_poles_of_squeezenet_lie_on_either_side_of_noise(
    climb: Climber, layer: str
) -> None:
    network = load_model("torchvision.models.squeezenet1_0", SQUEEZENET)
    kernels = [9, 71, 207]
    am = ActivationMaximization(network, layer, kernels, InputSpec.rgb(224), "both", steps=48)
    climb(am)
    most, least = am.results.poles()
    with torch.no_grad():
        module = network.get_submodule(layer)
        outputs: list[Tensor] = []
        module.register_forward_hook(lambda *args: outputs.append(args[2].detach().clone()))
        network.eval()(am.input_spec.to_network(least.images))
    own = outputs[0].mean((2, 3))[range(3), kernels]
    torch.testing.assert_close(own, least.activations, rtol=1e-3, atol=0.05)
    assert (least.activations < least.noise_activations).all()
    assert (least.activations < 0).all()
    assert (most.activations > most.noise_activations).all()
    assert torch.equal(least.noise_activations, most.noise_activations)
