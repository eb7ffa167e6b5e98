"""Curvature and border ownership: shapes, and planted units whose scores are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis import InputSpec, Modality, rank_kernels
from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.rankings.curvature import CurvatureRanking
from neurovis.tuning.stimuli import Arcs, Squares

SIZE = 64
GRAY = InputSpec([Modality("gray", 1)], size=SIZE)


def numbered(stimuli: Arcs | Squares) -> Tensor:
    """The numbers of the stimuli, without the blank's, in their shape."""
    return torch.arange(stimuli.blank_index).view(stimuli.shape)


def template_units(images: Tensor) -> nn.Sequential:
    """Rectified units, each the linear template of an image (C, H, W) about mid gray."""
    conv = nn.Conv2d(1, len(images), SIZE, bias=False)
    conv.weight.data = images - 0.5
    return nn.Sequential(conv, nn.ReLU())


def test_arcs_have_one_length_and_turn_as_far_as_they_say() -> None:
    arcs = Arcs(GRAY)
    assert arcs.shape == (12, 4, 2, 5, 2)
    assert arcs.lengths.tolist() == [8, 16]
    numbers = numbered(arcs)
    bright, dark = arcs.images(numbers[:, :, 1, 0].flatten()).view(48, 2, SIZE, SIZE).unbind(1)
    torch.testing.assert_close(bright + dark, torch.ones(48, SIZE, SIZE))
    line = (bright - 0.5).double()
    mass = line.sum((1, 2))
    # A line of width sigma has the area sqrt(2 pi) sigma times its length, and half discs at ends.
    sigma = 16 / 12
    expected = 0.5 * (math.sqrt(2 * math.pi) * sigma * 16 + 2 * math.pi * sigma**2)
    assert mass.view(12, 4)[:, :3] == pytest.approx(expected, rel=0.01)
    # The center of mass is the image's center, but for the ends.
    places = torch.arange(SIZE) - (SIZE - 1) / 2
    right = (line * places).sum((1, 2)) / mass
    up = -(line * places[:, None]).sum((1, 2)) / mass
    assert max(right.abs().max(), up.abs().max()) < 0.6
    # A half circle's ends are the diameter 2 L / pi apart, and it bulges to where it says.
    ahead = {0: (0, 1), 3: (-1, 0), 6: (0, -1), 9: (1, 0)}
    for direction, (rows, columns) in ahead.items():
        half_circle = line.view(12, 4, SIZE, SIZE)[direction, 3]
        filled = [
            torch.tensor([row, column]) for row, column in (half_circle > 0.45).nonzero().tolist()
        ]
        apex = max(float((place * torch.tensor([rows, columns])).sum()) for place in filled)
        middle = (SIZE - 1) / 2 * (rows + columns)
        radius = 16 / math.pi
        assert apex - middle == pytest.approx(radius - 2 * radius / math.pi, abs=1)


def test_positions_are_a_quarter_of_the_length_beside_the_center() -> None:
    arcs = Arcs(GRAY)
    center, right, left, up, down = arcs.images(numbered(arcs)[2, 2, 1, :, 0])
    for moved, shift in ((right, (0, 4)), (left, (0, -4)), (up, (-4, 0)), (down, (4, 0))):
        torch.testing.assert_close(moved, center.roll(shift, (1, 2)), atol=1e-5, rtol=0)


def test_an_arc_template_prefers_itself() -> None:
    arcs = Arcs(GRAY)
    numbers = numbered(arcs)
    planted = [(direction, turn) for direction in (0, 4, 7) for turn in (0, 1, 2, 3)]
    templates = arcs.images([int(numbers[d, t, 1, 0, 0]) for d, t in planted])
    network = template_units(templates)
    found = rank_kernels(network, "1", "curvature", input_spec=GRAY).only
    turns = [60.0 * turn for _, turn in planted]
    assert found.values["preferred_turn"].tolist() == turns
    for place, (direction, turn) in enumerate(planted):
        preferred = found.values["preferred_direction"][place].item()
        assert math.isnan(preferred) if turn == 0 else preferred == 30 * direction
    # Independently: products of all images with the templates.
    products = functional.relu(
        torch.einsum("ixyz,kxyz->ki", arcs.images(numbers.flatten()) - 0.5, templates - 0.5)
    )
    best = products.view(12, *arcs.shape).amax((1, 3, 4, 5))
    expected = (best[:, 1:].amax(1) - best[:, 0]) / (best[:, 1:].amax(1) + best[:, 0])
    assert found.score.tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    score = dict(zip(planted, found.score.tolist(), strict=True))
    assert all(score[d, 3] > score[d, 2] > score[d, 1] > 0 > score[d, 0] for d in (0, 4, 7))


