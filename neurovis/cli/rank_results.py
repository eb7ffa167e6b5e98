"""Files and printed tables of ``neurovis rank``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text
from torch import Tensor

from neurovis.cli.counting import counted
from neurovis.cli.preferences import first_kernels
from neurovis.cli.printing import console
from neurovis.cli.words import RANKED
from neurovis.figures import render, save_png
from neurovis.summaries import PixelArray, log_observation, log_picture, picture_path
from neurovis.tables import write_table
from neurovis.tuning.observation import ranking_observation
from neurovis.tuning.results import KernelRanking, Rankings

#: Kernels named in the printed table.
_NAMED = 5
_NULL_PERCENTILE = 0.95
_RIGHT: dict[str, Any] = {"justify": "right", "no_wrap": True}
#: Columns of the printed table; layers and first kernels may take several lines.
_HEADINGS: dict[str, dict[str, Any]] = {
    "layer": {"overflow": "fold"},
    "ranking": {"no_wrap": True},
    "score": {"overflow": "fold"},
    "kernels": _RIGHT,
    "median": _RIGHT,
    "null's 95 %": _RIGHT,
    "above null": _RIGHT,
    "dead": _RIGHT,
    "reliability": _RIGHT,
    "first kernels": {"overflow": "fold"},
}
#: Those that are shown where there is room, the ones that say most first.
_IF_ROOM = ("reliability", "null's 95 %", "score", "kernels")
_UNLIMITED = 10_000
#: Parts of a tag ``kernel_ranking/<by>/<layer>/<what>``; dots, not slashes, are in layers' names.
_PARTS = 4


class RankingFiles:
    """The arrays and the figures of rankings, in a folder and in the Trainer's loggers.

    Args:
        folder: For the files.
        loggers: The Trainer's loggers.
        top: Kernels in a figure, at most.
        sheets: First kernels of a ranking by gratings that get a figure of their own.
    """

    def __init__(self, folder: Path, loggers: Sequence[object], top: int, sheets: int) -> None:
        self.folder = folder
        self._loggers = loggers
        self._top = top
        self._sheets = sheets

    def save(
        self, rankings: Rankings, pictures: Mapping[tuple[str, str], Tensor] | None = None
    ) -> None:
        """Write the figures, and log them with the scores.

        Args:
            rankings: What was found.
            pictures: By layer and ranking, preferred images ``(K, C, H, W)`` in [0, 1], NaN for
                kernels without one.
        """
        applicable = [ranking for ranking in rankings if ranking.reason is None]
        with counted("rankings drawn", len(applicable)) as count:
            for ranking in applicable:
                of_first = (pictures or {}).get((ranking.layer, ranking.by))
                # The weights of a layer over the image say more.
                is_drawn = of_first is None or ranking.weights is not None
                self._save_figures(ranking, None if is_drawn else of_first)
                self._save_sheets(ranking)
                count(1)

    def save_arrays(self, rankings: Rankings) -> None:
        """Write the arrays of each ranking beside where its figure will be."""
        for ranking in rankings:
            if ranking.reason is None:
                tag = f"kernel_ranking/{ranking.by}/{ranking.layer}"
                ranking.to_npz(self._path(tag, ".npz"))

    def save_picture(self, tag: str, picture: PixelArray, place: int = 0) -> None:
        """Write a picture beside its ranking, and log it.

        Args:
            tag: ``kernel_ranking/<by>/<layer>``, and perhaps what it is of the ranking.
            picture: ``(H, W, 3)``.
            place: Among several pictures of a tag; their step in the logs.
        """
        save_png(self._path(tag), picture)
        self._log(tag, picture, place)

    def save_table(
        self, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, object]]
    ) -> None:
        """Write a table; what is not a number is left empty."""
        cells = ({column: _cell(value) for column, value in row.items()} for row in rows)
        write_table(self.folder / name, columns, cells)

    def _save_figures(self, ranking: KernelRanking, pictures: Tensor | None) -> None:
        seen = ranking_observation(ranking, pictures=pictures, count=self._top)
        for tag, picture in seen.pictures.items():
            save_png(self._path(tag), picture)
        # At a single step there are no curves to be put into charts.
        log_observation(self._loggers, replace(seen, charts={}), 0, None)

    def _save_sheets(self, ranking: KernelRanking) -> None:
        if ranking.seen is None:
            return
        tag = f"kernel_ranking/{ranking.by}/{ranking.layer}"
        for place, kernel in enumerate(first_kernels(ranking, self._sheets)):
            picture = render(ranking.sheet(kernel))
            save_png(self._path(f"{tag}/kernel_{kernel:04d}"), picture)
            # A rank is no part of a tag.
            self._log(f"{tag}/sheets", picture, place)

    def _log(self, tag: str, picture: PixelArray, place: int) -> None:
        words = "" if place else RANKED.get(tag.rpartition("/")[2], "")
        log_picture(self._loggers, tag, picture, place, None, words)

    def _path(self, tag: str, ending: str = ".png") -> Path:
        """The file of a picture or arrays; what is of a ranking stands beside it."""
        parts = tag.split("/")
        name = "" if len(parts) < _PARTS or _is_sheet(parts[-1]) else f"_{parts.pop()}"
        path = picture_path("/".join(parts), 0).parent
        return self.folder / path.with_name(f"{path.name}{name}{ending}")


def _is_sheet(part: str) -> bool:
    return part.startswith("kernel_")


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return "" if value is None else value


def print_rankings(rankings: Rankings) -> None:
    """Print a line for each ranking, and what there is to know of them."""
    output = console()
    unlimited = output.options.update(width=_UNLIMITED)
    shown = set(_HEADINGS) - set(_IF_ROOM)
    for heading in _IF_ROOM:
        wider = _table(rankings, shown | {heading})
        if output.measure(wider, options=unlimited).maximum <= output.width:
            shown.add(heading)
    output.print(_table(rankings, shown))
    for note in _notes(rankings):
        output.print(Text(f"note: {note}"), soft_wrap=True)


def _table(rankings: Rankings, shown: Collection[str]) -> Table:
    """A line for each ranking, with these columns."""
    table = Table(title="Kernels, ranked")
    headings = [heading for heading in _HEADINGS if heading in shown]
    for heading in headings:
        table.add_column(heading, **_HEADINGS[heading])
    for ranking in rankings:
        cells = _cells(ranking)
        if ranking.reason is not None and "score" not in shown:
            cells["median"] = "n/a"
        table.add_row(*(cells.get(heading, "") for heading in headings))
    return table


def _cells(ranking: KernelRanking) -> dict[str, str]:
    """By heading, what there is to say of a ranking."""
    cells = {"layer": ranking.layer, "ranking": ranking.by, "kernels": str(len(ranking))}
    if ranking.reason is not None:
        return {**cells, "score": "not applicable"}
    known, null = (scores[scores.isfinite()] for scores in (ranking.score, ranking.null_score))
    return {
        **cells,
        "score": ranking.score_name,
        "median": number(known.quantile(0.5).item() if len(known) else None),
        "null's 95 %": number(null.quantile(_NULL_PERCENTILE).item() if len(null) else None),
        "above null": _above(ranking) if len(null) else "-",
        "dead": str(int(ranking.dead.sum())),
        "reliability": number(ranking.rank_reliability),
        "first kernels": ", ".join(map(str, first_kernels(ranking, _NAMED))),
    }


def _above(ranking: KernelRanking) -> str:
    """Return the percentage of kernels with a score beyond chance, one per direction."""
    scored = ranking.null_percentile.isfinite()
    shares = [ranking.above_null()[scored].double().mean().item()]
    if ranking.is_signed:
        shares.append(ranking.below_null()[scored].double().mean().item())
    return " + ".join(number(100 * share, "{:.0f} %") for share in shares)


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
