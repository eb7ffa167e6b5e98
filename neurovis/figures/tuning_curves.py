"""All of one kernel's tuning to gratings on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurovis.figures.colors import colored
from neurovis.figures.output import to_pixels
from neurovis.figures.page import APART, GAP, Align, Beside, Page, page_figure
from neurovis.figures.pictures import fitted, modality_rows, number
from neurovis.figures.plots import (
    GRAY,
    ORANGE,
    Axis,
    Frame,
    Plot,
    Values,
    angle_axis,
    as_values,
    line_top,
    octave_axis,
    rectangle,
    response_axis,
    short_number,
)
from neurovis.figures.polar import directed, draw_polar, polar_reach
from neurovis.figures.text import LABEL, text_width
from neurovis.inputs import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Sizes of the picture and the plots, the circle's radius, the color strip's width, and the
#: distance between plots, in pixels.
_PICTURE_SIZE, _PLOT_SIZE, _CIRCLE_RADIUS, _STRIP_WIDTH, _PLOTS_APART = 192, (380, 220), 96, 14, 30
_CYCLES = "spatial frequency (cycles/pixel)"


def kernel_sheet_figure(
    title: str,
    orientations: Tensor,
    spatial_frequencies: Tensor,
    responses: Tensor,
    blank: float | None = None,
    *,
    response_name: str = "response",
    picture: Tensor | None = None,
    spec: InputSpec | None = None,
    notes: Sequence[str] = (),
    preferred_orientation: float | None = None,
    preferred_spatial_frequency: float | None = None,
) -> Figure:
    """One kernel's tuning to gratings: over orientation, in a circle, over both, over frequency.

    The curves are those through the largest response. What is not finite leaves a gap, and is red
    in the map.

    Args:
        title: Stands over the figure.
        orientations: ``(O,)`` of the bars, in degrees counter-clockwise from horizontal, rising,
            within [0, 180).
        spatial_frequencies: ``(F,)`` in cycles per pixel, positive and rising.
        responses: ``(O, F)``, non-negative.
        blank: Response to the blank image, on the same scale, drawn as a line.
        response_name: What the responses are, with the unit.
        picture: ``(C, H, W)`` in [0, 1]: the kernel's weights, or its preferred image.
        spec: The modalities of the picture, which needs one.
        notes: Lines under the title.
        preferred_orientation: In degrees; marked, unless it is NaN.
        preferred_spatial_frequency: In cycles per pixel; marked, unless it is NaN.

    Raises:
        ValueError: If an argument has another shape, order or range, or the spec is missing.
    """
    sheet = _Sheet(
        *_checked(orientations, spatial_frequencies, responses),
        blank,
        response_name,
        _known(preferred_orientation, 180.0),
        _known(preferred_spatial_frequency, None),
    )
    body = sheet if picture is None else Beside([_Picture(picture, spec), sheet], _PLOTS_APART)
    return page_figure(body, title, notes, minimum_width=0)


def _checked(
    orientations: Tensor, spatial_frequencies: Tensor, responses: Tensor
) -> tuple[Values, Values, Values]:
    shape = (*orientations.shape, *spatial_frequencies.shape)
    if len(shape) != 2 or responses.shape != shape or 0 in shape:
        raise ValueError(
            f"needs orientations (O,), spatial_frequencies (F,) and responses (O, F); got "
            f"{tuple(orientations.shape)}, {tuple(spatial_frequencies.shape)} and "
            f"{tuple(responses.shape)}"
        )
    angles, cycles = as_values(orientations), as_values(spatial_frequencies)
    if not (np.diff(angles) > 0).all() or not (angles[0] >= 0 and angles[-1] < 180):
        raise ValueError(
            f"orientations must rise from at least 0 to below 180 degrees; got {angles.tolist()}"
        )
    if not (np.diff(cycles) > 0).all() or not cycles[0] > 0:
        raise ValueError(f"spatial_frequencies must be positive and rise; got {cycles.tolist()}")
    if bool((responses < 0).any()):
        raise ValueError(f"responses must not be negative; the lowest is {responses.min():g}")
    return angles, cycles, as_values(responses)


def _known(value: float | None, period: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return value % period if period else value


class _Picture:
    """A picture's modalities, one below the other."""

    def __init__(self, picture: Tensor, spec: InputSpec | None) -> None:
        if spec is None or picture.ndim != 3:
            raise ValueError(
                f"a picture must be (C, H, W) and come with its spec; got {tuple(picture.shape)}, "
                f"spec {'missing' if spec is None else 'given'}"
            )
        rows = modality_rows(picture.detach().cpu()[None], spec).values()
        self._rows = [to_pixels(fitted(one, _PICTURE_SIZE, _PICTURE_SIZE)[0]) for one in rows]
        self.width = self._rows[0].shape[1]
        self.height = sum(len(one) + APART for one in self._rows)

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put it on a page with its upper left corner here."""
        page.stack(x + 1, y + 1, self._rows)


@dataclass
class _Sheet:
    """The plots: orientation beside its circle, over the map beside spatial frequency."""

    orientations: Values
    cycles: Values
    responses: Values
    blank: float | None
    response_name: str
    preferred_orientation: float | None
    preferred_cycles: float | None

    def __post_init__(self) -> None:
        filled = np.nan_to_num(self.responses, nan=-1)
        self._best = divmod(int(filled.argmax()), len(self.cycles))
        self._peak = max(float(filled.max()), 0.0)
        angle, cycles = self.orientations[self._best[0]], self.cycles[self._best[1]]
        self._orientation = self._curve(
            angle_axis(self.orientations[0]),
            "orientation of the bars",
            f"Orientation, at {cycles:.3g} cycles/pixel",
            self.preferred_orientation,
            "{:.1f}°",
        )
        self._frequency = self._curve(
            octave_axis(self.cycles),
            _CYCLES,
            f"Spatial frequency, at {angle:.4g}°",
            self.preferred_cycles,
            "{:.3f}",
        )
        centers = [(place + 0.5, short_number(value)) for place, value in enumerate(self.cycles)]
        angles = [(place + 0.5, f"{v:.4g}°") for place, v in enumerate(self.orientations)]
        self._map = Plot(
            _PLOT_SIZE,
            Axis(0, len(self.cycles), centers),
            Axis(0, len(self.orientations), angles[:: max(1, math.ceil(len(angles) / 12))]),
            _CYCLES,
            "orientation of the bars",
            f"Over both: {self.response_name}",
            grid=False,
        )
        self._lower = max(self._map.height, self._frequency.height)
        self._key = _STRIP_WIDTH + 6 + max(text_width(number(self._peak)), text_width("0"))
        label = text_width("blank") + 6
        self._right = (
            max(self._orientation.width + label, self._map.width + GAP + self._key) + _PLOTS_APART
        )
        reach = 2 * math.ceil(polar_reach(_CIRCLE_RADIUS))
        self.width = self._right + max(
            self._frequency.width + label, reach + 2 * text_width("180°")
        )
        self.height = self._orientation.height + _PLOTS_APART + self._lower

    def _curve(
        self, across: Axis, xlabel: str, title: str, preferred: float | None, form: str
    ) -> Plot:
        marked = "" if preferred is None else f"; preferred {form.format(preferred)}"
        blank = [] if self.blank is None else [self.blank]
        up = response_axis(np.append(self.responses, blank))
        return Plot(_PLOT_SIZE, across, up, xlabel, self.response_name, title + marked)

    def draw(self, page: Page, x: int, y: int) -> None:
        """Put them on a page with their upper left corner here."""
        self._draw_orientation(page, x, y)
        self._draw_circle(page, x + self._right, y)
        below = y + self._orientation.height + _PLOTS_APART
        self._draw_map(page, x, below)
        self._draw_frequency(page, x + self._right, below)

    def _draw_orientation(self, page: Page, x: int, y: int) -> None:
        frame = self._orientation.draw(page, x, y)
        first, curve = self.orientations[0], self.responses[:, self._best[1]]
        if self.preferred_orientation is not None:
            frame.upright(page, first + (self.preferred_orientation - first) % 180, ORANGE)
        self._draw_blank(page, frame)
        # The first response once more at the end, since the half circle is closed.
        angles = np.append(self.orientations, first + 180)
        frame.curve(page, angles, np.append(curve, curve[0]))

    def _draw_circle(self, page: Page, x: int, y: int) -> None:
        said = f"The same, mirrored; the circle is {number(self._peak)}"
        page.text(x, y, [said])
        reach = polar_reach(_CIRCLE_RADIUS)
        middle = x + text_width("180°") + 4 + reach, y + self._orientation.above + _PLOT_SIZE[1] / 2
        curve = self.responses[:, self._best[1]]
        draw_polar(
            page,
            middle,
            _CIRCLE_RADIUS,
            self.orientations,
            curve,
            self.preferred_orientation,
            dots=True,
        )
        for angle in range(0, 181, 45):
            across, down = directed(middle, np.array([angle]), np.array([reach + 4]))[0]
            side: Align = "center" if angle == 90 else "left" if angle < 90 else "right"
            rise = LABEL / 2 * math.sin(math.radians(angle))
            page.text(across, line_top(down - rise), [f"{angle}°"], align=side, color=GRAY)

    def _draw_frequency(self, page: Page, x: int, y: int) -> None:
        frame = self._frequency.draw(page, x, y)
        cycles = self.preferred_cycles
        if cycles is not None and frame.across.low <= cycles <= frame.across.high:
            frame.upright(page, cycles, ORANGE)
        self._draw_blank(page, frame)
        frame.curve(page, self.cycles, self.responses[self._best[0]])

    def _draw_blank(self, page: Page, frame: Frame) -> None:
        if self.blank is None or not math.isfinite(self.blank):
            return
        frame.level(page, self.blank, GRAY)
        y = frame.points(np.array([frame.across.low]), np.array([self.blank]))[0, 1]
        page.text(frame.left + frame.width + 6, line_top(y - LABEL / 2), ["blank"], color=GRAY)

    def _draw_map(self, page: Page, x: int, y: int) -> None:
        frame = self._map.draw(page, x, y)
        across, up = len(self.cycles), len(self.orientations)
        left, top = round(frame.left) + 1, round(frame.top)
        width, height = _PLOT_SIZE
        values = torch.from_numpy(self.responses).float().flip(0)[None]
        cells = colored(values, torch.tensor([self._peak]), False)[0]
        rows = torch.arange(height) * up // height
        columns = torch.arange(width) * across // width
        page.picture(left, top, to_pixels(cells[:, rows][:, :, columns]))
        row, column = self._best
        corners = np.array([[column, row], [column + 1, row + 1]]) + np.array(
            [[0.04, 0.04], [-0.04, -0.04]]
        )
        (x0, y0), (x1, y1) = frame.points(corners[:, 0], corners[:, 1])
        page.line(rectangle(x0, y1, x1, y0), ORANGE, 2)
        ramp = colored(
            torch.linspace(1, 0, height)[None, :, None].expand(1, -1, _STRIP_WIDTH),
            torch.ones(1),
            False,
        )
        right = left + width + GAP
        page.picture(right, top, to_pixels(ramp[0]))
        for value, down in ((self._peak, top + 4), (0.0, top + height - 4)):
            page.text(right + _STRIP_WIDTH + 4, line_top(down), [number(value)])
