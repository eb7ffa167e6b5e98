"""Base class of objectives: from a layer's activation to numbers that can be maximized."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives.constant import Constant


class Objective(ABC):
    """Reads from a layer's activation the numbers that images are made to raise.

    There may be a number for each kernel, for each of some directions, or one for the layer. Those
    that exist are frozen dataclasses, so that two that do the same are equal and their ``repr``
    says all that they depend on.

    Objectives of one layer add up: ``Mean() - 0.5 * Max()`` is one too, as in Lucid.

    Attributes:
        noun: What a number is of, for labels and file names: ``"kernel"`` as in "kernel 5".
        silent_at_zero: Whether exactly 0 means that a rectifier silences what is read, so that it
            is to be woken, and is dead if it stays so.
        reads_center: Whether only the unit in the middle of a map is read, so that an image of its
            receptive field is enough.
        fits_any_size: Whether the numbers are means over maps of any size, so that images may be
            natural (see :mod:`~neurovis.maximization.styles`) and shown with a border.
    """

    noun = "kernel"
    silent_at_zero = True
    reads_center = False
    fits_any_size = False

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

    def release_copies(self) -> None:
        """Release the copies of tensors on devices; they are made again where they are needed."""
        for value in vars(self).values():
            if isinstance(value, Constant):
                value.release_copies()

    def maps(self, activation: Tensor) -> Tensor:
        """Return the value of each position, ``(B, K, ...)`` to ``(B, N, ...)``, for figures."""
        return activation

    def __add__(self, other: Objective | float) -> WeightedSum:
        """Return the sum with another objective, or with a number."""
        if isinstance(other, Objective):
            return WeightedSum(((1.0, self), (1.0, other)))
        if not isinstance(other, (int, float)):
            return NotImplemented
        return WeightedSum(((1.0, self),), float(other))

    def __mul__(self, factor: float) -> WeightedSum:
        """Return the objective times a number."""
        if not isinstance(factor, (int, float)):
            return NotImplemented
        return WeightedSum(((float(factor), self),))

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> WeightedSum:
        """Return the objective with the opposite sign."""
        return self * -1

    def __sub__(self, other: Objective | float) -> WeightedSum:
        """Return the difference to another objective, or to a number."""
        return self + -other

    def __rsub__(self, other: float) -> WeightedSum:
        """Return the difference of a number to the objective."""
        return -self + other

    def __truediv__(self, divisor: float) -> WeightedSum:
        """Return the objective divided by a number."""
        return self * (1 / divisor)


@dataclass(frozen=True)
class WeightedSum(Objective):
    """Sum of weighted objectives of one layer, such as ``Mean() - 0.5 * Max()`` makes.

    Numbers are added kernel by kernel; an objective with one number for the whole layer, such as
    :class:`~neurovis.maximization.objectives.DeepDream`, counts the same for each kernel.

    Args:
        terms: Weights and objectives.
        offset: Added to every number.

    Raises:
        ValueError: If there is no term, or a number is not finite.

    Example:
        >>> from neurovis.maximization.objectives import Max, Mean
        >>> objective = Mean() - 0.5 * Max()
        >>> objective(torch.tensor([[[1.0, 5.0], [0.0, 2.0]]])).tolist()
        [[0.5, 0.0]]
    """

    terms: tuple[tuple[float, Objective], ...]
    offset: float = 0.0

    def __post_init__(self) -> None:
        terms: list[tuple[float, Objective]] = []
        offset = self.offset
        for weight, objective in self.terms:
            if isinstance(objective, WeightedSum):
                terms += [(weight * inner, part) for inner, part in objective.terms]
                offset += weight * objective.offset
            else:
                terms.append((weight, objective))
        if not terms:
            raise ValueError("a weighted sum needs at least one term; got none")
        if not all(map(math.isfinite, (offset, *(weight for weight, _ in terms)))):
            raise ValueError(f"weights and offset must be finite; got {terms} and {offset}")
        object.__setattr__(self, "terms", tuple(terms))
        object.__setattr__(self, "offset", offset)

    @property
    def noun(self) -> str:  # type: ignore[override]
        """Noun for a number: a kernel, rather than the layer, where some terms read kernels."""
        nouns = [objective.noun for _, objective in self.terms]
        return next((noun for noun in nouns if noun not in ("layer", "picture")), nouns[0])

    @property
    def silent_at_zero(self) -> bool:  # type: ignore[override]
        """True if the sum is 0 only where all terms are."""
        return not self.offset and all(
            weight > 0 and objective.silent_at_zero for weight, objective in self.terms
        )

    @property
    def fits_any_size(self) -> bool:  # type: ignore[override]
        """True if all terms do."""
        return all(objective.fits_any_size for _, objective in self.terms)

    def prepared(self, response: LayerResponse) -> WeightedSum:
        """The sum with each objective ready for a layer.

        Raises:
            ValueError: If an objective does not fit the layer, or two do not read as many numbers.
        """
        terms = tuple((weight, objective.prepared(response)) for weight, objective in self.terms)
        activation = gray_activation(response)
        counts = {objective(activation).shape[1] for _, objective in terms} - {1}
        if len(counts) > 1:
            raise ValueError(
                f"the objectives of a sum read {sorted(counts)} numbers from layer "
                f'"{response.layer}"; add up objectives that read as many, or one'
            )
        return WeightedSum(terms, self.offset)

    def __call__(self, activation: Tensor) -> Tensor:
        """The sums ``(B, N)`` of an activation ``(B, K, ...)``."""
        values = [weight * objective(activation) for weight, objective in self.terms]
        return sum(values[1:], values[0]) + self.offset

    def release_copies(self) -> None:
        """Release the copies of tensors on devices of all terms."""
        for _, objective in self.terms:
            objective.release_copies()

    def maps(self, activation: Tensor) -> Tensor:
        """The weighted sum of the terms' maps ``(B, N, ...)``, without the offset."""
        maps = [weight * objective.maps(activation) for weight, objective in self.terms]
        return sum(maps[1:], maps[0])


@torch.no_grad()
def gray_activation(response: LayerResponse) -> Tensor:
    """The activation ``(1, K, ...)`` of a mid-gray image, to learn a layer's shape from.

    Raises:
        ValueError: If the network cannot take it.
    """
    return response.checked(torch.full((1, *response.spec.shape), 0.5)).float()
