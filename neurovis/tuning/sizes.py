"""Size tuning: the size of stimulus that a unit prefers, and its response to larger ones."""

from __future__ import annotations

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
from neurovis.tuning.stimuli import Modulation, Variation, VariedGratings, default_extents
from neurovis.tuning.units import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
            by default :func:`~neurovis.tuning.stimuli.default_extents`.
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
    curves = _curves(
        units,
        orientation.detach().cpu().double(),
        spatial_frequency.detach().cpu().double(),
        [Variation(contrast, diameter) for diameter in sizes.tolist()],
        phases,
        modulation,
        batch_size,
        rectify,
    )
    return SizeTuning(
        layer=layer,
        kernels=units.kernels,
        diameters=sizes.float(),
        responses=curves.float(),
        suppression=surround_suppression(curves).float(),
        preferred_size=preferred_size(curves, sizes).float(),
    )


def _curves(
    units: Units,
    orientation: Tensor,
    spatial_frequency: Tensor,
    variations: Sequence[Variation],
    phases: int,
    modulation: Modulation | None,
    batch_size: int,
    rectify: bool,
) -> Tensor:
    """Responses without phase ``(K, V)``, each kernel's to its own grating if it has one."""
    has_one = (orientation.isfinite() & spatial_frequency.isfinite()).nonzero().flatten()
    stimuli = VariedGratings(
        units.spec,
        orientation[has_one],
        spatial_frequency[has_one],
        variations,
        phases,
        modulation,
        units.place,
    )
    shape = len(units.kernels), len(variations), phases
    with undisturbed(units.network), torch.no_grad():
        table = torch.full(shape, torch.nan, dtype=torch.float64)
        for numbers in torch.arange(len(stimuli)).split(batch_size):
            responses = units(stimuli.images(numbers)).to(table)
            grating, variation, phase = torch.unravel_index(numbers, stimuli.shape)
            kernel = has_one[grating]
            own = responses.gather(1, kernel[:, None]).squeeze(1)
            table[kernel, variation, phase] = own
        blank = units(torch.full((1, *units.spec.shape), 0.5))[0].to(table)
    if rectify:
        table, blank = table.relu(), blank.relu()
    return without_phase(table, blank, rectify or units.is_rectified)


def _checked_diameters(diameters: Sequence[float] | Tensor | None, spec: InputSpec) -> Tensor:
    if diameters is None:
        return torch.tensor(default_extents(spec), dtype=torch.float64)
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
