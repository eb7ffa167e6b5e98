"""Base class of transforms, and a transform around a custom function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.maximization.user_functions import call_user_function, function_name


class Transform(ABC):
    """A change that an image is shown under, drawn afresh for each image and step.

    Subclasses are light, can be pickled and compared, and treat each image on its own: the
    result does not depend on the others in its batch.
    """

    @property
    def is_still(self) -> bool:
        """True if the transform is the identity."""
        return False

    def draw(self, generator: torch.Generator, steps: int, size: tuple[int, int]) -> Tensor:
        """Draw the parameters for one image's steps; none, ``(steps, 0)``, by default.

        Args:
            generator: On the CPU, fresh, the image's own.
            steps: How many; the first of a longer draw are those of a shorter one.
            size: Height and width of the image.

        Returns:
            ``(steps, P)`` on the CPU, of a type that the transform chooses.
        """
        del generator, size
        return torch.empty(steps, 0)

    @abstractmethod
    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Change images.

        Args:
            images: ``(B, C, H, W)`` on any device.
            drawn: ``(B, P)`` on the CPU, one row of what was drawn for each image.
        """

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what becomes of images of a size."""
        return size

    def reach(self, extent: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
        """Return the radii, in pixels, that the transform may sample from to fill an extent.

        Args:
            extent: Pixels from the center, down and across, to the center of the last pixel.
            size: Height and width of the image.
        """
        del size
        return extent


@dataclass(frozen=True)
class FunctionTransform(Transform):
    """A custom function as a transform.

    Args:
        function: From images ``(B, C, H, W)`` to as many images of as many channels. It must treat
            each image on its own, give the same each time, and be defined at the top of a module
            if the ascent is to run in several processes.

    Raises:
        TypeError: If it cannot be called.
    """

    function: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(
                "a transform must be a Transform or a function from images (B, C, H, W) to images; "
                f"got {self.function!r}"
            )

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Apply the function to the images.

        Raises:
            ValueError: If it fails, or that is not as many images of as many channels.
        """
        del drawn
        changed = call_user_function(self.function, "transform", images)
        if not isinstance(changed, Tensor) or (
            changed.ndim != 4 or changed.shape[:2] != images.shape[:2]
        ):
            came = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
            raise ValueError(
                f"a transform must give as many images of as many channels as it gets, "
                f"{tuple(images.shape)}; {function_name(self.function)} gave {came}"
            )
        return changed
