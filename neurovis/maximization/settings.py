"""How an ascent is done: everything that shapes a preferred image except what it is of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypedDict

from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.parametrization import PARAMETRIZATIONS, Parametrization
from neurovis.maximization.views import ViewRange
from neurovis.readouts import READOUTS, Readout

#: Views shift by at most this part of the image's shorter side where no jitter is given.
_DEFAULT_JITTER = 1 / 28


class AscentOptions(TypedDict, total=False):
    """Keyword arguments of :class:`AscentSettings`, each with its default there."""

    steps: int
    lr: float
    batch_size: int
    seed: int
    objective: Literal["mean", "center", "max"] | Readout
    parametrization: Parametrization
    init: Literal["noise", "zero"] | Tensor
    tv: float
    lp: float
    lp_order: float
    jitter: float | None
    scale: tuple[float, float]
    rotate: float


@dataclass(frozen=True)
class AscentSettings:
    """The options of an ascent, the same for activation maximization and for groups.

    Args:
        steps: Ascent steps for each image, at least 1.
        lr: Adam's learning rate, in units of the parametrization (logits of pixel values).
        batch_size: Images optimized together, at least 1; it sets memory, not results.
        seed: Fixes noise starts and random views, together with the kernel's number.
        objective: What of a kernel's map is climbed: its ``mean``, its ``center`` unit or its
            ``max``; or a function from activations ``(B, K, ...)`` to ``(B, K)``.
        parametrization: ``fourier`` (spatial frequencies, decorrelated colour) or ``pixel``.
        init: Start from ``noise``, from mid grey (``zero``), or from an image ``(C, H, W)`` in
            [0, 1].
        tv: Weight of total variation (mean absolute difference of neighbouring pixels, in
            [0, 1] units), in units of activation. 0: none.
        lp: Weight of the mean of ``|image - 0.5| ** lp_order``, in units of activation.
        lp_order: Order of that norm, at least 1.
        jitter: Views shift by up to so many pixels; by default 1/28 of the shorter side.
        scale: Smallest and largest magnification of views.
        rotate: Views rotate by up to so many degrees.

    Raises:
        ValueError: If an option is out of its range; the message names it.
    """

    steps: int = 256
    lr: float = 0.05
    batch_size: int = 8
    seed: int = 0
    objective: Literal["mean", "center", "max"] | Readout = "mean"
    parametrization: Parametrization = "fourier"
    init: Literal["noise", "zero"] | Tensor = "noise"
    tv: float = 0.0
    lp: float = 0.0
    lp_order: float = 2.0
    jitter: float | None = None
    scale: tuple[float, float] = (0.9, 1.1)
    rotate: float = 10.0

    def __post_init__(self) -> None:
        for option, least in (("steps", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{option} must be an integer of at least {least}; got {value!r}")
        for option in ("tv", "lp", "rotate", "jitter"):
            value = getattr(self, option)
            if not (value is None and option == "jitter"):
                _check_number(option, value, at_least=0)
        _check_number("lp_order", self.lp_order, at_least=1)
        _check_number("lr", self.lr, at_least=0)
        if self.lr == 0:
            raise ValueError("lr must be a positive number; got 0")
        if len(tuple(self.scale)) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale must be two numbers 0 < low <= high; got {self.scale}")
        self._check_choices()

    def _check_choices(self) -> None:
        named = isinstance(self.objective, str) and self.objective in READOUTS
        if not named and not callable(self.objective):
            raise ValueError(
                f"objective must be {_choice(READOUTS)} or a function; got {self.objective!r}"
            )
        if self.parametrization not in PARAMETRIZATIONS:
            raise ValueError(
                f"parametrization must be {_choice(PARAMETRIZATIONS)}; got {self.parametrization!r}"
            )
        if isinstance(self.init, Tensor):
            if not (self.init.is_floating_point() and 0 <= self.init.min() <= self.init.max() <= 1):
                raise ValueError("the init image must be floating-point with values in [0, 1]")
        elif not isinstance(self.init, str) or self.init not in ("noise", "zero"):
            came = repr(self.init) if isinstance(self.init, str) else type(self.init).__name__
            raise ValueError(f'init must be "noise", "zero" or an image tensor; got {came}')

    @property
    def readout(self) -> Readout:
        """The function that reads one number from each kernel's map."""
        return READOUTS[self.objective] if isinstance(self.objective, str) else self.objective

    def views(self, spec: InputSpec) -> ViewRange:
        """How far random views of an image of this size may stray."""
        jitter = min(spec.size) * _DEFAULT_JITTER if self.jitter is None else self.jitter
        return ViewRange(jitter=jitter, scale=self.scale, rotate=self.rotate)


def _check_number(option: str, value: float, at_least: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not at_least <= value < math.inf:
        raise ValueError(f"{option} must be a number of at least {at_least}; got {value!r}")


def _choice(names: Iterable[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)
