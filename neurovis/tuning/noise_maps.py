"""Reverse correlation with white noise: maps of the pixels that vary with a unit's response.

For a linear unit the result is its weights, channel by channel and with their sign, wherever it
stands in the network; for any other, its best linear approximation for that noise.

Source: Marmarelis & Marmarelis (1978), "Analysis of physiological systems"; Ringach & Shapley
(2004), "Reverse correlation in neurophysiology", Cognitive Science 28.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics import Metric
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.receptive_fields import Box
from neurovis.recording import undisturbed
from neurovis.tuning.checks import check_batch_size
from neurovis.tuning.selectivity import spearman_brown
from neurovis.tuning.stimuli import DenseNoise
from neurovis.tuning.units import Units

#: Gray is subtracted from images before anything is summed.
_GRAY = 0.5
#: A variance below this fraction of the mean square is a rounding error.
_VARIANCE_TOLERANCE = 1e-12
_DEFAULT_IMAGES, _CHECKS_ACROSS = 4096, 8


class ReverseCorrelationMaps(NamedTuple):
    """Results of :class:`ReverseCorrelation` for ``K`` kernels.

    Attributes:
        maps: ``(K, *shape)``, the slope of the response on each pixel: response per unit of image
            value. 0 for pixels that never change, and for kernels that respond to nothing.
        reliability: ``(K,)``, how well maps from the even and from the odd stimuli agree: their
            correlation over pixels, stepped up to the whole (Spearman-Brown). At most 1; around 0
            for noise, which may come out far below; NaN for kernels that respond to nothing.
        peak_z: ``(K,)``, the largest absolute correlation of a pixel with the response in units of
            its standard deviation without any relation (Fisher's z). By chance the largest of m
            pixels reaches about ``sqrt(2 ln m)``, 4.4 for 64 x 64 x 4. NaN as above.
    """

    maps: Tensor
    reliability: Tensor
    peak_z: Tensor


class ReverseCorrelation(Metric):
    """Correlates responses with the pixels of the noise that they are to, as both stream.

    Its memory does not grow with the stimuli, and its states are summed across devices.

    Args:
        kernels: ``K``.
        shape: Shape of an image, or of the part that units may see.
        **options: Options of :class:`torchmetrics.Metric`.

    Example:
        >>> noise = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0))
        >>> correlation = ReverseCorrelation(kernels=1, shape=(3,))
        >>> correlation.update(2 * noise[:, :1] - noise[:, 1:2] + 7, noise, torch.arange(1000))
        >>> correlation.compute().maps.round(decimals=1).abs()
        tensor([[2., 1., 0.]], dtype=torch.float64)
    """

    is_differentiable = False
    full_state_update = False

    # The first dimension is that of the two halves: stimuli of even and of odd number.
    count: Tensor
    response: Tensor
    response_squared: Tensor
    pixel: Tensor
    pixel_squared: Tensor
    product: Tensor

    def __init__(self, kernels: int, shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.shape = tuple(shape)
        pixels = math.prod(self.shape)
        for name, sizes in {
            "count": (),
            "response": (kernels,),
            "response_squared": (kernels,),
            "pixel": (pixels,),
            "pixel_squared": (pixels,),
            "product": (kernels, pixels),
        }.items():
            zeros = torch.zeros(2, *sizes, dtype=torch.float64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    @override
    def update(self, responses: Tensor, images: Tensor, shown: Tensor) -> None:
        """Add responses to some stimuli.

        Args:
            responses: ``(B, K)``.
            images: ``(B, *shape)`` in [0, 1].
            shown: ``(B,)``, the stimuli's numbers.
        """
        for half in (0, 1):
            of_half = (shown % 2 == half).to(responses.device)
            response = responses[of_half].to(self.response)
            pixel = images.flatten(1).to(self.pixel)[of_half] - _GRAY
            self.count[half] += len(response)
            self.response[half] += response.sum(0)
            self.response_squared[half] += response.square().sum(0)
            self.pixel[half] += pixel.sum(0)
            self.pixel_squared[half] += pixel.square().sum(0)
            self.product[half] += response.T @ pixel

    @override
    def compute(self) -> ReverseCorrelationMaps:
        """Maps, their reliability and the height of their peaks, float64.

        A result with a single element is a scalar, as in torchmetrics.
        """
        slopes = self._slopes(*self._moments())
        halves = [self._slopes(*self._moments(half)) for half in (0, 1)]
        responds = self._responds()
        reliability = spearman_brown(row_correlations(*halves).clamp(-1, 1))
        covariance, of_responses, of_pixels = self._moments()
        correlation = covariance / (of_responses[:, None] * of_pixels).sqrt()
        peak = (
            correlation.nan_to_num(0.0, 0.0, 0.0).abs().amax(1).clamp(max=1 - _VARIANCE_TOLERANCE)
        )
        peak_z = peak.atanh() * (self.count.sum() - 3).clamp(min=0).sqrt()
        return ReverseCorrelationMaps(
            slopes.where(responds[:, None], 0.0).view(-1, *self.shape),
            reliability.where(responds, math.nan),
            peak_z.where(responds, math.nan),
        )

    def _moments(self, half: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Covariance ``(K, pixels)``, and the variances of responses and of pixels."""

        def mean(name: str) -> Tensor:
            state: Tensor = getattr(self, name)
            if half is None:
                return state.sum(0) / self.count.sum()
            return state[half] / self.count[half]

        response, pixel = mean("response"), mean("pixel")
        covariance = mean("product") - response[:, None] * pixel
        of_responses = mean("response_squared") - response.square()
        of_pixels = mean("pixel_squared") - pixel.square()
        return covariance, of_responses.clamp(min=0), of_pixels.clamp(min=0)

    def _slopes(self, covariance: Tensor, _: Tensor, of_pixels: Tensor) -> Tensor:
        """Response per unit of pixel; 0 for pixels that never changed."""
        changes = of_pixels > _VARIANCE_TOLERANCE
        return torch.where(changes, covariance / of_pixels.where(changes, 1.0), 0.0)

    def _responds(self) -> Tensor:
        """True for kernels that gave different responses to different stimuli, ``(K,)``."""
        _, of_responses, _ = self._moments()
        mean_square = self.response_squared.sum(0) / self.count.sum()
        return of_responses > _VARIANCE_TOLERANCE * mean_square


