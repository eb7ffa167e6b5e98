"""When an ascent has stopped improving: against the rule, written out for one curve at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurovis.maximization.batch import has_converged


def literally(curve: list[float], patience: int, min_improvement: float) -> bool:
    """The rule in words: two means, and the rise since the first step."""
    if len(curve) < 2 * patience:
        return False
    recent = float(np.mean(np.array(curve[-patience:], dtype=np.float64)))
    before = float(np.mean(np.array(curve[-2 * patience : -patience], dtype=np.float64)))
    rise = abs(max(recent, before) - curve[0])
    return recent - before <= min_improvement * rise


def curves_like(kind: str, generator: np.random.Generator, steps: int) -> np.ndarray:
    at = np.arange(steps)
    noise = generator.normal(0, generator.choice([0.01, 0.1, 1.0]), steps)
    shapes = {
        "saturating": 10 * (1 - np.exp(-at / generator.uniform(2, 40))) + noise,
        "linear": generator.uniform(-0.5, 0.5) * at + noise,
        "noise": noise,
        "negative": -20 + 15 * (1 - np.exp(-at / generator.uniform(2, 20))) + noise,
        "peaked": 5 * np.exp(-((at - generator.integers(0, steps)) ** 2) / 200) + noise,
    }
    return shapes[kind].astype(np.float32)


@pytest.mark.parametrize("kind", ["saturating", "linear", "noise", "negative", "peaked"])
def test_it_is_the_rule_for_each_curve_of_a_batch(kind: str) -> None:
    generator = np.random.default_rng(3)
    answers = set()
    for patience, min_improvement in ((1, 0.0), (4, 0.003), (7, 0.1), (16, 0.03)):
        curves = np.full((60, 64), np.nan, dtype=np.float32)
        steps = generator.integers(0, 65, 60)
        for row, count in enumerate(steps):
            curves[row, :count] = curves_like(kind, generator, 64)[:count]
        expected = [
            literally(curves[row, :count].tolist(), patience, min_improvement)
            for row, count in enumerate(steps)
        ]
        found = has_converged(
            torch.from_numpy(curves), torch.from_numpy(steps), patience, min_improvement
        )
        assert found.tolist() == expected
        answers |= set(expected)
    assert answers == {True, False}


def test_what_lies_behind_the_last_step_is_ignored() -> None:
    curve = torch.arange(12.0)[None]
    steps = torch.tensor([8])
    for behind in (torch.nan, torch.inf, -1e6, 1e6):
        other = curve.clone()
        other[:, 8:] = behind
        assert has_converged(other, steps, 4, 0.1).tolist() == [False]
    flat = torch.zeros(1, 12)
    flat[:, 8:] = 1e6
    assert has_converged(flat, steps, 4, 0.1).tolist() == [True]


def test_it_waits_for_twice_the_patience() -> None:
    flat = torch.zeros(3, 20)
    assert has_converged(flat, torch.tensor([9, 10, 11]), 5, 0.0).tolist() == [False, True, True]


def test_a_rise_by_a_part_of_the_whole_rise_is_improvement() -> None:
    # From 0 to 8 at once, then to 10: a fifth of the whole rise.
    curve = torch.tensor([[0.0, 8, 8, 8, 8, 10, 10, 10, 10]])
    steps = torch.tensor([9])
    assert has_converged(curve, steps, 4, 0.199).tolist() == [False]
    assert has_converged(curve, steps, 4, 0.201).tolist() == [True]


def test_scale_and_offset_of_activations_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    curves = torch.rand(200, 24, generator=generator).cumsum(1).double()
    steps = torch.randint(0, 25, (200,), generator=generator)
    expected = has_converged(curves, steps, 5, 0.2)
    assert 0 < expected.sum() < 200
    for scale, offset in ((1e-8, 0.0), (1e6, 0.0), (1.0, -50.0)):
        assert torch.equal(has_converged(curves * scale + offset, steps, 5, 0.2), expected)


def test_a_long_curve_with_a_large_offset_loses_no_precision() -> None:
    # Differences of running sums in float32 would drown this rise.
    steps = 4096
    curve = 1e4 + torch.arange(steps, dtype=torch.float64) * 0.01
    found = has_converged(curve.float()[None], torch.tensor([steps]), 8, 0.0)
    assert found.tolist() == [False]
