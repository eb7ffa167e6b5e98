"""Print tables of rankings, and of what else was asked of the first kernels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from torch import Tensor

from neurovis.analysis import Comparison, RankedFields
from neurovis.cli.printing import console
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
        "median": _number(_median(known)),
        "null's 95 %": _number(_quantile(null, _NULL_PERCENTILE)),
        "above null": _above(ranking) if len(null) else "-",
        "dead": str(int(ranking.dead.sum())),
        "reliability": _number(ranking.rank_reliability),
        "first kernels": ", ".join(map(str, ranking.first(_NAMED))),
    }


def _above(ranking: KernelRanking) -> str:
    """Return the percentage of kernels with a score beyond chance, one per direction."""
    scored = ranking.null_percentile.isfinite()
    shares = [ranking.above_null()[scored].double().mean().item()]
    if ranking.is_signed:
        shares.append(ranking.below_null()[scored].double().mean().item())
    return " + ".join(_number(100 * share, "{:.0f} %") for share in shares)


def _number(value: float, form: str = "{:.3g}") -> str:
    """A number as tables show it, or a dash for NaN."""
    return "-" if value != value else form.format(value)


def _notes(rankings: Rankings) -> list[str]:
    """Each note once, with the layers that it is of."""
    layers: dict[str, dict[str, None]] = {}
    for ranking in rankings:
        notes = ranking.notes if ranking.reason is None else (f"not applicable: {ranking.reason}",)
        for note in notes:
            layers.setdefault(note, {})[ranking.layer] = None
    every = {ranking.layer for ranking in rankings}
    return [note if set(of) == every else f"{', '.join(of)}: {note}" for note, of in layers.items()]


def print_comparisons(comparisons: list[Comparison]) -> None:
    """Print how far apart preferred images and gratings are."""
    table = Table(
        title="Preferred images against preferred gratings (medians; angles and frequencies of "
        "kernels tuned to orientation, frequencies not of those at the end of the range)"
    )
    for heading in ("layer", "ranking"):
        table.add_column(heading, overflow="fold")
    for heading in (
        "images",
        "tuned",
        "orientations apart",
        "image's frequency",
        "activation",
        "of noise",
    ):
        table.add_column(heading, justify="right")
    for one in comparisons:
        table.add_row(
            one.gratings.ranking.layer,
            one.gratings.ranking.by,
            str(len(one.images)),
            str(int(one.gratings.is_tuned.sum())),
            _number(_median(one.orientation_difference[one.gratings.is_tuned]), "{:.1f}°"),
            _number(
                _median(one.octaves[one.gratings.is_tuned & ~one.gratings.at_range_end]),
                "{:+.2f} octaves",
            ),
            f"{one.activation.quantile(0.5).item():.4g}",
            f"{one.noise_activation.quantile(0.5).item():.4g}",
        )
    console().print(table)


def print_fields(found: Sequence[RankedFields]) -> None:
    """Print how large fields are, and how much the surround takes away."""
    table = Table(title="Receptive fields in pixels, of the first kernels (medians)")
    for heading in ("layer", "ranking"):
        table.add_column(heading, overflow="fold")
    for heading in ("kernels", "theoretical", "effective (95 %)", "preferred size", "suppression"):
        table.add_column(heading, justify="right")
    table.add_column("reverse correlation reliable", justify="right")
    for one in found:
        box, sizes = one.maps.box, one.sizes
        table.add_row(
            one.gratings.ranking.layer,
            one.gratings.ranking.by,
            str(len(one.gratings.kernels)),
            "unknown" if box is None else f"{box[2] - box[0]} x {box[3] - box[1]}",
            " x ".join(_number(side, "{:.0f}") for side in one.width.nanquantile(0.5, 0).tolist()),
            "-" if sizes is None else _number(_median(sizes.preferred_size)),
            "-" if sizes is None else _number(100 * _median(sizes.suppression), "{:.0f} %"),
            _number(_median(one.maps.reliability), "{:.2f}"),
        )
    output = console()
    output.print(table)
    for note in _field_notes(found):
        output.print(Text(f"note: {note}"), soft_wrap=True)


def _field_notes(found: Sequence[RankedFields]) -> Iterator[str]:
    for one in found:
        layer, count = one.gratings.ranking.layer, len(one.gratings.kernels)
        silent = int(one.maps.peak_z.isnan().sum())
        if one.sizes is None:
            yield f"{layer}: no maps, so that gratings have no size"
        if silent:
            yield (
                f"{layer}: {silent} of {count} kernels do not respond to noise and have no maps; "
                "behind a ReLU, ask the layer before it"
            )


def _median(values: Tensor) -> float:
    return _quantile(values, 0.5)


def _quantile(values: Tensor, part: float) -> float:
    """Return a quantile of what is not NaN; NaN where there is nothing else."""
    return values.nanquantile(part).item() if len(values) else float("nan")
