"""One preferred image with the numbers that say how much to believe it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from neurovis.figures.pictures import tile
from neurovis.files import safe_name
from neurovis.maximization.accentuation import structural_similarity
from neurovis.receptive_fields import Box
from neurovis.result import Result

#: Pixels of the longer side of a picture in a notebook, at least.
_LEAST_SHOWN = 64

#: How an ascent ended: it made all its steps, it stopped improving before, or the
#: Trainer stopped it.
Ended = Literal["steps", "converged", "cut short"]
#: End of the labels of images that drive a kernel least.
LEAST = ", least"


@dataclass(repr=False)
class PreferredImage(Result):
    """One image, and what it does to the kernels that it was made for.

    Attributes:
        index: Its place among what is asked for of the layer.
        layer: Dotted name.
        label: How files and figures call it, such as ``kernel 5``.
        kernels: The ``M`` kernels it is to drive.
        weights: Their weights, or None where they count alike.
        image: ``(C, H, W)`` in [0, 1], rounded to 8 or 16 bits before anything was measured.
        start: The image that the ascent started from, ``(C, H, W)`` in [0, 1].
        activation: The number that was maximized, or with a sign of -1 minimized: for a group the
            joint one.
        noise_activation: The same number for a noise image.
        member_activations: ``(M,)`` each kernel's own readout.
        member_noise_activations: ``(M,)`` the same for the noise image.
        target_map: ``(H', W')`` weight of each position in the readout.
        resulting_map: ``(H', W')`` response to the image.
        curve: ``(steps,)`` the activation at each step, on random views.
        ended: Why the ascent ended: ``steps``, ``converged`` or ``cut short``.
        variant: Which of several images of the same kernels it is, from 0.
        unit: Unit of the numbers that are maximized: ``SD`` for standard deviations above the
            response to noise; empty for the layer's own.
        box: ``(top, left, bottom, right)`` in pixels: what was optimized, where a receptive field
            is smaller than the image; else None.
        crop: With a box, the ``(top, left, bottom, right)`` that was generated around it; the
            network was never shown more than the box.
        sign: 1 for the image that drives a kernel most, -1 for the one that drives it least.
        photograph_activation: Activation of the start, where that is a photograph to accentuate.
        evidence: Further columns of its row, such as what judges say of it.
        remark: The same in a line of words, for figures.
    """

    index: int
    layer: str
    label: str
    kernels: tuple[int, ...]
    weights: tuple[float, ...] | None
    image: Tensor
    start: Tensor
    activation: float
    noise_activation: float
    member_activations: Tensor
    member_noise_activations: Tensor
    target_map: Tensor
    resulting_map: Tensor
    curve: Tensor
    ended: Ended = "steps"
    variant: int = 0
    unit: str = ""
    box: Box | None = None
    crop: Box | None = None
    sign: int = 1
    photograph_activation: float | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)
    remark: str = ""

    def seen(self, picture: Tensor) -> Tensor:
        """The part of a picture ``(C, H, W)`` that was optimized."""
        if self.box is None:
            return picture
        top, left, bottom, right = self.box
        return picture[..., top:bottom, left:right]

    def counted(self, activation: float) -> str:
        """Format a number that is maximized, with its unit."""
        return f"{activation:.4g} {self.unit}".rstrip()

    @property
    def ratio(self) -> float:
        """The activation over that of the photograph; NaN where that is not positive."""
        before = self.photograph_activation
        return self.activation / before if before is not None and before > 0 else math.nan

    @property
    def similarity(self) -> float:
        """Structural similarity (SSIM) to the start, at most 1."""
        return structural_similarity(self.image, self.start)

    @property
    def dead_members(self) -> list[bool]:
        """For each kernel, True if it was to respond and stayed silent."""
        silent = stayed_silent(self.member_activations, self.member_noise_activations)
        return (silent & torch.tensor(self.driven_members)).tolist()

    @property
    def dead(self) -> bool:
        """True if every kernel that was to respond stayed silent."""
        return 0 < sum(self.driven_members) == sum(self.dead_members)

    @property
    def driven_members(self) -> list[bool]:
        """For each kernel, True if it is to respond."""
        weights = self.weights or (1.0,) * len(self.kernels)
        return [self.sign * weight > 0 for weight in weights]

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each kernel."""
        accentuated: dict[str, object] = {}
        if self.photograph_activation is not None:
            accentuated = {
                "photograph_activation": self.photograph_activation,
                "ratio": self.ratio,
                "ssim": self.similarity,
            }
        for member, kernel in enumerate(self.kernels):
            yield {
                "layer": self.layer,
                "kernel": kernel,
                "activation": float(self.member_activations[member]),
                "noise_activation": float(self.member_noise_activations[member]),
                "steps": len(self.curve),
                "dead": self.dead_members[member],
                "ended": self.ended,
                **accentuated,
            }

    def _summary(self) -> str:
        return (
            f"{self.label} of {self.layer}, {' x '.join(map(str, self.image.shape))}: activation "
            f"{self.counted(self.activation)}, of noise {self.counted(self.noise_activation)}, "
            f"{'dead' if self.dead else 'ended'} after {len(self.curve)} steps ({self.ended})"
        )

    def _pictures(self) -> Iterator[Tensor]:
        """Yield the image in color if it has three channels, and each channel in gray if not."""
        seen = self.seen(self.image).float()
        channels = seen[None] if len(seen) == 3 else seen[:, None].expand(-1, 3, -1, -1)
        yield tile(channels, min_size=_LEAST_SHOWN)

    @property
    def file_name(self) -> str:
        """A name for its files: ``kernel_0005``, ``group_0000``, ``kernel_0005_2`` of variants."""
        name = target_file_name(self.label, self.kernels, self.index, self.sign)
        return f"{name}_{self.variant + 1}" if self.variant else name


def stayed_silent(activations: Tensor, noise_activations: Tensor) -> Tensor:
    """Return True for kernels that are zero, or unmoved from what noise gave them, ``(N,)``."""
    return (activations == 0) | (activations == noise_activations)


def target_file_name(label: str, kernels: Sequence[int], index: int, sign: int) -> str:
    """A name for a target's files: ``kernel_0005``, ``kernel_0005_least``, ``group_0000``."""
    noun = label.split(" ", 1)[0]
    is_single = len(kernels) == 1 and noun != "group"
    name = f"{safe_name(noun)}_{kernels[0] if is_single else index:04d}"
    return f"{name}_least" if sign < 0 else name
