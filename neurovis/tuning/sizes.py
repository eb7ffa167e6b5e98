"""Size tuning: the size of stimulus that a unit prefers, and its response to larger ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.recording import undisturbed
from neurovis.result import Result, first_of
from neurovis.tuning.checks import check_batch_size
from neurovis.tuning.grating_responses import without_phase
from neurovis.tuning.selectivity import preferred_size, surround_suppression
from neurovis.tuning.stimuli import Modulation, render_gratings, uniform_modulation
from neurovis.tuning.units import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: With less there is no grating left in the window.
_SMALLEST_DIAMETER = 3.0
_FEWEST_PHASES = 3


@dataclass(frozen=True, repr=False)
class SizeTuning(Result):
    """Responses of ``K`` kernels to their preferred gratings, seen through growing windows.

    Attributes:
        layer: The layer's name.
        kernels: The kernels' numbers.
        diameters: ``(D,)``, increasing, in pixels of the input.
        responses: ``(K, D)``, non-negative; NaN for kernels without a preferred grating.
        suppression: ``(K,)``, how much of the strongest response the largest diameter takes away:
            0 none, 1 all; see :func:`~neurovis.tuning.selectivity.surround_suppression`.
        preferred_size: ``(K,)``, the smallest diameter with 95 % of the strongest response.
    """

    layer: str
    kernels: Sequence[int]
    diameters: Tensor
    responses: Tensor
    suppression: Tensor
    preferred_size: Tensor

    def figure(self) -> Figure:
        """Each kernel's responses over diameters, its preferred size marked."""
        from neurovis.figures import size_tuning_figure

        return size_tuning_figure(
            self.diameters,
            self.responses,
            [f"kernel {kernel}" for kernel in self.kernels],
            f"Size tuning of {self.layer}",
            suppression=self.suppression,
            preferred=self.preferred_size,
        )

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each kernel; NaN is undefined."""
        for place, kernel in enumerate(self.kernels):
            yield {
                "layer": self.layer,
                "kernel": kernel,
                "preferred_size": self.preferred_size[place].item(),
                "surround_suppression": self.suppression[place].item(),
            }

    def _summary(self) -> str:
        sizes = [
            f"kernel {kernel} {size:.3g} px"
            for kernel, size in zip(self.kernels, self.preferred_size.tolist(), strict=True)
        ]
        return f"{len(self.kernels)} kernels of {self.layer}, preferred size: {first_of(sizes)}"

    def _pictures(self) -> Iterator[Figure]:
        yield self.figure()


def default_diameters(spec: InputSpec) -> Tensor:
    """Diameters in half-octave steps, from at least 3 pixels to the image's smaller side.

    Raises:
        ValueError: If the image is too small for two.
    """
    largest = min(spec.size)
    count = int(2 * math.log2(largest / _SMALLEST_DIAMETER) + 1e-9) + 1
    if count < 2:
        raise ValueError(
            f"images of size {spec.size} are too small for gratings of different diameters"
        )
    return largest * 2 ** (-torch.arange(count - 1, -1, -1) / 2)


def size_tuning(
    model: nn.Module,
    layer: str,
    kernels: KernelSelection,
    orientation: Tensor,
    spatial_frequency: Tensor,
    input_spec: InputSpec,
    *,
    diameters: Sequence[float] | Tensor | None = None,
    phases: int = 8,
    contrast: float = 1.0,
    modulation: Modulation | None = None,
    rectify: bool = False,
    unit: tuple[int, ...] | None = None,
    batch_size: int = 64,
) -> SizeTuning:
    """Show each kernel its own preferred grating in round windows on its unit's receptive field.

    As Cavanaugh, Bair, Movshon (2002), "Nature and interaction of signals from the receptive field
    center and surround in macaque V1 neurons". Responses are what modulates with the grating's
    phase, or, behind a ReLU, their mean over phases above that to a blank, 0 where it is below.
    Suppression says little where the receptive field is about as large as the image, which then has
    no room for a surround. The network is left exactly as it was found.

    Args:
        model: The network, on any device.
        layer: Dotted name of a layer with maps.
        kernels: Which kernels: ``"all"``, ``"0-15,20"`` or numbers.
        orientation: ``(K,)``, of the bars, in degrees, one for each of the kernels in their order.
            NaN for a kernel that has none: its results are NaN.
        spatial_frequency: ``(K,)``, in cycles per pixel, at most 0.35; or NaN as above.
        input_spec: What the network is shown.
        diameters: Increasing, in pixels, two or more, none larger than the image's smaller side;
            by default :func:`default_diameters`.
        phases: Number of phases of each grating, at least 3.
        contrast: In (0, 1].
        modulation: Which channels are driven; by default all alike.
        rectify: Pass responses that can be negative through a ReLU first, as where a network
            calls one as a function.
        unit: Row and column in the layer's map; by default the unit in the center.
        batch_size: Images in a forward.

    Returns:
        Diameters ``(D,)`` in pixels, responses ``(K, D)`` in the layer's own unit, and of each
        kernel ``(K,)`` the preferred size and how far larger windows suppress it.

    Raises:
        ValueError: If the network cannot take such images, there is no such layer, kernel or unit,
            the layer has no maps, or an argument is out of its range.
    """
    check_batch_size(batch_size)
    sizes = _checked_diameters(diameters, input_spec)
    if phases < _FEWEST_PHASES:
        raise ValueError(f"phases must be at least {_FEWEST_PHASES}, to tell F1; got {phases}")
    units = Units(model, layer, kernels, input_spec, unit)
    for name, values in (("orientation", orientation), ("spatial_frequency", spatial_frequency)):
        if values.shape != (len(units.kernels),):
            raise ValueError(
                f"{name} must have one value for each of {len(units.kernels)} kernels; "
                f"got shape {tuple(values.shape)}"
            )
    stimuli = _Stimuli(
        input_spec,
        orientation.detach().cpu().double(),
        spatial_frequency.detach().cpu().double(),
        sizes,
        phases,
        contrast,
        modulation or uniform_modulation(input_spec),
        units.place,
    )
    table, blank = _show(units, stimuli, batch_size, rectify)
    curves = without_phase(table, blank, rectify or units.is_rectified)
    return SizeTuning(
        layer=layer,
        kernels=units.kernels,
        diameters=sizes.float(),
        responses=curves.float(),
        suppression=surround_suppression(curves).float(),
        preferred_size=preferred_size(curves, sizes).float(),
    )


@dataclass(frozen=True)
class _Stimuli:
    """The gratings of every kernel that has one, at all diameters and phases."""

    spec: InputSpec
    orientation: Tensor
    spatial_frequency: Tensor
    diameters: Tensor
    phases: int
    contrast: float
    modulation: Modulation
    center: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of kernels, diameters and phases."""
        return len(self.orientation), len(self.diameters), self.phases

    @property
    def numbers(self) -> Tensor:
        """Numbers of the stimuli, which only kernels with a preferred grating have."""
        exists = self.orientation.isfinite() & self.spatial_frequency.isfinite()
        return exists[:, None, None].expand(self.shape).flatten().nonzero().flatten()

    def images(self, numbers: Tensor) -> Tensor:
        kernel, diameter, phase = torch.unravel_index(numbers, self.shape)
        return render_gratings(
            self.spec,
            self.orientation[kernel],
            self.spatial_frequency[kernel],
            phase * (360 / self.phases),
            torch.full((len(numbers),), self.contrast),
            torch.tensor(self.modulation.gains).expand(len(numbers), -1),
            self.diameters[diameter],
            self.center,
        )


