"""Measures of selectivity for stimuli, classes, color, modality and size, and of reliability.

Plain functions of non-negative responses with any leading dimensions, such as one for each kernel.
NaN is a measure that is undefined, such as that of a kernel that never responds. Orientation,
spatial frequency and phase are in :mod:`neurovis.tuning.measures`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurovis.tuning.checks import check_axis, check_responses, check_same_shape

#: A kernel's size is the smallest that gives this fraction of its strongest response.
_NEARLY_ALL = 0.95
#: Its surround ends where the response is at most this multiple of that to the largest stimulus.
_NEARLY_PLATEAU = 1.05
#: Largest excess over 1 that rounding may give a correlation.
_CORRELATION_TOLERANCE = 1e-4


def lifetime_sparseness(responses: Tensor) -> Tensor:
    r"""Compute lifetime sparseness: 0 if all stimuli drive a kernel equally, 1 if only one does.

    :math:`[1 - (\sum r / n)^2 / (\sum r^2 / n)] / (1 - 1/n)` (Vinje, Gallant 2000).

    Args:
        responses: ``(..., n)`` to n stimuli, non-negative; 2 or more.

    Returns:
        ``(...)`` in [0, 1]; NaN where there is no response.

    Raises:
        TypeError, ValueError: If the responses are not such.

    Example:
        >>> lifetime_sparseness(torch.tensor([[1.0, 1, 1, 1], [0, 0, 3, 0]])).tolist()
        [0.0, 1.0]
    """
    check_responses("responses", responses, 2, "stimuli")
    # Relative to the peak, whose square may leave the range of floats.
    relative = responses / responses.amax(-1, keepdim=True)
    return lifetime_sparseness_of_sums(
        relative.sum(-1), relative.square().sum(-1), responses.shape[-1]
    )


def lifetime_sparseness_of_sums(
    total: Tensor, total_squared: Tensor, count: int | Tensor
) -> Tensor:
    """Compute :func:`lifetime_sparseness` from sums over stimuli that are not kept.

    Args:
        total: Sums of non-negative responses, of any shape.
        total_squared: Sums of their squares, of that shape.
        count: How many stimuli; 2 or more. A tensor broadcasts.

    Returns:
        In [0, 1]; NaN where there was no response.

    Raises:
        TypeError, ValueError: If the sums are not such, or there were fewer than 2 stimuli.
    """
    for name, sums in (("total", total), ("total_squared", total_squared)):
        check_responses(name, sums[..., None] if isinstance(sums, Tensor) else sums, 1, "sum")
    check_same_shape("total", total, "total_squared", total_squared)
    stimuli = torch.as_tensor(count).to(total)
    if (stimuli < 2).any():
        raise ValueError(
            f"count must be at least 2 stimuli; got {stimuli.min():g}. Run more stimuli first"
        )
    sparseness = (1 - total / stimuli * (total / total_squared)) / (1 - 1 / stimuli)
    return sparseness.clamp(0, 1)


def class_selectivity(class_means: Tensor) -> Tensor:
    r"""The class with the largest mean response against the mean of the others.

    :math:`(\mu_{max} - \mu_{-max}) / (\mu_{max} + \mu_{-max})` (Morcos et al. 2018). After a ReLU
    only.

    Args:
        class_means: ``(..., classes)``, non-negative; 2 or more.

    Returns:
        ``(...)``, 0 all classes alike, 1 one class only; NaN where there is no response, or a class
        has none because it had no stimulus.

    Raises:
        TypeError, ValueError: If the means are not such.

    Example:
        >>> class_selectivity(torch.tensor([[3.0, 1.0, 1.0], [2.0, 2.0, 2.0]])).tolist()
        [0.5, 0.0]
    """
    check_responses("class_means", class_means, 2, "classes")
    largest, place = class_means.max(dim=-1, keepdim=True)
    others = class_means.scatter(-1, place, 0).sum(-1) / (class_means.shape[-1] - 1)
    return contrast_index(largest.squeeze(-1), others)


def color_selectivity(gray: Tensor, rgb: Tensor) -> Tensor:
    r"""Compute the part of the response that needs color: :math:`1 - \sum R_{gray} / \sum R_{rgb}`.

    After Rafegas, Vanrell 2018. Color means RGB here, which is not a space of cones.

    Args:
        gray: ``(..., n)`` responses to n stimuli made gray, non-negative.
        rgb: ``(..., n)`` responses to the same in color, non-negative.

    Returns:
        ``(...)``: 0 color makes no difference, 1 no response without it, negative if gray drives
        the kernel more; NaN where there is no response in color.

    Raises:
        TypeError, ValueError: If the responses are not such.

    Example:
        >>> color_selectivity(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 2.0])).item()
        0.75
    """
    check_responses("gray", gray, 1, "stimuli")
    check_responses("rgb", rgb, 1, "stimuli")
    check_same_shape("gray", gray, "rgb", rgb)
    total = rgb.sum(-1)
    return (1 - gray.sum(-1) / total).where(total > 0, math.nan)


def modality_selectivity(first: Tensor, second: Tensor) -> Tensor:
    r"""Compute the preference between two modalities: :math:`(R_2 - R_1) / (R_2 + R_1)`.

    This project's own index, in the form of an ocular dominance index. Responses must be to the
    same contrast in the network's space; the norms of a kernel's weights do as well.

    Args:
        first: Responses to the first modality alone, such as RGB, non-negative, of any shape.
        second: Responses to the second alone, such as depth, of that shape.

    Returns:
        In [-1, 1]: -1 the first only, 1 the second only; NaN where there is no response.

    Raises:
        TypeError, ValueError: If the responses are not such.

    Example:
        >>> modality_selectivity(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])).tolist()
        [0.5, -1.0]
    """
    for name, responses in (("first", first), ("second", second)):
        one = responses[..., None] if isinstance(responses, Tensor) else responses
        check_responses(name, one, 1, "response")
    check_same_shape("first", first, "second", second)
    return contrast_index(second, first)


def surround_suppression(curves: Tensor) -> Tensor:
    """Compute the part of the peak response lost at the largest stimulus: (peak - plateau) / peak.

    The plateau is the response to the largest diameter (Cavanaugh, Bair, Movshon 2002).

    Args:
        curves: ``(..., D)`` responses by increasing diameter, non-negative; 2 or more.

    Returns:
        ``(...)``: 0 no suppression, 1 silenced; NaN where there is no response.

    Raises:
        TypeError, ValueError: If the curves are not such.

    Example:
        >>> surround_suppression(torch.tensor([[1.0, 4.0, 3.0], [1.0, 2.0, 2.0]])).tolist()
        [0.25, 0.0]
    """
    check_responses("curves", curves, 2, "diameters")
    peak = curves.amax(-1)
    return (peak - curves[..., -1]) / peak


def preferred_size(curves: Tensor, diameters: Tensor) -> Tensor:
    """The smallest diameter that gives 95 % of the strongest response (Cavanaugh et al. 2002).

    Args:
        curves: ``(..., D)``, non-negative.
        diameters: ``(D,)``, increasing, in pixels.

    Returns:
        ``(...)`` pixels, one of the diameters; NaN where there is no response.

    Raises:
        TypeError, ValueError: If the curves or the diameters are not such.

    Example:
        >>> diameters = torch.tensor([4.0, 8.0, 16.0, 32.0])
        >>> preferred_size(torch.tensor([1.0, 3.9, 4.0, 2.0]), diameters).item()
        8.0
    """
    diameters = _checked_diameters(curves, diameters)
    peak = curves.amax(-1, keepdim=True)
    enough = (curves >= _NEARLY_ALL * peak).int().argmax(-1)
    return diameters[enough].where(peak.squeeze(-1) > 0, math.nan)


def surround_diameter(curves: Tensor, diameters: Tensor) -> Tensor:
    """The smallest diameter beyond the peak that suppresses as far as the largest one, to 5 %.

    Where suppression ends (Cavanaugh et al. 2002; Marques, Schrimpf, DiCarlo 2021).

    Args:
        curves: ``(..., D)``, non-negative.
        diameters: ``(D,)``, increasing, in pixels.

    Returns:
        ``(...)`` pixels, one of the diameters; NaN where there is no response, or the largest
        diameter is the best.

    Raises:
        TypeError, ValueError: If the curves or the diameters are not such.

    Example:
        >>> diameters = torch.tensor([4.0, 8.0, 16.0, 32.0])
        >>> surround_diameter(torch.tensor([1.0, 4.0, 2.0, 2.0]), diameters).item()
        16.0
    """
    diameters = _checked_diameters(curves, diameters)
    peak, place = curves.max(-1, keepdim=True)
    beyond = torch.arange(len(diameters), device=curves.device) > place
    ends = beyond & (curves <= _NEARLY_PLATEAU * curves[..., -1:])
    found = diameters[ends.int().argmax(-1)]
    return found.where(ends.any(-1) & (peak.squeeze(-1) > 0), math.nan)


def spearman_brown(correlation: Tensor) -> Tensor:
    r"""The reliability of a whole from the correlation of its halves: :math:`2\rho / (1 + \rho)`.

    A network's responses have no noise: its halves are halves of the stimuli, such as odd and even
    phases (Spearman 1910, Brown 1910).

    Args:
        correlation: In [-1, 1], of any shape, such as Spearman's rank correlation.

    Returns:
        At most 1, and negative where the halves disagree; NaN at -1.

    Raises:
        TypeError, ValueError: If the correlation is not such.

    Example:
        >>> spearman_brown(torch.tensor([0.0, 0.6, 1.0])).tolist()
        [0.0, 0.75, 1.0]
    """
    one = correlation[..., None] if isinstance(correlation, Tensor) else correlation
    check_responses("correlation", one, 1, "correlation", non_negative=False)
    beyond = correlation.abs() > 1 + _CORRELATION_TOLERANCE
    if beyond.any():
        raise ValueError(
            f"correlation must be in [-1, 1]; got {correlation[beyond].flatten()[0]:g}"
        )
    correlation = correlation.clamp(-1, 1)
    return (2 * correlation / (1 + correlation)).where(correlation > -1, math.nan)


def _checked_diameters(curves: Tensor, diameters: Tensor) -> Tensor:
    check_responses("curves", curves, 1, "diameters")
    diameters = torch.as_tensor(diameters).to(curves)
    check_axis("diameters", diameters, curves.shape[-1], "pixels")
    return diameters


def contrast_index(first: Tensor, second: Tensor) -> Tensor:
    """Return (first - second) / (first + second); NaN where both are 0."""
    return (first - second) / (first + second)
