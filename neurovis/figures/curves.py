"""Curves over the steps of an ascent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurovis.figures.page import MARGIN
from neurovis.figures.text import DPI, LABEL, TITLE, line_height, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CURVES_WIDTH, _CURVES_HEIGHT = 800, 420
_MOST_CURVES_NAMED = 10
#: Okabe and Ito's colors, told apart by color-blind eyes, and three grays.
_COLORS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f"),
    *("#222222", "#777777", "#aaaaaa"),
)


def curve_figure(curves: Tensor, labels: Sequence[str], title: str, ylabel: str) -> Figure:
    """Curves over steps: up to 10 with their names, more as a bundle with its median.

    Args:
        curves: ``(K, steps)``; what is not finite leaves a gap.
        labels: One for each curve; of long ones, two lines are shown.
        title: Stands over the figure.
        ylabel: What the curves are of, with the unit.

    Raises:
        ValueError: If there is no curve or step, or the number of labels is another.
    """
    if curves.ndim != 2 or curves.numel() == 0 or len(labels) != len(curves):
        raise ValueError(
            f"needs curves (K, steps) and one label for each; got {tuple(curves.shape)} and "
            f"{len(labels)} labels"
        )
    from matplotlib import rc_context

    from neurovis.figures.page_figure import PageFigure

    values = curves.detach().cpu().double()
    values = torch.where(values.isfinite(), values, torch.nan)
    lines = wrapped(title, _CURVES_WIDTH - 2 * MARGIN, TITLE)
    top = MARGIN + len(lines) * line_height(TITLE)
    height = _CURVES_HEIGHT + top
    with rc_context({"text.usetex": False, "font.family": "DejaVu Sans"}):
        figure = PageFigure(_CURVES_WIDTH, height)
        axes = figure.add_axes((0.11, 60 / height, 0.64, (_CURVES_HEIGHT - 70) / height))
        for row, line in enumerate(lines):
            figure.text(
                MARGIN / _CURVES_WIDTH,
                1 - (MARGIN + TITLE + row * line_height(TITLE)) / height,
                line,
                fontsize=TITLE * 72 / DPI,
                parse_math=False,
            )
        if len(values) <= _MOST_CURVES_NAMED:
            _named(axes, values, labels)
        else:
            _bundle(axes, values)
        _dress(axes, ylabel)
    return figure


def _named(axes: Axes, values: Tensor, labels: Sequence[str]) -> None:
    marker = "o" if values.shape[1] == 1 else None
    for curve, label, color in zip(values.numpy(), labels, _COLORS, strict=False):
        first, *more = wrapped(label, 118)
        name = f"{first}\n{more[0]}{' …' if more[1:] else ''}" if more else first
        axes.plot(curve, color=color, linewidth=1.3, marker=marker, label=name)


def _bundle(axes: Axes, values: Tensor) -> None:
    marker = "o" if values.shape[1] == 1 else None
    for row, curve in enumerate(values.numpy()):
        name = f"each of {len(values)}" if row == 0 else None
        axes.plot(curve, color="#8fb8d8", linewidth=0.7, alpha=0.7, marker=marker, label=name)
    median = values.nanmedian(dim=0).values.numpy()
    axes.plot(median, color="#0b3c5d", linewidth=2, marker=marker, label="median")


def _dress(axes: Axes, ylabel: str) -> None:
    from matplotlib.ticker import MaxNLocator

    size = LABEL * 72 / DPI
    axes.set_facecolor("white")
    axes.set_xlabel("step", fontsize=size)
    axes.set_ylabel(ylabel, fontsize=size, parse_math=False)
    axes.tick_params(labelsize=size)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(fontsize=size, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
