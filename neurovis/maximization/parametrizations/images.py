"""Base classes of parametrizations: images that share nothing, made of parameters.

Each holds a fixed number of images, so that an image comes out the same whatever its neighbors
are. Pixels live behind a sigmoid, hence always inside (0, 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError

#: Standard deviation of the noise start before the sigmoid: visible, with room on either side.
NOISE_STD = 0.3

_DARKEST_START = 1e-3


class ImageParameters(nn.Module, ABC):
    """Base of what the optimizer moves: ``count`` images of ``spec``, each its own parameter slice.

    Subclasses say how logits are made from :attr:`values` and back.

    Args:
        count: Number of images optimized together, at least 1.
        spec: Modalities and size of the images.
    """

    values: nn.Parameter

    def __init__(self, count: int, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        self.values = nn.Parameter(torch.zeros(count, *self.value_shape(spec)))

    @abstractmethod
    def value_shape(self, spec: InputSpec) -> tuple[int, ...]:
        """Shape of one image's parameters."""

    @abstractmethod
    def logits(self) -> Tensor:
        """The images ``(count, C, H, W)`` before the sigmoid."""

    @abstractmethod
    def from_logits(self, logits: Tensor) -> Tensor:
        """Parameters of given logits; the inverse of :meth:`logits`, as far as there is one.

        Args:
            logits: ``(B, C, H, W)``.

        Returns:
            ``(B, *value_shape)``.
        """

    @abstractmethod
    def noise(self, generator: torch.Generator) -> Tensor:
        """Parameters of one noise image, drawn on the CPU so that every device starts alike.

        Returns:
            ``(*value_shape,)``, of one image.
        """

    def forward(self) -> Tensor:
        """The images ``(count, C, H, W)`` in (0, 1), float32 also under autocast."""
        with torch.autocast(self.values.device.type, enabled=False):
            return torch.sigmoid(self.logits())

    @torch.no_grad()
    def of(self, values: Tensor) -> Tensor:
        """The images ``(count, C, H, W)`` of other values than :attr:`values`."""
        images: Tensor = torch.func.functional_call(self, {"values": values}, ())
        return images

    @torch.no_grad()
    def start_from_noise(self, generators: Sequence[torch.Generator]) -> None:
        """Fill the first images with noise, one generator for each."""
        for slot, generator in enumerate(generators):
            self.values[slot] = self.noise(generator).to(self.values)

    @torch.no_grad()
    def start_from_gray(self) -> None:
        """Make every image mid gray."""
        self.values.zero_()

    @torch.no_grad()
    def start_from_image(self, image: Tensor) -> None:
        """Make every image ``image``, ``(C, H, W)`` in [0, 1]; black and white become 0.1 % gray.

        Raises:
            ArgumentError: If the shape is not the spec's.
        """
        if tuple(image.shape) != self.spec.shape:
            raise ArgumentError(
                f"the start image must have shape {self.spec.shape}; got {tuple(image.shape)}"
            )
        logits = torch.logit(image.float().cpu().clamp(_DARKEST_START, 1 - _DARKEST_START))
        self.values[:] = self.from_logits(logits[None]).to(self.values)


class Parametrization(ABC):
    """Choice of a parametrization: a small object that says which :class:`ImageParameters` to use.

    Subclasses are frozen dataclasses, so that they can be compared, pickled and written in YAML.
    """

    #: Adam's learning rate where none is asked for, in units of the parameters.
    lr = 0.05
    #: Whether mid gray is among the images, so that an ascent can start from it.
    has_gray = True

    @property
    def is_free(self) -> bool:
        """True if images may have any pixels, so that rounding them breaks no promise."""
        return False

    @abstractmethod
    def images(self, count: int, spec: InputSpec) -> ImageParameters:
        """``count`` images of ``spec``, on the CPU.

        Args:
            count: At least 1.
            spec: Modalities and size.
        """

    def fingerprint(self, spec: InputSpec) -> str:  # noqa: ARG002
        """All that the images of ``spec`` depend on, for a record of how they were made."""
        return repr(self)
