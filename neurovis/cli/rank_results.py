"""What ``neurovis rank`` writes and prints."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track
from rich.table import Table
from rich.text import Text
from torch import Tensor

from neurovis.cli.preferences import first_kernels
from neurovis.cli.report import console
from neurovis.figures import render, save_png
from neurovis.files import whole_file
from neurovis.summaries import Picture, log_observation, log_picture, picture_path
from neurovis.tuning.observation import ranking_observation
from neurovis.tuning.results import KernelRanking, Rankings

#: Kernels named in the printed table.
_NAMED = 5
_NULL_PERCENTILE = 0.95
#: Of a tag ``kernel_ranking/<by>/<layer>/<what>``; dots, not slashes, are in layers' names.
_PARTS = 4


@dataclass(frozen=True)
class Preferred:
    """Preferred images of a ranking's first kernels.

    Attributes:
        by_kernel: ``(K, C, H, W)`` in [0, 1], by kernel.
        count: Of how many of the first kernels there is one.
    """

    by_kernel: Tensor
    count: int


class RankingFiles:
    """The table and the figures of rankings, in a folder and in the Trainer's loggers.

    Args:
        folder: For the files.
        loggers: Of the Trainer.
        top: Kernels in a figure, at most.
        sheets: First kernels of a ranking by gratings that get a figure of their own.
    """

    def __init__(self, folder: Path, loggers: Sequence[object], top: int, sheets: int) -> None:
        self.folder = folder
        self._loggers = loggers
        self._top = top
        self._sheets = sheets

    def save(
        self, rankings: Rankings, pictures: Mapping[tuple[str, str], Preferred] | None = None
    ) -> None:
        """Write the figures, and log them with the scores.

        Args:
            rankings: What was found.
            pictures: By layer and ranking, preferred images to be drawn in place of the weights.
        """
        applicable = [ranking for ranking in rankings if ranking.reason is None]
        for ranking in track(
            applicable, "figures", transient=True, disable=not sys.stdout.isatty()
        ):
            of_first = (pictures or {}).get((ranking.layer, ranking.by))
            if of_first is None:
                self._save_figures(ranking, None, self._top)
            else:
                self._save_figures(ranking, of_first.by_kernel, min(of_first.count, self._top))
            self._save_sheets(ranking)

    def save_picture(self, tag: str, picture: Picture, place: int = 0) -> None:
        """Write a picture beside its ranking, and log it.

        Args:
            tag: ``kernel_ranking/<by>/<layer>``, and perhaps what it is of the ranking.
            picture: ``(H, W, 3)``.
            place: Among several pictures of a tag; their step in the logs.
        """
        save_png(self._path(tag), picture)
        log_picture(self._loggers, tag, picture, place, None)

    def save_table(
        self, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, object]]
    ) -> None:
        """Write a table; what is not a number is left empty."""
        with (
            whole_file(self.folder / name) as partial,
            open(partial, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {column: _cell(value) for column, value in row.items()} for row in rows
            )

    def _save_figures(self, ranking: KernelRanking, pictures: Tensor | None, count: int) -> None:
        seen = ranking_observation(ranking, pictures=pictures, count=count)
        for tag, picture in seen.pictures.items():
            save_png(self._path(tag), picture)
        log_observation(self._loggers, seen, 0, None)

    def _save_sheets(self, ranking: KernelRanking) -> None:
        if ranking.seen is None:
            return
        tag = f"kernel_ranking/{ranking.by}/{ranking.layer}"
        for place, kernel in enumerate(first_kernels(ranking, self._sheets)):
            picture = render(ranking.sheet(kernel))
            save_png(self._path(f"{tag}/kernel_{kernel:04d}"), picture)
            # A rank is no part of a tag.
            log_picture(self._loggers, f"{tag}/sheets", picture, place, None)

    def _path(self, tag: str) -> Path:
        """The file of a picture; what is of a ranking stands beside it."""
        parts = tag.split("/")
        name = "" if len(parts) < _PARTS or _is_sheet(parts[-1]) else f"_{parts.pop()}"
        path = picture_path("/".join(parts), 0).parent
        return self.folder / path.with_name(f"{path.name}{name}.png")


def _is_sheet(part: str) -> bool:
    return part.startswith("kernel_")


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return "" if value is None else value


def print_rankings(rankings: Rankings) -> None:
    """Print a line for each ranking, and what there is to know of them."""
    table = Table(title="Kernels, ranked")
    for heading in ("layer", "ranking", "score"):
        table.add_column(heading, overflow="fold")
    for heading in ("kernels", "median", "null's 95 %", "above it", "dead", "reliability"):
        table.add_column(heading, justify="right")
    table.add_column("first kernels", overflow="fold")
    for ranking in rankings:
        table.add_row(*_cells(ranking))
    output = console()
    output.print(table)
    for note in _notes(rankings):
        output.print(Text(f"note: {note}"), soft_wrap=True)


def _cells(ranking: KernelRanking) -> Iterable[str]:
    count = str(len(ranking))
    if ranking.reason is not None:
        return ranking.layer, ranking.by, "not applicable", count
    known, null = (scores[scores.isfinite()] for scores in (ranking.score, ranking.null_score))
    return (
        ranking.layer,
        ranking.by,
        ranking.score_name,
        count,
        number(known.quantile(0.5).item() if len(known) else None),
        number(null.quantile(_NULL_PERCENTILE).item() if len(null) else None),
        f"{100 * ranking.above_null().double().mean().item():.0f} %" if len(null) else "-",
        str(int(ranking.dead.sum())),
        number(ranking.rank_reliability),
        ", ".join(map(str, first_kernels(ranking, _NAMED))),
    )


def number(value: float | None, form: str = "{:.3g}") -> str:
    """A number as tables show it, or a dash for one that is not defined."""
    return "-" if value is None or value != value else form.format(value)


def _notes(rankings: Rankings) -> list[str]:
    """Each note once, with the layers that it is of."""
    layers: dict[str, dict[str, None]] = {}
    for ranking in rankings:
        notes = ranking.notes if ranking.reason is None else (f"not applicable: {ranking.reason}",)
        for note in notes:
            layers.setdefault(note, {})[ranking.layer] = None
    every = {ranking.layer for ranking in rankings}
    return [note if set(of) == every else f"{', '.join(of)}: {note}" for note, of in layers.items()]
