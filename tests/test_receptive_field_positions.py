"""Where units look: their boxes of pixels against the support of their gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurovis.receptive_fields import Field, receptive_fields

Box = tuple[int, int, int, int]

HEIGHT, WIDTH = 20, 26


class Computed(nn.Module):
    """Any function of the image and of some layers, as the layer ``end``."""

    def __init__(self, compute: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.compute = compute
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.end = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.compute(self, x))


def conv(
    kernel: int | tuple[int, int], stride: int = 1, padding: int = 0, dilation: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(2, 2, kernel, stride, padding, dilation)


#: Padding that keeps the size ("same"), so that boxes are exact up to the border.
SAME = {
    "one convolution": Computed(lambda s, x: s.a(x), a=conv(5, 1, 2)),
    "not square": Computed(lambda s, x: s.a(x), a=nn.Conv2d(2, 2, (3, 7), (1, 2), (1, 3))),
    "strides": Computed(lambda s, x: s.b(s.a(x)), a=conv(3, 2, 1), b=conv(3, 2, 1)),
    "residual": Computed(
        lambda s, x: F.relu(s.b(F.relu(s.a(x))) + s.short(x)),
        a=conv(3, 2, 1),
        b=conv(3, 1, 1),
        short=nn.Conv2d(2, 2, 1, 2),
    ),
    "average pooling": Computed(
        lambda s, x: s.b(F.avg_pool2d(s.a(x), 2)), a=conv(3, 1, 1), b=conv(1)
    ),
    "maximum pooling": Computed(lambda s, x: F.max_pool2d(s.a(x), 2), a=conv(3, 1, 1)),
    "upsampling": Computed(lambda s, x: F.interpolate(s.a(x), scale_factor=2.0), a=conv(3, 2, 1)),
}
#: Where padding is missing or shifted, or taps have gaps, boxes at the border may be too large.
SHIFTED = {
    "dilated": Computed(lambda s, x: s.a(x), a=conv(3, 1, 4, 4)),
    "no padding": Computed(lambda s, x: s.b(s.a(x)), a=conv(5), b=conv(3, 2)),
    "more padding than needed": Computed(lambda s, x: s.b(s.a(x)), a=conv(3, 2, 5), b=conv(4)),
    "asymmetric padding": Computed(lambda s, x: s.a(F.pad(x, (2, 0, 1, 2))), a=conv(3)),
    "cropped": Computed(lambda s, x: s.a(x)[:, :, 4:-2, 3::2], a=conv(3, 1, 1)),
    "shortcut aside": Computed(lambda s, x: s.a(x)[:, :, :-4, :-4] + x, a=conv(3, 1, 3)),
    "even kernels": Computed(lambda s, x: s.b(s.a(x)), a=conv(4, 2, 1), b=conv(2, 2)),
    "channels last": Computed(
        lambda s, x: s.b(s.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
        a=conv(3, 2),
        b=nn.Linear(2, 2),
    ),
}


def field_of(model: nn.Module) -> Field:
    return receptive_fields(model, torch.zeros(1, 2, HEIGHT, WIDTH))["end"]


def supports(model: nn.Module) -> dict[tuple[int, int], Box]:
    """The smallest box that holds all pixels with a gradient, for each unit of the map.

    Several images, since a maximum has a gradient for one pixel at a time only; positive weights,
    so that nothing cancels and no ReLU is shut.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.5, 1.0)
    images = torch.rand(20, 2, HEIGHT, WIDTH, requires_grad=True)
    maps = model(images).sum((0, 1))
    found = {}
    for row in range(maps.shape[0]):
        for column in range(maps.shape[1]):
            (gradient,) = torch.autograd.grad(maps[row, column], images, retain_graph=True)
            rows, columns = gradient.abs().sum((0, 1)).nonzero(as_tuple=True)
            box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            found[row, column] = tuple(int(side) for side in box)
    return found  # type: ignore[return-value]


def clipped(box: Box | None) -> Box:
    assert box is not None
    top, left, bottom, right = box
    return max(top, 0), max(left, 0), min(bottom, HEIGHT), min(right, WIDTH)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", SAME)
