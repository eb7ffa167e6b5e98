"""Top images on a card, and what is said of them where they tell little."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurovis.analysis.top_pictures import top_pictures, top_remarks
from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.top_images import TopImages, find_top_images

SPEC = InputSpec(Modality("gray", 1), 4)
LOW = (0.0, 0.1, 0.2, 0.5, 0.9, 1.0)


def _of(values: tuple[float, ...], layer: nn.Module, k: int) -> TopImages:
    """Top images among gray ones, to a layer of one unit that sees one pixel."""
    images = torch.tensor(values)[:, None, None, None].expand(-1, 1, 4, 4)
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)
    return find_top_images(nn.Sequential(conv, layer), "1", "all", images, k=k, input_spec=SPEC)


class _Shifted(nn.Module):
    """Less than the values, and no less than 0."""

    def forward(self, values: Tensor) -> Tensor:
        return (values - 2).relu()


def test_the_best_first() -> None:
    top = _of(LOW, nn.ReLU(), k=3)
    assert [picture.label for picture in top_pictures(top, 0)] == ["1.00", "0.900", "0.500"]
    assert top.values(0)[0] == 1
    assert list(top_remarks(top, 0, preferred=2.0)) == []
    (remark,) = top_remarks(top, 0, preferred=0.5)
    assert remark == "real pictures drive it more than its preferred image"


def test_equal_ones_are_shown_where_others_do_less() -> None:
    """Of a layer that saturates, the best are equal."""
    top = _of(LOW, nn.Hardtanh(0, 0.8), k=2)
    assert len(top_pictures(top, 0)) == 2
    assert list(top_remarks(top, 0, preferred=2.0)) == ["its top 2 images drive it alike"]


def test_where_all_are_equal_none_is_shown() -> None:
    top = _of((0.9, 0.95, 1.0), nn.Hardtanh(0, 0.8), k=3)
    assert top_pictures(top, 0) == []
    assert list(top_remarks(top, 0, preferred=0.1)) == ["0.800 for all images"]


def test_a_silent_kernel() -> None:
    top = _of(LOW, _Shifted(), k=2)
    assert top_pictures(top, 0) == []
    assert list(top_remarks(top, 0, preferred=1.0)) == ["silent for all images"]


def test_one_image_is_compared_with_none() -> None:
    top = _of((0.5,), nn.ReLU(), k=3)
    assert len(top_pictures(top, 0)) == 1
    assert list(top_remarks(top, 0, preferred=1.0)) == []
