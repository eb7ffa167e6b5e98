"""Networks of several inputs against the same networks behind a wrapper of one, and videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor, nn

from neurovis import (
    ActivationMaximization,
    InputSpec,
    Modality,
    kernel_saliency,
    list_layers,
    one_input,
    rank_kernels,
)
from neurovis.analysis import FeatureReader
from neurovis.calling import argument_shapes, call_arguments, stack_arguments
from neurovis.demo import TwoStreamNet
from neurovis.inputs import PassedAs
from neurovis.saliency import Method
from neurovis.top_images import find_top_images

SIZE = 24
RGB, DEPTH = Modality("rgb", 3, mean=(0.4,), std=(0.3,)), Modality("depth", 1, (0.3, 2.0), 1.0, 0.5)
STACKED = InputSpec((RGB, DEPTH), SIZE)
IMAGES = torch.rand(2, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


class Behind(nn.Module):
    """The same network behind a wrapper that takes all channels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network(images[:, :3], images[:, 3:])


class Taking(TwoStreamNet):
    """Takes its inputs in one of the ways."""

    def __init__(self, way: str) -> None:
        super().__init__(4)
        self.way = way

    def forward(self, *args: Any, **kwargs: Tensor) -> Tensor:
        if self.way == "keywords":
            return super().forward(**kwargs)
        if self.way == "arguments":
            return super().forward(*args)
        (both,) = args
        return super().forward(**both) if isinstance(both, Mapping) else super().forward(*both)


def two_streams(way: str = "arguments") -> nn.Module:
    torch.manual_seed(0)
    return Taking(way).eval()


def spec_of(way: PassedAs) -> InputSpec:
    return replace(STACKED, modalities=(replace(RGB, argument="image"), DEPTH), passed_as=way)


def preferred(network: nn.Module, layer: str, spec: InputSpec, folder: Path, **more: Any) -> Tensor:
    module = ActivationMaximization(network, layer, "0,1", input_spec=spec, **more)
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    Trainer(accelerator="cpu", max_epochs=-1, default_root_dir=folder, **quiet).fit(module)
    return module.results.images


@pytest.mark.parametrize("way", ["arguments", "keywords", "dict", "list"])
class TestTheSameBehindAWrapper:
    """Bitwise: the wrapper slices channels as the spec does."""

    def test_layers(self, way: PassedAs) -> None:
        network = two_streams(way)
        found = list_layers(network, spec_of(way))
        behind = list_layers(Behind(two_streams()), STACKED)
        assert [row.name for row in found] == ["color.0", "depth.0", "both.0", "classifier"]
        assert [replace(row, name=f"network.{row.name}") for row in found] == behind

    def test_preferred_images(self, way: PassedAs, tmp_path: Path) -> None:
        network = two_streams(way)
        ours = preferred(network, "both.0", spec_of(way), tmp_path / "a", steps=4)
        behind = preferred(
            Behind(two_streams()), "network.both.0", STACKED, tmp_path / "b", steps=4
        )
        assert ours.shape == (2, 4, SIZE, SIZE)
        assert torch.equal(ours, behind)

    def test_saliency(self, way: PassedAs) -> None:
        network, spec = two_streams(way), spec_of(way)
        shown = STACKED.to_network(IMAGES)
        methods: list[Method] = ["gradient", "gradcam", "occlusion"]
        for method in methods:
            ours = kernel_saliency(network, shown, None, 1, method, input_spec=spec)
            behind = kernel_saliency(
                Behind(two_streams()), shown, None, 1, method, input_spec=STACKED
            )
            assert torch.equal(ours.maps, behind.maps)

    def test_rankings_maps_and_top_images(self, way: PassedAs) -> None:
        network, spec = two_streams(way), spec_of(way)
        behind = Behind(two_streams())
        ours = rank_kernels(network, "both.0", input_spec=spec, orientations=4, null_kernels=3)
        theirs = rank_kernels(
            behind, "network.both.0", input_spec=STACKED, orientations=4, null_kernels=3
        )
        assert torch.equal(ours[0].score, theirs[0].score)
        ((maps,), _) = FeatureReader(network, "both.0", spec)(IMAGES)
        ((of_behind,), _) = FeatureReader(behind, "network.both.0", STACKED)(IMAGES)
        assert torch.equal(maps.maps, of_behind.maps)
        top = find_top_images(network, "both.0", "all", IMAGES, input_spec=spec)
        of_wrapper = find_top_images(behind, "network.both.0", "all", IMAGES, input_spec=STACKED)
        assert list(top.rows()) == [{**row, "layer": "both.0"} for row in of_wrapper.rows()]


