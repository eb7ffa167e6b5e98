"""Gratings are what they say, on their pixels and in their spectrum."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, DistributedSampler, Subset

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.tuning.stimuli import (
    MAX_SPATIAL_FREQUENCY,
    Gratings,
    Modulation,
    default_spatial_frequencies,
    isoluminant_modulations,
    render_gratings,
)

GRAY = InputSpec((Modality("gray", 1),), size=(17, 17))


def one(spec: InputSpec = GRAY, **parameters: Any) -> Tensor:
    """The last channel of a single grating, around 0 and with amplitude 1 where in the middle."""
    defaults = {"orientation": 0.0, "spatial_frequency": 0.125, "phase": 0.0, "contrast": 1.0}
    values = {name: torch.tensor([parameters.pop(name, defaults[name])]) for name in defaults}
    image = render_gratings(spec, **values, gains=torch.ones(1, spec.channels), **parameters)
    return 2 * image[0, -1] - 1


def wave(distance: float, phase: float = 0.0) -> float:
    return math.sin(math.radians(phase) - 2 * math.pi * 0.125 * distance)


def test_bars_at_0_degrees_are_horizontal() -> None:
    expected = [[wave(row - 8, 30)] * 17 for row in range(17)]
    assert one(orientation=0.0, phase=30.0) == pytest.approx(np.array(expected), abs=1e-6)


def test_bars_at_90_degrees_are_vertical() -> None:
    expected = [[wave(column - 8, 30) for column in range(17)]] * 17
    assert one(orientation=90.0, phase=30.0) == pytest.approx(np.array(expected), abs=1e-6)


def test_bars_at_45_degrees_rise_to_the_right() -> None:
    expected = [
        [wave((row + column - 16) / math.sqrt(2), 30) for column in range(17)] for row in range(17)
    ]
    image = one(orientation=45.0, phase=30.0)
    assert image == pytest.approx(np.array(expected), abs=1e-6)
    torch.testing.assert_close(image[1:, :-1], image[:-1, 1:])
    assert (image[1:, 1:] - image[:-1, :-1]).abs().max() > 0.5


@pytest.mark.parametrize(("up", "right"), [(1, 2), (2, 1), (1, 3), (2, -1)])
def test_bars_run_along_their_angle(up: int, right: int) -> None:
    angle = math.degrees(math.atan2(up, right))
    image = one(orientation=angle)
    higher, lower = image[:-up], image[up:]
    if right < 0:
        higher, lower = higher.flip(1), lower.flip(1)
    torch.testing.assert_close(lower[:, : -abs(right)], higher[:, abs(right) :])
    assert (lower[:, abs(right) :] - higher[:, : -abs(right)]).abs().max() > 0.5


@pytest.mark.parametrize(
    ("orientation", "rows", "columns"), [(0.0, 8, 0), (90.0, 0, 12), (45.0, 7, 7), (135.0, 7, -7)]
)
def test_spatial_frequency_is_the_peak_of_the_spectrum(
    orientation: float, rows: int, columns: int
) -> None:
    image = one(
        GRAY.resized(64), orientation=orientation, spatial_frequency=math.hypot(rows, columns) / 64
    )
    energy = np.abs(np.fft.fft2(image.numpy())) ** 2
    # All of a whole number of cycles is in one frequency and its negative.
    assert energy[rows, columns] == pytest.approx(energy.sum() / 2, rel=1e-4)


def test_phase_moves_a_grating_by_its_share_of_a_cycle() -> None:
    still, moved = one(orientation=90.0, phase=15.0), one(orientation=90.0, phase=105.0)
    torch.testing.assert_close(moved[:, 2:], still[:, :-2], atol=1e-6, rtol=0)
    torch.testing.assert_close(one(phase=180.0), -one(phase=0.0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("contrast", [1.0, 0.5, 0.08])
def test_contrast_is_the_amplitude_around_mid_gray(contrast: float) -> None:
    gratings = Gratings(
        InputSpec.rgb(16), 2, spatial_frequencies=[0.125], phases=4, contrasts=[contrast]
    )
    images = gratings.images(range(gratings.blank_index)).double()
    # Over rows and columns that hold whole cycles, the mean square of a sine is half.
    torch.testing.assert_close(
        images.sub(0.5).square().mean((1, 2, 3)).sqrt(),
        torch.full((8,), 0.5 * contrast / math.sqrt(2), dtype=torch.float64),
    )
    torch.testing.assert_close(images.mean((1, 2, 3)), torch.full((8,), 0.5, dtype=torch.float64))
    odd = Gratings(GRAY, 1, spatial_frequencies=[0.125], phases=4, contrasts=[contrast])
    peak, trough = odd.images([1])[0, 0, 8, 8], odd.images([3])[0, 0, 8, 8]
    assert float(peak - trough) == pytest.approx(contrast, abs=1e-7)


def test_values_stay_in_range() -> None:
    images = Gratings(GRAY, orientations=12).images(range(12 * 4 * 8))
    assert images.dtype == torch.float32
    assert 0 <= images.min() < 1e-3
    assert 1 >= images.max() > 1 - 1e-3


def test_blank_is_mid_gray() -> None:
    gratings = Gratings(InputSpec.rgbd(8), 2, phases=2, aperture=5.0)
    image, number = gratings[gratings.blank_index]
    assert number == len(gratings) - 1
    assert torch.equal(image, torch.full((4, 8, 8), 0.5))
    mixed = gratings.images([0, gratings.blank_index, 1])
    assert torch.equal(mixed[1], image)
    assert not torch.equal(mixed[0], image)
    assert gratings.condition(number) == {"blank": True}


def test_conditions_say_what_is_drawn() -> None:
    spec = InputSpec.rgb(12)
    modulations = (Modulation("red", (1, 0, 0)), Modulation("half", (0.5, 0.5, -0.5)))
    gratings = Gratings(spec, 3, [0.1, 0.3], 4, (0.25, 0.75), modulations)
    assert gratings.shape == (2, 3, 2, 2, 4)
    assert len(gratings) == 97
    names = ("modulation", "orientation", "spatial_frequency", "contrast", "phase")
    levels = [["red", "half"], [0, 60, 120], [0.1, 0.3], [0.25, 0.75], [0, 90, 180, 270]]
    for number, expected in enumerate(itertools.product(*levels)):
        assert gratings.condition(number) == dict(zip(names, expected, strict=True))
    for number in (0, 5, 18, 50, 95):
        condition = gratings.condition(number)
        numbers = {name: torch.tensor([condition[name]]) for name in names[1:]}
        gains = torch.tensor(
            [next(m.gains for m in modulations if m.name == condition["modulation"])]
        )
        torch.testing.assert_close(
            gratings[number][0], render_gratings(spec, **numbers, gains=gains)[0]
        )


def test_gains_drive_their_channels() -> None:
    directions = [Modulation("a", (1.0, -0.5, 0.0, 0.25)), Modulation("b", (0.0, 0.0, 1.0, 0.0))]
    gratings = Gratings(InputSpec.rgbd(9), 1, [0.2], 1, modulations=directions)
    first, second = gratings.images([0, 1]) - 0.5
    torch.testing.assert_close(first[1], -0.5 * first[0])
    torch.testing.assert_close(first[3], 0.25 * first[0])
    assert torch.equal(first[2], torch.zeros(9, 9))
    torch.testing.assert_close(second[2], first[0])
    assert torch.equal(second[[0, 1, 3]], torch.zeros(3, 9, 9))


def test_isoluminant_gratings_have_a_constant_mean() -> None:
    spec = InputSpec.rgbd(16)
    gratings = Gratings(spec, 4, phases=3, modulations=isoluminant_modulations(spec))
    images = gratings.images(range(len(gratings)))
    torch.testing.assert_close(images[:, :3].sum(1), torch.full((len(images), 16, 16), 1.5))
    # Not for want of a grating: the spread over whole cycles is that of each channel's gain.
    whole = Gratings(spec, 2, [0.125], 4, modulations=isoluminant_modulations(spec))
    spread = (whole.images(range(16)) - 0.5).square().mean((2, 3)).mul(8).sqrt()
    torch.testing.assert_close(
        spread, torch.tensor([[1.0, 1.0, 0.0, 0.0]] * 8 + [[0.5, 0.5, 1.0, 0.0]] * 8)
    )
    assert torch.equal(images[:, 3], torch.full((len(images), 16, 16), 0.5))


def test_aperture_is_full_inside_and_gray_outside() -> None:
    diameter, center = 20.0, (18.0, 22.0)
    spec = GRAY.resized((41, 45))
    windowed = one(spec, orientation=30.0, aperture=torch.tensor([diameter]), center=center)
    whole = one(spec, orientation=30.0, center=center)
    for row, column in itertools.product(range(41), range(45)):
        radius = math.hypot(row - center[0], column - center[1])
        # A raised cosine, half way down at 10 pixels, over 4 pixels.
        share = 0.5 - 0.5 * math.sin(math.pi * (radius - 10) / 4)
        share = 1.0 if radius <= 8 else 0.0 if radius >= 12 else share
        assert float(windowed[row, column]) == pytest.approx(
            share * float(whole[row, column]), abs=2e-6
        )
    through = Gratings(spec, 1, [0.125], 1, aperture=diameter, center=center)
    torch.testing.assert_close(
        2 * through[0][0][0] - 1,
        one(spec, aperture=torch.tensor([diameter]), center=center),
    )


def test_every_grating_may_have_its_own_aperture() -> None:
    diameters = torch.tensor([12.0, 3.0, 12.0, 1.0, 400.0])
    same = {"orientation": 90.0, "spatial_frequency": 0.125, "phase": 90.0, "contrast": 1.0}
    images = render_gratings(
        GRAY,
        **{name: torch.full((5,), value) for name, value in same.items()},
        gains=torch.ones(5, 1),
        aperture=diameters,
    )
    for image, diameter in zip(images, diameters, strict=True):
        alone = one(orientation=90.0, phase=90.0, aperture=diameter[None])
        torch.testing.assert_close(2 * image[0] - 1, alone)
    torch.testing.assert_close(2 * images[4, 0] - 1, one(orientation=90.0, phase=90.0))
    areas = (2 * images[:, 0, 8] - 1).abs().sum(1)
    assert areas[3] < areas[1] < areas[0] < areas[4]


def test_items_are_the_same_alone_and_in_any_batch() -> None:
    gratings = Gratings(InputSpec.rgb((19, 23)), 5, phases=3, aperture=12.0)
    whole = gratings.images(range(len(gratings)))
    assert whole.shape == (len(gratings), 3, 19, 23)
    order = torch.randperm(len(gratings), generator=torch.Generator().manual_seed(0))
    assert torch.equal(gratings.images(order), whole[order])
    for number in (0, 7, 40, len(gratings) - 1):
        image, index = gratings[number]
        assert index == number
        assert torch.equal(image, whole[number])


@pytest.mark.parametrize("workers", [0, 1])
def test_shards_are_the_whole(workers: int) -> None:
    gratings = Gratings(InputSpec.rgb(8), 3, phases=3)
    whole = gratings.images(range(len(gratings)))
    seen = torch.zeros(len(gratings))
    for rank in range(2):
        sampler: DistributedSampler[Any] = DistributedSampler(gratings, 2, rank, shuffle=True)
        for images, numbers in DataLoader(gratings, 4, sampler=sampler, num_workers=workers):
            assert torch.equal(images, whole[numbers])
            seen[numbers] += 1
    assert seen.min() >= 1
    ((images, numbers),) = DataLoader(Subset(gratings, [5, 2]), 2)
    assert numbers.tolist() == [5, 2]
    assert torch.equal(images, whole[[5, 2]])


def test_iteration_ends() -> None:
    gratings = Gratings(InputSpec.rgb(4), 2, phases=1)
    assert [number for _, number in gratings] == list(range(len(gratings)))
    for missing in (-1, len(gratings)):
        with pytest.raises(IndexError, match=f"0 to {len(gratings) - 1}; got {missing}"):
            gratings[missing]
        with pytest.raises(IndexError, match=f"got {missing}"):
            gratings.condition(missing)


class SinesOf(TorchDispatchMode):
    """Counts the numbers that sines and cosines are taken of."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **kwargs or {})
        if func.overloadpacket.__name__.rstrip("_") in ("sin", "cos", "exp", "polar"):
            self.count += result.numel()
        return result


