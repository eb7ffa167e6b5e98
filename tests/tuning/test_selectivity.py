"""Against the formulas, written out literally."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import pearsonr
from torch import Tensor

from neurovis.tuning.selectivity import (
    class_selectivity,
    color_selectivity,
    lifetime_sparseness,
    lifetime_sparseness_of_sums,
    modality_selectivity,
    preferred_size,
    spearman_brown,
    surround_suppression,
)


def responses(*shape: int, seed: int = 0) -> Tensor:
    """Non-negative, half of them zero, as after a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).clamp(min=0)


def literal_sparseness(values: list[float]) -> float:
    n = len(values)
    mean_squared = (sum(value / n for value in values)) ** 2
    square_mean = sum(value**2 / n for value in values)
    return (1 - mean_squared / square_mean) / (1 - 1 / n)


def literal_class_selectivity(means: list[float]) -> float:
    largest = max(means)
    others = list(means)
    others.remove(largest)
    other = sum(others) / len(others)
    return (largest - other) / (largest + other)


def test_lifetime_sparseness_is_the_formula() -> None:
    for count in (2, 7, 100):
        seen = responses(6, count) + 0.01
        expected = [literal_sparseness(row) for row in seen.tolist()]
        assert lifetime_sparseness(seen).tolist() == pytest.approx(expected)
        sums = seen.sum(-1), seen.square().sum(-1)
        assert lifetime_sparseness_of_sums(*sums, count).tolist() == pytest.approx(expected)
        tensor = torch.tensor(float(count))
        assert lifetime_sparseness_of_sums(*sums, tensor).tolist() == pytest.approx(expected)


def test_lifetime_sparseness_has_its_limits() -> None:
    for count in (2, 3, 1000):
        one, all_alike = torch.zeros(count), torch.full((count,), 0.3)
        one[1] = 0.7
        assert lifetime_sparseness(one).item() == pytest.approx(1, abs=1e-6)
        assert lifetime_sparseness(all_alike).item() == pytest.approx(0, abs=1e-5)
    sums = torch.linspace(0.1, 10, 500) * 7, torch.linspace(0.1, 10, 500).square() * 7
    assert lifetime_sparseness_of_sums(*sums, 7).min() >= 0


def test_class_selectivity_is_the_formula() -> None:
    for count in (2, 3, 10):
        means = responses(6, count) + 0.01
        expected = [literal_class_selectivity(row) for row in means.tolist()]
        assert class_selectivity(means).tolist() == pytest.approx(expected)
    # Also where two classes share the largest.
    assert class_selectivity(torch.tensor([4.0, 4.0, 1.0])).item() == pytest.approx(1.5 / 6.5)


def test_a_class_without_images_leaves_selectivity_undefined() -> None:
    assert class_selectivity(torch.tensor([4.0, math.nan, 1.0])).isnan()


def test_color_selectivity_is_the_formula() -> None:
    gray, rgb = responses(3, 4, 20), responses(3, 4, 20, seed=1)
    found = color_selectivity(gray, rgb)
    for row, column in ((0, 0), (2, 3)):
        expected = 1 - sum(gray[row, column].tolist()) / sum(rgb[row, column].tolist())
        assert found[row, column].item() == pytest.approx(expected)
    assert color_selectivity(rgb, rgb).abs().max() < 1e-12
    assert (color_selectivity(torch.zeros_like(rgb), rgb) == 1).all()
    # A kernel that answers to gray only is not all color's, nor infinite.
    assert color_selectivity(torch.ones(2), torch.zeros(2)).isnan()


def test_modality_selectivity_has_its_sign() -> None:
    rgb, depth = torch.tensor([1.0, 3.0, 0.0, 2.0, 0.0]), torch.tensor([3.0, 1.0, 2.0, 0.0, 0.0])
    found = modality_selectivity(rgb, depth)
    assert found[:4].tolist() == [0.5, -0.5, 1.0, -1.0]
    assert found[4].isnan()
    assert modality_selectivity(rgb[0], depth[0]).item() == 0.5


def test_surround_suppression_and_size_of_a_difference_of_gaussians() -> None:
    # Cavanaugh's ratio of Gaussians is peaked between the center's and the surround's size.
    diameters = torch.arange(1, 65, dtype=torch.float64)
    center, surround = torch.erf(diameters / 8) ** 2, torch.erf(diameters / 24) ** 2
    weights = torch.tensor([0.0, 0.2, 1.0], dtype=torch.float64)[:, None]
    curves = center / (1 + weights * surround)
    suppression, size = surround_suppression(curves), preferred_size(curves, diameters)
    for row, curve in enumerate(curves.tolist()):
        assert suppression[row].item() == pytest.approx((max(curve) - curve[-1]) / max(curve))
        index = next(i for i, value in enumerate(curve) if value >= 0.95 * max(curve))
        assert size[row].item() == diameters[index].item()
    assert suppression[0] < 1e-9 < suppression[1] < suppression[2]
    assert size[0] > size[1] > size[2]


