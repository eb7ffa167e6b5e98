"""A layer's kernels in the order of what they are selective for, with the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

from torch import Tensor

from neurovis.class_names import class_label
from neurovis.result import Result, first_of
from neurovis.tuning.arrays import save_arrays
from neurovis.tuning.drawing import draw_histogram, draw_orientation_map, draw_ranking, draw_sheet
from neurovis.tuning.ranking_data import RankingData
from neurovis.tuning.reference_scores import ReferenceScores
from neurovis.tuning.tables import ranking_rows, save_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class KernelRanking(Result, RankingData):
    """The ``K`` kernels of a layer, scored by one measure, as tables, arrays and figures.

    Its numbers are the attributes of :class:`~neurovis.tuning.ranking_data.RankingData`, tensors
    on the CPU.
    """

    def rows(self) -> Iterator[dict[str, object]]:
        """A row of the table for each kernel, in the order of their ranks; NaN is undefined."""
        return ranking_rows(self)

    def _summary(self) -> str:
        kernels = f"{len(self)} kernels of {self.layer} by {self.by}"
        if self.reason is not None:
            return f"{kernels}: not applicable: {self.reason}"
        return (
            f"{kernels}, {self._highest(3)}; "
            f"{int(self.above_null().sum())} above 95 % of random kernels, "
            f"{int(self.dead.sum())} dead, reliability of ranks {self.rank_reliability:.2g}"
        )

    def _highest(self, count: int) -> str:
        texts = [
            f"{class_label(self.class_names, kernel)} {self.score[kernel]:.3g}"
            for kernel in self.first(count + 1)
        ]
        return f"highest {self.score_name}: {first_of(texts, count) or 'undefined'}"

    def _pictures(self) -> Iterator[Figure]:
        if self.reason is None:
            yield self.figure()

    def to_csv(self, path: str | Path) -> None:
        """Write the table; empty cells are undefined."""
        save_table(path, list(self.rows()))

    def to_npz(self, path: str | Path) -> None:
        """Write the numbers as arrays, in a compressed ``.npz`` file.

        Undefined is NaN. By name, with the units of the arrays that have one:

        - ``layer``, ``by``, ``score_name``, ``notes`` (n,): words.
        - ``score``, ``null_percentile`` in percent, ``reliability``, each (K,); ``ranks`` (K,) from
          1; ``dead`` (K,), true or false.
        - ``null_score`` (N,), of the random kernels; ``rank_reliability``, a number.
        - The ranking's own columns, each (K,): ``preferred_orientation`` in degrees,
          ``preferred_spatial_frequency`` in cycles per pixel, ``preferred_class`` in words, ….
        - ``curve`` (K, n), the responses that were scored, in the layer's own unit, and
          ``curve_over`` (n,), what they are to: classes, or diameters.

        And where responses to gratings were ranked, in the layer's own unit:

        - ``tuning`` (K, M, O, F), without phase and never negative: modulations x orientations x
          spatial frequencies.
        - ``modulations`` (M,), names of the channels that gratings modulate; ``orientations`` (O,)
          in degrees; ``spatial_frequencies`` (F,) in cycles per pixel.
        - ``blank`` (K,), the responses to mid gray; ``is_rectified``, whether they are cut off
          at 0.

        Args:
            path: Path of the file, which is written whole or not at all.

        Raises:
            ValueError: If the ranking does not apply to the layer.
            OSError: If the file cannot be written.
        """
        self.check_applies()
        save_arrays(path, self)

    def figure(
        self, count: int = 24, pictures: Tensor | None = None, step: int | None = None
    ) -> Figure:
        """The first kernels of the order: weights or pictures, tuning curve, score, evidence.

        Args:
            count: Maximum number of kernels.
            pictures: ``(K, C, H, W)`` in [0, 1] to be drawn in place of the weights; NaN for
                kernels without one.
            step: Step of a training run, for the title.
        """
        return draw_ranking(self, count, pictures, step)

    def histogram(self, step: int | None = None) -> Figure:
        """All scores with those of the random kernels over them.

        Args:
            step: Step of a training run, for the title.
        """
        return draw_histogram(self, step)

    def orientation_map(self, step: int | None = None) -> Figure:
        """All kernels in their own order: preferred orientation as hue, score as brightness.

        Args:
            step: Step of a training run, for the title.

        Raises:
            ValueError: If the ranking gives no preferred orientations.
        """
        return draw_orientation_map(self, step)

    def sheet(self, kernel: int, picture: Tensor | None = None) -> Figure:
        """One kernel's tuning: curve, polar plot, spatial frequency, and both together.

        Args:
            kernel: 0-based.
            picture: ``(C, H, W)`` in [0, 1] to be drawn in place of the weights.

        Raises:
            ValueError: If there are no responses to gratings, or there is no such kernel.
        """
        return draw_sheet(self, kernel, picture)


@dataclass(frozen=True, repr=False)
class Rankings(Result, Sequence[KernelRanking]):
    """The rankings of several layers by several measures, layer by layer.

    ``rankings["features.0"]``, or ``rankings["features.0", "phase"]`` where there are several of a
    layer; a single ranking's methods can be called on the whole: ``rankings.top(16)``.

    Args:
        items: The rankings, in their order.
        reference_scores: Likeness of the layers to neurons, where these were asked for.
    """

    items: list[KernelRanking] = field(default_factory=list)
    reference_scores: ReferenceScores | None = None

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, key: int | str | tuple[str, str]) -> KernelRanking: ...

    @overload
    def __getitem__(self, key: slice) -> list[KernelRanking]: ...

    def __getitem__(
        self, key: int | slice | str | tuple[str, str]
    ) -> KernelRanking | list[KernelRanking]:
        if isinstance(key, (int, slice)):
            return self.items[key]
        wanted = key if isinstance(key, tuple) else (key,)
        found = [item for item in self.items if (item.layer, item.by)[: len(wanted)] == wanted]
        if len(found) == 1:
            return found[0]
        known = ", ".join(f'("{item.layer}", "{item.by}")' for item in (found or self.items))
        several = "several rankings of" if found else "no ranking of"
        raise KeyError(f"there are {several} {key!r}: {known}")

    @property
    def only(self) -> KernelRanking:
        """The ranking, if it is the only one.

        Raises:
            ValueError: If there are more.
        """
        if len(self.items) != 1:
            raise ValueError(
                f"there are {len(self.items)} rankings; say which, as in "
                f'rankings["{self.items[0].layer}", "{self.items[0].by}"]'
                if self.items
                else "there is no ranking"
            )
        return self.items[0]

    def top(self, count: int) -> list[int]:
        """As :meth:`KernelRanking.top`, of the only ranking."""
        return self.only.top(count)

    def figure(self, count: int = 24, pictures: Tensor | None = None) -> Figure:
        """As :meth:`KernelRanking.figure`, of the only ranking.

        Args:
            count: Maximum number of kernels.
            pictures: ``(K, C, H, W)`` in [0, 1] in place of the weights.

        Raises:
            ValueError: If there are several rankings.
        """
        return self.only.figure(count, pictures)

    def histogram(self) -> Figure:
        """As :meth:`KernelRanking.histogram`, of the only ranking."""
        return self.only.histogram()

    def sheet(self, kernel: int) -> Figure:
        """As :meth:`KernelRanking.sheet`, of the only ranking."""
        return self.only.sheet(kernel)

    def to_csv(self, path: str | Path) -> None:
        """Write the table of all rankings, one row for each kernel of each; empty is undefined.

        The columns ``layer, kernel, by, score, rank, null_percentile, reliability, dead`` come
        first, ``note`` last, and the rankings' own columns between them.
        """
        save_table(path, list(self.rows()))

    def rows(self) -> Iterator[dict[str, object]]:
        """The rows of all rankings."""
        return (row for item in self.items for row in item.rows())

    def _summary(self) -> str:
        lines = [f"{item.layer} by {item.by}, {item._highest(1)}" for item in self.items[:4]]
        return "\n".join([str(len(self)), *lines, *["…"][: len(self) > len(lines)]])

    def _pictures(self) -> Iterator[Figure]:
        return (figure for item in self.items for figure in item._pictures())
