"""A torchmetric that keeps the highest responses and what gave them, over batches and devices."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import override

#: The number of no image: behind all others.
_NONE = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Highest:
    """The highest responses of ``K`` kernels, from the highest down, on the CPU.

    Attributes:
        values: ``(K, k)``; NaN where there were fewer images.
        numbers: ``(K, k)``, of the images; -1 where there is none.
        units: ``(K, k)``, of the most active unit; -1 where there is none.
        not_finite: ``(K,)``, to how many images the response was NaN or infinite.
        shown: How many images there were.
    """

    values: Tensor
    numbers: Tensor
    units: Tensor
    not_finite: Tensor
    shown: int


class HighestResponses(Metric):
    """The ``k`` images that each kernel responds to most.

    Among equal responses the image with the lower number comes first, and an image counts once,
    however often it is shown. Responses that are not finite are left out, and counted.

    Args:
        kernels: ``K``.
        k: How many images to keep for each, at least 1.
        **options: Options of :class:`torchmetrics.Metric`.

    Example:
        >>> highest = HighestResponses(kernels=1, k=2)
        >>> responses = torch.tensor([[1.0], [3.0], [float("nan")], [3.0]])
        >>> highest.update(responses, torch.zeros(4, 1), torch.arange(4))
        >>> highest.found().numbers, highest.found().not_finite
        (tensor([[1, 3]]), tensor([1]))
    """

    is_differentiable = False
    full_state_update = False

    values: Tensor
    numbers: Tensor
    units: Tensor
    not_finite: Tensor
    shown: Tensor

    def __init__(self, kernels: int, k: int, **options: Any) -> None:
        super().__init__(**options)
        empty = torch.full((kernels, k), -torch.inf)
        # Gathered as they are, to be joined together.
        self.add_state("values", empty, dist_reduce_fx=None)
        self.add_state("numbers", torch.full((kernels, k), _NONE), dist_reduce_fx=None)
        self.add_state("units", torch.full((kernels, k), -1), dist_reduce_fx=None)
        self.add_state("not_finite", torch.zeros(kernels, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("shown", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @override
    def update(self, responses: Tensor, units: Tensor, numbers: Tensor) -> None:
        """Take a batch.

        Args:
            responses: ``(B, K)``.
            units: ``(B, K)``, the number of each kernel's most active unit.
            numbers: ``(B,)``, of the images, from 0.
        """
        responses = responses.detach().T.to(self.values)
        finite = responses.isfinite()
        self.not_finite += (~finite).sum(1)
        self.shown += len(numbers)
        numbers = numbers.to(self.numbers).expand_as(responses)
        self.values, self.numbers, self.units = _joined(
            torch.cat([self.values, responses.masked_fill(~finite, -torch.inf)], dim=1),
            torch.cat([self.numbers, numbers.masked_fill(~finite, _NONE)], dim=1),
            torch.cat([self.units, units.T.to(self.units).masked_fill(~finite, -1)], dim=1),
            self.values.shape[-1],
        )

    @override
    def compute(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the fields of :class:`Highest`; every process must call this."""
        states = self.values, self.numbers, self.units
        if self.values.ndim == 3:  # From several processes: (processes, K, k).
            values, numbers, units = (one.movedim(0, 1).flatten(1) for one in states)
            states = _joined(values, numbers, units, self.values.shape[-1])
        values, numbers, units = states
        empty = numbers == _NONE
        return (
            values.masked_fill(empty, torch.nan),
            numbers.masked_fill(empty, -1),
            units,
            self.not_finite,
            self.shown,
        )

    def found(self) -> Highest:
        """Return the highest responses of all processes; every process must call this."""
        with warnings.catch_warnings():
            # One of several processes may have had no image.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            computed = self.compute()
        values, numbers, units, not_finite, shown = (one.cpu() for one in computed)
        # Torchmetrics makes scalars of single elements.
        k = self.values.shape[-1]
        values, numbers, units = (one.view(-1, k) for one in (values, numbers, units))
        return Highest(values, numbers, units, not_finite.view(-1), int(shown))

    @property
    def kept(self) -> Tensor:
        """Numbers of the images that are among the highest of any kernel, in this process."""
        kept: Tensor = self.numbers[self.numbers != _NONE].unique()
        return kept


def _joined(
    values: Tensor, numbers: Tensor, units: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The first ``k`` of each row, by value from above and then by number from below."""
    order = numbers.argsort(dim=1, stable=True)
    values, numbers, units = (one.gather(1, order) for one in (values, numbers, units))
    again = torch.zeros_like(numbers, dtype=torch.bool)
    again[:, 1:] = (numbers[:, 1:] == numbers[:, :-1]) & (numbers[:, 1:] != _NONE)
    values = values.masked_fill(again, -torch.inf)
    numbers, units = numbers.masked_fill(again, _NONE), units.masked_fill(again, -1)
    first = values.argsort(dim=1, descending=True, stable=True)[:, :k]
    return values.gather(1, first), numbers.gather(1, first), units.gather(1, first)
