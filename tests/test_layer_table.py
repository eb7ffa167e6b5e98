from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models
from torchvision.models.convnext import LayerNorm2d

from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import kernel_dim, kernel_layouts, usable_layers
from neurovis.layer_reader import LayerReader
from neurovis.layer_table import LayerInfo, list_layers


def rows(model: nn.Module, spec: InputSpec, kinds: str = "kernels") -> dict[str, LayerInfo]:
    return {row.name: row for row in list_layers(model, spec, kinds)}  # type: ignore[arg-type]


def kernel_dims(model: nn.Module, layers: list[str], example: Tensor) -> dict[str, int]:
    layouts = kernel_layouts(model, layers, example)
    return {name: layout.kernel_dim for name, layout in layouts.items()}


class Branching(nn.Module):
    """Calls its layers in another order than it defines them, one twice and one never."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 4)
        self.unused = nn.Conv2d(6, 9, 1)
        self.twice = nn.ReLU()
        self.stem = nn.Conv2d(3, 6, (1, 7), stride=(1, 2))
        self.again = nn.Conv2d(6, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.stem(x))
        x = self.twice(self.again(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def test_a_row_of_each_kind() -> None:
    found = rows(models.resnet18(), InputSpec.rgb(224))
    assert found["conv1"] == LayerInfo("conv1", "Conv2d", 64, (112, 112), 2, 7, 1, 1)
    assert found["layer4.1.conv2"] == LayerInfo(
        "layer4.1.conv2", "Conv2d", 512, (7, 7), 32, 435, 1, 1
    )
    assert found["fc"] == LayerInfo("fc", "Linear", 1000, (), None, 224, 1, 1)
    assert len(found) == 21


def test_order_is_that_of_execution_and_unreached_layers_come_last() -> None:
    found = rows(Branching(), InputSpec.rgb(32))
    assert list(found) == ["stem", "again", "head", "unused"]
    assert found["unused"] == LayerInfo("unused", "Conv2d", 9, None, None, None, 0, 1)


def test_numbers_that_differ_between_the_axes_are_pairs() -> None:
    stem = rows(Branching(), InputSpec.rgb((32, 48)))["stem"]
    assert stem.output_size == (32, 21)
    assert stem.stride == (1, 2)
    assert stem.receptive_field == (1, 7)


def test_each_call_of_a_layer_called_twice_has_a_row() -> None:
    found = rows(Branching(), InputSpec.rgb(32), "all")
    assert "twice" not in found
    first, second = found["twice@1"], found["twice@2"]
    assert (first.calls, second.calls) == (2, 2)
    assert (first.receptive_field, second.receptive_field) == ((1, 7), (3, 11))
    assert (first.output_size, second.output_size) == ((32, 13), (30, 11))
    assert (first.kernels, second.kernels) == (6, 6)


def test_all_kinds_are_every_module_behind_what_is_inside_it() -> None:
    model = models.squeezenet1_0()
    names = list(rows(model, InputSpec.rgb(64), "all"))
    assert sorted(names) == sorted(name for name, _ in model.named_modules() if name)
    assert names.index("features.3.expand3x3") < names.index("features.3")


def test_kernels_of_channels_last_layers() -> None:
    found = rows(models.convnext_tiny(), InputSpec.rgb(64), "all")
    for name, kernels, axis in [
        ("features.1.0.block.0", 96, 1),
        ("features.1.0.block.2", 96, 3),
        ("features.1.0.block.3", 384, 3),
        ("features.1.0.block.4", 384, 3),
        ("features.1.0.block.6", 96, 1),
    ]:
        row = found[name]
        assert (row.kernels, row.output_size, row.kernel_dim) == (kernels, (16, 16), axis)


def test_a_compiled_model_is_listed_as_its_original() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert rows(torch.compile(model), InputSpec.rgb(16)) == rows(model, InputSpec.rgb(16))


@pytest.mark.parametrize("kinds", ["conv", ""])
def test_unknown_kinds_are_refused(kinds: str) -> None:
    with pytest.raises(ValueError, match=f"got '{kinds}'"):
        rows(nn.Sequential(nn.Conv2d(3, 4, 3)), InputSpec.rgb(16), kinds)


def test_a_spec_of_other_channels_is_refused() -> None:
    message = (
        'images of 4 channels and 64x64 pixels: its first convolution "conv1" takes 3 channels. '
        r'Say what they are: InputSpec\(Modality\("input", 3\)\), or --input.modalities '
    )
    with pytest.raises(ValueError, match=message):
        list_layers(models.resnet18(), InputSpec.rgbd(64))


def test_a_spec_of_another_size_is_refused() -> None:
    with pytest.raises(
        ValueError, match="AlexNet cannot run on images of 3 channels and 16x16 pixels: "
    ):
        list_layers(models.alexnet(), InputSpec.rgb(16))


@pytest.mark.parametrize(
    ("module", "images", "kernels"),
    [
        (nn.Conv2d(3, 7, 3), (2, 3, 9, 9), 7),
        (nn.ConvTranspose2d(3, 7, 3), (2, 3, 9, 9), 7),
        (nn.BatchNorm2d(7), (2, 7, 9, 9), 7),
        (nn.Linear(5, 7), (2, 5), 7),
        (nn.Linear(5, 7), (2, 4, 4, 5), 7),
        (nn.LayerNorm(7), (2, 4, 4, 7), 7),
    ],
)
def test_types_that_tell_which_dimension_counts_kernels(
    module: nn.Module, images: tuple[int, ...], kernels: int
) -> None:
    dim = kernel_dim(module)
    assert dim is not None
    assert module(torch.rand(images)).shape[dim] == kernels


def test_layers_that_do_not_count_images_are_listed_and_not_read() -> None:
    class Averaged(nn.Module):
        """Averages over images, and norms what counts them."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.mix, self.norm = nn.Linear(6, 5), nn.LayerNorm(1)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.conv(images)
            mixed: Tensor = self.mix(maps.mean(0))
            self.norm(maps.flatten(1).mT)
            return mixed

    found = rows(Averaged(), InputSpec.rgb(8), "all")
    assert (found["mix"].kernels, found["mix"].output_size) == (5, (6,))
    assert found["mix"].kernel_dim == 2
    assert (found["norm"].kernels, found["norm"].output_size) == (1, ())
    reader = LayerReader(Averaged(), "mix", torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r'"mix" has no kernels .* \(4, 6, 5\) for a batch of 2'):
        reader(torch.rand(2, 3, 8, 8))