def _show(units: Units, stimuli: _Stimuli, batch_size: int, rectify: bool) -> tuple[Tensor, Tensor]:
    """Responses ``(K, D, P)``, each kernel's to its own stimuli, and ``(K,)`` to the blank."""
    with undisturbed(units.network), torch.no_grad():
        table = torch.full(stimuli.shape, torch.nan, dtype=torch.float64)
        for numbers in stimuli.numbers.split(batch_size):
            responses = units(stimuli.images(numbers)).to(table)
            kernel = torch.unravel_index(numbers, stimuli.shape)[0]
            table.view(-1)[numbers] = responses.gather(1, kernel[:, None]).squeeze(1)
        blank = units(torch.full((1, *stimuli.spec.shape), 0.5))[0].to(table)
    return (table.relu(), blank.relu()) if rectify else (table, blank)


def _checked_diameters(diameters: Sequence[float] | Tensor | None, spec: InputSpec) -> Tensor:
    if diameters is None:
        return default_diameters(spec).double()
    on_host = diameters.cpu() if isinstance(diameters, Tensor) else diameters
    sizes = torch.as_tensor(on_host, dtype=torch.float64)
    largest = min(spec.size)
    if sizes.ndim != 1 or len(sizes) < 2 or not (sizes[1:] > sizes[:-1]).all():
        raise ValueError(f"diameters must be two or more increasing numbers; got {sizes.tolist()}")
    if sizes[0] < 1 or sizes[-1] > largest:
        raise ValueError(
            f"diameters must be 1 to {largest} pixels, the image's smaller side: the image's edges "
            f"would cut off larger ones; got {sizes[0]:g} to {sizes[-1]:g}"
        )
    return sizes
