"""Map the receptive fields of the first kernels of rankings, and the sizes that they prefer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from neurovis.analysis.grating_preferences import PreferredGratings, preferred_gratings
from neurovis.result import Result
from neurovis.tuning.fields import field_width
from neurovis.tuning.receptive_field_maps import ReceptiveFieldMaps, map_receptive_fields
from neurovis.tuning.results import Rankings
from neurovis.tuning.sizes import SizeTuning, size_tuning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BOX = ("top", "left", "bottom", "right")


@dataclass(frozen=True, repr=False)
class RankedFields(Result):
    """Receptive fields and preferred sizes of the first ``N`` kernels of a layer.

    Attributes:
        gratings: The gratings that they prefer.
        maps: Their receptive fields.
        sizes: Their responses to gratings of growing size; None for layers without maps.
    """

    TABLE: ClassVar[str] = "receptive_fields.csv"
    DESCRIPTIONS: ClassVar[dict[str, str]] = {
        "receptive_fields": "**What the first kernels of the ranking see**: where in the image a "
        "pixel changes the central unit. Sizes are in pixels of the network's input.",
        "size_tuning": "**How large a grating the first kernels of the ranking want**: response "
        "over its diameter in pixels of the network's input. Where the curve falls again, the "
        "surround suppresses.",
    }

    gratings: PreferredGratings
    maps: ReceptiveFieldMaps
    sizes: SizeTuning | None

    @property
    def width(self) -> Tensor:
        """``(N, 2)``, down and across, in pixels: what holds 95 % of the effective field."""
        return field_width(self.maps.effective)

    def figures(self) -> dict[str, Figure]:
        """Draw the fields, and the tuning to size if there is any; figures by their names."""
        figures = {"receptive_fields": self.maps.figure()}
        return figures if self.sizes is None else {**figures, "size_tuning": self.sizes.figure()}

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

    def _summary(self) -> str:
        return "; ".join(one._summary() for one in (self.maps, self.sizes) if one is not None)

    def _pictures(self) -> Iterable[Figure]:
        return self.figures().values()


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
