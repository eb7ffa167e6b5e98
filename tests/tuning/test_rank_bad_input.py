"""Whatever cannot be ranked is refused by name, or stated in the table; never a silent number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning import RankingSettings, TuningProbe, rank_kernels

RGB = InputSpec.rgb(24)
GRAY = InputSpec((Modality("gray", 1),), 24)


class Lazy(Dataset[Any]):
    """A dataset that gives what it is told."""

    def __init__(self, item: object, **attributes: object) -> None:
        self.item = item
        vars(self).update(attributes)

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> object:
        return self.item


def network(channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 5), nn.ReLU(), nn.Flatten(), nn.Softmax(1))


IMAGES = torch.rand(4, 3, 24, 24)

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("no such ranking", {"by": "orientaton"}, 'did you mean "orientation"'),
    ("nothing like a ranking", {"by": "xyz"}, "there are orientation, spatial_frequency"),
    ("no ranking", {"by": []}, "at least one ranking"),
    ("a number", {"by": 3}, "got 3"),
    ("a ranking that is none", {"by": [3]}, "got 3"),
    ("no such layer", {"layers": "7"}, 'layer "7" not found'),
    ("no layer", {"layers": []}, "at least one layer"),
    ("too fine", {"spatial_frequencies": [0.1, 0.4]}, "0.4"),
    ("no frequency", {"spatial_frequencies": [0.0]}, "0"),
    ("decreasing", {"spatial_frequencies": [0.2, 0.1]}, "increasing"),
    ("a broken number", {"orientations": 4.5}, "must be an integer; got 4.5"),
    ("a lone frequency", {"spatial_frequencies": 0.2}, "must be a list"),
    ("one frequency", {"spatial_frequencies": [0.2], "by": "spatial_frequency"}, "at least 2"),
    ("less than a cycle", {"spatial_frequencies": [0.01, 0.2]}, "less than one cycle"),
    ("broken labels", {"by": "class", "images": IMAGES, "labels": torch.rand(4)}, "integers"),
    ("few orientations", {"orientations": 3}, "at least 4"),
    ("few phases", {"phases": 2}, "at least 3"),
    ("contrast", {"contrast": 1.5}, "1.5"),
    ("aperture", {"aperture": -3.0}, "-3"),
    ("readout", {"readout": "median"}, "'median'"),
    ("null", {"null_kernels": -1}, "-1"),
    ("batch", {"batch_size": 0}, "at least 1"),
    ("no images", {"by": "sparseness"}, "sparseness needs images"),
    ("no labels", {"by": "class", "images": IMAGES}, "needs images with labels"),
    ("no classes", {"by": "class", "images": Lazy((IMAGES[0], 1))}, "names of its classes"),
    (
        "labels of a dataset",
        {"by": "class", "images": Lazy(IMAGES[0]), "labels": torch.zeros(2)},
        "of a tensor",
    ),
    ("labels of others", {"by": "class", "images": IMAGES, "labels": torch.zeros(3)}, r"\(3,\)"),
    (
        "a class too many",
        {"by": "class", "images": IMAGES, "labels": torch.arange(4), "classes": ["a", "b"]},
        "class 3, but there are 2",
    ),
    (
        "an image without its class",
        {"by": "class", "layers": "1", "images": Lazy(IMAGES[0], classes=["a", "b"])},
        "has no class",
    ),
    ("empty images", {"by": "activation", "images": IMAGES[:0]}, "at least 2 images"),
    ("images of another size", {"by": "activation", "images": IMAGES[..., :20]}, r"\(3, 24, 20\)"),
    ("images of bytes", {"by": "activation", "images": (IMAGES * 255).byte()}, "uint8"),
    ("images in 255", {"by": "activation", "images": IMAGES * 255}, r"\[0, 1\]"),
    ("images with NaN", {"by": "activation", "images": IMAGES * torch.nan}, "nan"),
    ("images that are none", {"by": "activation", "images": 3}, "got int"),
    ("a generator", {"by": "activation", "images": iter(IMAGES)}, "map-style dataset"),
    ("modality of one", {"by": "modality"}, "compares two modalities; the input has 1: rgb"),
    ("another input", {"input_spec": InputSpec.rgbd(24)}, "takes 3 channels"),
    ("color of gray", {"by": "color", "input_spec": GRAY}, "RGB modality"),
    ("tiny input", {"input_spec": InputSpec.rgb(2)}, "too small"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"), [pytest.param(*case[1:], id=case[0]) for case in BAD]
)
def test_it_is_refused_by_name(arguments: dict[str, Any], said: str) -> None:
    options = {"layers": "0", "input_spec": RGB, **arguments}
    with pytest.raises((ValueError, TypeError), match=said):
        rank_kernels(network(), **options)


@pytest.mark.parametrize("arguments", [{"by": "xyz"}, {"layers": "7"}, {"orientations": 3}])
def test_a_probe_refuses_before_there_is_a_trainer(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"xyz|7|3"):
        TuningProbe(network(), **{"layers": "0", "input_spec": RGB, **arguments})


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="orientation_count"):
        rank_kernels(network(), "0", input_spec=RGB, orientation_count=3)


def test_a_layer_without_kernels() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.total = nn.Flatten(0)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.total(images.sum((1, 2, 3)))

    with pytest.raises(ValueError, match='layer "total"'):
        rank_kernels(Summed(), "total", input_spec=RGB)


def test_a_layer_that_is_called_twice() -> None:
    shared = nn.ReLU()
    net = nn.Sequential(nn.Conv2d(3, 4, 3), shared, nn.Conv2d(4, 4, 3), shared)
    with pytest.raises(ValueError, match="called 2 times"):
        rank_kernels(net, "1", input_spec=RGB)


def test_settings_are_checked_alone_too() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        RankingSettings(orientations=2)
