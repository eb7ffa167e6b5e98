"""d′ of planted images, of labels that tell nothing, and its closed form."""

from __future__ import annotations

import math

import pytest
import torch
from planted import ORIENTATIONS, SPEC, Detectors, gratings
from torch import Tensor, nn

from neurovis.analysis import seed_stability
from neurovis.analysis.stability import _dprime

VARIANTS = 4


def planted() -> dict[int, Tensor]:
    return {place: gratings(VARIANTS, place, place) for place in range(ORIENTATIONS)}


def shuffled() -> dict[int, Tensor]:
    """Deal the planted images out to kernels at random."""
    every = torch.cat(list(planted().values()))
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))
    return dict(enumerate(every[order].split(VARIANTS)))


def test_images_of_one_kernel_are_alike_and_shuffled_ones_are_not() -> None:
    stable = seed_stability(Detectors(), "energy", planted(), input_spec=SPEC)
    assert stable.space == "below"
    assert (stable.dprime > 1.5).all()
    assert (stable.within > stable.between).all()
    chance = seed_stability(Detectors(), "energy", shuffled(), input_spec=SPEC)
    assert abs(chance.dprime.mean()) < 0.3


def test_images_of_noise_are_at_chance() -> None:
    torch.manual_seed(1)
    noise = {kernel: torch.rand(VARIANTS, 1, 16, 16) for kernel in range(40)}
    found = seed_stability(Detectors(), "energy", noise, input_spec=SPEC)
    assert abs(found.dprime.mean()) < 0.2


def test_dprime_is_its_closed_form() -> None:
    likeness = torch.tensor(
        [
            [1.0, 0.8, 0.1, -0.3],
            [0.8, 1.0, 0.2, 0.0],
            [0.1, 0.2, 1.0, 0.4],
            [-0.3, 0.0, 0.4, 1.0],
        ]
    )
    dprime, within, between = _dprime(likeness, torch.tensor([0, 0, 1, 1]))
    # Pairs within: 0.8 and 0.4; between: 0.1, -0.3, 0.2, 0, with mean 0 and mean square 0.035.
    spread = math.sqrt((0.2**2 + 0.035) / 2)
    assert within.tolist() == pytest.approx([0.8, 0.4])
    assert between.tolist() == pytest.approx([0, 0], abs=1e-8)
    assert dprime.tolist() == pytest.approx([0.8 / spread, 0.4 / spread])


def test_a_kernel_with_one_image_has_none() -> None:
    images = {**planted(), 6: gratings(1, 0, 99)}
    found = seed_stability(Detectors(), "energy", images, input_spec=SPEC)
    assert found.dprime.isnan().tolist() == [False] * ORIENTATIONS + [True]
    assert [row["kernel"] for row in found.rows()] == [*range(ORIENTATIONS), 6]


def test_a_judge_compares_the_images() -> None:
    judge = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())
    found = seed_stability(Detectors(), "energy", planted(), input_spec=SPEC, judge=judge)
    assert found.space == "2"
    pixels = seed_stability(Detectors(), "below", planted(), input_spec=SPEC)
    assert pixels.space == "pixels"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({0: torch.rand(3, 1, 16, 16)}, "at least two kernels; got 3 of 1"),
        ({0: torch.rand(1, 1, 16, 16), 1: torch.rand(1, 1, 16, 16)}, "got 1 of 2: see variants"),
        ({}, "images of at least one kernel; got none"),
    ],
)
def test_what_cannot_be_compared(images: dict[int, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seed_stability(Detectors(), "energy", images, input_spec=SPEC)
