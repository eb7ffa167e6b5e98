"""Fit small models of a layer's units to their responses: a linear filter, or energy of filters.

All units see the same stimuli, so that all are fitted at once, by Gauss and Newton's method with
conjugate gradients: nothing larger than the stimuli and the filters is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: Gauss-Newton steps, of linear models and of others, and conjugate gradients in each of them.
_LINEAR_STEPS, _STEPS, _GRADIENTS = 6, 12, 15
_POWER_ITERATIONS = 10
#: Penalty on the squared weights, as part of the responses' variance.
_RIDGE = 1e-4
#: Pixel variance, as part of that of the strongest component, below which inputs are not amplified.
_NOISE_FLOOR = 0.02
#: Smallest variance of responses, so that nothing is divided by 0.
_TINY = 1e-12


class ResponseModels(NamedTuple):
    """Models of ``K`` units: ``sum of sign * (filter . x)^2 + linear . x + offset``.

    Attributes:
        filters: ``(K, d, q)``; no filters make a linear model.
        signs: ``(K, q)``, 1 where a filter's energy excites and -1 where it suppresses.
        linear: ``(K, d)``.
        offset: ``(K, 1)``.
    """

    filters: Tensor
    signs: Tensor
    linear: Tensor
    offset: Tensor

    def outputs(self, inputs: Tensor) -> Tensor:
        """The models' drives ``(K, n)`` by inputs ``(n, d)``, before any rectifier."""
        squares = _projections(inputs, self.filters).square()
        energies: Tensor = (squares * self.signs[:, None]).sum(2)
        return energies + self.linear @ inputs.T + self.offset

    def where(self, chosen: Tensor, other: ResponseModels) -> ResponseModels:
        """These models where ``chosen`` ``(K,)`` is true, and the others elsewhere."""
        pairs = zip(self, other, strict=True)
        return ResponseModels(
            *(torch.where(chosen.view(-1, *[1] * (one.ndim - 1)), one, two) for one, two in pairs)
        )


def decorrelated(inputs: Tensor, weights: Tensor) -> Tensor:
    """Inputs ``(n, d)`` along their principal components, the strong ones scaled down.

    Args:
        inputs: Pixels.
        weights: ``(n,)`` of the inputs in mean and covariance.
    """
    weights = weights / weights.sum()
    centered = inputs - weights @ inputs
    variances, components = torch.linalg.eigh((centered * weights[:, None]).T @ centered)
    floor = _NOISE_FLOOR * variances[-1].clamp(min=_TINY)
    scaled: Tensor = centered @ components / (variances.clamp(min=0) + floor).sqrt()
    return scaled


def fit_models(
    inputs: Tensor,
    responses: Tensor,
    weights: Tensor,
    *,
    filters: int,
    is_rectified: bool,
    loss: Callable[[Tensor], Tensor],
    held_out: Tensor,
) -> ResponseModels:
    """Fit models of units.

    Args:
        inputs: ``(n, d)``, see :func:`decorrelated`.
        responses: ``(K, n)``.
        weights: ``(K, n)`` of the squared errors; their sum over ``n`` is 1.
        filters: Number of filters whose energy is summed, ``q``; 0 for linear models.
        is_rectified: Whether negative outputs are cut off.
        loss: Of outputs ``(K, m)`` for the inputs ``held_out``; the step with the least is kept,
            since further ones fit what is peculiar to the stimuli.
        held_out: ``(m, d)``.
    """
    mean = (weights * responses).sum(1, keepdim=True)
    scale = (weights * (responses - mean).square()).sum(1, keepdim=True).sqrt().clamp(min=_TINY)
    wanted = responses / scale
    models = _start(inputs, wanted - mean / scale, weights, filters)
    models = models._replace(offset=models.offset + mean / scale)
    best, least = models, torch.full((len(responses),), math.inf).to(inputs)
    damping = torch.ones_like(models.offset)
    error = _error(models, inputs, wanted, weights, is_rectified)
    for _ in range(_STEPS if filters else _LINEAR_STEPS):
        stepped = _step(models, inputs, wanted, weights, is_rectified, damping)
        new_error = _error(stepped, inputs, wanted, weights, is_rectified)
        is_better = new_error < error
        models = stepped.where(is_better, models)
        error = torch.where(is_better, new_error, error)
        damping = damping * torch.where(is_better, 0.2, 5.0)[:, None]
        now = loss(models.outputs(held_out) * scale)
        best, least = models.where(now < least, best), torch.minimum(now, least)
    root = scale.sqrt()[:, :, None]
    return ResponseModels(best.filters * root, best.signs, best.linear * scale, best.offset * scale)


