"""Figures of a ranking, drawn from its numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurovis.class_names import class_label
from neurovis.figures import (
    RankedEntry,
    kernel_sheet_figure,
    null_limit,
    orientation_map_figure,
    ranking_figure,
    score_change_figure,
    score_histogram,
    weight_pictures,
)
from neurovis.kernels import check_kernels
from neurovis.tuning.grating_responses import frequency_curves, orientation_curves
from neurovis.tuning.ranking_data import RankingData
from neurovis.tuning.rankings import GratingRanking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHORT = 8
#: Fraction of the response of the layer's most responsive kernel.
_WEAK = 0.05
#: Columns in pixels, which curves over pixels are marked at.
_PREFERRED_EXTENTS = ("preferred_size", "preferred_length")
#: Curves over more words than these are not drawn.
_MOST_DRAWN = 20


def draw_ranking(
    ranking: RankingData, count: int, pictures: Tensor | None, step: int | None
) -> Figure:
    """Draw :meth:`~neurovis.tuning.results.KernelRanking.figure`."""
    ranking.check_applies()
    shown = ranking.order[:count]
    curves = _curves(ranking)
    drawn = _pictures(ranking, pictures)
    entries = [
        _entry(ranking, curves, drawn, place, kernel) for place, kernel in enumerate(shown, start=1)
    ]
    which = f"{len(shown)} of " if len(shown) < len(ranking) else ""
    title = f"{ranking.layer}: {which}{len(ranking)} kernels by {ranking.by}{_at(step)}"
    return ranking_figure(
        entries,
        title,
        notes=_notes(ranking),
        spec=None if drawn is None else ranking.spec,
        values_name="" if curves is None else curves.axis or "",
        curve_name=ranking.measure.curve_name,
    )


def draw_histogram(ranking: RankingData, step: int | None) -> Figure:
    """Draw :meth:`~neurovis.tuning.results.KernelRanking.histogram`."""
    ranking.check_applies()
    return score_histogram(
        ranking.score,
        ranking.null_score if len(ranking.null_score) else None,
        f"{ranking.layer}: {len(ranking)} kernels{_at(step)}",
        ranking.score_name,
        split=ranking.measure.boundary,
    )


def draw_score_changes(
    ranking: RankingData, first_step: int, first: RankingData, step: int | None
) -> Figure:
    """Draw a ranking's scores against those of another time."""
    gained = (ranking.score > first.score).sum().item()
    return score_change_figure(
        first.score,
        ranking.score,
        (f"{ranking.score_name} at first, step {first_step}", f"{ranking.score_name} now"),
        f"{ranking.layer}: {len(ranking)} kernels at first and now{_at(step)}",
        (null_limit(first.null_score), null_limit(ranking.null_score)),
        (f"{gained} of {len(ranking)} kernels score more than at first (above the diagonal)",),
    )


def draw_orientation_map(ranking: RankingData, step: int | None) -> Figure:
    """Draw :meth:`~neurovis.tuning.results.KernelRanking.orientation_map`."""
    ranking.check_applies()
    preferred = ranking.values.get("preferred_orientation")
    if not isinstance(preferred, Tensor):
        raise ValueError(f'a ranking by "{ranking.by}" has no preferred orientations')
    return orientation_map_figure(
        preferred,
        ranking.score.clamp(0, 1),
        [str(kernel) for kernel in range(len(ranking))],
        f"{ranking.layer}: preferred orientation and {ranking.score_name}{_at(step)}",
        notes=["brightness: the score"],
    )


def draw_sheet(ranking: RankingData, kernel: int, picture: Tensor | None) -> Figure:
    """Draw :meth:`~neurovis.tuning.results.KernelRanking.sheet`."""
    ranking.check_applies()
    check_kernels([kernel], len(ranking), ranking.layer)
    responses = ranking.grating_responses
    if responses is None:
        raise ValueError(
            f'a tuning sheet is drawn of responses to gratings; "{ranking.by}" has none: rank by '
            "orientation"
        )
    if picture is None:
        drawn = _pictures(ranking, None)
        picture = None if drawn is None else drawn[kernel]
    preferred = ranking.values.get("preferred_orientation")
    frequency = ranking.values.get("preferred_spatial_frequency")
    modulation = int(responses.best_modulation[kernel])
    which = f" to {responses.modulations[modulation]}" if len(responses.modulations) > 1 else ""
    label = class_label(ranking.class_names, kernel)
    return kernel_sheet_figure(
        f"{ranking.layer}, {label}: {_score_text(ranking, kernel)}",
        responses.orientations,
        responses.spatial_frequencies,
        responses.tuning[kernel, modulation].float(),
        # Responses count from the blank's.
        0.0 if responses.is_rectified else None,
        response_name=f"{responses.response_name}{which}",
        picture=picture,
        spec=ranking.spec,
        notes=[*_evidence(ranking, kernel), *_notes(ranking)],
        preferred_orientation=_number(preferred, kernel),
        preferred_spatial_frequency=_number(frequency, kernel),
    )


def _notes(ranking: RankingData) -> list[str]:
    above = ""
    if len(ranking.null_score):
        above = (
            f"; {int(ranking.above_null().sum())} above the 95th percentile of "
            f"{len(ranking.null_score)} random kernels of their shape"
        )
        if ranking.measure.is_signed:
            above += f", {int(ranking.below_null().sum())} below the 5th"
    reliability = ranking.rank_reliability
    agreement = (
        "" if reliability != reliability else f"; reliability of the order {reliability:.2f}"
    )
    return [f"{ranking.score_name}{above}{agreement}", "; ".join(ranking.notes)]