def reverse_correlation(
    model: nn.Module,
    layer: str,
    kernels: KernelSelection,
    input_spec: InputSpec,
    *,
    noise: Dataset[tuple[Tensor, int]] | None = None,
    unit: tuple[int, ...] | None = None,
    batch_size: int = 64,
) -> ReverseCorrelationMaps:
    """Find what units see by showing them noise.

    Only pixels of the theoretical receptive field are correlated, where that is known; the maps are
    0 elsewhere. The network is left exactly as it was found.

    Args:
        model: The network, on any device.
        layer: Dotted name.
        kernels: Which kernels: ``"all"``, ``"0-15,20"`` or numbers.
        input_spec: What the network is shown.
        noise: A map-style dataset of ``(image (C, H, W) in [0, 1], number)``, white: its pixels
            independent of each other. By default 4096 images of dense noise in checks of an
            eighth of the receptive field, see :func:`default_noise`.
        unit: Row and column in the layer's map; by default the unit in the center.
        batch_size: Images in a forward.

    Returns:
        Maps ``(K, C, H, W)``, float32 and on the CPU, in response per unit of image value, and the
        evidence for them.

    Raises:
        ValueError: If the network cannot take such images, or there is no such layer, kernel or
            unit, or images are of another shape.
    """
    check_batch_size(batch_size)
    units = Units(model, layer, kernels, input_spec, unit)
    return correlate(units, noise, batch_size)


def correlate(
    units: Units, noise: Dataset[tuple[Tensor, int]] | None, batch_size: int
) -> ReverseCorrelationMaps:
    """Compute :func:`reverse_correlation` for units that are already known."""
    spec, box = units.spec, units.clipped_box
    noise = default_noise(units) if noise is None else noise
    top, left, bottom, right = box
    with undisturbed(units.network), torch.no_grad():
        metric = ReverseCorrelation(len(units.kernels), (spec.channels, bottom - top, right - left))
        for images, shown in DataLoader(noise, batch_size):
            if images.shape[1:] != spec.shape:
                raise ValueError(
                    f"noise must have images of shape {spec.shape}, as the input spec says; got "
                    f"{tuple(images.shape[1:])}"
                )
            metric.update(units(images).cpu(), images[..., top:bottom, left:right], shown)
    found = metric.compute()
    # Torchmetrics makes scalars of tensors with one element.
    maps = _placed(found.maps.view(-1, *metric.shape), box, spec.size)
    return ReverseCorrelationMaps(
        maps.float(), found.reliability.view(-1).float(), found.peak_z.view(-1).float()
    )


def default_noise(units: Units) -> DenseNoise:
    """Dense noise for some units: 4096 images, always the same.

    Its checks are an eighth of the receptive field wide, at least a pixel: finer noise averages
    out in a large field, and hardly drives the units.
    """
    top, left, bottom, right = units.clipped_box
    check_size = max(1, min(bottom - top, right - left) // _CHECKS_ACROSS)
    return DenseNoise(units.spec, _DEFAULT_IMAGES, seed=0, check_size=check_size)


def _placed(maps: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Maps of the box in an image that is 0 elsewhere."""
    top, left, bottom, right = box
    return F.pad(maps, (left, size[1] - right, top, size[0] - bottom))


def row_correlations(one: Tensor, two: Tensor) -> Tensor:
    """Pearson's correlation of the rows of ``(K, n)``; NaN where a row does not vary."""
    one, two = one - one.mean(1, keepdim=True), two - two.mean(1, keepdim=True)
    product: Tensor = (one * two).sum(1) / (one.square().sum(1) * two.square().sum(1)).sqrt()
    return product