class TestArguments:
    def test_modalities_with_one_argument_share_a_tensor(self) -> None:
        parts = (RGB, DEPTH, Modality("infrared", 2, argument="depth"))
        spec = InputSpec(parts, SIZE, "keywords")
        values = torch.rand(2, 6, SIZE, SIZE)
        arguments, keywords = call_arguments(spec, values)
        assert not arguments
        assert torch.equal(keywords["rgb"], values[:, :3])
        assert torch.equal(keywords["depth"], values[:, 3:])
        assert argument_shapes(spec)["depth"] == (None, 3, None, None)
        assert torch.equal(stack_arguments(spec, keywords), values)

    @pytest.mark.parametrize(
        ("way", "shape"), [("video", (2, 4, 3, 5, 5)), ("frames", (2, 3, 4, 5, 5))]
    )
    def test_videos(self, way: PassedAs, shape: tuple[int, ...]) -> None:
        spec = InputSpec.video(3, 5, (RGB, DEPTH), way)
        values = torch.rand(2, 12, 5, 5)
        ((video,), _) = call_arguments(spec, values)
        assert video.shape == shape
        second = video.select(spec.frames_dim or 0, 1)
        assert torch.equal(second[:, :3], spec.split(values)["rgb 2"])
        assert torch.equal(second[:, 3:], spec.split(values)["depth 2"])
        assert torch.equal(stack_arguments(spec, {way: video}), values)

    def test_a_network_of_one_tensor_is_itself(self) -> None:
        network = nn.Conv2d(4, 1, 1)
        assert one_input(network, STACKED) is network
        wrapped = one_input(two_streams(), spec_of("arguments"))
        assert one_input(wrapped, spec_of("arguments")) is wrapped

    def test_wrong_specs(self) -> None:
        with pytest.raises(ValueError, match=r"passed_as must be one of .* got 'tuple'"):
            replace(STACKED, passed_as="tuple")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match='2 frames need passed_as "video" or "frames"'):
            replace(STACKED, frames=2)
        with pytest.raises(ValueError, match=r"2 frames need the same modalities each"):
            InputSpec((RGB, DEPTH), SIZE, "video", 2)
        with pytest.raises(ValueError, match="at least one modality"):
            InputSpec.video(0)

    def test_a_forward_of_two_arguments_is_explained(self) -> None:
        with pytest.raises(ValueError, match=r"forward takes image, depth: .*passed_as"):
            list_layers(TwoStreamNet(2), STACKED)
        with pytest.raises(ValueError, match=r"TwoStreamNet cannot run .* argument 'rgb'"):
            list_layers(TwoStreamNet(2), replace(STACKED, passed_as="keywords"))


class Film(nn.Module):
    """A convolution over space and time, one over space, and class scores."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.moving = nn.Conv3d(3, 4, (2, 3, 3))
        self.still = nn.Conv2d(4, 5, 3)
        self.head = nn.Linear(5, 2)

    def forward(self, video: Tensor) -> Tensor:
        frames = self.moving(video).relu()
        maps = self.still(frames.mean(2)).relu()
        scores: Tensor = self.head(maps.mean((2, 3)))
        return scores


class TestVideos:
    SPEC = InputSpec.video(4, 12, (Modality("rgb", 3),))
    VIDEO = torch.rand(1, 12, 12, 12, generator=torch.Generator().manual_seed(1))

    def test_layers(self) -> None:
        moving, still, _ = list_layers(Film(), self.SPEC)
        assert (moving.kernels, moving.output_size) == (4, (3, 10, 10))
        assert (still.kernels, still.output_size, still.receptive_field) == (5, (8, 8), 5)

    def test_a_preferred_film(self, tmp_path: Path) -> None:
        network = Film().eval()
        for layer in ("moving", "still", "head"):
            images = preferred(network, layer, self.SPEC, tmp_path / layer, steps=8)
            assert images.shape == (2, 12, 12, 12)
        found = network.head(images.new_zeros(0, 5)).shape  # The network itself is as before.
        assert found == (0, 2)
        with Image.open(tmp_path / "head/images/kernel_0000.gif") as film:
            assert (film.n_frames, film.size) == (4, (12, 12))
        with Image.open(tmp_path / "head/images/kernel_0000.png") as strip:
            assert strip.size == (4 * 14 + 2, 16)

    def test_reaches_what_it_says(self, tmp_path: Path) -> None:
        network = Film().eval()
        images = preferred(network, "moving", self.SPEC, tmp_path, steps=8)
        videos = images.unflatten(1, (4, 3)).movedim(1, 2)
        noise = torch.rand(64, *videos.shape[1:])
        with torch.no_grad():
            reached = network.moving(videos).mean((2, 3, 4)).diagonal()
            of_noise = network.moving(noise).mean((2, 3, 4))[:, :2]
        assert (reached > of_noise.amax(0)).all()

    def test_saliency_is_the_gradient(self) -> None:
        network = Film().eval()
        found = kernel_saliency(network, self.VIDEO, "moving", 1, input_spec=self.SPEC)
        video = self.VIDEO.unflatten(1, (4, 3)).movedim(1, 2).requires_grad_()
        (expected,) = torch.autograd.grad(network.moving(video)[:, 1].mean(), video)
        torch.testing.assert_close(found.maps, expected.movedim(2, 1).flatten(1, 2))
        assert list(found.pooled(self.SPEC)) == ["rgb 1", "rgb 2", "rgb 3", "rgb 4"]