def _start(inputs: Tensor, wanted: Tensor, weights: Tensor, filters: int) -> ResponseModels:
    """Filters along the strongest directions of the response-weighted covariance."""
    units, size = len(wanted), inputs.shape[1]
    zeros = inputs.new_zeros(units, size, filters)
    signs, linear = zeros.new_ones(units, filters), zeros.new_zeros(units, size)
    models = ResponseModels(zeros, signs, linear, zeros.new_zeros(units, 1))
    if not filters:
        return models
    weighted = (wanted * weights)[:, :, None]
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(units, size, filters + 1, generator=generator).to(inputs)
    for _ in range(_POWER_ITERATIONS):
        directions = torch.linalg.qr(found)[0]
        found = _transposed(inputs, _projections(inputs, directions) * weighted)
    curvatures = (directions * found).sum(1)
    strongest = curvatures.abs().argsort(1, descending=True)[:, :filters]
    chosen = directions.gather(2, strongest[:, None].expand(-1, size, -1))
    models = models._replace(filters=chosen, signs=curvatures.gather(1, strongest).sign())
    outputs = models.outputs(inputs)
    mean = (outputs * weights).sum(1, keepdim=True)
    varying = (outputs - mean) * weights
    gain = (varying * wanted).sum(1, keepdim=True) / (varying * (outputs - mean)).sum(
        1, keepdim=True
    ).clamp(min=_TINY)
    gain = gain.clamp(min=_TINY)
    return models._replace(filters=chosen * gain.sqrt()[:, :, None], offset=-gain * mean)


def _step(
    models: ResponseModels,
    inputs: Tensor,
    wanted: Tensor,
    weights: Tensor,
    is_rectified: bool,
    damping: Tensor,
) -> ResponseModels:
    """One step of Gauss and Newton, damped after Levenberg and Marquardt.

    Behind a rectifier, what is silent and should be counts for nothing.
    """
    units, size, count = models.filters.shape
    outputs = models.outputs(inputs)
    if is_rectified:
        weights = weights * ((wanted > 0) | (outputs > 0))
    slopes = 2 * _projections(inputs, models.filters) * models.signs[:, None]

    def forward(step: Tensor) -> Tensor:
        of_filters = _projections(inputs, step[:, : size * count].view(units, size, count))
        return (of_filters * slopes).sum(2) + step[:, size * count : -1] @ inputs.T + step[:, -1:]

    def backward(errors: Tensor) -> Tensor:
        of_filters = _transposed(inputs, slopes * errors[:, :, None]).flatten(1)
        return torch.cat([of_filters, errors @ inputs, errors.sum(1, keepdim=True)], 1)

    now = torch.cat([models.filters.flatten(1), models.linear, models.offset], 1)
    ridge = torch.full_like(now[:1], _RIDGE)
    ridge[:, -1] = 0
    residual = backward((wanted - outputs) * weights) - ridge * now
    step, direction = torch.zeros_like(now), residual
    square = residual.square().sum(1, keepdim=True)
    for _ in range(_GRADIENTS):
        curved = backward(forward(direction) * weights) + (ridge + 1e-3 * damping) * direction
        length = square / (direction * curved).sum(1, keepdim=True).clamp(min=_TINY**2)
        step, residual = step + length * direction, residual - length * curved
        previous, square = square, residual.square().sum(1, keepdim=True)
        direction = residual + square / previous.clamp(min=_TINY**2) * direction
    then = now + step
    return ResponseModels(
        then[:, : size * count].view(units, size, count),
        models.signs,
        then[:, size * count : -1],
        then[:, -1:],
    )


def _error(
    models: ResponseModels, inputs: Tensor, wanted: Tensor, weights: Tensor, is_rectified: bool
) -> Tensor:
    outputs = models.outputs(inputs)
    outputs = outputs.clamp(min=0) if is_rectified else outputs
    penalty = models.filters.square().sum((1, 2)) + models.linear.square().sum(1)
    return ((wanted - outputs).square() * weights).sum(1) + _RIDGE * penalty


def _projections(inputs: Tensor, filters: Tensor) -> Tensor:
    """``(K, n, q)`` of inputs ``(n, d)`` on filters ``(K, d, q)``."""
    return torch.einsum("nd,kdq->knq", inputs, filters)


def _transposed(inputs: Tensor, values: Tensor) -> Tensor:
    """``(K, d, q)``: sums of the inputs ``(n, d)`` by values ``(K, n, q)``."""
    return torch.einsum("nd,knq->kdq", inputs, values)
