"""Targets: which kernels an image is for, and how their readouts become one number."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neurovis.maximization.objectives import (
    DeepDream,
    Max,
    Mean,
    Target,
    TargetBatch,
    group_target,
    member_values,
)
from neurovis.readouts import spatial_mean

CPU = torch.device("cpu")

#: What a group of each kind asks for, of up to eight kernels.
GROUPS: list[dict[str, Any]] = [
    {"kernels": (4,)},
    {"kernels": (0, 7)},
    {"kernels": (7,), "joint": "min"},
    {"kernels": (3, 1, 2), "joint": "min"},
    {"kernels": (6,), "joint": "weighted", "weights": (-2.0,)},
    {"kernels": (0, 5, 3), "joint": "weighted", "weights": (1.0, -0.5, 0.0)},
    {"kernels": (1, 2, 3, 4, 5), "suppressed": (0, 7)},
    {"kernels": (1, 0), "joint": "min", "suppressed": (6,)},
    {"kernels": (5, 6), "zscore": ((0.1, -0.2), (0.5, 3.0))},
    {
        **{"kernels": (5, 6), "joint": "min", "suppressed": (2, 3)},
        "zscore": ((0.1, -0.2, 1.0, 0.0), (0.5, 3.0, 0.2, 7.0)),
    },
    {
        **{"kernels": (2, 6), "joint": "weighted", "weights": (1.0, 3.0), "suppressed": (1,)},
        "zscore": ((0.3, 0.0, 1.0), (0.5, 0.1, 2.0)),
    },
    {"kernels": tuple(range(8))},
]
TARGETS = [group_target(**group) for group in GROUPS]


def literal_joint(
    readouts: Sequence[float],
    kernels: Sequence[int],
    joint: str = "mean",
    weights: Sequence[float] | None = None,
    suppressed: Sequence[int] = (),
    zscore: tuple[Sequence[float], Sequence[float]] | None = None,
) -> float:
    """Return a group's number, in NumPy and double precision."""
    own = np.asarray(readouts, float)[[*kernels, *suppressed]]
    if zscore is not None:
        own = (own - zscore[0]) / zscore[1]
    driven, silenced = own[: len(kernels)], own[len(kernels) :]
    if joint == "min":
        number = driven.min()
    elif weights is not None:
        number = np.dot(weights, driven) / np.abs(weights).sum()
    else:
        number = driven.mean()
    return float(number - (silenced.mean() if len(silenced) else 0.0))


def random_group(generator: np.random.Generator, count: int = 24) -> dict[str, Any]:
    """A group of any kind, of up to 24 kernels."""
    order = generator.permutation(count).tolist()
    driven, silenced = generator.integers(1, 12), generator.integers(0, 12)
    group: dict[str, Any] = {
        "kernels": tuple(order[:driven]),
        "joint": str(generator.choice(["mean", "min", "weighted"])),
        "suppressed": tuple(order[driven : driven + silenced]),
    }
    if group["joint"] == "weighted":
        group["weights"] = tuple(generator.normal(size=driven).tolist())
    if generator.integers(2):
        means, spread = generator.normal(size=(2, driven + silenced))
        group["zscore"] = (tuple(means.tolist()), tuple((0.5 + np.abs(spread)).tolist()))
    return group


def test_random_groups_against_their_closed_form() -> None:
    generator = np.random.default_rng(0)
    groups = [random_group(generator) for _ in range(120)]
    values = torch.from_numpy(generator.normal(size=(120, 24))).float()
    batch = TargetBatch([group_target(**group) for group in groups], CPU)
    joint = batch.joint(batch.members(values)).tolist()
    expected = [literal_joint(row, **one) for row, one in zip(values.tolist(), groups, strict=True)]
    assert joint == pytest.approx(expected, rel=1e-5, abs=2e-6)


def test_the_mean_of_joined_maps_is_the_joint_of_means() -> None:
    """But for a minimum, of which there is none at each position."""
    maps = torch.randn(8, 5, 6, generator=torch.Generator().manual_seed(3))
    for group, target in zip(GROUPS, TARGETS, strict=True):
        joined = target.join_maps(maps[list(target.kernels)])
        if group.get("joint") == "min":
            group = {**group, "joint": "mean"}
        expected = literal_joint(maps.mean((1, 2)).tolist(), **group)
        assert joined.mean().item() == pytest.approx(expected, abs=1e-5)


