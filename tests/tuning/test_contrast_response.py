"""Fits of the contrast response against scipy, and the contrast of half a response by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit

from neurovis.tuning.contrast_response import half_response_contrast, naka_rushton

CONTRASTS = 2.0 ** (-torch.arange(7, -1, -1, dtype=torch.float64) / 2)


def function(contrast: np.ndarray, maximum: float, c50: float, exponent: float) -> np.ndarray:
    return maximum * contrast**exponent / (contrast**exponent + c50**exponent)


def of_logs(contrast: np.ndarray, *logs: float) -> np.ndarray:
    return function(contrast, *np.exp(logs))


def test_no_fit_is_closer() -> None:
    generator = np.random.default_rng(0)
    contrasts = CONTRASTS.numpy()
    ranges = (1, 9), (0.1, 0.8), (0.7, 5)
    parameters = np.stack([generator.uniform(low, high, 20) for low, high in ranges])
    curves = np.stack([function(contrasts, *one) for one in parameters.T])
    noisy = np.maximum(curves * generator.normal(1, 0.05, curves.shape), 0)
    found = naka_rushton(torch.tensor(noisy), CONTRASTS)
    for row, curve in enumerate(noisy):
        own = [float(part[row]) for part in (found.maximum, found.c50, found.exponent)]
        start = np.log(parameters[:, row])
        logs, _ = curve_fit(of_logs, contrasts, curve, start, maxfev=10_000)
        errors = [((function(contrasts, *one) - curve) ** 2).sum() for one in (own, np.exp(logs))]
        # Without limits one of them has a c50 of 7,000.
        assert errors[0] <= errors[1] * (1 + (1e-6 if own[1] < 2 else 1e-3))
        explained = 1 - errors[0] / ((curve - curve.mean()) ** 2).sum()
        assert found.explained[row].item() == pytest.approx(explained)


def test_undefined_and_scaled_curves() -> None:
    rising = CONTRASTS / (CONTRASTS + 0.4)
    curves = torch.stack([rising, 1e-30 * rising, 0 * rising, rising * torch.nan])
    found = naka_rushton(curves, CONTRASTS * 0.5)
    assert found.c50.tolist() == pytest.approx([0.2, 0.2, torch.nan, torch.nan], nan_ok=True)
    assert found.maximum[:2].tolist() == pytest.approx([1, 1e-30])
    half = half_response_contrast(curves, CONTRASTS)
    assert half.isnan().tolist() == [False, False, True, True]


def test_the_contrast_of_half_the_response() -> None:
    contrasts = torch.tensor([0.1, 0.2, 0.4])
    curves = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 4.0], [4.0, 4.0, 4.0], [0.0, 6.0, 2.0]])
    # Parts of 0.4; the last crosses 1 a sixth of the way from 0.1 to 0.2.
    expected = [0.5, 0.75, 0.125, (0.1 + 0.1 / 6) / 0.4]
    assert half_response_contrast(curves, contrasts).tolist() == pytest.approx(expected)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least 4 contrasts"):
        naka_rushton(torch.ones(2, 3), torch.tensor([0.1, 0.2, 0.3]))
    with pytest.raises(ValueError, match="contrasts must be positive"):
        half_response_contrast(torch.ones(2, 2), torch.tensor([0.2, 0.1]))
