"""The demo network, its shipped weights and the module that trains it."""

import warnings
from importlib import resources

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from neurovis.demo import (
    SHAPES,
    ShapeClassifier,
    ShapeNet,
    ShapeScenes,
    ShapeScenesDataModule,
    load_demo_network,
)
from neurovis.demo.classifier import blank_at_random, perturb
from neurovis.demo.network import WEIGHTS_FILE, export_weights
from neurovis.demo.scenes import BLANK, blank_modality


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Batches this small are slower on several threads, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network():
    return load_demo_network()


@pytest.fixture(scope="module")
def fresh_scenes():
    """Scenes of a seed that the recipe uses nowhere."""
    scenes = ShapeScenes(length=600, seed=4321).__getitems__(range(600))
    return torch.stack([image for image, _ in scenes]), torch.tensor([label for _, label in scenes])


@pytest.mark.parametrize(("withheld", "required"), [(None, 0.90), ("rgb", 0.75), ("depth", 0.75)])
@torch.no_grad()
def test_shipped_weights_know_the_shapes(network, fresh_scenes, withheld, required):
    images, labels = fresh_scenes
    if withheld:
        images = blank_modality(images, withheld)
    right = network(images).argmax(1) == labels
    assert right.float().mean() >= required
    # No class is given up for the others.
    assert min(right[labels == label].float().mean() for label in range(8)) >= required - 0.25


@torch.no_grad()
def test_without_color_and_depth_nothing_is_known(network, fresh_scenes):
    """The accuracies above are earned from the pictures: with both withheld, chance remains."""
    images, labels = fresh_scenes
    blank = blank_modality(blank_modality(images, "rgb"), "depth")
    assert (network(blank).argmax(1) == labels).float().mean() == pytest.approx(1 / 8)


def test_shipped_file_is_small_and_needs_no_unpickling_of_code():
    file = resources.files("neurovis.demo").joinpath(WEIGHTS_FILE)
    assert len(file.read_bytes()) < 1_000_000
    with file.open("rb") as stream:
        weights = torch.load(stream, weights_only=True)
    assert set(weights) == set(ShapeNet().state_dict())


def test_loaded_network_is_ready(network):
    assert not network.training
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.equal(network.conv1.weight, load_demo_network().conv1.weight)


def smoothness(kernels):
    """Correlation of neighboring weights in each plane ``(K, h, w)``: 0 for noise."""
    right = (kernels[:, :, 1:] * kernels[:, :, :-1]).mean(axis=(1, 2))
    down = (kernels[:, 1:] * kernels[:, :-1]).mean(axis=(1, 2))
    return (right + down) / 2 / (kernels**2).mean(axis=(1, 2))


def spectral_anisotropy(kernels):
    """Strength of the second circular moment of spectral power over orientation, in [0, 1]."""
    power = np.abs(np.fft.fft2(kernels - kernels.mean(axis=(1, 2), keepdims=True), (32, 32))) ** 2
    frequency = np.fft.fftfreq(32)
    doubled_angle = 2 * np.arctan2(frequency[:, None], frequency[None, :])
    moment = (power * np.exp(1j * doubled_angle)).sum(axis=(1, 2))
    return np.abs(moment) / power.sum(axis=(1, 2))


@pytest.mark.parametrize("measure", [smoothness, spectral_anisotropy])
@pytest.mark.parametrize("modality", ["rgb", "depth"])
def test_first_layer_learned_oriented_structure(network, measure, modality):
    """Against kernels of independent noise; of rgb, the direction in color that varies most."""
    weights = network.conv1.weight.detach().numpy()
    noise = np.random.default_rng(0).normal(size=(1000, *weights.shape[1:]))

    def planes(kernels):
        if modality == "depth":
            return kernels[:, 3]
        _, _, directions = np.linalg.svd(kernels[:, :3].reshape(len(kernels), 3, -1))
        return directions[:, 0].reshape(len(kernels), *kernels.shape[2:])

    learned, chance = measure(planes(weights)), measure(planes(noise))
    assert np.median(learned) > np.quantile(chance, 0.95)
    assert (learned > np.quantile(chance, 0.95)).mean() > 0.5


def test_first_layer_sees_color_and_luminance(network):
    """Kernels differ in how much of their color power is along gray; noise has a third there."""
    weights = network.conv1.weight.detach()[:, :3].flatten(2)
    gray = weights.mean(dim=1).square().sum(dim=1) * 3 / weights.square().sum(dim=(1, 2))
    assert gray.max() > 0.6
    assert gray.min() < 0.15


