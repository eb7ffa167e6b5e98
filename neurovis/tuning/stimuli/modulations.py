"""Gains of the input channels that a stimulus drives: along gray, one modality, or a color.

A stimulus is one pattern around mid gray; a :class:`Modulation` is the direction in the space of
the input's channels along which the pattern moves them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neurovis.inputs import InputSpec

_THIRD = 1 / 3


@dataclass(frozen=True)
class Modulation:
    """A named direction in the space of input channels.

    Channel ``c`` of a stimulus is ``0.5 + 0.5 * contrast * gains[c] * pattern``, with a pattern in
    [-1, 1].

    Args:
        name: Name in figures and messages.
        gains: One for each input channel; a negative one turns the pattern's sign.

    Raises:
        ValueError: If the name is empty, a gain is not finite, or all gains are zero.
    """

    name: str
    gains: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a modulation needs a name, such as 'gray' or 'depth'; got ''")
        gains = tuple(float(gain) for gain in self.gains)
        object.__setattr__(self, "gains", gains)
        if not all(math.isfinite(gain) for gain in gains) or not any(gains):
            raise ValueError(
                f"modulation {self.name!r} needs one finite gain for each input channel, "
                f"not all zero; got {gains}"
            )


def uniform_modulation(spec: InputSpec) -> Modulation:
    """Every channel with the same gain 1, under the name ``"all"``."""
    return Modulation("all", (1.0,) * spec.channels)


def modality_modulations(spec: InputSpec) -> tuple[Modulation, ...]:
    """One modulation for each modality alone, with the same amplitude for the network.

    The gains are the largest for which every channel of every modality has the same amplitude
    after :meth:`InputSpec.to_network`; the channel whose full range means least to the network has
    gain 1. Channels of one modality that are normalized differently, as ImageNet's are, therefore
    differ a little in gain: for the network, not on the screen, they are alike.

    Returns:
        In the spec's order, each named by its modality.
    """
    scales = [
        (modality.range[1] - modality.range[0]) / std
        for modality in spec.modalities
        for std in modality.std
    ]
    smallest = min(scales)
    modulations, start = [], 0
    for modality in spec.modalities:
        stop = start + modality.channels
        gains = [
            smallest / scale if start <= channel < stop else 0.0
            for channel, scale in enumerate(scales)
        ]
        modulations.append(Modulation(modality.name, tuple(gains)))
        start = stop
    return tuple(modulations)


def color_modulations(spec: InputSpec) -> tuple[Modulation, ...]:
    """Three color axes through gray, and what each becomes without its color.

    The axes are between two opposite corners of the RGB cube: ``"red-cyan"``, ``"green-magenta"``
    and ``"blue-yellow"``, each with all three channels at full amplitude. Replacing red, green and
    blue by their mean turns any of them into ``"gray"``, the fourth, whose gains are 1/3 (up to
    the sign, which is half a cycle of a grating's phase). A kernel's response to the fourth over
    that to the first three is what color selectivity compares. These are axes of RGB as a network
    receives it, not of the cones of an eye.

    Returns:
        ``(red-cyan, green-magenta, blue-yellow, gray)``; gains are 0 on channels other than RGB's.

    Raises:
        ValueError: If the input has no RGB modality.
    """
    return (
        _rgb_modulation(spec, "red-cyan", (1.0, -1.0, -1.0)),
        _rgb_modulation(spec, "green-magenta", (-1.0, 1.0, -1.0)),
        _rgb_modulation(spec, "blue-yellow", (-1.0, -1.0, 1.0)),
        _rgb_modulation(spec, "gray", (_THIRD, _THIRD, _THIRD)),
    )


def isoluminant_modulations(spec: InputSpec) -> tuple[Modulation, ...]:
    """The two opponent axes of RGB along which the mean of red, green and blue is constant.

    ``"red-green"`` has gains (1, -1, 0) and ``"blue-yellow"`` (-1/2, -1/2, 1), the opponent axes of
    Plataniotis & Venetsanopoulos 2000 (Color Image Processing and Applications). Constant is the
    mean of RGB as a network receives it, not the luminance that an eye would see.

    Raises:
        ValueError: If the input has no RGB modality.
    """
    return (
        _rgb_modulation(spec, "red-green", (1.0, -1.0, 0.0)),
        _rgb_modulation(spec, "blue-yellow", (-0.5, -0.5, 1.0)),
    )


def _rgb_modulation(spec: InputSpec, name: str, rgb: Sequence[float]) -> Modulation:
    gains: list[float] = []
    for modality in spec.modalities:
        gains += rgb if modality.is_rgb else (0.0,) * modality.channels
    if not any(gains):
        names = [modality.name for modality in spec.modalities]
        raise ValueError(
            "color modulations need an RGB modality, Modality('rgb', 3, ...), in the input spec; "
            f"got the modalities {names}"
        )
    return Modulation(name, tuple(gains))
