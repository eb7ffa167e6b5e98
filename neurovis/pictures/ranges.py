"""Check the values of a file against the modality that it is to be of."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

from torch import Tensor

from neurovis.modality import Modality

#: What integer files of 16 bits can hold.
_SIXTEEN_BITS = 65535


class ZeroDepthWarning(UserWarning):
    """Depths are exactly 0, which may mean that nothing was measured there."""


@dataclass
class Survey:
    """Facts about a file's values.

    Attributes:
        number: How many values there are.
        not_finite: How many are NaN or infinite.
        outside: How many are outside the range, NaN not counted.
        zeros: How many are exactly 0.
        lowest: Lowest of all.
        highest: Highest of all.
        holds_integers: Whether all are integers.
    """

    number: int = 0
    not_finite: int = 0
    outside: int = 0
    zeros: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    holds_integers: bool = True


def survey(strips: Iterator[Tensor], limits: tuple[float, float]) -> Survey:
    """Look through a file's values.

    Args:
        strips: All of them, in parts.
        limits: Ends of the range that they are to be in.
    """
    found = Survey()
    low, high = limits
    for strip in strips:
        found.number += strip.numel()
        found.not_finite += int((~strip.isfinite()).sum())
        # In float32, as the file is: 1.1 is not outside of a range that ends at 1.1.
        found.outside += int(((strip < low) | (strip > high)).sum())
        found.zeros += int((strip == 0).sum())
        lowest, highest = (limit.item() for limit in strip.aminmax())
        found.lowest, found.highest = min(found.lowest, lowest), max(found.highest, highest)
        found.holds_integers &= bool((strip == strip.round()).all())
    return found


def check_finite(path: Path, found: Survey) -> None:
    """Refuse a file with values that are not finite."""
    if found.not_finite:
        raise ValueError(
            f'"{path}" has {found.not_finite} values of {found.number} that are not finite (NaN or '
            "infinity); replace them"
        )


def check_range(path: Path, found: Survey, modality: Modality, alone: bool) -> None:
    """Warn of values that will be clipped; refuse a file that is hardly in range."""
    low, high = modality.range
    if not found.outside:
        return
    share = found.outside / found.number
    said = (
        f'"{path}" holds {found.lowest:.4g} to {found.highest:.4g}: {found.outside} pixels '
        f"({share:.1%}) are outside the "
        f'range {low:g} to {high:g} of modality "{modality.name}"'
    )
    if share > 0.5:
        raise ValueError(f"{said}; {_remedy(found, modality, alone)}")
    warnings.warn(f"{said} and are clipped", stacklevel=2)


def _remedy(found: Survey, modality: Modality, alone: bool) -> str:
    """The option that gives a modality the range of a file."""
    if modality.name == "depth":
        return f'give the modality\'s range, as in --input.depth_range "{_range_around(found)}"'
    is_counted = found.holds_integers and found.lowest >= 0
    is_sixteen_bits = is_counted and 255 < found.highest <= _SIXTEEN_BITS
    limits = f"[0, {_SIXTEEN_BITS}]" if is_sixteen_bits else _range_around(found)
    entry = f"{{name: {modality.name}, channels: {modality.channels}, range: {limits}}}"
    listed = f"[{entry}]" if alone else f"[..., {entry}]"
    return (
        f"give the modality's range, on the command line as --input.modalities '{listed}', in YAML "
        f"as input: {{modalities: {listed}}}; mean and std, if the network has them, are in the "
        "same unit"
    )


def _range_around(found: Survey) -> str:
    """``[low, high]`` in four digits, rounded outwards so that no value lies outside."""
    lowest, highest = Decimal(found.lowest), Decimal(found.highest)
    steps = [
        Decimal(1).scaleb(limit.adjusted() - 3) if limit else Decimal(1)
        for limit in (lowest, highest)
    ]
    low = lowest.quantize(steps[0], ROUND_FLOOR)
    high = highest.quantize(steps[1], ROUND_CEILING)
    if low == high:
        low, high = low - steps[0], high + steps[1]
    return f"[{low.normalize():f}, {high.normalize():f}]"


def warn_of_zeros(path: Path, found: Survey) -> None:
    """Say how many depths are exactly 0, unless all are."""
    if found.zeros and found.lowest == 0 and found.highest > 0:
        warnings.warn(
            f"{found.zeros} pixels ({found.zeros / found.number:.1%}) of "
            f'"{path}" are 0, which many sensors write for "not measured"; they are shown as the '
            "nearest depth",
            ZeroDepthWarning,
            stacklevel=2,
        )
