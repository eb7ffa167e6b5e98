"""Settings of an ascent: everything that shapes a preferred image except its target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypedDict

from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.constraints import Constraints
from neurovis.maximization.objectives import Objective, ObjectiveName, as_objective
from neurovis.maximization.option_checks import (
    check_functions,
    check_integer,
    check_number,
    check_picture,
    check_positive,
)
from neurovis.maximization.parametrizations import (
    FixedMagnitude,
    Fourier,
    Parametrization,
    ParametrizationName,
    as_parametrization,
)
from neurovis.maximization.regularizers import LpContrast, Regularizer, TotalVariation
from neurovis.maximization.styles import STYLES, Style, StyleName
from neurovis.maximization.transforms import Affine, Transform, as_transform
from neurovis.readouts import Readout

Precision = Literal["auto", "float32", "bfloat16"]
#: From images ``(B, C, H, W)`` in [0, 1] to penalties ``(B,)``.
Penalty = Callable[[Tensor], Tensor]

#: No run has more steps, or images at a time.
_LARGEST_NUMBER = 10**9
#: Images at a time where the free memory decides nothing.
_UNMEASURED = 8


class AscentOptions(TypedDict, total=False):
    """Keyword arguments of :class:`AscentSettings`, each with its default there."""

    style: StyleName
    steps: int | Literal["auto"]
    patience: int | Literal["auto"] | None
    min_improvement: float
    lr: float | None
    leak: float
    batch_size: int | None
    seed: int
    precision: Precision
    objective: ObjectiveName | Objective | Readout
    crop: bool
    variants: int
    diversity: float
    parametrization: ParametrizationName | Parametrization | None
    init: Literal["noise", "zero"] | Tensor
    change: float | None
    contrast: float | dict[str, float] | None
    luminance: float | dict[str, float] | None
    frozen: dict[str, Tensor | str | Path] | None
    tv: float
    lp: float
    lp_order: float
    smoothness: float | None
    gain_noise: float | None
    regularizers: Sequence[Regularizer | Penalty]
    jitter: float | None
    scale: tuple[float, float] | None
    rotate: float | None
    transforms: Sequence[Transform | Callable[[Tensor], Tensor]] | None


@dataclass(frozen=True)
class AscentSettings:
    """The options of an ascent, the same for activation maximization and for groups.

    Args:
        style: Defaults of ``parametrization``, ``smoothness``, ``gain_noise``, ``steps``,
            ``patience``, ``jitter``, ``scale`` and ``rotate``: ``natural`` for images that other
            networks and people recognize, ``maximal`` for the highest activation; see
            :mod:`~neurovis.maximization.styles`. Images of other objectives than means of
            maps, that start from a picture or gray, or have penalties are ``maximal``.
        steps: Most ascent steps for each image, at least 1. ``auto``: as the style has it, 128 for
            ``natural`` and 256 for ``maximal``.
        patience: An image is done when it has not improved for this number of steps, on average
            over its random views. None: it makes all its steps. ``auto``: as the style has it.
        min_improvement: What counts as improvement: this part, 0 to 1, of the whole rise so far.
        lr: Adam's learning rate, in units of the parametrization (logits of pixel values for
            ``fourier`` and ``pixel``, radians for ``fixed_magnitude``); by default the
            parametrization's own.
        leak: In the beginning, this part (0 to 1) of the gradient of silent units passes the
            rectifiers that end a layer, see :mod:`~neurovis.maximization.silent_units`. 0: the
            plain gradient.
        batch_size: Images optimized together, at least 1; it sets memory, not results. None: as
            many as fit into the free memory of a GPU, at most 64; 8 on the CPU, and with
            ``Trainer(deterministic=True)``. A run that is resumed keeps its own.
        seed: Fixes noise starts and random views, together with the kernel's number.
        precision: Precision of the network during the ascent: ``auto`` is bfloat16 where the device
            computes in it and the layer's response hardly changes, else float32. Activations that
            are reported are float32 always.
        objective: What of a kernel's map is maximized: its ``mean``, its ``center`` unit or its
            ``max``; an :class:`~neurovis.maximization.objectives.Objective`; or a function from
            activations ``(B, K, ...)`` to ``(B, K)``. ``deep_dream`` maximizes the whole layer.
        crop: With ``center``, optimize no more than what the unit sees, in a gray picture, where
            its receptive field is smaller than that.
        variants: Images of each kernel or group, at least 1.
        diversity: With several variants, how much their likeness is penalized (mean pairwise
            cosine similarity of their Gram matrices in the layer), in units of activation.
        parametrization: ``fourier`` (spatial frequencies, decorrelated color), ``pixel``,
            ``fixed_magnitude`` (a natural amplitude spectrum, only phases are optimized), or a
            :class:`~neurovis.maximization.parametrizations.Parametrization`; by default the
            style's.
        init: Start from ``noise``, from mid gray (``zero``), or from an image ``(C, H, W)`` in
            [0, 1].
        change: Largest distance from the image to start from, which is accentuated rather than
            replaced; 1 keeps an SSIM of about 0.8. See
            :mod:`~neurovis.maximization.accentuation`. None: any.
        contrast: Fixed RMS contrast (standard deviation in [0, 1] units) of each modality; a
            number, or a mapping from modalities to numbers.
        luminance: Fixed mean of each modality, in [0, 1]; a number, or a mapping.
        frozen: Modalities that stay as given: pictures ``(channels, H, W)`` in [0, 1], or paths.
        tv: Weight of total variation (mean absolute difference of neighboring pixels, in
            [0, 1] units), in units of activation. 0: none.
        lp: Weight of the mean of ``|image - 0.5| ** lp_order``, in units of activation.
        lp_order: Order of that norm, at least 1.
        smoothness: Total variation in relation to what is reached: the part of what is maximized,
            at least 0, that a line across the image costs whose pixels go once from black to
            white. By default the style's.
        gain_noise: Standard deviation, at least 0, of gains around 1 that all kernels of the
            convolutions before the layer have, others at every step, so that images drive similar
            networks too; see :mod:`~neurovis.maximization.gain_noise`. By default the style's.
        regularizers: More penalties: from images ``(B, C, H, W)`` to ``(B,)``.
        jitter: Views shift by up to this number of pixels; by default the style's part of the
            shorter side.
        scale: Smallest and largest magnification of views; by default the style's.
        rotate: Views rotate by up to this angle, in degrees; by default the style's.
        transforms: What images are shown under, in place of ``jitter``, ``scale`` and ``rotate``:
            any number of :class:`~neurovis.maximization.transforms.Transform` or functions from
            images to images, in this order.

    Raises:
        ValueError: If an option is out of its range; the message names it.
    """

    style: StyleName = "natural"
    steps: int | Literal["auto"] = "auto"
    patience: int | Literal["auto"] | None = "auto"
    min_improvement: float = 0.003
    lr: float | None = None
    leak: float = 0.3
    batch_size: int | None = None
    seed: int = 0
    precision: Precision = "auto"
    objective: ObjectiveName | Objective | Readout = "mean"
    crop: bool = True
    variants: int = 1
    diversity: float = 0.0
    parametrization: ParametrizationName | Parametrization | None = None
    init: Literal["noise", "zero"] | Tensor = "noise"
    change: float | None = None
    contrast: float | dict[str, float] | None = None
    luminance: float | dict[str, float] | None = None
    frozen: dict[str, Tensor | str | Path] | None = None
    tv: float = 0.0
    lp: float = 0.0
    lp_order: float = 2.0
    smoothness: float | None = None
    gain_noise: float | None = None
    regularizers: Sequence[Regularizer | Penalty] = field(default_factory=tuple)
    jitter: float | None = None
    scale: tuple[float, float] | None = None
    rotate: float | None = None
    transforms: Sequence[Transform | Callable[[Tensor], Tensor]] | None = None

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            names = " or ".join(f'"{name}"' for name in STYLES)
            raise ValueError(f"style must be {names}; got {self.style!r}")
        check_integer("seed", self.seed)
        check_integer("variants", self.variants, 1, _LARGEST_NUMBER)
        if self.steps != "auto":
            check_integer("steps", self.steps, 1, _LARGEST_NUMBER)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, 1, _LARGEST_NUMBER)
        if self.patience is not None and self.patience != "auto":
            check_integer("patience", self.patience, 1)
        for option in ("tv", "lp", "diversity"):
            check_number(option, getattr(self, option))
        for option in ("min_improvement", "leak"):
            check_number(option, getattr(self, option), at_most=1)
        check_number("lp_order", self.lp_order, at_least=1)
        for option in ("smoothness", "gain_noise"):
            if getattr(self, option) is not None:
                check_number(option, getattr(self, option))
        if self.lr is not None:
            check_positive("lr", self.lr)
        for option in ("regularizers", "transforms"):
            check_functions(option, getattr(self, option))
        # They check themselves, also where other transforms take their place.
        self._affine((1, 1))
        self._check_choices()

    def _check_choices(self) -> None:
        self.resolved_objective, self.resolved_parametrization, self.constraints  # noqa: B018 - they check themselves
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(
                f'precision must be "auto", "float32" or "bfloat16"; got {self.precision!r}'
            )
        is_zero = isinstance(self.init, str) and self.init == "zero"
        parametrization = self.resolved_parametrization
        if is_zero and not parametrization.has_gray:
            raise ValueError(
                f'init="zero": mid gray is not among the images of {parametrization}; '
                'start from "noise" or an image'
            )
        if isinstance(self.init, Tensor):
            check_picture("the init image", self.init)
        elif not isinstance(self.init, str) or self.init not in ("noise", "zero"):
            came = repr(self.init) if isinstance(self.init, str) else type(self.init).__name__
            raise ValueError(f'init must be "noise", "zero" or an image tensor; got {came}')
        if self.change is not None:
            self._check_change(self.change)

    def _check_change(self, change: float) -> None:
        check_positive("change", change)
        if not isinstance(self.init, Tensor):
            raise ValueError("change is from an image to start from; give init, or leave it out")
        if self.contrast is not None or self.luminance is not None:
            raise ValueError("contrast and luminance would lead away from init; leave out change")
        parametrization = self.resolved_parametrization
        has_contrast = isinstance(parametrization, Fourier) and parametrization.contrast is not None
        if has_contrast or isinstance(parametrization, FixedMagnitude):
            raise ValueError(
                f"init is not among the images of {parametrization}; leave out change, or "
                "parametrization"
            )

    @cached_property
    def resolved_objective(self) -> Objective:
        """The objective as an object: what is read from a layer's activation."""
        return as_objective(self.objective)

    @cached_property
    def resolved_parametrization(self) -> Parametrization:
        """The parametrization as an object, as asked for or by the style."""
        given = self.parametrization
        return as_parametrization(self._applied_style.parametrization if given is None else given)

    @cached_property
    def constraints(self) -> Constraints:
        """Constraints that every image satisfies."""
        return Constraints(self.contrast, self.luminance, self.frozen)

    @cached_property
    def most_steps(self) -> int:
        """Most ascent steps for each image, as asked for or by the style."""
        return self._applied_style.steps if self.steps == "auto" else self.steps

    @property
    def steps_without_improvement(self) -> int | None:
        """Steps after which an image that has not improved is done; None for never."""
        return self._applied_style.patience if self.patience == "auto" else self.patience

    @property
    def learning_rate(self) -> float:
        """Adam's learning rate, as asked for or by default."""
        return self.resolved_parametrization.lr if self.lr is None else self.lr

    @property
    def penalties(self) -> list[Penalty]:
        """All penalties that are subtracted from what is maximized."""
        shorthand: list[Penalty] = []
        if self.tv:
            shorthand.append(TotalVariation(self.tv))
        if self.lp:
            shorthand.append(LpContrast(self.lp, self.lp_order))
        return [*shorthand, *self.regularizers]

    @cached_property
    def relative_smoothness(self) -> float:
        """Smoothness as asked for or by the style."""
        return self._applied_style.smoothness if self.smoothness is None else self.smoothness

    @property
    def gain_deviation(self) -> float:
        """Standard deviation of gains as asked for or by the style."""
        return self._applied_style.gain_noise if self.gain_noise is None else self.gain_noise

    @property
    def images_at_once(self) -> int:
        """Batch size that does not depend on how much memory is free."""
        return _UNMEASURED if self.batch_size is None else self.batch_size

    def views(self, spec: InputSpec, border: bool = False) -> list[Transform]:
        """Return the transforms for images of a spec.

        Args:
            spec: What the images are of, and their size.
            border: Whether the default views have a border around the image.
        """
        if self.transforms is not None:
            return [as_transform(one) for one in self.transforms]
        style = self._applied_style
        affine = replace(self._affine(spec.size), border=style.border_color(spec))
        if affine.is_still:
            return []
        return [*style.borders(spec), affine] if border else [affine]

    def _affine(self, size: tuple[int, int]) -> Affine:
        """Return how images of this height and width are moved, as asked for or by the style."""
        style = self._applied_style
        return Affine(
            jitter=min(size) * style.jitter if self.jitter is None else self.jitter,
            scale=style.scale if self.scale is None else self.scale,
            rotate=style.rotate if self.rotate is None else self.rotate,
        )

    @property
    def _applied_style(self) -> Style:
        """The style, or ``maximal`` where ``natural`` would contradict what is asked for.

        At one position views that move much blur what is seen, penalties can lower no contrast
        that is fixed, and that of an image to start from would be lost: where it is accentuated,
        its views alone are natural.
        """
        is_mean = self.resolved_objective.fits_any_size
        is_from_noise = isinstance(self.init, str) and self.init == "noise"
        style = STYLES[self.style if is_mean and not self.penalties else "maximal"]
        if is_from_noise:
            return style
        free = STYLES["maximal"]
        if self.change is None:
            return free
        return replace(
            style,
            parametrization=free.parametrization,
            smoothness=free.smoothness,
            gain_noise=free.gain_noise,
        )
