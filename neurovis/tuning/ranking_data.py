"""Numbers of a ranking: scores of a layer's kernels, with the evidence for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.rankings.base import AnyRanking, Column


@dataclass(frozen=True)
class RankingData:
    """The ``K`` kernels of a layer, scored by one measure; tensors are on the CPU.

    Attributes:
        layer: Dotted name.
        measure: The ranking that scored them.
        score: ``(K,)``, by kernel; NaN where undefined.
        dead: ``(K,)``, which kernels responded to nothing.
        null_score: ``(N,)``, what random kernels of the same shape on the same input score.
        null_percentile: ``(K,)``, percent of them that score less.
        reliability: ``(K,)``, how well two halves of the stimuli agree on each kernel's tuning
            curve: Spearman's correlation, stepped up to all stimuli by Spearman and Brown's
            formula. For a score without a curve, ``rank_reliability``.
        rank_reliability: How well the halves agree on the order of the kernels, stepped up too.
        values: Further columns by name, such as the preferred orientation in degrees.
        null_values: The same columns of the random kernels.
        notes: Notes on the responses.
        spec: What the network was shown.
        reason: Why the ranking does not apply to the layer; None if it does. All numbers are NaN
            then.
        grating_responses: Responses to gratings, where they are what was ranked.
        weights: ``(K, C, kh, kw)`` of a layer over the image, to be drawn.
        curve: ``(K, n)``, the responses that were scored, if there are such.
        curve_over: What they are to, such as classes in words, or diameters; empty for all
            gratings.
        class_names: Names of the kernels, where they are classes.
    """

    layer: str
    measure: AnyRanking
    score: Tensor
    dead: Tensor
    null_score: Tensor
    null_percentile: Tensor
    reliability: Tensor
    rank_reliability: float
    values: Mapping[str, Column]
    notes: tuple[str, ...]
    spec: InputSpec
    reason: str | None = None
    grating_responses: GratingResponses | None = None
    weights: Tensor | None = None
    curve: Tensor | None = None
    curve_over: Column = ()
    class_names: Sequence[str] = ()
    null_values: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.score)

    @property
    def by(self) -> str:
        """Name of the ranking, such as ``"orientation"``."""
        return self.measure.name

    @property
    def score_name(self) -> str:
        """Name of the score, such as ``"gOSI"``."""
        return self.measure.score_name

    @property
    def tag(self) -> str:
        """Tag of its figures in logs, and the name of its files."""
        return f"kernel_ranking/{self.by}/{self.layer}"

    @property
    def order(self) -> list[int]:
        """The kernels, highest score first; those without one last, each in their own order."""
        ascending: list[int] = (-self.score).nan_to_num(nan=torch.inf).sort(stable=True)[1].tolist()
        return ascending

    @property
    def ranks(self) -> Tensor:
        """``(K,)``, each kernel's place in :attr:`order`, from 1."""
        ranks = torch.empty(len(self), dtype=torch.long)
        ranks[self.order] = torch.arange(1, len(self) + 1)
        return ranks

    def top(self, count: int) -> list[int]:
        """The first kernels of the order, best first; exactly this many.

        Raises:
            ValueError: If that many kernels have no score, or the ranking does not apply.
        """
        self.check_applies()
        scored = int(self.score.isfinite().sum())
        if not 1 <= count <= scored:
            raise ValueError(
                f'top({count}): layer "{self.layer}" has {scored} of {len(self)} kernels with a '
                f"{self.score_name}"
            )
        return self.order[:count]

    def first(self, count: int) -> list[int]:
        """The first kernels of the order, best first, at most as many as have a score."""
        scored = int(self.score.isfinite().sum())
        return self.order[: min(count, scored)]

    def check_applies(self) -> None:
        """Raise ValueError if the ranking does not apply to the layer."""
        if self.reason is not None:
            raise ValueError(f'layer "{self.layer}" cannot be ranked: {self.reason}')

    def above_null(self, percentile: float = 95.0) -> Tensor:
        """``(K,)``, which kernels score above this percentile of the random ones."""
        return self.null_percentile >= percentile

    def below_null(self, percentile: float = 5.0) -> Tensor:
        """``(K,)``, which kernels score below this percentile of the random ones.

        Those of ``100 - percentile`` percent are higher; an equal score is not.
        """
        known = self.null_score[~self.null_score.isnan()]
        higher = (known > self.score[:, None]).double().mean(1)
        return 100 * higher >= 100 - percentile
