"""Print tables of rankings, and of what else was asked of the first kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from neurovis.analysis import Comparison, RankedFields
from neurovis.class_names import class_label
from neurovis.cli.printing import print_notes, print_table
from neurovis.figures import null_limit
from neurovis.tuning.reference_scores import ReferenceScores
from neurovis.tuning.results import KernelRanking, Rankings

#: Kernels named in the printed table.
_NAMED = 5
#: Columns that are shown where there is room, the ones that say most first.
_IF_ROOM = ("reliability", "null's 95 %", "score", "kernels")


def print_rankings(rankings: Rankings) -> None:
    """Print a line for each ranking, and what there is to know of them."""
    texts = ["layer", "ranking", "score", "first kernels"]
    print_table("Kernels, ranked", [_cells(ranking) for ranking in rankings], texts, _IF_ROOM)
    print_notes(_notes(rankings))


def _cells(ranking: KernelRanking) -> dict[str, str]:
    """By heading, what there is to say of a ranking."""
    applies = ranking.reason is None
    known, limit = ranking.score[ranking.score.isfinite()], null_limit(ranking.null_score)
    cells = {
        "median": _median(known),
        "null's 95 %": "-" if limit is None else _number(limit),
        "above null": "-" if limit is None else _above(ranking),
        "dead": str(int(ranking.dead.sum())),
        "reliability": _number(ranking.rank_reliability),
        "first kernels": ", ".join(
            class_label(ranking.class_names, kernel, "") for kernel in ranking.first(_NAMED)
        ),
    }
    return {
        "layer": ranking.layer,
        "ranking": ranking.by,
        "score": ranking.score_name if applies else "not applicable",
        "kernels": str(len(ranking)),
        **(cells if applies else dict.fromkeys(cells, "") | {"median": "n/a"}),
    }


def _above(ranking: KernelRanking) -> str:
    """Return the percentage of kernels with a score beyond chance, one per direction."""
    scored = ranking.null_percentile.isfinite()
    shares = [ranking.above_null()[scored].double().mean().item()]
    if ranking.measure.is_signed:
        shares.append(ranking.below_null()[scored].double().mean().item())
    return " + ".join(_number(100 * share, "{:.0f} %") for share in shares)


def _number(value: float, form: str = "{:.3g}") -> str:
    """A number as tables show it, or a dash for NaN."""
    return "-" if value != value else form.format(value)


def _notes(rankings: Rankings) -> list[str]:
    """Each note once, with the layers that it is of."""
    layers: dict[str, dict[str, None]] = {}
    for ranking in rankings:
        notes = ranking.notes
        if ranking.reason is not None:
            # Stimuli do not know who shows them.
            subject = "" if ranking.by in ranking.reason else f"{ranking.by}: "
            notes = (f"not applicable: {subject}{ranking.reason}",)
        for note in notes:
            layers.setdefault(note, {})[ranking.layer] = None
    every = {ranking.layer for ranking in rankings}
    return [note if set(of) == every else f"{', '.join(of)}: {note}" for note, of in layers.items()]


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Print how far apart preferred images and gratings are."""
    rows = []
    for one in comparisons:
        tuned, inside = one.gratings.is_tuned, ~one.gratings.at_range_end
        rows.append(
            {
                "layer": one.gratings.ranking.layer,
                "ranking": one.gratings.ranking.by,
                "images": str(len(one.images)),
                "tuned": str(int(tuned.sum())),
                "orientations apart": _median(one.orientation_difference[tuned], "{:.1f}°"),
                "image's frequency": _median(one.octaves[tuned & inside], "{:+.2f} octaves"),
                "activation": _median(one.activation, "{:.4g}"),
                "of noise": _median(one.noise_activation, "{:.4g}"),
            }
        )
    print_table(
        "Preferred images against preferred gratings (medians; angles and frequencies of kernels "
        "tuned to orientation, frequencies not of those at the end of the range)",
        rows,
        ["layer", "ranking"],
    )


def print_fields(found: Sequence[RankedFields]) -> None:
    """Print how large fields are, and how much the surround takes away."""
    rows = []
    for one in found:
        box, sizes = one.maps.box, one.sizes
        preferred = "-" if sizes is None else _median(sizes.preferred_size)
        suppression = "-" if sizes is None else _median(100 * sizes.suppression, "{:.0f} %")
        rows.append(
            {
                "layer": one.gratings.ranking.layer,
                "ranking": one.gratings.ranking.by,
                "kernels": str(len(one.gratings.kernels)),
                "theoretical": f"{box[2] - box[0]} x {box[3] - box[1]}" if box else "unknown",
                "effective (95 %)": " x ".join(_median(side, "{:.0f}") for side in one.width.T),
                "preferred size": preferred,
                "suppression": suppression,
                "reverse correlation reliable": _median(one.maps.reliability, "{:.2f}"),
            }
        )
    title = "Receptive fields in pixels, of the first kernels (medians)"
    print_table(title, rows, ["layer", "ranking"])
    print_notes(list(_field_notes(found)))


def print_reference_scores(scores: ReferenceScores) -> None:
    """Print how like neurons each layer's kernels are, the most alike layer first."""
    name = scores.reference.name
    for layer in scores.layers:
        rows = []
        for item in (item for item in scores.items if item.layer == layer):
            cells = scores.reference.distributions.get(item.name)
            low, high = item.interval
            rows.append(
                {
                    "property": item.name,
                    "score": f"{item.score:.3f}",
                    "95 % interval": f"{low:.2f} to {high:.2f}",
                    "null": _number(item.null_score, "{:.3f}"),
                    "null percentile": _number(item.null_percentile, "{:.0f}"),
                    "kernels": "" if cells is None else str(item.kernel_counts.sum()),
                    "cells": "" if cells is None else str(cells.counts.sum()),
                    "source": "" if cells is None else cells.source,
                }
            )
        print_table(f"{layer}: likeness to {name}", rows, ["property", "source"])
    print_notes(scores.notes)


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


def _median(values: Tensor, form: str = "{:.3g}") -> str:
    return _number(values.nanquantile(0.5).item() if len(values) else float("nan"), form)
