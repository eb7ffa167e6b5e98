"""The part of the images that is optimized: all of them, or the part that one unit sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.accentuation import Photograph
from neurovis.maximization.contrast import ContrastMemory
from neurovis.maximization.field_crop import FieldCrop
from neurovis.maximization.parametrizations import ImageParameters
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.settings import AscentSettings


@dataclass(frozen=True)
class OptimizedRegion:
    """The images that are optimized, how they start, and the whole images that they become.

    An ascent starts the same wherever and whenever it is started: its noise depends on the seed, a
    kernel and the variant alone.

    Args:
        whole_spec: Modalities and size of the whole images.
        settings: How the ascent is done.
        crop: The part that is optimized; None for the whole image.
    """

    whole_spec: InputSpec
    settings: AscentSettings
    crop: FieldCrop | None = None

    @property
    def spec(self) -> InputSpec:
        """Modalities and size of what is optimized."""
        return self.whole_spec if self.crop is None else self.crop.spec

    def constrained(self, images: Tensor, memory: ContrastMemory | None = None) -> Tensor:
        """Images ``(B, C, h, w)`` that keep to the constraints, of what is optimized.

        Args:
            images: In [0, 1].
            memory: Gains and shifts of the images' last step, if this is one of many.
        """
        constraints = self.settings.constraints
        if self.photograph is not None:
            images = self.photograph.near(images)
        if self.crop is None:
            return constraints(images, self.spec, memory)
        if constraints.is_none:
            return images
        # It is what the unit sees that is to have a contrast, not what lies around.
        top, left, bottom, right = self.crop.own_box
        seen = constraints(
            images[..., top:bottom, left:right],
            self.spec.resized((bottom - top, right - left)),
            memory,
        )
        kept = images.clone()
        kept[..., top:bottom, left:right] = seen
        return kept

    def whole(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` as the network is to be shown them, of what is optimized.

        With a crop, they show only what the unit sees; all else is gray.
        """
        if self.crop is None:
            return images
        top, left, bottom, right = self.crop.own_box
        masked = torch.full_like(images, 0.5)
        masked[..., top:bottom, left:right] = images[..., top:bottom, left:right]
        return self.crop.paste(masked)

    @torch.no_grad()
    def initial_parameters(self, kernel: int) -> Tensor:
        """The parameters ``(D, ...)`` that the images for a kernel, one a variant, start from.

        Raises:
            ArgumentError: If an image to start from does not have the input's shape.
        """
        return self._start(kernel).values.clone()

    @torch.no_grad()
    def initial_images(self, kernel: int) -> Tensor:
        """The whole images ``(D, C, H, W)`` that the ascents for a kernel start from."""
        return self.whole(self.constrained(self._start(kernel)()))

    @torch.no_grad()
    def noise_images(self, kernels: Sequence[int]) -> Tensor:
        """The whole noise images ``(N D, C, H, W)`` that those for N kernels are compared with."""
        count = len(kernels) * self.settings.variants
        images = self.settings.resolved_parametrization.images(count, self.spec)
        images.start_from_noise(self._generators(kernels))
        noise = images()
        if self.photograph is not None:
            noise = self.photograph.with_noise(noise)
        return self.whole(self.constrained(noise))

    @cached_property
    def photograph(self) -> Photograph | None:
        """Photograph that images stay near, if it is accentuated."""
        init, change = self.settings.init, self.settings.change
        return Photograph(init, change) if isinstance(init, Tensor) and change else None

    def _start(self, kernel: int) -> ImageParameters:
        init = self.settings.init
        if isinstance(init, str) and init == "noise":
            self._parameters.start_from_noise(self._generators([kernel]))
        elif isinstance(init, Tensor):
            image = init if self.crop is None else self.crop.cropped(init)
            self._parameters.start_from_image(image)
        else:
            self._parameters.start_from_gray()
        return self._parameters

    def _generators(self, kernels: Sequence[int]) -> list[torch.Generator]:
        seed, variants = self.settings.seed, range(self.settings.variants)
        return [
            image_generator(seed, kernel, Stream.START, variant)
            for kernel in kernels
            for variant in variants
        ]

    @cached_property
    def _parameters(self) -> ImageParameters:
        """Parameters of one target's images, filled again for each."""
        return self.settings.resolved_parametrization.images(self.settings.variants, self.spec)