def test_sines_are_taken_of_rows_and_columns_and_not_of_every_pixel() -> None:
    gratings = Gratings(InputSpec.rgb(224))
    gratings.images(range(32))
    with SinesOf() as sines:
        images = gratings.images(range(32))
    assert 0 < sines.count < images.numel() / 30


def test_default_frequencies_are_half_octaves_that_fit() -> None:
    assert len(default_spatial_frequencies(InputSpec.rgb(224))) == 8
    frequencies = np.array(default_spatial_frequencies(InputSpec.rgb((64, 20))))
    assert frequencies[-1] == MAX_SPATIAL_FREQUENCY == 0.35
    np.testing.assert_allclose(np.diff(np.log2(frequencies)), 0.5)
    assert frequencies[0] >= 1 / 20 > frequencies[0] / math.sqrt(2)
    assert default_spatial_frequencies(InputSpec.rgb(3)) == (0.35,)
    with pytest.raises(ValueError, match=r"\(2, 5\) is too small"):
        Gratings(InputSpec.rgb((2, 5)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spatial_frequencies": [0.0]}, "above 0 .* got 0"),
        ({"spatial_frequencies": [-0.1]}, "got -0.1"),
        ({"spatial_frequencies": [0.1, 0.4]}, "at most 0.35 .* got 0.4.* swings with its phase"),
        ({"spatial_frequencies": [math.nan]}, "got nan"),
        ({"spatial_frequencies": [0.2, 0.1]}, r"increasing numbers; got \(0.2, 0.1\)"),
        ({"spatial_frequencies": []}, "one or more"),
        ({"orientations": 0}, "orientations .* got 0"),
        ({"phases": 0}, "phases .* got 0"),
        ({"contrasts": [0.0]}, r"\(0, 1\]; got 0"),
        ({"contrasts": [0.5, 1.1]}, "got 1.1"),
        ({"contrasts": [0.5, 0.5]}, "increasing"),
        ({"modulations": [Modulation("loud", (1.0, 1.5, 0.0))]}, "contrast 1 .*'loud', 1.5"),
        ({"modulations": [Modulation("short", (1.0, 1.0))]}, "'short' .* 3 channels; got 2"),
        ({"modulations": [Modulation("a", (1, 1, 1))] * 2}, r"\['a', 'a'\]"),
        ({"modulations": []}, r"got \[\]"),
        ({"aperture": 0.0}, "above 0; got 0"),
        ({"aperture": math.inf}, "got inf"),
        ({"center": (8.0, 16.0)}, r"inside the image .* got \(8.0, 16.0\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Gratings(InputSpec.rgb(16), **arguments)


def test_a_loud_modulation_fits_at_a_lower_contrast() -> None:
    loud = Modulation("loud", (1.6, 1.0, -1.6))
    images = Gratings(InputSpec.rgb(16), 2, contrasts=[0.625], modulations=[loud]).images([0, 1])
    assert images[:, 0].max() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spatial_frequency": torch.tensor([0.1, 0.36])}, "at most 0.35 .* got 0.36"),
        ({"phase": torch.zeros(3)}, r"phase .* each of 2 gratings; got shape \(3,\)"),
        ({"orientation": torch.tensor([0.0, math.nan])}, "orientation must be finite"),
        ({"contrast": torch.tensor([0.5, 1.2])}, "got contrasts 0.5 to 1.2"),
        ({"contrast": torch.tensor([-0.5, 1.0])}, "got contrasts -0.5 to 1"),
        ({"gains": torch.tensor([[1.0], [2.0]])}, "products 0.5 to 2"),
        ({"gains": torch.full((2, 1), math.nan)}, "products nan"),
        ({"gains": torch.ones(2, 3)}, r"\(2, 1\); got \(2, 3\)"),
        ({"aperture": torch.tensor([4.0, -1.0])}, "above 0; got -1"),
        ({"aperture": torch.tensor([4.0])}, "aperture .* each of 2"),
        ({"center": (40.0, 0.0)}, r"got \(40.0, 0.0\)"),
    ],
)
def test_rendering_refuses_what_it_cannot_draw(arguments: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {
        "orientation": torch.zeros(2),
        "spatial_frequency": torch.full((2,), 0.1),
        "phase": torch.zeros(2),
        "contrast": torch.tensor([0.5, 1.0]),
        "gains": torch.tensor([[1.0], [1.0]]),
    }
    render_gratings(GRAY, **given)
    with pytest.raises(ValueError, match=words):
        render_gratings(GRAY, **(given | arguments))