def test_each_image_is_read_at_its_own_kernels() -> None:
    activation = torch.arange(12.0).reshape(2, 6)
    targets = [Target((4,)), group_target((0, 5), suppressed=(2,))]
    members = member_values(activation, targets, Mean())
    assert [values.tolist() for values in members] == [[4.0], [6.0, 11.0, 8.0]]


def test_readouts_come_in_float32() -> None:
    activation = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]], dtype=torch.bfloat16)
    for objective, expected in ((Mean(), 2.0), (Max(), 3.0), (DeepDream(), 2.5)):
        (values,) = member_values(activation, [Target((0,))], objective)
        assert values.dtype == torch.float32
        assert values.tolist() == [expected]


@pytest.mark.parametrize("together", [True, False])
def test_joints_against_a_literal_sum(together: bool) -> None:
    values = torch.randn(len(TARGETS), 8, generator=torch.Generator().manual_seed(1))
    expected = [literal_joint(row, **own) for row, own in zip(values.tolist(), GROUPS, strict=True)]
    if together:
        batch = TargetBatch(TARGETS, CPU)
        joint = batch.joint(batch.members(values)).tolist()
    else:
        joint = [
            float(TargetBatch([target], CPU).joint(row[None, list(target.kernels)]))
            for row, target in zip(values, TARGETS, strict=True)
        ]
    assert joint == pytest.approx(expected, rel=1e-5)


def test_lists_of_members_are_those_of_batches() -> None:
    values = torch.randn(len(TARGETS), 8, generator=torch.Generator().manual_seed(2))
    batch = TargetBatch(TARGETS, CPU)
    members = member_values(values, TARGETS, Mean())
    for own, row, target in zip(members, batch.members(values), TARGETS, strict=True):
        assert torch.equal(own, row[: len(target.kernels)])


def _read(targets: Sequence[Target], activation: Tensor) -> tuple[Tensor, Tensor]:
    """The joint values, and their gradient."""
    activation = activation.clone().requires_grad_(True)
    batch = TargetBatch(targets, CPU)
    joint = batch.joint(batch.members(spatial_mean(activation)))
    (gradient,) = torch.autograd.grad(joint.sum(), activation)
    return joint.detach(), gradient


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 11, 13, 29])
@pytest.mark.parametrize("kind", ["mean", "min", "weighted", "suppressed", "zscore"])
def test_an_image_does_not_depend_on_the_size_of_other_images_targets(
    count: int, kind: str
) -> None:
    generator = torch.Generator().manual_seed(count)
    activation = torch.randn(3, 64, 3, 3, generator=generator)
    kernels = tuple(torch.randperm(64, generator=generator)[:count].tolist())
    numbers = tuple((torch.rand(count, generator=generator) + 0.1).tolist())
    own = {
        "mean": Target(kernels),
        "min": group_target(kernels, "min"),
        "weighted": group_target(kernels, "weighted", numbers),
        "suppressed": group_target(kernels[:1], suppressed=kernels[1:]),
        "zscore": group_target(kernels, zscore=(numbers, numbers)),
    }[kind]
    statistics = ((0.5,) * 64, (2.0,) * 64)
    neighbors = [
        [Target((0,)), Target((1,))],
        [Target(tuple(range(17))), group_target(tuple(range(40, 7, -1)), "min")],
        [
            group_target(tuple(range(32)), suppressed=tuple(range(32, 64)), zscore=statistics),
            group_target((0, 1), "weighted", (-1.0, 1.0)),
        ],
    ]
    results = [_read([first, own, last], activation) for first, last in neighbors]
    for joint, gradient in results[1:]:
        assert torch.equal(joint[1], results[0][0][1])
        assert torch.equal(gradient[1], results[0][1][1])


def test_the_weakest_member_alone_has_the_gradient_of_a_minimum() -> None:
    activation = torch.tensor([[3.0, -1.0, 2.0, -9.0]])
    _, gradient = _read([group_target((0, 1, 2), "min")], activation)
    assert gradient.tolist() == [[0.0, 1.0, 0.0, 0.0]]
    # Standardized, another one is the weakest.
    zscore = ((0.0, -5.0, 0.0), (10.0, 1.0, 1.0))
    _, gradient = _read([group_target((0, 1, 2), "min", zscore=zscore)], activation)
    torch.testing.assert_close(gradient, torch.tensor([[0.1, 0.0, 0.0, 0.0]]))


