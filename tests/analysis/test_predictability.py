"""Predictability of planted detectors, at chance, and of what cannot be measured."""

from __future__ import annotations

import pytest
import torch
from planted import ORIENTATIONS, SPEC, Detectors, gratings
from torch import Tensor, nn

from neurovis import InputSpec
from neurovis.analysis import predictability
from neurovis.analysis.picture_prediction import _told_apart
from neurovis.modality import Modality


def pictures() -> Tensor:
    return torch.cat([gratings(20, place, 10 + place) for place in range(ORIENTATIONS)])


def references() -> dict[int, Tensor]:
    return {place: gratings(2, place, 50 + place) for place in range(ORIENTATIONS)}


def test_planted_detectors_are_predicted_and_shuffled_ones_are_not() -> None:
    found = predictability(
        Detectors(), "energy", references(), pictures(), input_spec=SPEC, share=0.15
    )
    assert found.space == "below"
    assert found.pictures == 20 * ORIENTATIONS
    assert (found.scores > 0.95).all()
    assert (found.percentiles > 80).all()
    # Each picture has one orientation: other kernels' images say, if anything, the contrary.
    assert found.null.shape == (ORIENTATIONS, ORIENTATIONS - 1)
    assert (found.null.mean(1) < 0.55).all()


def test_images_of_noise_tell_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    noise = {place: torch.rand(1, 1, 16, 16, generator=generator) for place in range(ORIENTATIONS)}
    found = predictability(Detectors(), "energy", noise, pictures(), input_spec=SPEC)
    assert abs(found.scores.mean() - 0.5) < 0.2


def test_a_shuffled_layer_is_at_chance() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 30, 5), nn.Tanh(), nn.Conv2d(30, 40, 3))
    images = torch.rand(40, 1, 1, 16, 16)
    random_references = {kernel: images[kernel] for kernel in range(40)}
    found = predictability(network, "2", random_references, pictures(), input_spec=SPEC)
    assert abs(found.null.mean() - 0.5) < 0.05


def test_a_judge_of_its_own_and_pixels() -> None:
    judge = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 3))
    small = SPEC.resized(12)
    of_judge = predictability(
        Detectors(),
        "energy",
        references(),
        pictures(),
        input_spec=SPEC,
        judge=judge,
        judge_spec=small,
    )
    assert of_judge.space == "0"
    of_pixels = predictability(Detectors(), "below", references(), pictures(), input_spec=SPEC)
    assert of_pixels.space == "pixels"


def test_a_layer_by_its_second_name() -> None:
    network = Detectors()
    network.again = network.energy
    first, second = (
        predictability(network, name, references(), pictures(), input_spec=SPEC)
        for name in ("energy", "again")
    )
    assert second.space == "below"
    assert torch.equal(first.scores, second.scores)


def test_a_judge_of_one_modality_is_shown_that_one() -> None:
    """It describes images by it alone, whatever else they have."""
    both = InputSpec((Modality("depth", 1), Modality("gray", 1)), 16)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    judge = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU())
    images = {place: gratings(2, place, 50 + place) for place in range(3)}
    shown_pictures = torch.cat([torch.rand(120, 1, 16, 16), pictures()], 1)
    black, white = (
        predictability(
            network,
            "2",
            {
                kernel: torch.cat([depth.expand(2, 1, 16, 16), own], 1)
                for kernel, own in images.items()
            },
            shown_pictures,
            input_spec=both,
            judge=judge,
            judge_spec=SPEC,
        )
        for depth in torch.tensor([0.0, 1.0])
    )
    assert torch.equal(black.scores, white.scores)
    with pytest.raises(ValueError, match="is shown depth, gray, and the images have gray"):
        predictability(
            judge, "0", references(), pictures(), input_spec=SPEC, judge=network, judge_spec=both
        )


def test_a_silent_kernel_has_no_score() -> None:
    found = predictability(
        Detectors(),
        "energy",
        {6: gratings(1, 0, 1), 0: gratings(1, 0, 1)},
        pictures(),
        input_spec=SPEC,
    )
    assert found.scores.isnan().tolist() == [True, False]
    first, second = found.rows()
    assert (first["kernel"], second["kernel"], second["pictures"]) == (6, 0, 120)


def test_the_part_of_pairs() -> None:
    more, less = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0.0, 2.0, 2.5])
    pairs = [float(a > b) + 0.5 * float(a == b) for a in more for b in less]
    assert _told_apart(more, less).item() == pytest.approx(sum(pairs) / 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.6}, "share must be above 0 and at most 0.5; got 0.6"),
        (
            {"references": {9: torch.rand(1, 1, 16, 16)}},
            r"kernel 9 is out of range: layer \"energy\" has 7 kernels, 0 to 6",
        ),
        ({"layer": "enrgy"}, 'layer "enrgy" not found; did you mean "energy"'),
        ({"references": {}}, "images of at least one kernel; got none"),
        ({"pictures": torch.rand(9, 1, 16, 16)}, "at least 10 pictures; got 9"),
    ],
)
def test_what_cannot_be_measured(options: dict[str, object], message: str) -> None:
    arguments = {"layer": "energy", "references": references(), "pictures": pictures()}
    with pytest.raises(ValueError, match=message):
        predictability(Detectors(), input_spec=SPEC, **{**arguments, **options})  # type: ignore[arg-type]