def _evidence(ranking: RankingData, kernel: int) -> list[str]:
    """Return notes on one kernel beside its score: its responses and their reliability."""
    words, responses = [], ranking.grating_responses
    if responses is not None:
        words.append(f"peak response {responses.tuning[kernel].max().item():.3g}")
        if responses.is_rectified:
            words.append(f"the blank's response {responses.blank[kernel].item():.3g}")
        if len(responses.modulations) > 1:
            words += [
                f"to {name} {tuning.max().item():.3g}"
                for name, tuning in zip(
                    responses.modulations, responses.tuning[kernel], strict=True
                )
            ]
    reliability = ranking.reliability[kernel].item()
    if reliability == reliability:
        words.append(f"reliability of its tuning {reliability:.2f}")
    return ["; ".join(words)] if words else []


def _score_text(ranking: RankingData, kernel: int) -> str:
    score, percentile = ranking.score[kernel].item(), ranking.null_percentile[kernel].item()
    if score != score:
        return "no score"
    # Long names stand over the figure.
    name = f"{ranking.score_name} " if len(ranking.score_name) <= _SHORT else ""
    parts = [f"{name}{score:.2f}"]
    if percentile == percentile:
        parts.append(f"null {percentile:.0f} %")
    parts.append(preferred_text(ranking, kernel))
    if is_weak(ranking, kernel):
        parts.append("weak")
    return ", ".join(part for part in parts if part)


def preferred_text(ranking: RankingData, kernel: int) -> str:
    """Return a kernel's preferred value, or its model, in words, such as ``35°``; else nothing."""
    for name, column in ranking.values.items():
        if name.startswith("preferred_") or name == "model":
            return _value_text(name, column, kernel)
    return ""


def is_weak(ranking: RankingData, kernel: int) -> bool:
    """True if gratings hardly drive the kernel, however selective its weak responses are."""
    if ranking.grating_responses is None:
        return False
    peaks = ranking.grating_responses.tuning.flatten(1).amax(1)
    return bool(peaks[kernel] < _WEAK * peaks[peaks.isfinite()].amax())


def _value_text(name: str, column: object, kernel: int) -> str:
    if not isinstance(column, Tensor):
        return str(column[kernel]) if isinstance(column, (list, tuple)) else ""
    value = column[kernel].item()
    if value != value:
        return ""
    if "temporal" in name:
        return f"{value:.3g} c/frame"
    if "frequency" in name:
        return f"{value:.3g} c/px"
    if name in _PREFERRED_EXTENTS:
        return f"{value:.3g} px"
    if "turn" in name:
        return f"turn {value:.3g}°"
    if "direction" in name:
        return f"{round(value) % 360}°"
    # 179.6 degrees are rounded to 0.
    return f"phase {round(value) % 360}°" if "phase" in name else f"{round(value) % 180}°"


def _number(column: object, kernel: int) -> float | None:
    if not isinstance(column, Tensor) or bool(column[kernel].isnan()):
        return None
    return column[kernel].item()


def _pictures(ranking: RankingData, pictures: Tensor | None) -> Tensor | None:
    if pictures is not None or ranking.weights is None:
        return pictures
    return weight_pictures(ranking.weights, ranking.spec)


@dataclass(frozen=True)
class _Curves:
    """Responses of a ranking's kernels, as figures draw them.

    Attributes:
        responses: ``(K, n)``.
        over: ``(n,)``, what they are to.
        axis: Name of that; None for orientations.
        preferred: The column of the ranking's that is marked, if it has it.
    """

    responses: Tensor
    over: Tensor
    axis: str | None
    preferred: str


def _curves(ranking: RankingData) -> _Curves | None:
    found, measure, over = ranking.grating_responses, ranking.measure, ranking.curve_over
    if found is not None:
        tuning = found.tuning[torch.arange(len(ranking)), found.best_modulation].float()
        if isinstance(measure, GratingRanking) and measure.drawn_over == "spatial_frequency":
            curves, axis = frequency_curves(tuning), "spatial frequency (cycles/pixel)"
            return _Curves(curves, found.spatial_frequencies, axis, "preferred_spatial_frequency")
        return _Curves(
            orientation_curves(tuning), found.orientations, None, "preferred_orientation"
        )
    if ranking.curve is None or not 1 < len(over) <= _MOST_DRAWN:
        return None
    curves = ranking.curve.clamp(min=0)
    if isinstance(over, Tensor):
        marked = next((name for name in _PREFERRED_EXTENTS if name in ranking.values), "")
        return _Curves(curves, over, measure.curve_axis, marked)
    axis = ", ".join(f"{number} {word}" for number, word in enumerate(over))
    return _Curves(curves, torch.arange(len(over)), axis, "")


def _entry(
    ranking: RankingData, curves: _Curves | None, drawn: Tensor | None, place: int, kernel: int
) -> RankedEntry:
    entry = RankedEntry(
        label=f"#{place} {class_label(ranking.class_names, kernel)}",
        score_text=_score_text(ranking, kernel),
        picture=None if drawn is None or drawn[kernel].isnan().any() else drawn[kernel],
        faded=bool(ranking.dead[kernel]),
    )
    if curves is None or not bool(curves.responses[kernel].isfinite().all()):
        return entry
    return replace(
        entry,
        curve=curves.responses[kernel],
        orientations=curves.over if curves.axis is None else None,
        values=None if curves.axis is None else curves.over,
        preferred=_number(ranking.values.get(curves.preferred), kernel),
    )


def _at(step: int | None) -> str:
    return "" if step is None else f", step {step}"
