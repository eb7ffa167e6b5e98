"""Settings of saliency maps: the available methods, and the options that shape their results."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.readouts import READOUTS

Method = Literal[
    "gradient",
    "input_x_gradient",
    "smoothgrad",
    "integrated_gradients",
    "guided_backprop",
    "deconvnet",
    "gradcam",
    "guided_gradcam",
    "occlusion",
]
#: Names of the saliency methods.
METHODS: tuple[Method, ...] = get_args(Method)

#: What of a kernel's map is explained: a name, the ``(row, column)`` of one unit, or the
#: ``(top, left, bottom, right)`` of a box of units.
ReadoutOption = Literal["mean", "max", "center"] | tuple[int, int] | tuple[int, int, int, int]


class SaliencyOptions(TypedDict, total=False):
    """Keyword arguments of :class:`SaliencySettings`, each with its default there."""

    readout: ReadoutOption | None
    input_spec: InputSpec | None
    samples: int
    noise: float
    seed: int
    steps: int
    baseline: float | Tensor
    patch: int | None
    stride: int | None
    gradcam_layer: str | None
    output: str | int | None


@dataclass(frozen=True)
class SaliencySettings:
    """The options of all methods. Each is checked whatever the method, and used where it says so.

    Args:
        readout: What of a kernel's map is explained: its ``"mean"`` (the default), its ``"max"``,
            its ``"center"`` unit, or the unit at ``(row, column)``. For all methods; a layer
            without a map, such as the class logits, has one value a kernel and needs none.
        input_spec: What the network is shown. All methods check the images' channels against it;
            ``smoothgrad`` measures the noise, and ``occlusion`` covers, each modality by itself.
        samples: ``smoothgrad``: noisy copies of each image, at least 1.
        noise: ``smoothgrad``: standard deviation of the noise as a part of the range (largest
            minus smallest value) of each image, or of each of its modalities with an
            ``input_spec``. At least 0.
        seed: ``smoothgrad``: fixes the noise. ``cascading_randomization``: fixes the weights.
        steps: ``integrated_gradients``: points on the way from the baseline, at least 1.
        baseline: ``integrated_gradients`` and ``occlusion``: where the way begins, and what covers
            a patch, in the network's space: a number, or a tensor that broadcasts to the images.
            0 is the mean image of networks whose input is normalized.
        patch: ``occlusion``: side in pixels of the square that is covered, by default an eighth
            of the image's shorter side.
        stride: ``occlusion``: pixels from one position of the square to the next, at most
            ``patch``, by default half of it.
        gradcam_layer: ``gradcam`` and ``guided_gradcam``: the layer whose map is weighted, by
            default the last layer with weights and positions (a convolution, a norm, a block) that
            leads to what is explained.
        output: The output that is explained where no layer is, by its path: ``"logits"``,
            ``"0.boxes"``, or ``1`` for the second of a tuple; by default the class scores. A tensor
            that the network returns by itself is ``"output"``.

    Raises:
        ValueError: If an option is out of its range; the message names it.
        TypeError: If ``input_spec``, ``gradcam_layer`` or ``output`` is of another type.
    """

    readout: ReadoutOption | None = None
    input_spec: InputSpec | None = None
    samples: int = 25
    noise: float = 0.15
    seed: int = 0
    steps: int = 50
    baseline: float | Tensor = 0.0
    patch: int | None = None
    stride: int | None = None
    gradcam_layer: str | None = None
    output: str | int | None = None

    def __post_init__(self) -> None:
        for option, least in (("samples", 1), ("seed", 0), ("steps", 1)):
            _check_integer(option, getattr(self, option), least)
        for option in ("patch", "stride"):
            if getattr(self, option) is not None:
                _check_integer(option, getattr(self, option), 1)
        if not _is_number(self.noise) or not 0 <= self.noise < math.inf:
            raise ValueError(f"noise must be a number of at least 0; got {self.noise!r}")
        self._check_baseline()
        self._check_readout()
        if not (self.input_spec is None or isinstance(self.input_spec, InputSpec)):
            raise TypeError(f"input_spec must be an InputSpec; got {self.input_spec!r}")
        if not (self.gradcam_layer is None or isinstance(self.gradcam_layer, str)):
            raise TypeError(f"gradcam_layer must be a layer's name; got {self.gradcam_layer!r}")
        if not (self.output is None or isinstance(self.output, (str, int))):
            raise TypeError(
                f"output must be an output's name or number; got {type(self.output).__name__}"
            )

    def _check_baseline(self) -> None:
        if isinstance(self.baseline, Tensor):
            if not (self.baseline.is_floating_point() and bool(self.baseline.isfinite().all())):
                raise ValueError("a baseline tensor must be floating-point with finite values")
        elif not _is_number(self.baseline) or not math.isfinite(self.baseline):
            raise ValueError(f"baseline must be a finite number or a tensor; got {self.baseline!r}")

    def _check_readout(self) -> None:
        readout = self.readout
        if readout is None or (isinstance(readout, str) and readout in READOUTS):
            return
        if isinstance(readout, (tuple, list)) and len(readout) in (2, 4):
            for name, value in zip(("row", "column"), readout, strict=False):
                _check_integer(f"readout's {name}", value, 0)
            for name, end, start in zip(("bottom", "right"), readout[2:], readout, strict=False):
                _check_integer(f"readout's {name}", end, start + 1)
            object.__setattr__(self, "readout", tuple(readout))
            return
        names = ", ".join(f'"{name}"' for name in READOUTS)
        raise ValueError(
            f"readout must be {names}, (row, column) or (top, left, bottom, right); got {readout!r}"
        )


def check_method(method: str) -> Method:
    """The method, if there is one of that name.

    Raises:
        ValueError: If there is none; the message suggests the nearest names.
    """
    if method in METHODS:
        return method
    near = difflib.get_close_matches(str(method), METHODS, n=2)
    quoted = [f'"{name}"' for name in near or METHODS]
    advice = f"did you mean {' or '.join(quoted)}?" if near else f"choose from {', '.join(quoted)}"
    raise ValueError(f"there is no saliency method {method!r}; {advice}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_integer(option: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{option} must be an integer of at least {least}; got {value!r}")
