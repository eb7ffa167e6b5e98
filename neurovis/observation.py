"""Data observed at one step: pictures, scalars and histograms by tag, with descriptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurovis.arithmetic import has_float64

PixelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Histogram:
    """Distribution of values: exact counts in equal bins.

    Attributes:
        edges: ``(bins + 1,)``, increasing.
        counts: ``(bins,)``.
        total: Sum of the values.
        total_squared: Sum of their squares.
    """

    edges: list[float]
    counts: list[int]
    total: float
    total_squared: float

    @classmethod
    def of(cls, values: Tensor, bins: int = 64) -> Histogram:
        """Count values of any shape; those that are not finite are left out.

        Example:
            >>> Histogram.of(torch.tensor([0.0, 0.0, 1.0, 4.0]), bins=2).counts
            [3, 1]
        """
        values = values.detach().flatten()
        if not has_float64(values.device) or torch.are_deterministic_algorithms_enabled():
            # Deterministic algorithms do not count on a GPU.
            values = values.cpu()
        values = values.double()
        finite = values.isfinite()
        if not finite.all():
            values = values[finite]
        if not len(values):
            return cls([0.0, 1.0], [0], 0.0, 0.0)
        low, high = (limit.item() for limit in values.aminmax())
        if low == high:
            margin = max(0.5, abs(low) * 1e-6)
            low, high = low - margin, high + margin
        counts = torch.histc(values, bins, low, high)
        return cls(
            edges=np.linspace(low, high, bins + 1).tolist(),
            counts=[int(count) for count in counts.tolist()],
            total=values.sum().item(),
            total_squared=values.square().sum().item(),
        )


@dataclass
class Observation:
    """Data that a monitor observed at one step, by tag; TensorBoard shows one kind under a tag.

    Attributes:
        pictures: ``(H, W, 3)`` uint8.
        scalars: Numbers.
        histograms: Distributions.
        descriptions: Content, reading and unit of the data, in Markdown, for TensorBoard.
        charts: Tags of scalars that belong together, by the title of their chart, by its category;
            a ``*`` in a tag is any text. For TensorBoard's Custom Scalars.
    """

    pictures: dict[str, PixelArray] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    charts: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def tags(self) -> set[str]:
        """Tags of all data."""
        return {*self.pictures, *self.scalars, *self.histograms}

    def add(self, other: Observation) -> None:
        """Add the data of another observation, which has other tags."""
        self.pictures |= other.pictures
        self.scalars |= other.scalars
        self.histograms |= other.histograms
        self.descriptions |= other.descriptions
        for category, titled in other.charts.items():
            self.charts.setdefault(category, {}).update(titled)

    def describe(self, tag: str, words: Mapping[str, str]) -> None:
        """Add descriptions by the ends of tags with one beginning, if there is data under them.

        Example:
            >>> observation = Observation(scalars={"maps/conv1/mean": 0.5})
            >>> observation.describe("maps/conv1", {"/mean": "Over all units.", "/dead": "Of all."})
            >>> observation.descriptions
            {'maps/conv1/mean': 'Over all units.'}
        """
        tags = self.tags
        self.descriptions |= {
            f"{tag}{end}": text for end, text in words.items() if f"{tag}{end}" in tags
        }

    def add_to_chart(self, category: str, title: str, *tags: str) -> None:
        """Put scalars into a chart, if there is any of them; a ``*`` in a tag is any text."""
        if any(fnmatchcase(scalar, tag) for tag in tags for scalar in self.scalars):
            self.charts.setdefault(category, {})[title] = list(tags)

    @property
    def explained_keys(self) -> set[tuple[str, ...]]:
        """Keys of everything to explain: tags, and charts by category and title."""
        charts = {(category, title) for category, titled in self.charts.items() for title in titled}
        return {(tag,) for tag in self.tags} | charts

    def without_explanations_of(self, known: Collection[tuple[str, ...]]) -> Observation:
        """Return the same data with only those descriptions and charts whose keys are not known."""
        charts = {
            category: {
                title: tags for title, tags in titled.items() if (category, title) not in known
            }
            for category, titled in self.charts.items()
        }
        fresh = {tag: text for tag, text in self.descriptions.items() if (tag,) not in known}
        return replace(self, descriptions=fresh, charts=charts)

    def named(self, name: str | None) -> Observation:
        """Return the same data under tags whose first part ends in ``_<name>``; itself without one.

        Example:
            >>> list(Observation(scalars={"saliency/gradient/output": 1.0}).named("cat").scalars)
            ['saliency_cat/gradient/output']
        """
        if name is None:
            return self

        def renamed(tag: str) -> str:
            first, slash, rest = tag.partition("/")
            return f"{first}_{name}{slash}{rest}"

        return Observation(
            pictures={renamed(tag): picture for tag, picture in self.pictures.items()},
            scalars={renamed(tag): scalar for tag, scalar in self.scalars.items()},
            histograms={renamed(tag): one for tag, one in self.histograms.items()},
            descriptions={renamed(tag): text for tag, text in self.descriptions.items()},
            charts={
                renamed(category): {
                    title: [renamed(tag) for tag in tags] for title, tags in titled.items()
                }
                for category, titled in self.charts.items()
            },
        )
