"""Map the receptive fields of the first kernels of rankings, and the sizes that they prefer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurovis.analysis.preferred_gratings import PreferredGratings, preferred_gratings
from neurovis.result_files import ResultFiles
from neurovis.tables import write_table
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
_FIELDS = (
    "**What the first kernels of the ranking see**: where in the image a pixel changes the central "
    "unit. Sizes are in pixels of the network's input."
)
_SIZES = (
    "**How large a grating the first kernels of the ranking want**: response over its diameter in "
    "pixels of the network's input. Where the curve falls again, the surround suppresses."
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

    def rows(self) -> Iterator[dict[str, object]]:
        """One row of ``receptive_fields.csv`` for each kernel; NaN is undefined."""
        count = len(self.gratings.kernels)
        unknown = torch.full((count,), torch.nan)
        box = torch.tensor(self.maps.box or [torch.nan] * 4).expand(count, 4)
        top, left, bottom, right = box.T
        columns = {
            **dict(zip(_BOX, box.T, strict=True)),
            "theoretical_height": bottom - top,
            "theoretical_width": right - left,
            "effective_height": self.width[:, 0],
            "effective_width": self.width[:, 1],
            "effective_sigma_down": self.maps.sigma[:, 0],
            "effective_sigma_across": self.maps.sigma[:, 1],
            "reverse_correlation_reliability": self.maps.reliability,
            "reverse_correlation_peak_z": self.maps.peak_z,
            "preferred_size": unknown if self.sizes is None else self.sizes.preferred_size,
            "surround_suppression": unknown if self.sizes is None else self.sizes.suppression,
        }
        return self.gratings.rows(columns)


def map_ranked_fields(
    network: nn.Module,
    rankings: Rankings,
    count: int = 8,
    *,
    phases: int = 8,
    contrast: float = 1.0,
    rectify: bool = False,
    batch_size: int = 32,
    on_layer: Callable[[int], object] = lambda _: None,
) -> Iterator[RankedFields]:
    """Map the fields of the first kernels of each layer's first ranking by gratings.

    Args:
        network: The network, on any device; it is left as it was found.
        rankings: Rankings of its kernels; only those by gratings are used.
        count: Maximum number of kernels of each layer.
        phases: Number of phases of the gratings of growing size, at least 3.
        contrast: Contrast of these gratings, in (0, 1].
        rectify: Pass responses that can be negative through a ReLU first.
        batch_size: Images in a forward.
        on_layer: Called with 1 after each layer.

    Yields:
        The fields of a layer, as soon as they are mapped.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    first: dict[str, PreferredGratings] = {}
    for gratings in preferred_gratings(rankings, count):
        first.setdefault(gratings.ranking.layer, gratings)
    for gratings in first.values():
        layer, spec = gratings.ranking.layer, gratings.ranking.spec
        maps = map_receptive_fields(network, layer, gratings.kernels, spec, batch_size=batch_size)
        sizes = None
        if len(maps.unit) == 2:
            sizes = size_tuning(
                network,
                layer,
                gratings.kernels,
                gratings.orientation,
                gratings.spatial_frequency,
                spec,
                phases=phases,
                contrast=contrast,
                rectify=rectify,
                batch_size=batch_size,
            )
        yield RankedFields(gratings, maps, sizes)
        on_layer(1)


def save_fields(fields: Iterable[RankedFields], files: ResultFiles) -> list[RankedFields]:
    """Write the figures of each layer as it comes, and ``receptive_fields.csv`` in the end.

    Args:
        fields: From :func:`map_ranked_fields`.
        files: Folder and loggers to write to.

    Returns:
        The fields.

    Raises:
        OSError: If a file cannot be written.
    """
    saved = []
    for one in fields:
        tag = one.gratings.ranking.tag
        name = "receptive_fields"
        files.save_figure(f"{tag}_{name}", one.maps.figure(), f"{tag}/{name}", 0, _FIELDS)
        if one.sizes is not None:
            name = "size_tuning"
            files.save_figure(f"{tag}_{name}", one.sizes.figure(), f"{tag}/{name}", 0, _SIZES)
        saved.append(one)
    rows = [row for one in saved for row in one.rows()]
    write_table(files.folder / "receptive_fields.csv", rows, _COLUMNS, digits=6)
    return saved
