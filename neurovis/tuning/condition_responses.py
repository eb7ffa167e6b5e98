"""Responses of kernels to a set of stimuli, as a table over the set's parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neurovis.tuning.grating_responses import are_dead


@dataclass(frozen=True)
class ConditionResponses:
    """Responses of ``K`` kernels to a set of stimuli.

    Attributes:
        table: ``(K, *shape)``, over the set's parameters in their order.
        blank: ``(K,)``, the responses to mid gray.
        first: ``(n,)``, which values of the first parameter there are; all of the set's, or those
            of a half.
    """

    table: Tensor
    blank: Tensor
    first: Tensor

    @property
    def dead(self) -> Tensor:
        """True for kernels with the same response to all stimuli, the blank included, ``(K,)``."""
        return are_dead(torch.cat([self.table.flatten(1), self.blank[:, None]], dim=1))

    def kernels(self, rows: slice) -> ConditionResponses:
        """Return the responses of some of the kernels."""
        return replace(self, table=self.table[rows], blank=self.blank[rows])

    def half(self, number: int) -> ConditionResponses | None:
        """Return every second value of the first parameter; None if there are fewer than 4."""
        if self.table.shape[1] < 4:
            return None
        return replace(self, table=self.table[:, number::2], first=self.first[number::2])