def test_a_line_beside_the_center_is_no_curve() -> None:
    arcs = Arcs(GRAY)
    numbers = numbered(arcs)
    lines = arcs.images(numbers[1, 0, 1, :, 0])
    found = rank_kernels(template_units(lines), "1", "curvature", input_spec=GRAY).only
    assert found.score.tolist() == pytest.approx([found.score[0].item()] * 5, abs=0.01)
    assert found.score.max() < -0.03


def test_the_edge_at_the_center_is_the_same_on_both_sides() -> None:
    spec = InputSpec.rgb((64, 96))
    squares = Squares(spec)
    images = squares.images(numbered(squares).flatten()).view(*squares.shape, *spec.shape)
    first, second = images.unbind(3)
    # Half of the smallest side is 4 pixels.
    torch.testing.assert_close(first[..., 30:34, 46:50], second[..., 30:34, 46:50])
    assert ((first - second).abs().amax((3, 4, 5)) > 0.9).all()
    torch.testing.assert_close(images.mean(2), torch.full_like(images[:, :, 0], 0.5))
    # Of the first edge, which is vertical with its first side on the right.
    white_right = images[0, 2, 0, 0, 0]
    assert white_right[32, 50] == 1
    assert white_right[32, 44] == 0
    assert (white_right == 1).sum() == pytest.approx(24**2, rel=0.02)


def test_what_sees_the_edge_alone_or_is_linear_has_no_border_ownership() -> None:
    torch.manual_seed(0)
    local = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1))
    linear = nn.Sequential(nn.Conv2d(1, 6, SIZE), nn.Identity())
    for network, layer in ((local, "2"), (local, "1"), (linear, "0")):
        found = rank_kernels(network, layer, "border_ownership", input_spec=GRAY).only
        known = found.score[found.score.isfinite()]
        assert len(known) >= 3
        assert known.tolist() == [0.0] * len(known)


class Owners(nn.Module):
    """Half-rectified edges, multiplied by whether there is a border on one side.

    The unit of a direction responds to its edge, of either contrast, if the far side of a square of
    16 pixels is on that side.
    """

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Conv2d(2, 2, 1, bias=False)
        self.out.weight.data = torch.eye(2)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        middle = SIZE // 2
        edge = (x[:, 0, middle, middle + 2] - x[:, 0, middle, middle - 3]).abs()
        sides = []
        for sign in (1, -1):
            far = middle + sign * 16
            border = (x[:, 0, middle, far + 2] - x[:, 0, middle, far - 3]).abs()
            sides.append(edge * (0.25 + 0.75 * border))
        return self.out(torch.stack(sides, 1)[:, :, None, None])


def test_units_that_are_told_the_side_by_the_far_border() -> None:
    found = rank_kernels(
        Owners(), "out", "border_ownership", input_spec=GRAY, rectify=True, null_kernels=0
    ).only
    assert found.values["preferred_direction"].tolist() == [0, 180]
    # Of three sizes one is told: 1 against 0.25, and 0.25 against 0.25 for the others.
    assert found.score.tolist() == pytest.approx([(1.5 - 0.75) / (1.5 + 0.75)] * 2, abs=0.01)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 px"):
        rank_kernels(nn.Conv2d(3, 2, 3), "", "curvature", input_spec=InputSpec.rgb(12))


def test_halves_know_their_directions() -> None:
    table = torch.zeros(1, 12, 4, 1, 1, 1)
    table[0, 7, 2] = 1.0
    whole = ConditionResponses(table, torch.zeros(1), torch.arange(12))
    half = whole.half(1)
    assert half is not None
    for responses in (whole, half):
        found = CurvatureRanking().score(responses, None)  # type: ignore[arg-type]
        assert found.values["preferred_direction"] == torch.tensor([210.0])
