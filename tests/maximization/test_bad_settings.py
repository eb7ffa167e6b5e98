"""What cannot be used is named before anything is done."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
from climbing import GRAY, Climber
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization, AscentOptions, AscentSettings


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
        ({"layer": "3", "input_spec": GRAY.resized(2)}, r"cannot take images of shape \(1, 2, 2\)"),
    ],
)
def test_bad_input_is_named(
    small_network: nn.Module, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ActivationMaximization(small_network, **{"input_spec": GRAY, **options})


def test_unknown_options_and_kernels_of_other_types_are_named(small_network: nn.Module) -> None:
    with pytest.raises(TypeError, match="stepps"):
        ActivationMaximization(small_network, "3", input_spec=GRAY, stepps=3)
    with pytest.raises(TypeError, match=r"kernels are integers; got 1\.5"):
        ActivationMaximization(small_network, "3", [1.5], GRAY)
    with pytest.raises(TypeError, match="model must be of type Module; got str"):
        ActivationMaximization("resnet18", "3", input_spec=GRAY)
    with pytest.raises(TypeError, match="layer must be of type str; got int"):
        ActivationMaximization(small_network, 3, input_spec=GRAY)
    with pytest.raises(TypeError, match="input_spec must be of type InputSpec; got int"):
        ActivationMaximization(small_network, "3", input_spec=224)


def test_a_forward_that_wants_more_than_images_is_named() -> None:
    class Asking(nn.Conv2d):
        def forward(self, images: Tensor, question: str) -> Tensor:
            return super().forward(images) if question else images

    with pytest.raises(ValueError, match=r"cannot be called with images alone: .*question"):
        ActivationMaximization(nn.Sequential(Asking(1, 2, 3)), "0", input_spec=GRAY)


def test_an_objective_of_another_shape_is_named(small_network: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"one number for each image and kernel, \(2, 8\)"):
        ActivationMaximization(
            small_network, "3", [1], GRAY, steps=2, objective=lambda maps: maps.mean()
        )


def test_nan_and_constant_activations_are_named(small_network: nn.Module) -> None:
    broken = copy.deepcopy(small_network)
    with torch.no_grad():
        broken[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match='"3" gives NaN or infinite values'):
        ActivationMaximization(broken, "3", input_spec=GRAY)
    constant = copy.deepcopy(small_network)
    nn.init.zeros_(constant[3].weight)
    with pytest.raises(ValueError, match='"3" gives the same response'):
        ActivationMaximization(constant, "3", input_spec=GRAY)


def _nan_of_many(maps: Tensor) -> Tensor:
    """Of no batch that comes before an ascent, nor in one, but where its images are looked at."""
    mean = maps.flatten(2).mean(2)
    return mean * torch.nan if len(maps) > 2 else mean


def _nan_gradient(maps: Tensor) -> Tensor:
    mean = maps.flatten(2).mean(2)
    return mean + (0 * mean).sqrt()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (_nan_of_many, "the objective .*_nan_of_many.* gives NaN or infinite values for its image"),
        (_nan_gradient, '"3" came to NaN or infinite values: the objective .*_nan_gradient.*, a'),
    ],
)
def test_nan_in_an_ascent_is_of_the_objective(
    small_network: nn.Module, climb: Climber, objective: Callable[[Tensor], Tensor], message: str
) -> None:
    module = ActivationMaximization(
        small_network, "3", [0], GRAY, objective=objective, steps=2, batch_size=1
    )
    with pytest.raises(ValueError, match=message):
        climb(module)


def test_keyword_arguments_are_the_settings() -> None:
    """Modules and monitors take all settings by name."""
    assert list(AscentOptions.__annotations__) == [one.name for one in fields(AscentSettings)]
