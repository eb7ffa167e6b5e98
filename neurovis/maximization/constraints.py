"""Constraints on every image of an ascent: a contrast, a mean luminance, a part that is given.

Neurons are compared at equal contrast and luminance, for otherwise the brightest and starkest image
wins. Here both are exact, not penalties: an image is shown as its nearest one that keeps to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.contrast import (
    MOST_OF_CONTRAST,
    ContrastMemory,
    match_contrast_and_luminance,
)
from neurovis.maximization.fingerprints import tensor_fingerprint
from neurovis.maximization.option_checks import check_picture, is_number
from neurovis.modality import Modality
from neurovis.pictures import read_picture

#: One number for all modalities, or one for each of some.
Levels = float | Mapping[str, float] | None


@dataclass(frozen=True, eq=False, repr=False)
class Constraints:
    """Constraints that images satisfy at every step; with the defaults, none.

    Contrast and luminance are set by shifting and scaling an image's logits, alike for all pixels
    and channels of a modality: values keep their order and stay in [0, 1], and the shape of a
    spectrum that is fixed (:class:`~neurovis.maximization.parametrizations.FixedMagnitude`) is
    kept.

    Args:
        contrast: RMS contrast: the standard deviation over the pixels and channels of a modality,
            in [0, 1] units; photographs have about 0.2. One number for every modality that is not
            frozen, or one for each of some. None: free.
        luminance: The mean over the pixels and channels of a modality, in (0, 1). One number for
            every modality that is not frozen, or one for each of some. None: free; with a contrast
            given, it is then kept where the contrast can be reached.
        frozen: Modalities that are not optimized, by name: a picture ``(channels, H, W)`` in
            [0, 1], or a file of one.

    Raises:
        ValueError: If a level is out of its range, a contrast is out of reach at its luminance, or
            levels are given for a frozen modality.
    """

    contrast: Levels = None
    luminance: Levels = None
    frozen: Mapping[str, Tensor | str | Path] | None = None
    _prepared: dict[InputSpec, Constraints] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for option, levels in (("contrast", self.contrast), ("luminance", self.luminance)):
            _check_levels(option, levels)
            both = set(levels) & set(self.frozen or {}) if isinstance(levels, Mapping) else None
            if both:
                raise ValueError(
                    f'{option} is given for "{min(both)}", which is frozen; leave one of them out'
                )
        for name, picture in (self.frozen or {}).items():
            _check_frozen(name, picture)
        named = {*_names(self.contrast), *_names(self.luminance), ""}
        for name in sorted(named):
            _check_attainable(name, _level(self.contrast, name), _level(self.luminance, name))

    @property
    def is_none(self) -> bool:
        """True if images are left as they are."""
        levels = (self.contrast, self.luminance)
        return not self.frozen and all(level is None or level == {} for level in levels)

    def sets(self, name: str) -> bool:
        """Return True if the contrast or luminance of a modality is set."""
        return any(_level(given, name) is not None for given in (self.contrast, self.luminance))

    def prepared(self, spec: InputSpec) -> Constraints:
        """The same, checked against an input, with frozen pictures read.

        Raises:
            ValueError: If a modality is not one of the input's, a frozen picture does not have its
                shape, or nothing is left to be optimized.
            FileNotFoundError: If there is no such file.
        """
        if spec not in self._prepared:
            names = [modality.name for modality in spec.modalities]
            for option in ("contrast", "luminance", "frozen"):
                for name in sorted(_names(getattr(self, option)) - set(names)):
                    raise ValueError(
                        f'{option} names "{name}", which is no modality of the input; it has '
                        f"{', '.join(names)}"
                    )
            frozen = self.frozen or {}
            if set(frozen) == set(names):
                raise ValueError(
                    f"all modalities ({', '.join(names)}) are frozen: nothing is left to optimize"
                )
            pictures = {
                modality.name: _picture(modality, frozen[modality.name], spec)
                for modality in spec.modalities
                if modality.name in frozen
            }
            self._prepared[spec] = replace(self, frozen=pictures or None)
        return self._prepared[spec]

    def __call__(
        self, images: Tensor, spec: InputSpec, memory: ContrastMemory | None = None
    ) -> Tensor:
        """Images that keep to the constraints, differentiably; each depends on its own alone.

        Args:
            images: ``(B, C, H, W)`` in [0, 1], float32.
            spec: Modalities and size.
            memory: Gains and shifts of the images' last step, if this is one of many.

        Returns:
            ``(B, C, H, W)`` in [0, 1]. Frozen modalities are exactly what is given and pass no
            gradient. An image without contrast stays so, but its gradient leads away from that.
        """
        if self.is_none:
            return images
        frozen = self.prepared(spec).frozen or {}
        parts = []
        for name, part in spec.split(images).items():
            picture = frozen.get(name)
            if isinstance(picture, Tensor):
                parts.append(picture.to(part).expand_as(part))
                continue
            contrast, luminance = _level(self.contrast, name), _level(self.luminance, name)
            free = contrast is None and luminance is None
            parts.append(
                part
                if free
                else match_contrast_and_luminance(part, contrast, luminance, memory, name)
            )
        return torch.cat(parts, dim=1)

    def __repr__(self) -> str:
        frozen = {
            name: tensor_fingerprint(picture) if isinstance(picture, Tensor) else str(picture)
            for name, picture in (self.frozen or {}).items()
        }
        levels = [
            dict(sorted(level.items())) if isinstance(level, Mapping) else level
            for level in (self.contrast, self.luminance)
        ]
        return f"Constraints(contrast={levels[0]}, luminance={levels[1]}, frozen={frozen or None})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraints) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


def measured(images: Tensor, spec: InputSpec) -> dict[str, tuple[Tensor, Tensor]]:
    """RMS contrast and mean luminance of each modality of images ``(B, C, H, W)`` in [0, 1].

    Returns:
        By modality, ``(contrast (B,), luminance (B,))``, the standard deviation and the mean over
        its pixels and channels, in double precision on the CPU.
    """
    with torch.no_grad():
        flat = {name: part.cpu().double().flatten(1) for name, part in spec.split(images).items()}
    return {name: (values.std(1, correction=0), values.mean(1)) for name, values in flat.items()}


def _names(levels: object) -> set[str]:
    return set(levels) if isinstance(levels, Mapping) else set()


def _level(levels: Levels, name: str) -> float | None:
    """Return the level of a modality; for an empty name, that of all modalities."""
    return levels.get(name) if isinstance(levels, Mapping) else levels


def _check_levels(option: str, levels: Levels) -> None:
    given = levels if isinstance(levels, Mapping) else {} if levels is None else {"": levels}
    most = 0.5 * MOST_OF_CONTRAST if option == "contrast" else 1.0
    for name, level in given.items():
        if not is_number(level) or not 0 < level <= most or level == 1:
            argument = f'{option} of "{name}"' if name else option
            expected = f"in (0, {most:g}]" if option == "contrast" else "in (0, 1)"
            raise ValueError(f"{argument} must be a number {expected}; got {level!r}")


def _check_attainable(name: str, contrast: float | None, luminance: float | None) -> None:
    if contrast is None or luminance is None:
        return
    most = MOST_OF_CONTRAST * math.sqrt(luminance * (1 - luminance))
    if contrast > most:
        whose = f' of "{name}"' if name else ""
        raise ValueError(
            f"contrast {contrast:g}{whose} cannot be had at luminance {luminance:g}: at most "
            f"{math.floor(most * 1000) / 1000:g}, with hardly anything but black and white; lower "
            "it, or bring the luminance nearer to 0.5"
        )


def _check_frozen(name: str, picture: object) -> None:
    if isinstance(picture, (str, Path)):
        return
    if not isinstance(picture, Tensor):
        raise ValueError(
            f'frozen "{name}" must be a picture (channels, H, W) in [0, 1] or a file; got '
            f"{type(picture).__name__}"
        )
    check_picture(f'frozen "{name}"', picture, "(channels, H, W)")


def _picture(modality: Modality, picture: Tensor | str | Path, spec: InputSpec) -> Tensor:
    """Return the picture that a modality is frozen at, ``(channels, H, W)`` in [0, 1]."""
    if not isinstance(picture, Tensor):
        return read_picture(picture, InputSpec((modality,), spec.size))
    expected = (modality.channels, *spec.size)
    if tuple(picture.shape) != expected:
        raise ValueError(
            f'frozen "{modality.name}" must have shape {expected}; got {tuple(picture.shape)}'
        )
    return picture.detach()
