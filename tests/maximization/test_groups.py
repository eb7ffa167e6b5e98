"""Group activation maximization."""

from __future__ import annotations

import pytest
import torch
from climbing import GRAY, STILL, Climber, Silent
from torch import nn

from neurovis.maximization import ActivationMaximization, GroupActivationMaximization

pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.mark.parametrize(
    ("joint", "weights"), [("mean", None), ("min", None), ("weighted", [[1.0, 3.0, -1.0]])]
)
def test_groups_report_every_member(
    climb: Climber, small_network: nn.Module, joint: str, weights: list[list[float]] | None
) -> None:
    group = GroupActivationMaximization(
        small_network, "3", [[1, 4, 6]], GRAY, joint, weights, style="maximal", steps=12
    )
    climb(group)
    (item,) = group.results.items
    members = item.member_activations
    expected = {
        "mean": members.mean(),
        "min": members.min(),
        "weighted": (members[0] + 3 * members[1] - members[2]) / 5,
    }[joint]
    assert item.activation == pytest.approx(float(expected), rel=1e-5)
    assert item.activation > item.noise_activation
    assert [row["kernel"] for row in group.results.rows()] == [1, 4, 6]


def test_min_lifts_the_weakest_member_where_mean_may_drop_it(climb: Climber) -> None:
    """Kernel 1 is kernel 0 turned around: what lifts the one lowers the other."""
    layer = nn.Conv2d(1, 2, 5, bias=False)
    with torch.no_grad():
        layer.weight[1] = -0.2 * layer.weight[0]
    members = {}
    for joint in ("mean", "min"):
        group = GroupActivationMaximization(
            nn.Sequential(layer), "0", [[0, 1]], GRAY, joint, steps=40, objective="center", **STILL
        )
        climb(group)
        members[joint] = group.results.items[0].member_activations
    assert members["mean"].min() < -0.05
    assert members["min"].min() > -0.01


def test_whole_layer_and_batches_of_it_as_groups(small_network: nn.Module) -> None:
    whole = GroupActivationMaximization(small_network, "3", "all", GRAY)
    assert [target.kernels for target in whole.targets] == [tuple(range(8))]
    batches = GroupActivationMaximization(small_network, "3", "each:3", GRAY)
    assert [target.kernels for target in batches.targets] == [(0, 1, 2), (3, 4, 5), (6, 7)]
    named = GroupActivationMaximization(small_network, "3", "0-2;7", GRAY)
    assert [target.kernels for target in named.targets] == [(0, 1, 2), (7,)]


def test_a_member_that_is_suppressed_is_not_called_dead(climb: Climber) -> None:
    group = GroupActivationMaximization(
        nn.Sequential(Silent()), "0", [[1, 2]], GRAY, "weighted", [[-1.0, 1.0]], steps=3
    )
    climb(group)
    assert group.results.items[0].dead_members == [False, False]


def test_a_group_of_one_is_that_kernels_own_image(climb: Climber, small_network: nn.Module) -> None:
    options = {"layer": "3", "input_spec": GRAY, "steps": 8, "seed": 5}
    single = ActivationMaximization(small_network, kernels=[4, 6], **options)
    climb(single)
    for joint in ("mean", "min"):
        group = GroupActivationMaximization(
            small_network, groups=[[4], [6]], joint=joint, **options
        )
        climb(group)
        assert torch.equal(group.results.images, single.results.images)
