"""Scores of layers against distributions of neurons: is a layer like V1, in what, and how sure?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from neurovis.result import Result, first_of
from neurovis.tables import write_table
from neurovis.tuning.ranking_data import RankingData
from neurovis.tuning.reference import IN_DEGREES, Numbers, Reference, checked_reference
from neurovis.tuning.reference_similarity import (
    MEAN,
    ReferenceScore,
    expected_similarity,
    mean_score,
    property_score,
    similarity,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: With fewer kernels there is no distribution.
_FEWEST_KERNELS = 3


@dataclass(frozen=True, repr=False)
class ReferenceScores(Result):
    """Scores of layers against a reference, property by property, and their means.

    Attributes:
        reference: The neurons.
        items: Layer by layer; the mean of a layer follows its parts.
        mean_over: Properties of the means, which only layers with all of them have.
        notes: What was not compared, and why.
    """

    reference: Reference
    items: Sequence[ReferenceScore]
    mean_over: Sequence[str]
    notes: Sequence[str]

    @property
    def layers(self) -> list[str]:
        """The layers that have a score, the highest mean first."""
        means = {item.layer: item.score for item in self.items if item.name == MEAN}
        layers = dict.fromkeys(item.layer for item in self.items)
        return sorted(layers, key=lambda layer: -means.get(layer, 0.0))

    @property
    def properties(self) -> list[str]:
        """The properties that were compared."""
        return list(dict.fromkeys(item.name for item in self.items if item.name != MEAN))

    def __getitem__(self, key: tuple[str, str]) -> ReferenceScore:
        """Return the score of ``(layer, property)``, where the property may be ``"mean"``.

        Raises:
            KeyError: If there is none.
        """
        known = {(item.layer, item.name): item for item in self.items}
        if key not in known:
            raise KeyError(f"there is no score of {key!r}; there are {[*known]}")
        return known[key]

    def rows(self) -> Iterator[dict[str, object]]:
        """A row for each layer and property, the layer's mean last; NaN is undefined."""
        for item in self.items:
            row: dict[str, object] = {
                "layer": item.layer,
                "property": item.name,
                "score": item.score,
                "low": item.interval[0],
                "high": item.interval[1],
                "null_score": item.null_score,
                "null_percentile": item.null_percentile,
            }
            if item.name != MEAN:
                cells = self.reference.distributions[item.name]
                row["similarity"] = float(similarity(item.kernel_counts, cells.counts))
                row["ceiling"] = expected_similarity(cells.counts, cells.counts)
                row["kernels"], row["cells"] = (
                    int(item.kernel_counts.sum()),
                    int(cells.counts.sum()),
                )
                row["source"] = cells.source
            yield row

    def to_csv(self, path: str | Path) -> None:
        """Write the table; empty cells are undefined.

        Raises:
            OSError: If the file cannot be written.
        """
        write_table(path, self.rows(), digits=6)

    def figure(self, step: int | None = None) -> Figure:
        """All scores as colors, properties by layers, each over the level of random kernels.

        Args:
            step: Step of a training run, for the title.

        Raises:
            ValueError: If nothing was compared.
        """
        from neurovis.figures import ScoreCell, reference_score_figure

        # The mean last, also of properties that the first layer does not have.
        cells = {
            (item.name, item.layer): ScoreCell(
                item.score, *item.interval, item.null_score, item.exceeds_null
            )
            for item in sorted(self.items, key=lambda item: item.name == MEAN)
        }
        at = "" if step is None else f", step {step}"
        return reference_score_figure(cells, f"Likeness to {self.reference.name}{at}")

    def histogram(self, name: str) -> Figure:
        """Each layer's kernels, counted by one property, before the cells of the reference.

        Args:
            name: The property.

        Raises:
            ValueError: If it was not compared.
        """
        from neurovis.figures import CountedKernels, distribution_figure

        if name not in self.properties:
            raise ValueError(
                f"{name} was not compared; there are {', '.join(self.properties) or 'none'}"
            )
        cells = self.reference.distributions[name]
        layers = [
            CountedKernels(
                f"{item.layer}: {item.score:.2f}, n = {item.kernel_counts.sum()}",
                item.kernel_counts,
                item.null_counts,
            )
            for item in self.items
            if item.name == name
        ]
        return distribution_figure(
            cells.edges,
            cells.counts,
            layers,
            f"{name.replace('_', ' ')}{_unit(name)}: kernels before {self.reference.name}",
            f"{self.reference.name}, n = {cells.counts.sum()}",
            [cells.source] if cells.source else [],
        )

    def _summary(self) -> str:
        means = [f"{item.layer} {item.score:.2f}" for item in self.items if item.name == MEAN]
        return (
            f"likeness to {self.reference.name} in {', '.join(self.properties) or 'nothing'}: "
            f"{first_of(means) or 'no mean'}"
        )

    def _pictures(self) -> Iterator[Figure]:
        if self.items:
            yield self.figure()


