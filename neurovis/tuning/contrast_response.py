"""Measures of responses over contrast: Naka and Rushton's function, and the contrast of half of it.

Plain functions as those of :mod:`neurovis.tuning.selectivity`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from neurovis.tuning.checks import check_axis, check_responses

#: Lowest and highest exponent and semisaturation contrast, as a part of the highest contrast.
_EXPONENTS, _CONTRASTS = (0.1, 20.0), (1e-3, 1e3)
#: Values of each from which the best is improved, and steps by which it is.
_STARTS, _STEPS = 20, 60


class NakaRushton(NamedTuple):
    r"""Fitted parameters of :math:`R = R_{max} c^n / (c^n + c_{50}^n)`.

    Attributes:
        maximum: ``(...)``, the response to infinite contrast.
        c50: ``(...)``, the contrast of half of it.
        exponent: ``(...)``.
        explained: ``(...)``, the part of the responses' variance that the function explains.
    """

    maximum: Tensor
    c50: Tensor
    exponent: Tensor
    explained: Tensor


def naka_rushton(curves: Tensor, contrasts: Tensor) -> NakaRushton:
    """Fit Naka and Rushton's function by least squares (Albrecht, Hamilton 1982).

    Args:
        curves: ``(..., C)``, non-negative, C of at least 4.
        contrasts: ``(C,)``, positive and increasing.

    Returns:
        Parameters ``(...)``, NaN where there is no response. A semisaturation contrast beyond the
        contrasts, and the maximum with it, is an extrapolation.

    Raises:
        TypeError, ValueError: If the curves or the contrasts are not such.

    Example:
        >>> contrasts = torch.tensor([0.125, 0.25, 0.5, 1.0])
        >>> fit = naka_rushton(3 * contrasts**2 / (contrasts**2 + 0.3**2), contrasts)
        >>> [round(value.item(), 2) for value in fit]
        [3.0, 0.3, 2.0, 1.0]
    """
    contrasts = _checked(curves, contrasts, 4).double()
    highest = contrasts[-1]
    peak = curves.amax(-1, keepdim=True)
    relative = (curves / peak).double().reshape(-1, len(contrasts))
    found = _fitted(relative, (contrasts / highest).log()).to(curves)
    maximum, c50, exponent, explained = found.view(*curves.shape[:-1], 4).unbind(-1)
    return NakaRushton(maximum * peak.squeeze(-1), c50 * highest.to(found), exponent, explained)


def _fitted(curves: Tensor, log_contrasts: Tensor) -> Tensor:
    """Maximum, c50, exponent and explained variance, ``(K, 4)``, of curves ``(K, C)``.

    By Levenberg and Marquardt's method on the logarithms of the parameters.
    """
    known = curves.nan_to_num()
    ranges = torch.tensor([_EXPONENTS, _CONTRASTS]).to(curves).log()
    parameters = _start(known, log_contrasts, ranges)
    damping = torch.ones_like(known[:, 0])
    missed, jacobian = _residuals(parameters, known, log_contrasts)
    for _ in range(_STEPS):
        gradient = (jacobian * missed[:, None]).sum(2)
        hessian = (jacobian[:, :, None] * jacobian[:, None]).sum(3)
        diagonal = hessian.diagonal(dim1=1, dim2=2) * damping[:, None] + 1e-12
        step = torch.linalg.solve(hessian + diagonal.diag_embed(), gradient)
        tried = parameters - step
        tried[:, 1:] = tried[:, 1:].clamp(ranges[:, 0], ranges[:, 1])
        error, slopes = _residuals(tried, known, log_contrasts)
        is_better = error.square().sum(1) < missed.square().sum(1)
        parameters = torch.where(is_better[:, None], tried, parameters)
        missed = torch.where(is_better[:, None], error, missed)
        jacobian = torch.where(is_better[:, None, None], slopes, jacobian)
        damping = torch.where(is_better, damping / 5, damping * 5).clamp(1e-9, 1e9)
    maximum, exponent, c50 = parameters.exp().unbind(1)
    spread = (known - known.mean(1, keepdim=True)).square().sum(1)
    explained = (1 - missed.square().sum(1) / spread).where(spread > 0, math.nan)
    found = torch.stack([maximum, c50, exponent, explained], dim=1)
    return found.masked_fill(curves.isnan().any(1, keepdim=True), math.nan)


def _start(curves: Tensor, log_contrasts: Tensor, ranges: Tensor) -> Tensor:
    """Logarithms of maximum, exponent and c50, ``(K, 3)``: the best of a grid."""
    grid = [torch.linspace(low, high, _STARTS).to(curves) for low, high in ranges.tolist()]
    exponent, c50 = torch.cartesian_prod(*grid).unbind(1)
    shapes = torch.sigmoid(exponent.exp()[:, None] * (log_contrasts - c50[:, None]))
    energy = shapes.square().sum(1)
    # The maximum that is best for each has this part of the responses.
    best = ((curves @ shapes.T) / energy.sqrt()).argmax(1)
    maximum = (curves * shapes[best]).sum(1) / energy[best]
    return torch.stack([maximum.clamp(min=1e-9).log(), exponent[best], c50[best]], dim=1)


def _residuals(parameters: Tensor, curves: Tensor, log_contrasts: Tensor) -> tuple[Tensor, Tensor]:
    """Errors ``(K, C)``, and their derivatives by the parameters, ``(K, 3, C)``."""
    maximum, exponent, c50 = parameters[:, :, None].unbind(1)
    steepness = exponent.exp() * (log_contrasts - c50)
    shape = torch.sigmoid(steepness)
    responses = maximum.exp() * shape
    slope = responses * (1 - shape)
    jacobian = torch.stack([responses, slope * steepness, -slope * exponent.exp()], dim=1)
    return responses - curves, jacobian


def half_response_contrast(curves: Tensor, contrasts: Tensor) -> Tensor:
    """Find the contrast that gives half of the response to the highest one.

    The lowest such contrast, on straight lines between the responses from 0 at no contrast.

    Args:
        curves: ``(..., C)``, non-negative.
        contrasts: ``(C,)``, positive and increasing.

    Returns:
        ``(...)``, as a part of the highest contrast: 0.5 if the response is proportional to
        contrast; NaN where there is no response to the highest.

    Raises:
        TypeError, ValueError: If the curves or the contrasts are not such.

    Example:
        >>> half_response_contrast(torch.tensor([3.0, 4.0]), torch.tensor([0.5, 1.0])).item()
        0.3333333432674408
    """
    contrasts = _checked(curves, contrasts, 1)
    curves = torch.cat([torch.zeros_like(curves[..., :1]), curves / curves[..., -1:]], dim=-1)
    contrasts = torch.cat([contrasts.new_zeros(1), contrasts / contrasts[-1]])
    after = (curves >= 0.5).int().argmax(-1, keepdim=True).clamp(min=1)
    lower, upper = curves.gather(-1, after - 1), curves.gather(-1, after)
    along = (0.5 - lower) / (upper - lower)
    return torch.lerp(contrasts[after - 1], contrasts[after], along).squeeze(-1)


def _checked(curves: Tensor, contrasts: Tensor, least: int) -> Tensor:
    check_responses("curves", curves, least, "contrasts")
    contrasts = torch.as_tensor(contrasts).to(curves)
    check_axis("contrasts", contrasts, curves.shape[-1], "contrasts")
    return contrasts
