"""Receptive fields of units: the pixels that could change them, those that do, and how.

Three answers, each for the unit of a kernel at one place: the *theoretical* receptive field, the
box of pixels that can reach it at all; the *effective* one, how much each pixel does; and the map
of *reverse correlation*, which also has signs and channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.receptive_fields import Box, clipped_box
from neurovis.result import Result, first_of
from neurovis.tuning.checks import check_batch_size
from neurovis.tuning.fields import field_sigma, mean_gradients
from neurovis.tuning.noise_maps import correlate
from neurovis.tuning.units import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class ReceptiveFieldMaps(Result):
    """Receptive fields of the units of ``K`` kernels, all at the same place of their maps.

    Attributes:
        layer: The layer's name.
        kernels: The kernels' numbers.
        input_spec: What the network was shown.
        unit: Row and column of the units in the layer's map; ``()`` if it has none.
        box: The theoretical receptive field: top, left, bottom, right in pixels of the input,
            bottom and right exclusive. It may lie beyond the image, where padding is. None where
            it is unknown.
        effective: ``(K, H, W)``, see :func:`~neurovis.tuning.fields.effective_receptive_field`.
        reverse_correlation: ``(K, C, H, W)``, with ``reliability`` and ``peak_z`` ``(K,)`` as
            evidence: see :class:`~neurovis.tuning.noise_maps.ReverseCorrelationMaps`.
    """

    layer: str
    kernels: Sequence[int]
    input_spec: InputSpec
    unit: tuple[int, ...]
    box: Box | None
    effective: Tensor
    reverse_correlation: Tensor
    reliability: Tensor
    peak_z: Tensor

    @property
    def sigma(self) -> Tensor:
        """Standard deviations ``(K, 2)`` of the effective fields, in pixels down and across."""
        return field_sigma(self.effective)

    def figure(self) -> Figure:
        """Heat maps of each kernel's fields around the box of the theoretical one.

        Each modality has one map of reverse correlation: the channels in the combination in which
        they vary most together (their first principal component), such as red minus green.
        """
        from neurovis.figures import receptive_field_figure

        parts = self.input_spec.split(self.reverse_correlation)
        maps = {"effective": self.effective}
        for name, part in parts.items():
            maps[f"reverse correlation, {name}"] = combined_channels(part)
        top, left, bottom, right = self._shown()
        height, width = self.input_spec.size
        title = f"Receptive fields of {self.layer}"
        if self.unit:
            title += f", unit {', '.join(map(str, self.unit))}"
        notes = ["reliability and z: the evidence for the maps of reverse correlation"]
        if (bottom - top, right - left) != (height, width):
            notes.append(
                f"shown: pixels {top} to {bottom - 1} down and {left} to {right - 1} across, of "
                f"{height} x {width}"
            )
        box = self.box and (
            self.box[0] - top,
            self.box[1] - left,
            self.box[2] - top,
            self.box[3] - left,
        )
        return receptive_field_figure(
            {name: part[:, top:bottom, left:right] for name, part in maps.items()},
            [self._label(row) for row in range(len(self.kernels))],
            title,
            signed={name: name != "effective" for name in maps},
            boxes=[box] * len(self.kernels),
            notes=notes,
        )

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each kernel: the evidence for its map of reverse correlation."""
        for place, kernel in enumerate(self.kernels):
            yield {
                "layer": self.layer,
                "kernel": kernel,
                "reliability": self.reliability[place].item(),
                "peak_z": self.peak_z[place].item(),
            }

    def _summary(self) -> str:
        labels = [self._label(row) for row in range(len(self.kernels))]
        return f"{len(self.kernels)} kernels of {self.layer}, box {self.box}: {first_of(labels)}"

    def _pictures(self) -> Iterator[Figure]:
        yield self.figure()

    def _label(self, row: int) -> str:
        reliability, z = float(self.reliability[row]), float(self.peak_z[row])
        evidence = "does not respond" if isnan(z) else f"reliability {reliability:.2f}, z {z:.1f}"
        return f"kernel {self.kernels[row]}: {evidence}"

    def _shown(self) -> Box:
        """The part of the image that is drawn: the box with half of itself around it."""
        size = self.input_spec.size
        return clipped_box(self.box or (0, 0, *size), size, margin=0.5)


def map_receptive_fields(
    model: nn.Module,
    layer: str,
    kernels: KernelSelection,
    input_spec: InputSpec,
    *,
    unit: tuple[int, ...] | None = None,
    images: Tensor | None = None,
    noise: Dataset[tuple[Tensor, int]] | None = None,
    batch_size: int = 64,
) -> ReceptiveFieldMaps:
    """Find what kernels' units see: in theory, by their gradients, and by reverse correlation.

    The network is left exactly as it was found, and may be in the middle of its training.

    Args:
        model: The network, on any device.
        layer: Dotted name.
        kernels: Which kernels: ``"all"``, ``"0-15,20"`` or numbers.
        input_spec: What the network is shown.
        unit: Row and column in the layer's map; by default the unit in the center.
        images: ``(N, C, H, W)`` in [0, 1] for the effective field, see
            :func:`~neurovis.tuning.fields.effective_receptive_field`.
        noise: For reverse correlation, see
            :func:`~neurovis.tuning.noise_maps.reverse_correlation`.
        batch_size: Images in a forward.

    Raises:
        ValueError: If the network cannot take such images, or there is no such layer, kernel or
            unit.
    """
    check_batch_size(batch_size)
    units = Units(model, layer, kernels, input_spec, unit)
    effective = mean_gradients(units, images, batch_size)
    found = correlate(units, noise, batch_size)
    return ReceptiveFieldMaps(
        layer=layer,
        kernels=units.kernels,
        input_spec=input_spec,
        unit=units.unit,
        box=units.box,
        effective=effective,
        reverse_correlation=found.maps,
        reliability=found.reliability,
        peak_z=found.peak_z,
    )


def combined_channels(maps: Tensor) -> Tensor:
    """One plane for maps with channels: the combination in which the channels vary most.

    The projection on the first principal component over channels, about 0. Its sign is such that
    the channel with the largest share counts as it is.

    Args:
        maps: ``(K, C, H, W)``.

    Returns:
        ``(K, H, W)``. A single channel is itself.
    """
    flat = maps.flatten(2)
    directions = torch.linalg.svd(flat @ flat.mT)[0][..., 0]
    strongest = directions.abs().argmax(1, keepdim=True)
    directions = directions * directions.gather(1, strongest).sign()
    return torch.einsum("kc,kchw->khw", directions, maps)
