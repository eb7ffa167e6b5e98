"""Kernels in the order of a score, each with its picture and its tuning curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurovis.figures.cells import Grid
from neurovis.figures.output import Pixels, to_pixels
from neurovis.figures.page import GAP, INK, Page, page_figure
from neurovis.figures.pictures import fitted, modality_rows
from neurovis.figures.plots import (
    GRAY,
    ORANGE,
    TINT,
    Axis,
    Frame,
    Values,
    as_values,
    line_top,
    linear_axis,
    octave_axis,
    short_number,
)
from neurovis.figures.polar import draw_polar, polar_reach
from neurovis.figures.text import LABEL, line_height, text_width, wrapped
from neurovis.inputs import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pixels across that entries take together, at most.
_ENTRIES_WIDTH = 1700
#: Least and largest longer side of a picture, the radius of a polar plot, the width of an entry's
#: texts, and the distance between entries, in pixels.
_PICTURE_SIZES, _CURVE_RADIUS, _TEXTS_WIDTH, _ENTRIES_APART = (80, 96), 42, 150, 16
_DEAD = "dead"
#: About the ratio of width to height, as of screens.
_LANDSCAPE = 1.3


@dataclass(frozen=True)
class RankedEntry:
    """One kernel of a ranking.

    Args:
        label: Its rank and name, such as ``"#1 kernel 17"``.
        score_text: Its score in words, such as ``"gOSI 0.81, null 99 %"``.
        picture: ``(C, H, W)`` in [0, 1]: its weights, or its preferred image.
        orientations: ``(O,)`` in degrees: the curve is drawn in a circle.
        curve: ``(O,)``, its responses, non-negative; goes with ``orientations`` or ``values``.
        preferred: The preferred orientation in degrees or the preferred value, which is marked.
        faded: A dead kernel, which is drawn pale and without a curve.
        values: ``(O,)``, what else the curve is over, such as spatial frequencies: the curve is
            drawn in a frame, in octaves if all values are positive.

    Raises:
        ValueError: If there is a curve without one orientation or value for each response, or
            with a response below 0.
    """

    label: str
    score_text: str = ""
    picture: Tensor | None = None
    orientations: Tensor | None = None
    curve: Tensor | None = None
    preferred: float | None = None
    faded: bool = False
    values: Tensor | None = None

    def __post_init__(self) -> None:
        over = [one for one in (self.orientations, self.values) if one is not None]
        if self.curve is None:
            return
        if len(over) != 1:
            raise ValueError(
                f"{self.label!r} has a curve, which needs either orientations or values; "
                f"got {'both' if over else 'neither'}"
            )
        if self.curve.ndim != 1 or over[0].shape != self.curve.shape or not len(self.curve):
            raise ValueError(
                f"{self.label!r} needs a curve (O,) with one orientation or value for each "
                f"response; got {tuple(self.curve.shape)} and {tuple(over[0].shape)}"
            )
        if bool((self.curve < 0).any()):
            raise ValueError(
                f"the curve of {self.label!r} must not be negative; "
                f"its lowest response is {self.curve.min().item():g}"
            )


def ranking_figure(
    entries: Sequence[RankedEntry],
    title: str,
    notes: Sequence[str] = (),
    spec: InputSpec | None = None,
    columns: int | None = None,
    values_name: str = "",
    curve_name: str = "response",
) -> Figure:
    """Kernels in the order given, row by row, each with its picture and its tuning curve.

    Curves over orientations are drawn in a circle that is as large as their peak, each response in
    both directions of its orientation; 0 degrees is to the right and 90 degrees is up.

    Args:
        entries: From the first to the last.
        title: Stands over the figure.
        notes: Lines under the title.
        spec: The modalities of the pictures, see :func:`modality_rows`. Without one, pictures
            have three channels, which are colors, or one.
        columns: Entries in a row; by default the figure is about square.
        values_name: What the entries' ``values`` are, with the unit, such as ``"spatial frequency
            (cycles/pixel)"``; stated under the title.
        curve_name: What the curves over ``values`` are.

    Raises:
        ValueError: If there is no entry, or the pictures are not all of one size and the spec's.

    Example:
        >>> angles = torch.arange(0, 180, 22.5)
        >>> curve = torch.cos(torch.deg2rad(angles - 45)) ** 2
        >>> entry = RankedEntry("#1 kernel 3", "gOSI 0.5", None, angles, curve, preferred=45.0)
        >>> figure = ranking_figure([entry], "conv1 by orientation selectivity")
    """
    if not entries:
        raise ValueError("a ranking needs at least one entry; got none")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1; got {columns}")
    cells = _Cells(entries, spec, columns)
    return page_figure(cells, title, [*notes, *_curve_notes(entries, values_name, curve_name)])


def _picture_stacks(entries: Sequence[RankedEntry], spec: InputSpec | None) -> list[list[Pixels]]:
    """The pictures of each entry, one a modality; none for an entry without."""
    shapes = {tuple(entry.picture.shape) for entry in entries if entry.picture is not None}
    if not shapes:
        return [[] for _ in entries]
    if len(shapes) > 1 or len(next(iter(shapes))) != 3:
        raise ValueError(f"pictures must be (C, H, W), all of one size; got {sorted(shapes)}")
    pictures = torch.stack(
        [entry.picture.detach().float().cpu() for entry in entries if entry.picture is not None]
    )
    if spec is None and pictures.shape[1] not in (1, 3):
        raise ValueError(
            f"pictures with {pictures.shape[1]} channels need a spec, which says what they are"
        )
    if spec is None:
        rows = {"": pictures.clamp(0, 1).expand(-1, 3, -1, -1)}
    else:
        rows = modality_rows(pictures, spec)
    faded = [entry.faded for entry in entries if entry.picture is not None]
    pale = 0.5 * torch.tensor(faded).float().view(-1, 1, 1, 1)
    shown = [torch.lerp(one, one.new_ones(()), pale) for one in rows.values()]
    stacks = zip(*(to_pixels(fitted(one, *_PICTURE_SIZES)) for one in shown), strict=True)
    return [list(next(stacks)) if entry.picture is not None else [] for entry in entries]


class _Cells:
    """The grid of entries: a label over a picture beside a curve."""

    def __init__(
        self, entries: Sequence[RankedEntry], spec: InputSpec | None, columns: int | None
    ) -> None:
        self._entries = entries
        self._stacks = _picture_stacks(entries, spec)
        curves = [entry for entry in entries if entry.curve is not None and not entry.faded]
        stack = max(self._stacks, key=len)
        self._picture_width = stack[0].shape[1] if stack else 0
        pictures = sum(len(one) + 3 for one in stack) - 3 if stack else 0
        self._reach = math.ceil(polar_reach(_CURVE_RADIUS))
        faded = text_width(_DEAD) if any(entry.faded for entry in entries) else 0
        self._curve_width = 2 * self._reach if curves else faded
        self._body = max(pictures, 2 * self._reach if curves else 0, line_height(LABEL))
        between = GAP if stack and self._curve_width else 0
        self._inner = self._picture_width + between + self._curve_width
        lines = [line for entry in entries for line in (entry.label, entry.score_text)]
        self._cell = max(self._inner, min(max(map(text_width, lines)) + 2, _TEXTS_WIDTH))
        self._texts = [
            (wrapped(entry.label, self._cell), wrapped(entry.score_text, self._cell))
            for entry in entries
        ]
        self._lines = max(len(label) + len(score) for label, score in self._texts)
        cell = self._cell, self._lines * line_height(LABEL) + 4 + self._body
        grid = Grid(len(entries), cell, _ENTRIES_APART, columns, _LANDSCAPE)
        most = len(entries) if columns else max(1, _ENTRIES_WIDTH // (cell[0] + _ENTRIES_APART))
        if grid.columns > most:
            grid = Grid(len(entries), cell, _ENTRIES_APART, most)
        self._grid = grid
        self.width, self.height = grid.width + 2, grid.height + 2

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put the grid on a page with its upper left corner here."""
        for index, entry in enumerate(self._entries):
            across, down = self._grid.place(index)
            left, top = x + across, y + down
            label, score = self._texts[index]
            page.text(left, top, label, color=GRAY if entry.faded else INK)
            page.text(left, top + len(label) * line_height(LABEL), score, color=GRAY)
            self._draw_body(page, index, left + 1, top + self._lines * line_height(LABEL) + 4)

    def _draw_body(self, page: Page, index: int, left: int, top: int) -> None:
        entry = self._entries[index]
        page.stack(left, top, self._stacks[index])
        right = left + self._inner - self._curve_width
        middle = (right + self._curve_width / 2, top + self._body / 2)
        words = "no response" if entry.curve is not None and not _responds(entry) else ""
        if entry.faded or words:
            lines = [_DEAD if entry.faded else words]
            page.text(middle[0], line_top(middle[1]), lines, align="center", color=GRAY)
        elif entry.curve is not None and entry.orientations is not None:
            over, curve = as_values(entry.orientations), as_values(entry.curve)
            draw_polar(page, middle, _CURVE_RADIUS, over, curve, entry.preferred)
        elif entry.curve is not None and entry.values is not None:
            over, curve = as_values(entry.values), as_values(entry.curve)
            _draw_cartesian(page, over, curve, entry.preferred, middle)


