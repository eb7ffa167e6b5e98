"""Optimize whole images, or the part of them that one unit sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.field_crop import FieldCrop
from neurovis.maximization.image_initializer import ImageInitializer
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.tones import ToneMemory


@dataclass(frozen=True)
class Canvas:
    """The images that are optimized, and the whole images that they are shown as.

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

    def constrained(self, images: Tensor, memory: ToneMemory | None = None) -> Tensor:
        """Images ``(B, C, h, w)`` that keep to the constraints, of what is optimized.

        Args:
            images: In [0, 1].
            memory: Gains and shifts of the images' last step, if this is one of many.
        """
        constraints = self.settings.constraints
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

    def initializer(self) -> ImageInitializer:
        """Return the initial images of ascents."""
        init = self.settings.init if isinstance(self.settings.init, Tensor) else None
        if init is not None and self.crop is not None:
            init = self.crop.cropped(init)
        return ImageInitializer(self.settings, self.spec, self.constrained, init)
