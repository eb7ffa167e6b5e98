from __future__ import annotations

import copy
import csv
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from climbing import GREY, Climber
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization, GroupActivationMaximization

STILL = {"jitter": 0, "scale": (1, 1), "rotate": 0}


@pytest.mark.parametrize("parametrization", ["pixel", "fourier"])
@pytest.mark.parametrize("spec", [InputSpec.rgb(15), InputSpec.rgbd(15, depth_range=(0.3, 2.0))])
def test_a_linear_convolution_prefers_its_own_kernel(
    climb: Climber, spec: InputSpec, parametrization: str
) -> None:
    """Maximizing w.x - (penalty / N) |x - grey|^2 has one solution: x = grey + w N / (2 penalty).

    w is the kernel per unit of image value, that is, times the modality's range over its std.
    """
    torch.manual_seed(3)
    layer = nn.Conv2d(spec.channels, 3, 7, padding=3)
    per_image_value = spec.to_network(torch.ones(spec.shape)) - spec.to_network(
        torch.zeros(spec.shape)
    )
    kernels = layer.weight.detach() * per_image_value[:, :1, :1]
    pixels = spec.channels * 15 * 15
    penalty = float(kernels.abs().amax()) * pixels / (2 * 0.3)
    am = ActivationMaximization(
        nn.Sequential(layer),
        "0",
        input_spec=spec,
        objective="center",
        parametrization=parametrization,
        lp=penalty,
        steps=600,
        lr=0.02,
        **STILL,
    )
    climb(am)
    optimum = 0.5 + F.pad(kernels, (4, 4, 4, 4)) * pixels / (2 * penalty)
    for image, kernel, expected in zip(am.results.images, kernels, optimum, strict=True):
        found = image[:, 4:11, 4:11] - 0.5
        assert F.cosine_similarity(found.flatten(), kernel.flatten(), dim=0) > 0.99
        assert (image - expected).abs().max() < 0.02


def test_a_group_of_one_is_that_kernels_own_image(climb: Climber, small_network: nn.Module) -> None:
    options = {"layer": "3", "input_spec": GREY, "steps": 12, "seed": 5}
    single = ActivationMaximization(small_network, kernels=[4, 6], **options)
    climb(single)
    for joint in ("mean", "min"):
        group = GroupActivationMaximization(
            small_network, groups=[[4], [6]], joint=joint, **options
        )
        climb(group)
        assert torch.equal(group.results.images, single.results.images)


def test_an_image_does_not_depend_on_its_neighbours(
    climb: Climber, small_network: nn.Module
) -> None:
    options = {"layer": "5", "input_spec": GREY, "steps": 12}
    together = ActivationMaximization(small_network, kernels=[0, 3, 5, 7], **options)
    climb(together)
    apart = ActivationMaximization(small_network, kernels=[5, 1, 2, 6], **options)
    climb(apart)
    assert torch.equal(together.results.images[2], apart.results.images[0])
    batches = ActivationMaximization(small_network, kernels=[0, 3, 5, 7], batch_size=3, **options)
    climb(batches)
    torch.testing.assert_close(
        batches.results.activations, together.results.activations, rtol=0.01, atol=0
    )


def test_activations_are_those_of_the_users_own_network(
    climb: Climber, small_network: nn.Module
) -> None:
    am = ActivationMaximization(small_network, "5", input_spec=GREY, steps=60)
    climb(am)
    small_network.eval()
    with torch.no_grad():
        for images, reported in (
            (am.results.images, am.results.activations),
            (am.results.starts, am.results.noise_activations),
        ):
            maps = small_network[:6](GREY.to_network(images))
            own = maps.mean((2, 3))[range(8), range(8)]
            assert torch.equal(own, reported), "to the last bit: not those of a folded network"
    assert (am.results.activations > am.results.noise_activations).all()


@pytest.mark.parametrize("objective", ["mean", "center", "max"])
@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "8"])
def test_every_objective_climbs_on_every_kind_of_layer(
    climb: Climber, small_network: nn.Module, layer: str, objective: str
) -> None:
    am = ActivationMaximization(
        small_network, layer, [0, 2], GREY, objective=objective, steps=30, lr=0.1
    )
    climb(am)
    assert (am.results.activations > am.results.noise_activations).all()


