"""Base class of objectives: from a layer's activation to numbers that can be maximized."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurovis.maximization.objectives.constant import Constant

if TYPE_CHECKING:
    from neurovis.maximization.layer_response import LayerResponse


class Objective(ABC):
    """Reads from a layer's activation the numbers that images are made to raise.

    There may be a number for each kernel, for each of some directions, or one for the layer. Those
    that exist are frozen dataclasses, so that two that do the same are equal and their ``repr``
    says all that they depend on.

    Attributes:
        noun: What a number is of, for labels and file names: ``"kernel"`` as in "kernel 5".
        silent_at_zero: Whether exactly 0 means that a rectifier silences what is read, so that it
            is to be woken, and is dead if it stays so.
    """

    noun = "kernel"
    silent_at_zero = True

    def prepared(self, response: LayerResponse) -> Objective:  # noqa: ARG002
        """The objective ready for a layer, to be called once before an ascent.

        Args:
            response: From images to the layer's activation.

        Raises:
            ValueError: If the objective does not fit the layer.
        """
        return self

    @abstractmethod
    def __call__(self, activation: Tensor) -> Tensor:
        """The numbers ``(B, N)`` of an activation ``(B, K, ...)``, each image's from its own."""

    def leave_devices(self) -> None:
        """Release the copies of tensors on devices; they are made again where they are needed."""
        for value in vars(self).values():
            if isinstance(value, Constant):
                value.leave_devices()

    def maps(self, activation: Tensor) -> Tensor:
        """Return the value of each position, ``(B, K, ...)`` to ``(B, N, ...)``, for figures."""
        return activation


@torch.no_grad()
def gray_activation(response: LayerResponse) -> Tensor:
    """The activation ``(1, K, ...)`` of a mid-gray image, to learn a layer's shape from.

    Raises:
        ValueError: If the network cannot take it.
    """
    from neurovis.maximization.layer_response import try_response

    return try_response(response, torch.full((1, *response.spec.shape), 0.5)).float()