def test_a_vector_has_no_stride() -> None:
    network = nn.Sequential(nn.Conv2d(3, 7, 3), nn.Flatten())
    assert rows(network, InputSpec.rgb(9), "all")["1"].stride is None


def test_a_layer_norm_with_a_forward_of_its_own_is_followed() -> None:
    network = nn.Sequential(nn.Conv2d(3, 7, 3), LayerNorm2d(7))
    assert kernel_dim(network[1]) is None
    assert kernel_dims(network, ["1"], torch.rand(1, 3, 9, 9)) == {"1": 1}


def test_the_output_of_tokens_and_windows_is_their_grid() -> None:
    network = models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=5)
    found = rows(network, InputSpec.rgb(32))["encoder.layers.encoder_layer_0.mlp.0"]
    assert (found.kernels, found.output_size, found.stride, found.receptive_field) == (
        *(32, (4, 4)),
        *(8, 32),
    )


def test_kernel_dims_are_followed_where_types_cannot_tell() -> None:
    network = models.convnext_tiny(weights=None)
    block = "features.1.0.block"
    layers = [f"{block}.0", f"{block}.3", f"{block}.4", f"{block}.6", "features.1.0"]
    axes = kernel_dims(network, layers, InputSpec.rgb(64).example())
    assert axes == {
        f"{block}.0": 1,  # convolution, channels first
        f"{block}.3": 3,  # linear layer, channels last
        f"{block}.4": 3,  # activation, channels last
        f"{block}.6": 1,  # permuted back
        "features.1.0": 1,
    }


def test_kernel_dims_by_a_second_name_and_of_a_part_that_is_compiled() -> None:
    class Twofold(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = models.convnext_tiny(weights=None)
            self.backbone = self.net.features
            self.net.features[1][1] = torch.compile(self.net.features[1][1], backend="eager")

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.net(images)
            return logits

    layers = ["backbone.1.0.block.4", "backbone.1.1.block.4"]
    axes = kernel_dims(Twofold(), layers, InputSpec.rgb(64).example())
    assert axes == dict.fromkeys(layers, 3)


def test_kernel_dims_where_nothing_is_known_are_not_guessed() -> None:
    class Unpredictable(nn.Module):
        """Its activation comes from outside of torch, with the kernels last."""

        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            last = torch.from_numpy(images.movedim(1, -1).numpy().copy())
            activation: Tensor = self.act(last)
            return activation

    with pytest.raises(ValueError, match='"act" does not tell which dimension'):
        kernel_dims(Unpredictable(), ["act"], InputSpec.rgb(8).example())


def test_kernel_dims_of_a_layer_that_is_not_reached() -> None:
    network = Branching()
    network.add_module("late", nn.ReLU())
    with pytest.raises(ValueError, match='"late" is never reached'):
        kernel_dims(network, ["late"], InputSpec.rgb(16).example())


def test_kernel_dims_where_the_head_wants_another_size() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(7, 2))
    assert kernel_dims(network, ["1"], InputSpec.rgb(16).example()) == {"1": 1}


class TestUsableLayers:
    """Of :class:`Branching`: ``twice`` is called twice, ``unused`` never."""

    EXAMPLE = InputSpec.rgb(32).example()

    @pytest.mark.parametrize(
        ("selection", "axes"),
        [
            ("all-conv", {"stem": 1, "again": 1}),
            (nn.Linear, {"head": 1}),
            (["head", "Conv2d"], {"head": 1, "stem": 1, "again": 1}),
            (["again"], {"again": 1}),
            ("again", {"again": 1}),
        ],
    )
    def test_those_of_a_type_are_left_out_that_cannot_be_used(
        self, selection: object, axes: dict[str, int]
    ) -> None:
        layouts = usable_layers(Branching(), selection, self.EXAMPLE)  # type: ignore[arg-type]
        assert {name: layout.kernel_dim for name, layout in layouts.items()} == axes

    def test_axes_where_types_cannot_tell(self) -> None:
        model = models.convnext_tiny(weights=None)
        layouts = usable_layers(model, [nn.GELU], InputSpec.rgb(64).example())
        assert {layout.kernel_dim for layout in layouts.values()} == {3}
        assert len(layouts) == 18

    def test_none_that_can_be_used(self) -> None:
        with pytest.raises(ValueError, match="selected by ReLU none is called exactly once"):
            usable_layers(Branching(), "ReLU", self.EXAMPLE)

    def test_layers_that_do_not_exist(self) -> None:
        with pytest.raises(ValueError, match='"stam" not found; did you mean "stem"'):
            usable_layers(Branching(), ["stam", "Conv2d"], self.EXAMPLE)

    def test_the_model_is_as_it_was(self) -> None:
        model = Branching().train()
        state = torch.get_rng_state()
        usable_layers(model, "all-conv", self.EXAMPLE)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(part.training for part in model.modules())
        assert not any(part._forward_hooks for part in model.modules())