def test_first_layer_uses_both_modalities(network):
    weights = network.conv1.weight.detach()
    power = {"rgb": weights[:, :3].square().sum(), "depth": weights[:, 3:].square().sum()}
    assert min(power.values()) > 0.1 * max(power.values())


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (96, 80)])
def test_any_size_from_32(size):
    assert ShapeNet()(torch.rand(2, 4, *size)).shape == (2, len(SHAPES))


def test_every_rectifier_is_its_own_module():
    network = ShapeNet()
    rectifiers = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    calls = []
    for module in rectifiers:
        module.register_forward_hook(lambda module, *_: calls.append(module))
    network(torch.rand(1, 4, 64, 64))
    assert calls == rectifiers


def test_export_and_load(tmp_path, network):
    export_weights(network, tmp_path / "weights.pt")
    export_weights(network, tmp_path / "other_name.pt")
    assert (tmp_path / "weights.pt").read_bytes() == (tmp_path / "other_name.pt").read_bytes()
    again = torch.load(tmp_path / "weights.pt", weights_only=True)
    for name, value in network.state_dict().items():
        assert again[name].dtype == torch.float16
        assert torch.equal(again[name].float(), value)  # shipped values are exact in float16


def test_blanking_at_random():
    torch.manual_seed(0)
    images = torch.rand(4000, 4, 2, 2)
    seen, shown = blank_at_random(images, 0.25)
    rgb, depth = shown[:, 0, 0, 0], shown[:, 3, 0, 0]
    assert torch.equal(seen, torch.where(shown.bool(), images, torch.tensor(BLANK)))
    assert torch.equal(shown[:, 0], shown[:, 1])
    assert torch.equal(shown[:, 0], shown[:, 2])
    assert rgb.mean() == pytest.approx(0.75, abs=0.03)
    assert depth.mean() == pytest.approx(0.75, abs=0.03)
    assert (rgb + depth).min() == 1


@pytest.mark.parametrize("steps", [1, 3])
def test_perturbation_is_the_analytic_one_for_a_linear_classifier(steps):
    """Of two classes and a linear map, the worst change points along the weights' difference."""
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4 * 8 * 8, 2))
    images = 0.5 + 0.01 * torch.randn(5, 4, 8, 8)
    labels = torch.tensor([0, 1, 0, 1, 1])
    worse = perturb(linear, images, labels, torch.ones(5, 4, 1, 1), radius=0.5, steps=steps)
    change = (worse - images).flatten(1)
    away = linear[1].weight[1 - labels] - linear[1].weight[labels]
    expected = 0.5 * away / away.norm(dim=1, keepdim=True)
    assert torch.allclose(change, expected, atol=1e-5)
    assert not worse.requires_grad
    assert linear[1].weight.grad is None


def test_perturbation_leaves_withheld_channels():
    torch.manual_seed(0)
    shown = torch.tensor([1.0, 1.0, 1.0, 0.0])[None, :, None, None]
    images = torch.rand(1, 4, 64, 64)
    worse = perturb(ShapeNet(), images, torch.tensor([0]), shown, radius=1.0, steps=2)
    assert torch.equal(worse[:, 3], images[:, 3])
    assert 0.5 < (worse - images).norm() <= 1.0001
    assert worse.min() >= 0
    assert worse.max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blanking": 0.6}, r"blanking must be in \[0, 0.5\]; got 0.6"),
        ({"adversarial_radius": -1.0}, "adversarial_radius must be at least 0; got -1.0"),
        ({"adversarial_steps": 0}, "adversarial_steps must be at least 1; got 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShapeClassifier(**arguments)


def fit(steps, **arguments):
    """Trains briefly and returns the module and what it logged."""
    L.seed_everything(0)
    module = ShapeClassifier(**arguments)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = ShapeScenesDataModule(train_length=8 * steps, val_length=64, batch_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, datamodule=data)
    return module, trainer.callback_metrics


@pytest.mark.parametrize("radius", [0.0, 0.5])
def test_training_is_deterministic_and_reports(radius):
    module, metrics = fit(4, adversarial_radius=radius)
    again, _ = fit(4, adversarial_radius=radius)
    for name, value in module.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert {"val_accuracy", "val_accuracy_rgb", "val_accuracy_depth"} <= set(metrics)


def test_validation_accuracy_is_that_of_the_network():
    module, metrics = fit(8)
    images, labels = next(iter(DataLoader(ShapeScenes(64, seed=1), 64)))
    with torch.no_grad():
        expected = (module(images).argmax(1) == labels).float().mean()
    assert metrics["val_accuracy"] == pytest.approx(float(expected))