def test_spearman_brown_predicts_the_whole_from_its_halves() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(20000, generator=generator)
    noise = torch.randn(4, 20000, generator=generator)
    parts = truth + 1.5 * noise
    halves = pearsonr(parts[0], parts[1]).statistic
    wholes = pearsonr((parts[0] + parts[1]) / 2, (parts[2] + parts[3]) / 2).statistic
    assert spearman_brown(torch.tensor(halves)).item() == pytest.approx(wholes, abs=0.02)
    assert spearman_brown(torch.tensor([1.00001, -1.0, math.nan])).tolist()[0] == 1.0
    assert spearman_brown(torch.tensor([1.0, -1.0, math.nan])).isnan().tolist() == [0, 1, 1]


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "sparseness": lifetime_sparseness,
    "class": class_selectivity,
    "color": lambda seen: color_selectivity(seen / 3, seen),
    "modality": lambda seen: modality_selectivity(seen[..., 0], seen[..., 1]),
    "suppression": surround_suppression,
    "size": lambda seen: preferred_size(seen, torch.arange(1, seen.shape[-1] + 1)),
}


@pytest.mark.parametrize("name", MEASURES)
class TestAll:
    def test_shape_dtype_and_each_kernel_by_itself(self, name: str) -> None:
        for dtype in (torch.float32, torch.float64):
            seen = (responses(3, 5, 8) + 0.1).to(dtype)
            found = MEASURES[name](seen)
            assert found.shape == (3, 5)
            assert found.dtype == dtype
            alone = torch.stack([MEASURES[name](one) for one in seen.flatten(0, 1)])
            torch.testing.assert_close(alone, found.flatten())
        assert MEASURES[name](torch.ones(0, 8)).shape == (0,)

    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    def test_scaling_changes_nothing(self, name: str, scale: float) -> None:
        seen = responses(5, 8).float() + 0.1
        torch.testing.assert_close(MEASURES[name](seen * scale), MEASURES[name](seen))

    def test_dead_and_undefined_are_nan(self, name: str) -> None:
        seen = torch.stack([torch.zeros(8), torch.arange(1.0, 9), torch.full((8,), math.nan)])
        assert MEASURES[name](seen).isnan().tolist() == [True, False, True]

    def test_negative_responses_are_refused(self, name: str) -> None:
        seen = torch.ones(2, 8)
        seen[1, 1] = -0.5
        with pytest.raises(ValueError, match=r"must be non-negative; got -0\.[0-9]+"):
            MEASURES[name](seen)

    def test_other_dtypes_are_refused(self, name: str) -> None:
        with pytest.raises(TypeError, match=r"torch\.bfloat16.*\.float\(\)"):
            MEASURES[name](torch.ones(2, 8, dtype=torch.bfloat16))


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match=r"responses .* 2 stimuli .*\(4, 1\)"):
        lifetime_sparseness(torch.ones(4, 1))
    with pytest.raises(ValueError, match=r"class_means .* 2 classes .*\(4, 1\)"):
        class_selectivity(torch.ones(4, 1))
    with pytest.raises(ValueError, match=r"curves .* 2 diameters .*\(4, 1\)"):
        surround_suppression(torch.ones(4, 1))
    for count in (1, torch.tensor([5, 0])):
        with pytest.raises(ValueError, match=r"count must be at least 2 stimuli; got [01]"):
            lifetime_sparseness_of_sums(torch.ones(2), torch.ones(2), count)


def test_unlike_shapes_are_refused() -> None:
    unlike = torch.ones(4, 3), torch.ones(4, 2)
    with pytest.raises(ValueError, match=r"gray and rgb .*\(4, 3\) and \(4, 2\)"):
        color_selectivity(*unlike)
    with pytest.raises(ValueError, match=r"first and second .*\(4, 3\) and \(4, 2\)"):
        modality_selectivity(*unlike)
    with pytest.raises(ValueError, match=r"total and total_squared .*\(4, 3\) and \(4, 2\)"):
        lifetime_sparseness_of_sums(*unlike, 5)


def test_other_diameters_and_correlations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"diameters must be positive pixels and increase"):
        preferred_size(torch.ones(3), torch.tensor([8, 4, 2]))
    with pytest.raises(ValueError, match=r"diameters must have shape \(3,\)"):
        preferred_size(torch.ones(3), torch.tensor([8, 4]))
    with pytest.raises(ValueError, match=r"correlation must be in \[-1, 1\]; got 1\.5"):
        spearman_brown(torch.tensor([0.3, 1.5]))
