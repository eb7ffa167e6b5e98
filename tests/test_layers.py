from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torchvision import models

from neurovis import ActivationMaximization, InputSpec, Recorder, list_layers, rank_kernels
from neurovis.layers import (
    first_names,
    named_layers,
    resolve_layer,
    select_layers,
    unwrap,
)


@pytest.fixture(scope="module")
def squeezenet() -> nn.Module:
    return models.squeezenet1_0()


class TestResolveLayer:
    def test_finds_every_name(self, squeezenet: nn.Module) -> None:
        for name, module in squeezenet.named_modules():
            if name:
                assert resolve_layer(squeezenet, name) is module

    def test_finds_a_shared_module_by_both_names(self) -> None:
        relu = nn.ReLU()
        model = nn.Sequential(relu, relu)
        assert resolve_layer(model, "1") is relu

    def test_finds_one_call_of_a_layer(self) -> None:
        model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        assert resolve_layer(model, "0@2") is model[0]
        for name in ("0@", "0@two", "2@1", "@1"):
            with pytest.raises(ValueError, match=f'"{name}" not found'):
                resolve_layer(model, name)

    @pytest.mark.parametrize(
        ("name", "suggestion"),
        [
            ("feature.10", 'did you mean "features.10"'),
            ("features.10.expand3x", '"features.10.expand3x3"'),
            ("expand3x3", 'did you mean "features.3.expand3x3", "features.4.expand3x3" or '),
        ],
    )
    def test_suggests_near_misses(self, squeezenet: nn.Module, name: str, suggestion: str) -> None:
        with pytest.raises(ValueError, match=f'layer "{name}" not found') as raised:
            resolve_layer(squeezenet, name)
        assert suggestion in str(raised.value)

    def test_lists_some_layers_where_nothing_is_near(self, squeezenet: nn.Module) -> None:
        with pytest.raises(ValueError, match=r'layers are "features", "features\.0"'):
            resolve_layer(squeezenet, "xyz")

    def test_refuses_an_empty_name(self, squeezenet: nn.Module) -> None:
        with pytest.raises(ValueError, match="name is empty"):
            resolve_layer(squeezenet, "")

    def test_refuses_what_is_no_name(self, squeezenet: nn.Module) -> None:
        with pytest.raises(TypeError, match="got 10"):
            resolve_layer(squeezenet, 10)  # type: ignore[arg-type]

    def test_refuses_a_model_without_layers(self) -> None:
        with pytest.raises(ValueError, match="single module"):
            resolve_layer(nn.Conv2d(3, 4, 3), "conv")

    def test_finds_layers_of_a_compiled_model_by_their_own_names(self) -> None:
        model = nn.Sequential(nn.Conv2d(3, 4, 3))
        assert resolve_layer(torch.compile(model), "0") is model[0]


def test_unwrap_undoes_compilation_and_nothing_else() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert unwrap(model) is model
    assert unwrap(torch.compile(model)) is model


def test_layers_of_a_part_that_is_compiled_keep_their_names() -> None:
    part = nn.Sequential(nn.Conv2d(3, 4, 3))
    model = nn.Sequential(part, nn.ReLU())
    model[0] = torch.compile(part, backend="eager")
    assert resolve_layer(model, "0.0") is part[0]
    assert resolve_layer(model, "0._orig_mod.0") is part[0]
    with pytest.raises(ValueError, match=r'"0\.1" not found; .*"0\.0"'):
        resolve_layer(model, "0.1")