def test_boxes_are_the_supports_of_the_gradients(name: str) -> None:
    torch.manual_seed(0)
    model = SAME[name]
    field, expected = field_of(model), supports(model)
    assert field.units == (max(expected)[0] + 1, max(expected)[1] + 1)
    assert {unit: clipped(field.pixels(unit)) for unit in expected} == expected


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", SHIFTED)
def test_boxes_of_units_inside_are_the_supports_of_the_gradients(name: str) -> None:
    torch.manual_seed(0)
    model = SHIFTED[name]
    field, expected = field_of(model), supports(model)
    inside = 0
    for unit, support in expected.items():
        box = field.pixels(unit)
        assert box is not None
        if box == clipped(box):
            assert box == support
            inside += 1
        top, left, bottom, right = clipped(box)
        assert top <= support[0]
        assert left <= support[1]
        assert bottom >= support[2]
        assert right >= support[3]
    assert inside > 10


def test_boxes_go_on_into_the_padding() -> None:
    field = field_of(Computed(lambda s, x: s.a(x), a=conv(7, 2, 3)))
    assert field.pixels((0, 0)) == (-3, -3, 4, 4)
    assert field.pixels((9, 5)) == (15, 7, 22, 14)


def test_the_center_is_the_unit_of_the_center_readout() -> None:
    field = field_of(Computed(lambda s, x: s.a(x), a=conv(3, 2, 1)))
    assert field.units == (10, 13)
    assert field.center == (5, 6)


@pytest.mark.parametrize(
    ("compute", "units", "box"),
    [
        (lambda s, x: s.fc(s.a(x).flatten(1)), (1, 1), (0, 0, 20, 26)),
        # The average over columns 1 … 24 or 3 … 22; row 3 of the 18 is row 4, which sees 3 to 5.
        (lambda s, x: s.a(x)[:, :, 1:-1, 1:-1].mean(3), (18, 1), (3, 0, 6, 26)),
        (lambda s, x: s.a(x)[:, :, 1:-1, 3:-3].mean(3), (18, 1), (3, 2, 6, 24)),
        # Columns 0 … 22: what all units share is not said to lie beyond the image.
        (lambda s, x: s.a(x)[:, :, :, :-3].mean(3), (20, 1), (2, 0, 5, 24)),
        (lambda s, x: s.a(x) * s.a(x).mean((2, 3), keepdim=True), (20, 26), (0, 0, 20, 26)),
        (lambda s, x: s.a(x).softmax(3), (20, 26), (2, 0, 5, 26)),
        (lambda s, x: s.a(x.roll(1, 2)), None, None),
    ],
)
def test_layers_that_have_no_map_or_see_whole_rows(
    compute: Callable[..., Tensor], units: tuple[int, int] | None, box: Box | None
) -> None:
    field = field_of(Computed(compute, a=conv(3, 1, 1), fc=nn.Linear(2 * HEIGHT * WIDTH, 3)))
    assert field.units == units
    assert field.pixels((0 if units is None or units[0] == 1 else 3, 0)) == box


def test_units_that_the_map_does_not_have() -> None:
    field = field_of(Computed(lambda s, x: s.a(x), a=conv(3, 2, 1)))
    for unit in [(10, 0), (0, 13), (-1, 0)]:
        message = rf"unit must be a row and a column of a map of 10x13 units; got \({unit[0]}, "
        with pytest.raises(ValueError, match=message):
            field.pixels(unit)


def test_a_layer_that_is_called_again_somewhere_else_has_no_place() -> None:
    shared = conv(3, 1, 1)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    field = receptive_fields(model, torch.zeros(1, 2, HEIGHT, WIDTH))["0"]
    assert (field.units, field.pixels((0, 0)), field.center) == (None, None, None)
    siamese = Computed(lambda s, x: s.a(x) - s.a(2 * x), a=shared)
    field = receptive_fields(siamese, torch.zeros(1, 2, HEIGHT, WIDTH))["a"]
    assert (field.calls, field.pixels((0, 0))) == (2, (-1, -1, 2, 2))