def test_what_is_no_member_may_be_infinite() -> None:
    values = torch.tensor([[math.inf, 2.0, 3.0], [math.nan, 2.0, 5.0]])
    targets = [Target((1,)), group_target((2, 1), suppressed=()), group_target((1,), "min")]
    batch = TargetBatch([targets[0], targets[1]], CPU)
    assert batch.joint(batch.members(values)).tolist() == [2.0, 3.5]
    wide = TargetBatch([targets[2], group_target((1,), suppressed=(2,))], CPU)
    assert wide.joint(wide.members(values)).tolist() == [2.0, -3.0]


def test_only_driven_members_that_read_zero_are_silent() -> None:
    targets = [
        Target((0, 1)),
        group_target((0, 1), suppressed=(2,)),
        group_target((0, 1, 2), "weighted", (-1.0, 0.0, 1.0)),
        Target((0,)),
    ]
    batch = TargetBatch(targets, CPU)
    silent = batch.silent(batch.members(torch.tensor([[0.0, 1.0, 0.0]]).repeat(4, 1)))
    assert silent.tolist() == [
        [True, False, False],
        [True, False, False],
        [False, False, True],
        [True, False, False],
    ]
    assert targets[1].driven == (True, True, False)
    assert targets[2].driven == (False, False, True)


def test_some_of_a_batch_are_read_as_in_all_of_it() -> None:
    values = torch.randn(len(TARGETS), 8, generator=torch.Generator().manual_seed(3))
    batch = TargetBatch(TARGETS, CPU)
    rows = [9, 0, 4]
    some = batch.of(rows)
    assert some.targets == [TARGETS[row] for row in rows]
    members = some.members(values[rows])
    assert torch.equal(members, batch.members(values)[rows])
    assert torch.equal(some.joint(members), batch.joint(batch.members(values))[rows])
    assert torch.equal(some.driven, batch.driven[rows])


@pytest.mark.parametrize(
    ("targets", "shape", "message"),
    [
        ([Target((3,))], (1, 3), "is of number 3; the objective reads 3"),
        ([group_target((0,), suppressed=(7,))], (1, 4), "is of number 7; the objective reads 4"),
        ([Target((0,))], (2, 3), r"for 1 images; it returned \(2, 3\)"),
        ([Target((0,))], (1,), r"it returned \(1,\)"),
    ],
)
def test_values_that_do_not_fit_the_targets_are_refused(
    targets: list[Target], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TargetBatch(targets, CPU).members(torch.zeros(shape))


def test_a_batch_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one target"):
        TargetBatch([], CPU)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "at least one kernel"),
        (((1, 1),), r"once; got \[1, 1\]"),
        (((1, -2),), r"numbered from 0; got \[1, -2\]"),
        (((1, 2), "median"), "got 'median'"),
        (((1, 2), "weighted"), "weights are given"),
        (((1, 2), "mean", (1.0, 1.0)), "only with it"),
        (((1, 2), "weighted", (1.0,)), "2 kernels, 1 weights"),
        (((1, 2), "weighted", (0.0, 0.0)), "not all be zero"),
        (((1, 2), "weighted", (0.0, math.nan)), "weights must be finite"),
        (((1, 2), "mean", None, (3, 3)), r"named once; got \[3, 3\]"),
        (((1, 2), "mean", None, (3, 2)), r"got \[2\] as both"),
        (((1,), "mean", None, (2,), ((0.0,), (1.0, 1.0))), "2 members, 1 means"),
        (((1,), "mean", None, (), ((0.0,), (1.0, 1.0))), "1 members, 2 standard deviations"),
        (((1,), "mean", None, (), ((math.inf,), (1.0,))), "means of zscore must be finite"),
        (((1,), "mean", None, (), ((0.0,), (0.0,))), r"must be positive; got \[0.0\]"),
    ],
)
def test_unusable_targets_are_refused(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=message):
        group_target(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": (1.0,)}, "weights must be a finite number for each of 2 kernels"),
        ({"offsets": (0.0, math.inf)}, r"offsets must be a finite .* got \[0.0, inf\]"),
        ({"weights": (0.0, -1.0), "is_minimum": True}, "needs a kernel with a positive weight"),
    ],
)
def test_numbers_that_make_no_target_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Target((0, 1), **options)


def test_targets_survive_pickling() -> None:
    assert pickle.loads(pickle.dumps(TARGETS)) == TARGETS
