"""``neurovis rank --receptive_fields``: what the first kernels see, and how large they want it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from neurovis.cli.counting import counted
from neurovis.cli.preferences import PreferredGratings, RankedNetwork, preferred_gratings
from neurovis.cli.printing import console
from neurovis.cli.rank_results import RankingFiles, number
from neurovis.figures import render
from neurovis.tuning.fields import field_width
from neurovis.tuning.receptive_field_maps import ReceptiveFieldMaps, map_receptive_fields
from neurovis.tuning.results import Rankings
from neurovis.tuning.sizes import SizeTuning, size_tuning

_BOX = ("top", "left", "bottom", "right")
_COLUMNS = (
    *("layer", "kernel", "by", *_BOX, "theoretical_height", "theoretical_width"),
    *("effective_height", "effective_width", "effective_sigma_down", "effective_sigma_across"),
    *("reverse_correlation_reliability", "reverse_correlation_peak_z"),
    *("preferred_size", "surround_suppression"),
)


@dataclass(frozen=True)
class RankedFields:
    """Receptive fields and preferred sizes of the first ``N`` kernels of a layer.

    Attributes:
        gratings: The gratings that they prefer.
        maps: Their receptive fields.
        sizes: Their responses to gratings of growing size; None for layers without maps.
    """

    gratings: PreferredGratings
    maps: ReceptiveFieldMaps
    sizes: SizeTuning | None

    @property
    def width(self) -> Tensor:
        """``(N, 2)``, down and across, in pixels: what holds 95 % of the effective field."""
        return field_width(self.maps.effective)

    def rows(self) -> list[dict[str, object]]:
        """Rows of the table."""
        box = self.maps.box
        unknown = torch.full((len(self.gratings.kernels),), torch.nan)
        numbers = {
            "effective_height": self.width[:, 0],
            "effective_width": self.width[:, 1],
            "effective_sigma_down": self.maps.sigma[:, 0],
            "effective_sigma_across": self.maps.sigma[:, 1],
            "reverse_correlation_reliability": self.maps.reliability,
            "reverse_correlation_peak_z": self.maps.peak_z,
            "preferred_size": unknown if self.sizes is None else self.sizes.preferred_size,
            "surround_suppression": unknown if self.sizes is None else self.sizes.suppression,
        }
        of_layer: dict[str, object] = {
            "layer": self.gratings.ranking.layer,
            "by": self.gratings.ranking.by,
            **dict(zip(_BOX, box or [None] * len(_BOX), strict=True)),
            "theoretical_height": None if box is None else box[2] - box[0],
            "theoretical_width": None if box is None else box[3] - box[1],
        }
        return [
            {
                **of_layer,
                "kernel": kernel,
                **{name: values[place].item() for name, values in numbers.items()},
            }
            for place, kernel in enumerate(self.gratings.kernels)
        ]


def find_fields(
    ranked: RankedNetwork, rankings: Rankings, files: RankingFiles
) -> list[RankedFields]:
    """Map the fields of the first kernels of each layer's first ranking by gratings, and write."""
    first: dict[str, PreferredGratings] = {}
    for gratings in preferred_gratings(rankings, ranked.options.receptive_fields):
        first.setdefault(gratings.ranking.layer, gratings)
    found = []
    with counted("layers mapped", len(first)) as count:
        for gratings in first.values():
            fields = _fields(ranked, gratings)
            tag = f"kernel_ranking/{gratings.ranking.by}/{gratings.ranking.layer}"
            files.save_picture(f"{tag}/receptive_fields", render(fields.maps.figure()))
            if fields.sizes is not None:
                files.save_picture(f"{tag}/size_tuning", render(fields.sizes.figure()))
            found.append(fields)
            count(1)
    files.save_table(
        "receptive_fields.csv", _COLUMNS, [row for fields in found for row in fields.rows()]
    )
    return found


def _fields(ranked: RankedNetwork, gratings: PreferredGratings) -> RankedFields:
    layer, batch_size = gratings.ranking.layer, ranked.options.batch_size
    maps = map_receptive_fields(
        ranked.network, layer, gratings.kernels, ranked.spec, batch_size=batch_size
    )
    sizes = None
    if len(maps.unit) == 2:
        sizes = size_tuning(
            ranked.network,
            layer,
            gratings.kernels,
            gratings.orientation,
            gratings.spatial_frequency,
            ranked.spec,
            phases=ranked.options.phases,
            contrast=ranked.options.contrast,
            rectify=ranked.options.rectify,
            batch_size=batch_size,
        )
    return RankedFields(gratings, maps, sizes)


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
            " x ".join(number(side, "{:.0f}") for side in one.width.nanquantile(0.5, 0).tolist()),
            "-" if sizes is None else number(_median(sizes.preferred_size)),
            "-" if sizes is None else number(100 * _median(sizes.suppression), "{:.0f} %"),
            number(_median(one.maps.reliability), "{:.2f}"),
        )
    output = console()
    output.print(table)
    for note in _notes(found):
        output.print(Text(f"note: {note}"), soft_wrap=True)


def _notes(found: Sequence[RankedFields]) -> Iterator[str]:
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
    return values.nanquantile(0.5).item()
