"""Torchmetrics that reduce responses as they stream, and sum them across devices.

Memory grows with kernels and conditions; images are conditions only to rankings that compare them.
"""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import override

#: Precision of sums over thousands of responses; for devices without it sums are on the CPU.
_SUM_DTYPE = torch.float64


class ResponseMetric(Metric, ABC):
    """Base of the metrics of ``K`` kernels' responses: ``update(responses, shown)``.

    ``responses`` is ``(B, K)``; ``shown`` is ``(B,)``, the number of the condition or class that
    each of the stimuli belongs to.
    """

    is_differentiable = False
    full_state_update = False

    def _add(self, name: str, *shape: int) -> None:
        self.add_state(name, torch.zeros(shape, dtype=_SUM_DTYPE), dist_reduce_fx="sum")


class ConditionMeans(ResponseMetric):
    """The mean response of each kernel to each condition.

    Args:
        kernels: ``K``.
        conditions: Number of conditions.
        **options: Options of :class:`torchmetrics.Metric`.

    Example:
        >>> means = ConditionMeans(kernels=1, conditions=3)
        >>> means.update(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2]))
        >>> means.compute()
        tensor([[2., nan, 5.]], dtype=torch.float64)
    """

    total: Tensor
    count: Tensor

    def __init__(self, kernels: int, conditions: int, **options: Any) -> None:
        super().__init__(**options)
        self._add("total", kernels, conditions)
        self._add("count", conditions)

    @override
    def update(self, responses: Tensor, shown: Tensor) -> None:
        self.total.index_add_(1, shown, responses.T.to(self.total))
        # Not by bincount, which waits for a GPU.
        self.count.index_add_(0, shown, torch.ones_like(shown, dtype=self.count.dtype))

    @override
    def compute(self) -> Tensor:
        """``(K, conditions)``, NaN for what was never shown."""
        return self.total / self.count


class ConditionSums(ConditionMeans):
    """Number, sum and sum of squares of each kernel's responses to each condition.

    Args:
        kernels: ``K``.
        conditions: Number of conditions.
        **options: Options of :class:`torchmetrics.Metric`.

    Example:
        >>> sums = ConditionSums(kernels=1, conditions=2)
        >>> sums.update(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1]))
        >>> sums.compute().tolist()
        [[[2.0, 4.0, 10.0], [1.0, 5.0, 25.0]]]
    """

    total_squared: Tensor

    def __init__(self, kernels: int, conditions: int, **options: Any) -> None:
        super().__init__(kernels, conditions, **options)
        self._add("total_squared", kernels, conditions)

    @override
    def update(self, responses: Tensor, shown: Tensor) -> None:
        super().update(responses, shown)
        self.total_squared.index_add_(1, shown, responses.T.to(self.total).square())

    @override
    def compute(self) -> Tensor:
        """``(K, conditions, 3)``."""
        count = self.count.expand_as(self.total)
        return torch.stack([count, self.total, self.total_squared], dim=2)


class OwnMeans(ResponseMetric):
    """The mean response of each kernel to the conditions of one stimulus: its own.

    Each stimulus is shown in all conditions, condition by condition, and every kernel keeps its
    responses to one of the stimuli alone.

    Args:
        own: Number of each kernel's stimulus, ``(K,)``; -1 for a kernel without one.
        conditions: Number of conditions of each stimulus.
        **options: Options of :class:`torchmetrics.Metric`.

    Example:
        >>> means = OwnMeans(own=torch.tensor([0, 1]), conditions=2)
        >>> responses = torch.tensor([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])
        >>> means.update(responses, shown=torch.tensor([0, 1, 2]))
        >>> means.compute()
        tensor([[1., 2.],
                [7., nan]], dtype=torch.float64)
    """

    own: Tensor
    total: Tensor
    count: Tensor

    def __init__(self, own: Tensor, conditions: int, **options: Any) -> None:
        super().__init__(**options)
        self.register_buffer("own", own, persistent=False)
        self._add("total", len(own), conditions)
        self._add("count", len(own), conditions)

    @override
    def update(self, responses: Tensor, shown: Tensor) -> None:
        conditions = self.total.shape[1]
        is_own = (shown // conditions)[:, None] == self.own
        # What other kernels are shown may not be finite.
        kept = responses.to(self.total).masked_fill(~is_own, 0)
        self.total.index_add_(1, shown % conditions, kept.T)
        self.count.index_add_(1, shown % conditions, is_own.to(self.count).T)

    @override
    def compute(self) -> Tensor:
        """``(K, conditions)``, NaN for what was never shown."""
        return self.total / self.count


class ResponseRange(ResponseMetric):
    """The mean, lowest and highest response of each kernel.

    Args:
        kernels: ``K``.
        **options: Options of :class:`torchmetrics.Metric`.

    Example:
        >>> span = ResponseRange(kernels=1)
        >>> span.update(torch.tensor([[1.0], [6.0], [-1.0]]))
        >>> span.compute()
        tensor([[ 2., -1.,  6.]], dtype=torch.float64)
    """

    total: Tensor
    count: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, kernels: int, **options: Any) -> None:
        super().__init__(**options)
        self._add("total", kernels)
        self._add("count")
        for name, limit, reduction in (
            ("lowest", torch.inf, "min"),
            ("highest", -torch.inf, "max"),
        ):
            start = torch.full((kernels,), limit, dtype=_SUM_DTYPE)
            self.add_state(name, start, dist_reduce_fx=reduction)

    @override
    def update(self, responses: Tensor, shown: Tensor | None = None) -> None:
        responses = responses.to(self.total)
        self.total += responses.sum(0)
        self.count += len(responses)
        self.lowest = torch.minimum(self.lowest, responses.amin(0))
        self.highest = torch.maximum(self.highest, responses.amax(0))

    @override
    def compute(self) -> Tensor:
        """Mean, lowest and highest, ``(K, 3)``."""
        return torch.stack([self.total / self.count, self.lowest, self.highest], dim=1)
