"""Slots that take up one job after another, and images that do not know of their neighbors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from climbing import GRAY, Climber
from torch import Tensor, nn

from neurovis.maximization import ActivationMaximization, AscentSettings
from neurovis.maximization.ascent import AscentStep
from neurovis.maximization.batch import Batch
from neurovis.maximization.jobs import Job
from neurovis.maximization.objectives import Target
from neurovis.maximization.transforms import Affine, GaussianNoise

pytestmark = pytest.mark.usefixtures("without_figures")

CPU = torch.device("cpu")


def job(kernel: int) -> Job:
    return Job(kernel, "layer", Target((kernel,)), f"kernel {kernel}")


def batch_of(*kernels: int, **options: Any) -> Batch:
    settings = AscentSettings(**{"steps": 6, "patience": 2, **options})
    transforms = [Affine(jitter=2, scale=(0.9, 1.1), rotate=5), GaussianNoise(0.1)]
    return Batch([job(kernel) for kernel in kernels], settings, transforms, (16, 16), CPU)


def climb_of(climbed: list[float], gains: list[float]) -> AscentStep:
    readouts, left = torch.tensor(climbed), torch.tensor(gains)
    return AscentStep(
        -left, readouts, left, readouts == 0, torch.zeros(len(left), dtype=torch.bool)
    )


def climb_steps(batch: Batch, *climbed: list[float]) -> None:
    for values in climbed:
        batch.record(climb_of(values, values))


# Slots.


def test_a_slot_ends_after_all_its_steps_or_when_it_has_converged() -> None:
    batch = batch_of(3, 4)
    rising = [[float(step), min(step, 1.0)] for step in range(6)]
    climb_steps(batch, *rising[:4])
    # 0, 1 and then 1, 1: an improvement by half of the rise; the same again is none.
    assert batch.ended() == {}
    climb_steps(batch, rising[4])
    assert batch.ended() == {1: "converged"}
    batch.is_active[1] = False
    climb_steps(batch, rising[5])
    assert batch.ended() == {0: "steps"}
    assert batch.curve(0).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_without_patience_all_steps_are_made() -> None:
    batch = batch_of(3, patience=None)
    climb_steps(batch, *[[1.0]] * 5)
    assert batch.ended() == {}
    climb_steps(batch, [1.0])
    assert batch.ended() == {0: "steps"}


def test_silent_kernels_are_not_given_up() -> None:
    batch = batch_of(3, 4)
    climb_steps(batch, *[[0.0, 0.5]] * 5)
    assert batch.ended() == {1: "converged"}


def test_variants_end_together() -> None:
    batch = batch_of(3, 4, variants=2, batch_size=4)
    assert [batch.rows(slot) for slot in (0, 1)] == [[0, 1], [2, 3]]
    climb_steps(batch, *[[1.0, float(step), 1.0, 1.0] for step in range(5)])
    assert batch.ended() == {1: "converged"}
    assert batch.curve(0).tolist() == [[1, 1, 1, 1, 1], [0, 1, 2, 3, 4]]


def test_penalties_count_for_convergence_but_not_in_the_curve() -> None:
    batch = batch_of(3)
    for step in range(5):
        batch.record(climb_of([float(step)], [1.0]))
    assert batch.ended() == {0: "converged"}
    assert batch.curve(0).tolist() == [[0, 1, 2, 3, 4]]


def test_a_refilled_slot_begins_anew_and_leaves_its_neighbors_alone() -> None:
    batch = batch_of(3, 4)
    climb_steps(batch, [1.0, 1.0], [2.0, 1.0], [3.0, 1.0])
    assert batch.progress == pytest.approx(1.0)
    batch.take(1, job(7))
    assert batch.curve(1).numel() == 0
    assert batch.progress == pytest.approx(0.5)
    climb_steps(batch, [4.0, 9.0])
    assert batch.curve(0).tolist() == [[1, 2, 3, 4]]
    assert batch.curve(1).tolist() == [[9]]
    # What the slot's last job climbed does not make this one converge.
    climb_steps(batch, [5.0, 9.0], [6.0, 9.0])
    assert batch.ended() == {0: "steps"}
    assert [target.kernels for target in batch.targets.targets] == [(3,), (7,)]


def test_views_are_those_of_the_job_and_of_its_own_step() -> None:
    alone = batch_of(7)
    drawn = []
    for _ in range(4):
        drawn.append([values[0] for values in alone.views().drawn])
        climb_steps(alone, [0.0])
    other = batch_of(3, 4)
    climb_steps(other, [1.0, 1.0], [1.0, 1.0], [1.0, 1.0])
    other.take(1, job(7))
    for step in range(4):
        views = other.views()
        assert all(
            torch.equal(own, values[1])
            for own, values in zip(drawn[step], views.drawn, strict=True)
        )
        climb_steps(other, [1.0, 0.0])
    assert not torch.equal(drawn[0][0], drawn[1][0])


def test_a_slot_that_is_done_goes_on_without_harm() -> None:
    batch = batch_of(3, 4, patience=None)
    climb_steps(batch, *[[1.0, 1.0]] * 3)
    batch.take(1, job(5))
    climb_steps(batch, *[[2.0, 2.0]] * 3)
    assert batch.ended() == {0: "steps"}
    batch.is_active[0] = False
    # Three more steps than slot 0 has room for.
    for _ in range(3):
        batch.views()
        climb_steps(batch, [99.0, 3.0])
    assert batch.ended() == {1: "steps"}
    assert batch.curve(1).tolist() == [[2, 2, 2, 3, 3, 3]]


# Images.


def by_kernel(am: ActivationMaximization) -> dict[tuple[int, int], Any]:
    return {(item.kernels[0], item.variant): item for item in am.results.items}


def _blur(images: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(images, 3, 1, 1)


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "pixel": {"parametrization": "pixel", "tv": 0.2, "lp": 0.1},
    "phases": {"parametrization": "fixed_magnitude"},
    "contrast": {"contrast": 0.15, "luminance": 0.5},
    "center": {"objective": "center", "crop": False},
    "transforms": {"transforms": [GaussianNoise(0.05), Affine(jitter=1), _blur]},
    "variants": {"variants": 2, "diversity": 0.3, "batch_size": 6, "min_improvement": 0.15},
    "sleepers": {"init": "zero"},
}
RARE = ("phases", "contrast", "center", "pixel", "sleepers")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, id=name, marks=pytest.mark.slow if name in RARE else ())
        for name, options in OPTIONS.items()
    ],
)
def test_an_image_is_the_same_in_any_slot_with_any_neighbors(
    small_network: nn.Module, climb: Climber, options: dict[str, Any]
) -> None:
    common = {"steps": 20, "patience": 3, "min_improvement": 0.05, "batch_size": 3, **options}
    runs = []
    # In the second, kernels begin at other times, in other slots, beside others.
    for name, kernels in (("one", [0, 1, 2, 3, 4, 5, 6, 7]), ("two", [6, 3, 5, 0, 7])):
        am = ActivationMaximization(small_network, "3", kernels, GRAY, **common)
        climb(am, default_root_dir=climb.folder / name)
        runs.append(by_kernel(am))
    one, two = runs
    assert len({len(item.curve) for item in one.values()}) > 1, "all stop at once"
    assert two.keys() <= one.keys()
    for key, item in two.items():
        for name in ("image", "start", "curve", "member_activations", "resulting_map"):
            assert torch.equal(getattr(item, name), getattr(one[key], name)), f"{name} of {key}"
        assert (item.activation, item.ended) == (one[key].activation, one[key].ended)


def test_an_image_is_the_same_beside_one_that_is_refilled(
    small_network: nn.Module, climb: Climber
) -> None:
    common: dict[str, Any] = {
        "style": "maximal",
        "steps": 24,
        "patience": 4,
        "min_improvement": 0.1,
        "batch_size": 2,
        "lr": 0.05,
    }
    images, lengths = [], []
    for partners in ([4], [2, 1, 5, 4], [1, 3, 2]):
        am = ActivationMaximization(small_network, "3", [0, *partners], GRAY, **common)
        climb(am, default_root_dir=climb.folder / str(partners))
        images.append(by_kernel(am)[0, 0].image)
        lengths.append([len(item.curve) for item in am.results.items])
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    # The neighbor of kernel 0 was done, and replaced, before kernel 0 was.
    assert lengths[1][1] < lengths[1][0]
    assert lengths[2][1] < lengths[2][0]


def test_a_batch_of_another_size_gives_nearly_the_same(
    small_network: nn.Module, climb: Climber
) -> None:
    activations = []
    for batch_size in (1, 4):
        am = ActivationMaximization(
            small_network, "3", [0, 3, 5, 7], GRAY, steps=24, batch_size=batch_size, patience=None
        )
        climb(am, default_root_dir=climb.folder / str(batch_size))
        activations.append(am.results.activations)
    torch.testing.assert_close(activations[1], activations[0], rtol=0.01, atol=0)