class Twofold(nn.Module):
    """All of ``net`` is there by a second name too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.backbone = self.net


def test_every_name_of_a_layer() -> None:
    model = Twofold()
    layers = named_layers(model)
    assert list(layers) == ["net", "net.0", "net.1", "backbone", "backbone.0", "backbone.1"]
    assert layers["backbone.1"] is layers["net.1"]
    assert list(first_names(model)) == ["net", "net.0", "net.1"]
    assert select_layers(model, [nn.ReLU, "backbone.0"]) == ["net.1", "backbone.0"]


class TestSelectLayers:
    """Of SqueezeNet and a small model with a part that is compiled on its own."""

    @pytest.fixture
    @staticmethod
    def small() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.ReLU(),
            nn.Sequential(nn.ConvTranspose2d(8, 4, 3), nn.Conv1d(4, 4, 1), Special(4, 2, 1)),
            nn.Linear(2, 2),
        )

    @pytest.mark.parametrize(
        ("selection", "names"),
        [
            ("2.2", ["2.2"]),
            (["3", "0"], ["3", "0"]),
            ("all-conv", ["0", "2.0", "2.1", "2.2"]),
            ("Conv2d", ["0", "2.2"]),
            (nn.Conv2d, ["0", "2.2"]),
            (nn.ReLU, ["1"]),
            ("Special", ["2.2"]),
            (["3", nn.Conv2d, "2.2", "Linear"], ["3", "0", "2.2"]),
            (iter(["1", "0"]), ["1", "0"]),
        ],
    )
    def test_by_name_and_type(self, small: nn.Module, selection: object, names: list[str]) -> None:
        assert select_layers(small, selection) == names  # type: ignore[arg-type]

    def test_all_convolutions_of_a_known_network(self, squeezenet: nn.Module) -> None:
        expected = [n for n, part in squeezenet.named_modules() if type(part).__name__ == "Conv2d"]
        assert len(expected) == 26
        assert select_layers(squeezenet, "all-conv") == expected
        assert select_layers(torch.compile(squeezenet), nn.Conv2d) == expected

    def test_a_name_stands_before_a_type_of_that_name(self) -> None:
        model = nn.ModuleDict({"Linear": nn.Conv2d(3, 3, 1), "other": nn.Linear(2, 2)})
        assert select_layers(model, "Linear") == ["Linear"]

    def test_of_a_part_that_is_compiled(self, small: nn.Module) -> None:
        model = nn.Sequential(torch.compile(small, backend="eager"), nn.Conv2d(3, 3, 1))
        assert select_layers(model, "Conv2d") == ["0.0", "0.2.2", "1"]
        for name in select_layers(model, "all-conv"):
            assert isinstance(
                resolve_layer(model, name), (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
            )

    @pytest.mark.parametrize(
        ("selection", "error", "message"),
        [
            ([], ValueError, "at least one layer; got none"),
            ("2.3", ValueError, 'layer "2.3" not found; the model'),
            (["0", "Conv3d"], ValueError, 'layer "Conv3d" not found'),
            ("Specials", ValueError, 'layer "Specials" not found'),
            (nn.Conv3d, ValueError, "no layer of type Conv3d"),
            ([3], TypeError, "got 3"),
        ],
    )
    def test_what_is_not_there(
        self, small: nn.Module, selection: object, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            select_layers(small, selection)  # type: ignore[arg-type]

    def test_no_convolution(self) -> None:
        with pytest.raises(ValueError, match="no layer of type convolution"):
            select_layers(nn.Sequential(nn.Linear(3, 3)), "all-conv")


class Special(nn.Conv2d):
    """Somebody's own kind of convolution."""


class TestUnreadable:
    """Layers that torch gives no access to, in one line with the remedy."""

    IMAGES = torch.rand(2, 3, 8, 8)

    @staticmethod
    def network() -> nn.Sequential:
        layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(4, 2)).eval()

    def made(self, kind: str) -> nn.Module:
        network = self.network()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "scripted":
                return torch.jit.script(network)  # type: ignore[no-any-return]
            if kind == "traced":
                return torch.jit.trace(network, self.IMAGES)  # type: ignore[no-any-return]
            return torch.ao.quantization.quantize_dynamic(network, {nn.Linear})  # type: ignore[no-any-return]

    @pytest.mark.parametrize("kind", ["scripted", "traced"])
    def test_no_layer_of_scripted_networks(self, kind: str) -> None:
        network, spec = self.made(kind), InputSpec.rgb(8)
        for read in (
            lambda: list_layers(network, spec),
            lambda: Recorder(network, "0"),
            lambda: ActivationMaximization(network, "0", 0, input_spec=spec),
            lambda: rank_kernels(network, "0", input_spec=spec),
        ):
            with pytest.raises(ValueError, match=r'"0" is scripted or traced, .* made of'):
                read()

    def test_quantized_layers_alone_are_refused(self) -> None:
        network = self.made("quantized")
        expected = self.network()[0](self.IMAGES).shape
        assert Recorder(network, "0").record(self.IMAGES)["0"].shape == expected
        with pytest.raises(ValueError, match=r'"4" is quantized, .* before it was quantized'):
            Recorder(network, "4")

    def test_exported_for_one_size_of_batch(self) -> None:
        exported = torch.export.export(self.network(), (self.IMAGES,)).module()
        with pytest.raises(ValueError, match=r"Guard failed.*dynamic_shapes"):
            list_layers(exported, InputSpec.rgb(8))