def _responds(entry: RankedEntry) -> bool:
    return entry.curve is not None and bool((entry.curve.isfinite() & (entry.curve > 0)).any())


def _curve_notes(entries: Sequence[RankedEntry], values_name: str, curve_name: str) -> list[str]:
    """Return notes on how to read the curves that are drawn."""
    notes = []
    drawn = [entry for entry in entries if _responds(entry) and not entry.faded]
    circles = [entry for entry in drawn if entry.orientations is not None]
    if circles:
        marks = any(entry.preferred is not None for entry in circles)
        notes.append(
            "In circles: response to each orientation of bars, 0° to the right, 90° up, mirrored; "
            f"the circle is its peak{', orange the preferred orientation' if marks else ''}"
        )
    frames = [entry for entry in drawn if entry.values is not None]
    if frames:
        octaves = any(
            _in_octaves(as_values(entry.values)) for entry in frames if entry.values is not None
        )
        marks = any(entry.preferred is not None for entry in frames)
        notes.append(
            f"In frames: {curve_name}, from 0 to the kernel's peak, "
            f"over {values_name or 'the values'}"
            f"{' on a logarithmic axis' if octaves else ''}"
            f"{'; orange: the preferred one' if marks else ''}"
        )
    return notes


def _in_octaves(values: Values) -> bool:
    return bool((values > 0).all())


