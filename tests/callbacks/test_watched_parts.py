"""Monitors of a part of a module, and of modules that take several inputs or videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adversaries import Adversaries
from lightning.pytorch import Callback, LightningModule
from promise import trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from neurovis import InputSpec, Modality
from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    SaliencyMonitor,
)
from neurovis.callbacks.image_finder import find_modalities
from neurovis.observation import Observation

SIZE = 9
SPEC = InputSpec((Modality("rgb", 3), Modality("depth", 1)), SIZE, "arguments")


def backbone() -> nn.Sequential:
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4, 5))


def adversaries() -> Adversaries:
    return Adversaries(backbone(), SIZE)


class Ordinary(LightningModule):
    """A backbone and a head, trained by a function of both."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"backbone": backbone(), "head": nn.Linear(5, 2)})
        self.apart = [backbone()]

    def training_step(self, batch: Any) -> Tensor:
        loss: Tensor = self.parts["head"](self.parts["backbone"](batch[0])).square().mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parts.parameters(), 0.01)


class TwoStreams(LightningModule):
    """A forward of color and depth, whose batches are ``{"rgb", "depth", "target"}``."""

    def __init__(self) -> None:
        super().__init__()
        self.color, self.depth = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 5)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        scores: Tensor = self.head((self.color(rgb) + self.depth(depth)).relu().mean((2, 3)))
        return scores

    def training_step(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self(batch["rgb"], batch["depth"]), batch["target"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def color_loader() -> DataLoader[Any]:
    images = torch.rand(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(images, torch.zeros(8).long()), batch_size=4)


def both_loader() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    samples = [
        {
            "depth": torch.rand(1, SIZE, SIZE, generator=generator),
            "rgb": torch.rand(3, SIZE, SIZE, generator=generator),
            "target": 0,
        }
        for _ in range(8)
    ]
    return DataLoader(samples, batch_size=4)  # type: ignore[arg-type]


def monitors(conv: str, **options: Any) -> list[Callback]:
    """One of each kind, with little to do."""
    some: dict[str, Any] = {"max_images": 1, "on_error": "raise", **options}
    return [
        FeatureMapMonitor(conv, max_kernels=2, **some),
        SaliencyMonitor(**some),
        ActivationMaximizationMonitor(conv, kernels=[0], steps=2, **some),
        KernelRankingMonitor(conv, max_kernels=1, null_kernels=4, **some),
    ]


def trained(
    module: LightningModule, data: DataLoader[Any], folder: Path, callbacks: Sequence[Callback] = ()
) -> dict[str, Tensor]:
    """The weights after a short training."""
    torch.manual_seed(0)
    run = trainer(folder, callbacks=list(callbacks), max_epochs=1)
    run.fit(module, data)
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def made(kind: Callable[[], LightningModule]) -> LightningModule:
    torch.manual_seed(0)
    return kind()


def tags(folder: Path) -> set[str]:
    """Tags of all pictures that were written."""
    version = folder / "lightning_logs/version_0"
    return {str(path.parent.relative_to(version)) for path in version.rglob("*.png")}


@pytest.mark.parametrize(
    ("kind", "network", "name"),
    [
        (adversaries, "discriminator", "discriminator"),
        (Ordinary, "parts.backbone", "parts.backbone"),
        (Ordinary, lambda module: module.apart[0], "average"),
    ],
)
def test_all_monitors_of_a_part(kind: Any, network: Any, name: str, tmp_path: Path) -> None:
    options = {"network": network, "input_spec": InputSpec(Modality("rgb", 3), SIZE)}
    if callable(network):
        options["name"] = name
    plain = trained(made(kind), color_loader(), tmp_path / "plain")
    watched = trained(made(kind), color_loader(), tmp_path, monitors("0", **options))
    assert all(torch.equal(plain[key], watched[key]) for key in plain)
    kinds = ("feature_maps", "saliency", "activation_maximization", "kernel_ranking")
    for kind_of_tag in kinds:
        assert any(tag.startswith(f"{kind_of_tag}_{name}/") for tag in tags(tmp_path)), kind_of_tag


def test_the_part_itself_is_read(tmp_path: Path) -> None:
    seen: dict[str, Tensor] = {}

    class Reading(FeatureMapMonitor):
        def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
            assert step in (0, 1)
            seen.update(self.activations(network, images))
            seen["expected"] = module.discriminator[0](images)
            return Observation()

    module = made(adversaries)
    reading = Reading("0", network="discriminator", on_error="raise")
    trained(module, color_loader(), tmp_path, [reading])
    assert torch.equal(seen["0"], seen["expected"])


def test_wrong_parts_are_refused(tmp_path: Path) -> None:
    wrong = FeatureMapMonitor("0", network="discriminatr")
    with pytest.raises(ValueError, match=r'"discriminatr" not found; did you mean "discriminator"'):
        trained(made(adversaries), color_loader(), tmp_path, [wrong])
    with pytest.raises(ValueError, match="give the monitor a name="):
        FeatureMapMonitor("0", network=lambda module: module.discriminator)
    none = FeatureMapMonitor("0", network=lambda _: 3, name="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"network must return a torch.nn.Module; got int"):
        trained(made(adversaries), color_loader(), tmp_path, [none])
    whole = FeatureMapMonitor("discriminator.0")
    with pytest.warns(UserWarning, match=r'no forward\(images\).* network="backbone"'):
        trained(made(adversaries), color_loader(), tmp_path, [whole])


def test_two_streams(tmp_path: Path) -> None:
    spec = replace(SPEC, passed_as="keywords")
    plain = trained(made(TwoStreams), both_loader(), tmp_path / "plain")
    watching = monitors("color", input_spec=spec)
    watched = trained(made(TwoStreams), both_loader(), tmp_path, watching)
    assert all(torch.equal(plain[key], watched[key]) for key in plain)
    assert {tag.partition("/")[0] for tag in tags(tmp_path)} >= {"feature_maps", "saliency"}
    # The probe is the first image of the batch, color before depth.
    first = next(iter(both_loader()))
    assert isinstance(watching[0], FeatureMapMonitor)
    expected = torch.cat([first["rgb"][:1], first["depth"][:1]], dim=1)
    assert torch.equal(watching[0].probe._images, expected)  # type: ignore[arg-type]


class TestFindModalities:
    RGB, DEPTH = torch.rand(2, 3, SIZE, SIZE), torch.rand(2, 1, SIZE, SIZE)

    @pytest.mark.parametrize("order", ["rgb first", "depth first", "by name"])
    def test_by_name_or_channels(self, order: str) -> None:
        batch: Any = (self.RGB, self.DEPTH, torch.zeros(2))
        if order == "depth first":
            batch = [self.DEPTH, self.RGB]
        if order == "by name":
            other = torch.rand(2, 1, SIZE, SIZE)
            batch = {"mask": other, "inputs": {"depth": self.DEPTH, "rgb": self.RGB}}
        images, where = find_modalities(batch, SPEC)
        assert torch.equal(images, torch.cat([self.RGB, self.DEPTH], 1))
        assert where.count(" and ") == 1

    def test_a_name_comes_before_the_order(self) -> None:
        pair = InputSpec((Modality("left", 3), Modality("right", 3)), SIZE, "arguments")
        left, right = self.RGB, torch.rand(2, 3, SIZE, SIZE)
        images, _ = find_modalities({"right": right, "first": left}, pair)
        assert torch.equal(images, torch.cat([left, right], 1))

    def test_a_mask_is_not_taken_for_depth(self) -> None:
        batch = {"rgb": self.RGB, "mask": torch.rand(2, 1, SIZE, SIZE), "depths": self.DEPTH}
        with pytest.raises(ValueError, match=r"several tensors may be \"depth\": batch\['mask'\]"):
            find_modalities(batch, SPEC)
        views = {"one": {"depths": self.DEPTH}, "two": {"depths": torch.rand(2, 1, SIZE, SIZE)}}
        images, _ = find_modalities({"rgb": self.RGB, **views}, SPEC)
        assert torch.equal(images, torch.cat([self.RGB, self.DEPTH], 1))

    def test_videos(self) -> None:
        video = torch.rand(2, 3, 4, SIZE, SIZE)
        images, _ = find_modalities((video, 0), InputSpec.video(4, SIZE))
        assert torch.equal(images[:, 3:6], video[:, :, 1])

    def test_what_is_missing_is_said(self) -> None:
        with pytest.raises(ValueError, match=r'no tensor of "depth", \(any, 1, any, any\)'):
            find_modalities((self.RGB, self.RGB), SPEC)
        small = self.DEPTH[..., :4, :4]
        with pytest.raises(ValueError, match=r"batch\[0\] and batch\[1\] do not go together"):
            find_modalities((self.RGB, small), SPEC)
