from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import LayerNorm2d

from neurovis.layers import kernel_axis, resolve_layer, unwrap


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


@pytest.mark.parametrize(
    ("module", "images", "kernels"),
    [
        (nn.Conv2d(3, 7, 3), (2, 3, 9, 9), 7),
        (nn.ConvTranspose2d(3, 7, 3), (2, 3, 9, 9), 7),
        (nn.BatchNorm2d(7), (2, 7, 9, 9), 7),
        (nn.Linear(5, 7), (2, 5), 7),
        (nn.Linear(5, 7), (2, 4, 4, 5), 7),
        (nn.LayerNorm(7), (2, 4, 4, 7), 7),
        (LayerNorm2d(7), (2, 7, 4, 4), 7),
    ],
)
def test_kernel_axis_counts_the_kernels(
    module: nn.Module, images: tuple[int, ...], kernels: int
) -> None:
    assert module(torch.rand(images)).shape[kernel_axis(module)] == kernels


def test_layers_of_a_part_that_is_compiled_keep_their_names() -> None:
    part = nn.Sequential(nn.Conv2d(3, 4, 3))
    model = nn.Sequential(part, nn.ReLU())
    model[0] = torch.compile(part, backend="eager")
    assert resolve_layer(model, "0.0") is part[0]
    assert resolve_layer(model, "0._orig_mod.0") is part[0]
    with pytest.raises(ValueError, match=r'"0\.1" not found; .*"0\.0"'):
        resolve_layer(model, "0.1")