def _draw_cartesian(
    page: Page, over: Values, curve: Values, preferred: float | None, middle: tuple[float, float]
) -> None:
    """A curve in a frame as wide as a circle, from 0 to its peak, with the ends written below."""
    order = np.argsort(over)
    over, curve = over[order], curve[order]
    across = octave_axis(over) if _in_octaves(over) else linear_axis(over[0], over[-1])
    size = 2 * _CURVE_RADIUS
    left, top = middle[0] - _CURVE_RADIUS, middle[1] - _CURVE_RADIUS
    height = size - line_height(LABEL) - 2
    peak = Axis(0, 1.08 * float(np.nanmax(curve)), [])
    frame = Frame(left, top, size, height, across, peak)
    corners = np.array([[left, top], [left, top + height], [left + size, top + height]])
    page.line(corners, "#a0a0a0", 0.8)
    here = np.isfinite(curve)
    floor = np.zeros(2)
    ends = over[here][[0, -1]]
    page.area(
        np.concatenate([frame.points(over[here], curve[here]), frame.points(ends, floor)[::-1]]),
        TINT,
    )
    if preferred is not None and across.low <= preferred <= across.high:
        frame.upright(page, preferred, ORANGE, dashed=False)
    frame.curve(page, over, curve, dots=False)
    below = top + height + 2
    page.text(left, below, [short_number(float(over[0]))], color=GRAY)
    page.text(left + size, below, [short_number(float(over[-1]))], align="right", color=GRAY)