def test_the_network_is_left_alone(climb: Climber, small_network: nn.Module) -> None:
    small_network[1].eval()
    before = copy.deepcopy(small_network.state_dict())
    flags = [module.training for module in small_network.modules()]
    climb(ActivationMaximization(small_network, "3", [0], GREY, steps=3))
    after = small_network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert flags == [module.training for module in small_network.modules()]
    assert all(parameter.requires_grad for parameter in small_network.parameters())
    assert not any(module._forward_hooks for module in small_network.modules())


class _Silent(nn.Module):
    """Kernel 0 sleeps on noise and wakes for bright images; kernel 1 is dead; 2 is lively."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(1, 3, 3, bias=True)
        with torch.no_grad():
            self.mix.weight.fill_(1.0)
            self.mix.bias.copy_(torch.tensor([-6.5, -20.0, 0.0]))

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.mix(images))


def test_silent_kernels_are_woken_and_dead_ones_reported(climb: Climber) -> None:
    network = nn.Sequential(_Silent())
    am = ActivationMaximization(network, "0", input_spec=GREY, steps=80, lr=0.1)
    climb(am)
    assert am.results.noise_activations[:2].tolist() == [0.0, 0.0]
    assert am.results.activations[0] > 0.5
    assert am.results.dead.tolist() == [False, True, False]
    assert am.results.activations[1] == 0
    assert am.results.images[1].max() > 0.9, "the pre-activation is climbed all the same"


@pytest.mark.parametrize(
    ("joint", "weights"), [("mean", None), ("min", None), ("weighted", [[1.0, 3.0, -1.0]])]
)
def test_groups_report_every_member(
    climb: Climber, small_network: nn.Module, joint: str, weights: list[list[float]] | None
) -> None:
    group = GroupActivationMaximization(
        small_network, "3", [[1, 4, 6]], GREY, joint, weights, steps=30, lr=0.1
    )
    climb(group)
    (item,) = group.results.items
    members = item.member_activations
    expected = {
        "mean": members.mean(),
        "min": members.min(),
        "weighted": (members[0] + 3 * members[1] - members[2]) / 5,
    }[joint]
    assert item.activation == pytest.approx(float(expected), rel=1e-5)
    assert item.activation > item.noise_activation
    assert [row["kernel"] for row in group.results.rows()] == [1, 4, 6]


def test_min_lifts_the_weakest_member_where_mean_may_drop_it(climb: Climber) -> None:
    """Kernel 1 is kernel 0 turned around: what lifts the one lowers the other."""
    layer = nn.Conv2d(1, 2, 5, bias=False)
    with torch.no_grad():
        layer.weight[1] = -0.2 * layer.weight[0]
    members = {}
    for joint in ("mean", "min"):
        group = GroupActivationMaximization(
            nn.Sequential(layer), "0", [[0, 1]], GREY, joint, steps=60, objective="center", **STILL
        )
        climb(group)
        members[joint] = group.results.items[0].member_activations
    assert members["mean"].min() < -0.05
    assert members["min"].min() > -0.01


def test_whole_layer_and_batches_of_it_as_groups(small_network: nn.Module) -> None:
    whole = GroupActivationMaximization(small_network, "3", "all", GREY)
    assert [target.kernels for target in whole.targets] == [tuple(range(8))]
    batches = GroupActivationMaximization(small_network, "3", "each:3", GREY)
    assert [target.kernels for target in batches.targets] == [(0, 1, 2), (3, 4, 5), (6, 7)]
    named = GroupActivationMaximization(small_network, "3", "0-2;7", GREY)
    assert [target.kernels for target in named.targets] == [(0, 1, 2), (7,)]


def test_starts(climb: Climber, small_network: nn.Module) -> None:
    image = torch.rand(GREY.shape).clamp(0.01, 0.99)
    for init, expected in (("zero", torch.full(GREY.shape, 0.5)), (image, image)):
        am = ActivationMaximization(small_network, "3", [2], GREY, init=init, steps=4)
        climb(am)
        torch.testing.assert_close(am.results.starts[0], expected, atol=1e-4, rtol=0)
        noise = ActivationMaximization(small_network, "3", [2], GREY, steps=1)
        climb(noise)
        assert torch.equal(am.results.noise_activations, noise.results.noise_activations)


def test_a_callable_objective_is_climbed(climb: Climber, small_network: nn.Module) -> None:
    am = ActivationMaximization(
        small_network, "3", [1], GREY, steps=20, objective=lambda maps: maps[:, :, 0, 0]
    )
    climb(am)
    with torch.no_grad():
        corner = small_network.eval()[:4](am.results.images)[0, 1, 0, 0]
    assert float(am.results.activations) == pytest.approx(float(corner), rel=1e-4)
    assert am.results.items[0].target_map.nonzero().tolist() == [[0, 0]]


def test_files_and_tensorboard(climb: Climber, small_network: nn.Module, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    am = ActivationMaximization(small_network, "3", [1, 5], GREY, steps=12, batch_size=1, seed=9)
    trainer = climb(am, logger=TensorBoardLogger(tmp_path), log_every_n_steps=4)
    folder = Path(trainer.log_dir or "")
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["kernel"], row["steps"], row["seed"]) for row in rows] == [
        ("3", "1", "12", "9"),
        ("3", "5", "12", "9"),
    ]
    assert float(rows[1]["activation"]) == pytest.approx(float(am.results.activations[1]))
    assert float(rows[1]["noise_activation"]) == pytest.approx(
        float(am.results.noise_activations[1])
    )
    assert rows[0]["dead"] == "False"
    arrays = np.load(folder / "images.npz")
    np.testing.assert_array_equal(arrays["images"], am.results.images)
    assert arrays["kernels"].tolist() == [1, 5]
    for name in ("grid.png", "images/kernel_0005.png", "signatures/kernel_0001.png"):
        with Image.open(folder / name) as picture:
            assert np.asarray(picture).std() > 5, f"{name} is blank"
    events = EventAccumulator(str(folder)).Reload()
    assert "activation_maximization/3" in events.Tags()["images"]
    curve = events.Scalars("activation_maximization/3/activation")
    assert [event.step for event in curve] == [3, 7, 11, 15, 19, 23]
    assert curve[2].value > curve[0].value


def test_tensorboard_of_groups(climb: Climber, small_network: nn.Module, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    group = GroupActivationMaximization(small_network, "3", "each:4", GREY, steps=6)
    trainer = climb(group, logger=TensorBoardLogger(tmp_path), log_every_n_steps=2)
    events = EventAccumulator(trainer.log_dir).Reload()
    assert "group_activation_maximization/3" in events.Tags()["images"]
    assert len(events.Scalars("group_activation_maximization/3/activation")) == 3
    names = {path.name for path in (Path(trainer.log_dir or "") / "images").iterdir()}
    assert names == {"group_0000.png", "group_0001.png"}


def test_the_picture_of_an_image_is_that_image(
    climb: Climber, small_network: nn.Module, tmp_path: Path
) -> None:
    am = ActivationMaximization(small_network, "3", [1], GREY, steps=5)
    climb(am)
    with Image.open(tmp_path / "images" / "kernel_0001.png") as picture:
        shown = np.asarray(picture.convert("L"))
    expected = (am.results.images[0, 0].numpy() * 255).round()
    height, width = shown.shape
    top, left = (height - 16) // 2, (width - 16) // 2
    np.testing.assert_allclose(shown[top : top + 16, left : left + 16], expected, atol=1)


def test_a_checkpoint_holds_results_and_the_ascent_goes_on(
    climb: Climber, small_network: nn.Module, tmp_path: Path
) -> None:
    options = {"layer": "3", "kernels": [0, 2, 4], "input_spec": GREY, "steps": 6}
    whole = ActivationMaximization(small_network, batch_size=1, **options)
    climb(whole)
    first = ActivationMaximization(small_network, batch_size=1, **options)
    checkpoint = tmp_path / "first.ckpt"
    climb(first, max_epochs=2).save_checkpoint(checkpoint)
    assert len(first.results) == 2
    assert not [key for key in torch.load(checkpoint)["state_dict"] if "network" in key]
    rest = ActivationMaximization(small_network, batch_size=1, **options)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(rest, ckpt_path=checkpoint, weights_only=True)
    assert torch.equal(rest.results.images, whole.results.images)


def test_a_second_fit_has_nothing_left_to_do(
    climb: Climber, small_network: nn.Module, tmp_path: Path
) -> None:
    am = ActivationMaximization(small_network, "3", [0, 2], GREY, steps=4)
    climb(am)
    before = am.results.images
    (tmp_path / "results.csv").unlink()
    assert climb(am).global_step == 0
    assert torch.equal(am.results.images, before)
    assert (tmp_path / "results.csv").exists()


def test_an_ascent_that_is_cut_short_says_so(climb: Climber, small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "3", [0, 2], GREY, steps=4, batch_size=1)
    climb(am, max_steps=6)
    assert [row["steps"] for row in am.results.rows()] == [4, 2]
    assert am.results.curves.isnan().sum() == 2


@pytest.mark.parametrize("every", [2, 3, 4])
def test_a_checkpoint_in_the_middle_of_a_batch_is_gone_on_from(
    climb: Climber, small_network: nn.Module, tmp_path: Path, every: int
) -> None:
    options = {"layer": "5", "kernels": [0, 2, 4], "input_spec": GREY, "steps": 4, "batch_size": 2}
    whole = ActivationMaximization(small_network, **options)
    saved = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=every, save_top_k=-1)
    climb(whole, enable_checkpointing=True, callbacks=[saved])
    for checkpoint in (tmp_path / "kept").iterdir():
        rest = ActivationMaximization(small_network, **options)
        trainer = pl.Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, max_epochs=-1,
            default_root_dir=tmp_path, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(rest, ckpt_path=checkpoint, weights_only=True)
        assert torch.equal(rest.results.images, whole.results.images), checkpoint.name
        assert torch.equal(rest.results.curves, whole.results.curves)


def test_one_trainer_serves_two_modules(climb: Climber, small_network: nn.Module) -> None:
    first = ActivationMaximization(small_network, "3", [0, 2], GREY, steps=3)
    second = ActivationMaximization(small_network, "3", [5], GREY, steps=3)
    trainer = climb(first)
    trainer.fit(second)
    assert len(second.results) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_types(
    climb: Climber, small_network: nn.Module, dtype: torch.dtype
) -> None:
    am = ActivationMaximization(small_network.to(dtype), "5", [0, 1], GREY, steps=20, lr=0.1)
    climb(am)
    assert am.results.images.dtype == torch.float32
    assert (am.results.activations >= am.results.noise_activations).all()


def test_a_layer_that_is_asleep_as_a_whole_is_woken(climb: Climber) -> None:
    layer = nn.Conv2d(1, 1, 3)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(-6.5)
    am = ActivationMaximization(nn.Sequential(layer, nn.ReLU()), "1", "all", GREY, steps=60, lr=0.1)
    climb(am)
    assert am.results.noise_activations.tolist() == [0.0]
    assert am.results.activations[0] > 0.1


def test_gradient_checkpointing(climb: Climber) -> None:
    class Checkpointed(_Silent):
        def forward(self, images: Tensor) -> Tensor:
            wake = torch.utils.checkpoint.checkpoint(super().forward, images, use_reentrant=False)
            return wake + 0

    results = []
    for network in (_Silent(), Checkpointed()):
        am = ActivationMaximization(nn.Sequential(network), "0", [2], GREY, steps=6)
        climb(am)
        results.append(am.results.images)
    assert torch.equal(*results)
    am = ActivationMaximization(nn.Sequential(Checkpointed()), "0", [0], GREY, steps=6)
    with pytest.raises(ValueError, match="cannot be woken through gradient checkpointing"):
        climb(am)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate_grad_batches": 2}, "accumulate_grad_batches"),
        ({"gradient_clip_val": 1.0}, "gradient_clip_val"),
        ({"precision": "bf16-true"}, "optimized in float32"),
    ],
)
def test_trainer_options_that_would_falsify_images_are_refused(
    climb: Climber, small_network: nn.Module, options: dict[str, object], message: str
) -> None:
    am = ActivationMaximization(small_network, "3", [0], GREY, steps=2)
    with pytest.raises(ValueError, match=message):
        climb(am, **options)


def test_a_trial_run_writes_nothing(
    climb: Climber, small_network: nn.Module, tmp_path: Path
) -> None:
    climb(ActivationMaximization(small_network, "3", [0], GREY, steps=5), fast_dev_run=True)
    assert not list(tmp_path.iterdir())


def test_without_results_it_says_so(climb: Climber, small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "3", [0], GREY, steps=5)
    with pytest.warns(UserWarning, match="no results"):
        climb(am, limit_train_batches=1, max_steps=0)


def test_a_constant_kernel_is_dead_wherever_its_bias_is(climb: Climber) -> None:
    layer = nn.Conv2d(1, 2, 3)
    with torch.no_grad():
        layer.weight[0], layer.bias[0] = 0.0, 3.0
    am = ActivationMaximization(nn.Sequential(layer), "0", input_spec=GREY, steps=4)
    climb(am)
    assert am.results.dead.tolist() == [True, False]


def test_a_member_that_is_suppressed_is_not_called_dead(climb: Climber) -> None:
    group = GroupActivationMaximization(
        nn.Sequential(_Silent()), "0", [[1, 2]], GREY, "weighted", [[-1.0, 1.0]], steps=3
    )
    climb(group)
    assert group.results.items[0].dead_members == [False, False]


def test_it_pickles(small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "3", [0], GREY, steps=2)
    assert pickle.loads(pickle.dumps(am)).targets == am.targets


def test_rgbd_images_have_all_their_modalities(climb: Climber, tmp_path: Path) -> None:
    spec = InputSpec.rgbd((20, 24), depth_range=(0.3, 2.0), depth_mean=1.0, depth_std=0.4)
    network = nn.Sequential(nn.Conv2d(4, 4, 5), nn.ReLU())
    am = ActivationMaximization(network, "1", input_spec=spec, steps=20)
    climb(am)
    assert am.results.images.shape == (4, 4, 20, 24)
    moved = (am.results.images - am.results.starts).abs().mean((0, 2, 3))
    assert (moved > 0.01).all(), "every channel is optimized"
    assert list(np.load(tmp_path / "images.npz")["modalities"]) == ["rgb", "depth"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "features.3"}, 'layer "features.3" not found'),
        ({"layer": "3", "kernels": [8]}, 'kernel 8 is out of range: layer "3" has 8 kernels'),
        ({"layer": "3", "kernels": [-1]}, "kernel -1 is out of range"),
        ({"layer": "3", "kernels": []}, "none selected"),
        ({"layer": "3", "kernels": ""}, "none selected"),
        ({"layer": "3", "kernels": "0-x"}, 'cannot read "0-x"'),
        ({"layer": "3", "steps": 0}, "steps must be an integer of at least 1; got 0"),
        ({"layer": "3", "batch_size": -2}, "batch_size must be"),
        ({"layer": "3", "lr": float("nan")}, "lr must be a number of at least 0; got nan"),
        ({"layer": "3", "objective": "median"}, "objective must be .*; got 'median'"),
        ({"layer": "3", "parametrization": "wavelet"}, "got 'wavelet'"),
        ({"layer": "3", "init": "photo"}, "got 'photo'"),
        ({"layer": "3", "tv": -1.0}, "tv must be"),
        ({"layer": "3", "scale": (1.2, 0.9)}, "scale must be"),
        ({"layer": "3", "scale": (1.0, float("inf"))}, "scale must be"),
        ({"layer": "3", "tv": "a"}, "tv must be a number of at least 0; got 'a'"),
        ({"layer": "3", "seed": 1.5}, r"seed must be an integer of at least 0; got 1\.5"),
        ({"layer": "3", "lp_order": float("inf")}, "lp_order must be"),
        ({"layer": "3", "objective": 3}, "objective must be .*; got 3"),
        ({"layer": "3", "init": np.zeros((1, 16, 16))}, "init must be .*; got ndarray"),
        ({"layer": "3", "init": torch.full((1, 16, 16), 200.0)}, r"values in \[0, 1\]"),
        ({"layer": "3", "input_spec": InputSpec.rgb(16)}, r"cannot take images of shape \(3, 16"),
        ({"layer": "3", "input_spec": GREY.resized(2)}, r"cannot take images of shape \(1, 2, 2\)"),
    ],
)
def test_bad_input_is_named(
    small_network: nn.Module, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ActivationMaximization(small_network, **{"input_spec": GREY, **options})


def test_unknown_options_and_kernels_of_other_types_are_named(small_network: nn.Module) -> None:
    with pytest.raises(TypeError, match="stepps"):
        ActivationMaximization(small_network, "3", input_spec=GREY, stepps=3)
    with pytest.raises(TypeError, match=r"kernels are integers; got 1\.5"):
        ActivationMaximization(small_network, "3", [1.5], GREY)
    with pytest.raises(TypeError, match="model must be of type Module; got str"):
        ActivationMaximization("resnet18", "3", input_spec=GREY)
    with pytest.raises(TypeError, match="layer must be of type str; got int"):
        ActivationMaximization(small_network, 3, input_spec=GREY)
    with pytest.raises(TypeError, match="input_spec must be of type InputSpec; got int"):
        ActivationMaximization(small_network, "3", input_spec=224)


def test_a_forward_that_wants_more_than_images_is_named() -> None:
    class Asking(nn.Conv2d):
        def forward(self, images: Tensor, question: str) -> Tensor:
            return super().forward(images) if question else images

    with pytest.raises(ValueError, match=r"cannot be called with images alone: .*question"):
        ActivationMaximization(nn.Sequential(Asking(1, 2, 3)), "0", input_spec=GREY)


def test_an_objective_of_another_shape_is_named(climb: Climber, small_network: nn.Module) -> None:
    am = ActivationMaximization(
        small_network, "3", [1], GREY, steps=2, objective=lambda maps: maps.mean()
    )
    with pytest.raises(ValueError, match=r"one number for each image and kernel, \(1, 8\)"):
        climb(am)


def test_nan_and_constant_activations_are_named(small_network: nn.Module) -> None:
    broken = copy.deepcopy(small_network)
    with torch.no_grad():
        broken[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match='"3" gives NaN or infinite values'):
        ActivationMaximization(broken, "3", input_spec=GREY)
    constant = copy.deepcopy(small_network)
    nn.init.zeros_(constant[3].weight)
    with pytest.raises(ValueError, match='"3" gives the same response'):
        ActivationMaximization(constant, "3", input_spec=GREY)


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    small_network: nn.Module, climb: Climber
) -> None:
    am = ActivationMaximization(small_network, "3", [0, 1], GREY, steps=2)
    (climb.folder / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="cannot write to"):
        climb(am, default_root_dir=climb.folder / "file" / "runs")
    assert len(am.results) == 0


def test_a_strategy_that_mixes_images_is_refused(small_network: nn.Module) -> None:
    am = ActivationMaximization(small_network, "3", [0, 1], GREY, steps=2)
    am.trainer = SimpleNamespace(strategy=DDPStrategy(), world_size=2)
    with pytest.raises(ValueError, match=r'DDPStrategy would average .*"neurovis_independent"'):
        am.on_fit_start()


_TWO_PROCESSES = """
import sys
import lightning.pytorch as pl
import torch
from torch import nn
from neurovis import ActivationMaximization, InputSpec

torch.set_num_threads(1)
devices, folder = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 5, 5), nn.ReLU(), nn.Conv2d(5, 5, 3))
am = ActivationMaximization(network, "2", input_spec=InputSpec.rgb(20), steps=8, batch_size=1)
trainer = pl.Trainer(
    accelerator="cpu", devices=devices, default_root_dir=folder, logger=False,
    enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    strategy="neurovis_independent" if devices > 1 else "auto",
)
trainer.fit(am)
assert len(am.results) == 5
"""


def test_two_processes_make_the_images_of_one(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(_TWO_PROCESSES)
    images = []
    for devices in ("1", "2"):
        folder = tmp_path / devices
        subprocess.run(
            [sys.executable, str(script), devices, str(folder)],
            check=True,
            timeout=200,
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        images.append(np.load(folder / "images.npz"))
    np.testing.assert_array_equal(images[0]["images"], images[1]["images"])
    np.testing.assert_array_equal(images[0]["kernels"], images[1]["kernels"])