def score_against_reference(
    rankings: Sequence[RankingData],
    reference: Reference | str | Path,
    *,
    pixels_per_degree: float | None = None,
    mean_over: Sequence[str] | None = None,
) -> ReferenceScores:
    """Score how like neurons the kernels of ranked layers are, in all that both have.

    Args:
        rankings: Rankings of layers, with the properties that they give.
        reference: The neurons, as for :func:`~neurovis.tuning.load_reference`.
        pixels_per_degree: Pixels of the network's input in a degree of visual angle, for
            properties in degrees; these are left out without it.
        mean_over: Properties of the mean; by default those that all layers have. Give those of
            other scores, as their ``mean_over`` has them, for means to be compared with.

    Returns:
        A score for each layer and property, and the mean of each layer.

    Raises:
        ValueError: If there is no such reference or property of it, or ``pixels_per_degree`` is not
            positive.
    """
    cells = checked_reference(reference, pixels_per_degree)
    unknown = [name for name in mean_over or [] if name not in cells.distributions]
    if unknown:
        raise ValueError(
            f"mean_over has {', '.join(unknown)}, which {cells.name} does not have; "
            f"there are {', '.join(cells.distributions)}"
        )
    in_degrees = [name for name in cells.distributions if name in IN_DEGREES]
    if pixels_per_degree is not None:
        in_degrees = []
    found: dict[str, dict[str, ReferenceScore]] = {}
    within: dict[str, bool] = {}
    for ranking in rankings:
        parts = found.setdefault(ranking.layer, {})
        for name, distribution in cells.distributions.items():
            values = _values(ranking, name, pixels_per_degree)
            if values is not None and name not in {*parts, *in_degrees}:
                parts[name] = property_score(ranking.layer, *values, distribution)
                within[name] = within.get(name, False) or distribution.has_any(values[0])
    found = {layer: parts for layer, parts in found.items() if parts}
    given = {name for ranking in rankings for name in (*ranking.values, ranking.score_name)}
    compared = list(dict.fromkeys(name for parts in found.values() for name in parts))
    if mean_over is None:
        mean_over = [name for name in compared if all(name in parts for parts in found.values())]
    items: list[ReferenceScore] = []
    for parts in found.values():
        items += parts.values()
        if mean_over and all(name in parts for name in mean_over):
            items.append(mean_score([parts[name] for name in mean_over]))
    missing = [name for name in cells.distributions if name not in {*compared, *in_degrees}]
    notes = [
        f"{cells.name}: {', '.join(names)}: {reason}"
        for names, reason in (
            (in_degrees, "in degrees of visual angle; give pixels_per_degree"),
            ([name for name in missing if name not in given], "given by no ranking here"),
            ([name for name in missing if name in given], "fewer than 3 kernels have a value"),
        )
        if names
    ]
    beyond = [name for name, any_is in within.items() if not any_is]
    if beyond:
        notes.append(
            f"{cells.name}: {', '.join(beyond)}: all kernels are beyond its bins; are the units "
            "the same?"
        )
    if not compared:
        numbers = {
            name
            for ranking in rankings
            for name, column in ranking.values.items()
            if isinstance(column, Tensor)
        } | {ranking.score_name for ranking in rankings}
        notes.append(
            f"{cells.name}: nothing was compared; these rankings give {', '.join(sorted(numbers))}"
        )
    if len(mean_over) < len(compared):
        notes.append(f"{cells.name}: the mean is over {', '.join(mean_over) or 'nothing'}")
    return ReferenceScores(cells, items, mean_over, notes)


def _unit(name: str) -> str:
    if name not in IN_DEGREES:
        return ""
    return " in cycles per degree" if IN_DEGREES[name] > 0 else " in degrees of visual angle"


def _values(
    ranking: RankingData, name: str, pixels_per_degree: float | None
) -> tuple[Numbers, Numbers] | None:
    """Values ``(K,)`` of a property, and of the random kernels; None if too few have it."""
    own, null = ranking.values.get(name), ranking.null_values.get(name)
    if name == ranking.score_name:
        own, null = ranking.score, ranking.null_score
    if not isinstance(own, Tensor):
        return None
    values = own.double().masked_fill(ranking.dead, float("nan")).numpy()
    if np.isfinite(values).sum() < _FEWEST_KERNELS:
        return None
    of_null = null.double().numpy() if isinstance(null, Tensor) else np.empty(0)
    scale = (pixels_per_degree or 1.0) ** IN_DEGREES.get(name, 0)
    return values * scale, of_null * scale
