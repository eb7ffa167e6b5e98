"""Effective receptive fields: the effect of each pixel on a unit, and the fields' widths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.recording import undisturbed
from neurovis.tuning.checks import check_batch_size
from neurovis.tuning.stimuli import DenseNoise
from neurovis.tuning.units import Units

_GRADIENT_IMAGES = 32


def effective_receptive_field(
    model: nn.Module,
    layer: str,
    kernels: KernelSelection,
    input_spec: InputSpec,
    *,
    images: Tensor | None = None,
    unit: tuple[int, ...] | None = None,
    batch_size: int = 16,
) -> Tensor:
    """Compute each pixel's effect on a unit: the mean over images of the absolute gradient.

    Luo, Li, Urtasun, Zemel (2016), "Understanding the effective receptive field in deep
    convolutional neural networks". The theoretical field is only its outline: the effective one is
    about Gaussian, and grows with the square root of the depth. The network is left exactly as it
    was found. Memory is that of one forward of a batch; each kernel takes a backward of its own.

    Args:
        model: The network, on any device.
        layer: Dotted name.
        kernels: Which kernels: ``"all"``, ``"0-15,20"`` or numbers.
        input_spec: What the network is shown.
        images: ``(N, C, H, W)`` in [0, 1]; by default 32 images of dense noise, always the same.
        unit: Row and column in the layer's map; by default the unit in the center.
        batch_size: Images in a forward.

    Returns:
        ``(K, H, W)``, non-negative, float32, on the CPU: response per unit of image value, summed
        over channels. All 0 for a unit behind a ReLU that no image activates.

    Raises:
        ValueError: If the network cannot take such images, there is no such layer, kernel or unit,
            or no gradient reaches the layer.
    """
    check_batch_size(batch_size)
    units = Units(model, layer, kernels, input_spec, unit)
    return mean_gradients(units, images, batch_size)


def mean_gradients(units: Units, images: Tensor | None, batch_size: int) -> Tensor:
    """Compute :func:`effective_receptive_field` for units that are already known."""
    if images is None:
        images = DenseNoise(units.spec, _GRADIENT_IMAGES, seed=0).images(range(_GRADIENT_IMAGES))
    if images.ndim != 4 or len(images) == 0 or images.shape[1:] != units.spec.shape:
        raise ValueError(
            f"images must be (N, C, H, W) of shape {units.spec.shape}, N > 0, as the input spec "
            f"says; got {tuple(images.shape)}"
        )
    with undisturbed(units.network):
        total = torch.zeros(len(units.kernels), *units.spec.size, dtype=torch.float64)
        for batch in images.split(batch_size):
            pixels = batch.detach().clone().requires_grad_()
            responses = units(pixels)
            if not responses.requires_grad:
                raise ValueError(f'no gradient reaches layer "{units.layer}" from the image')
            for row, response in enumerate(responses.sum(0)):
                (gradient,) = torch.autograd.grad(response, pixels, retain_graph=True)
                total[row] += gradient.abs().sum((0, 1)).cpu()
    return (total / len(images)).float()


def gradients_at(units: Units, images: Tensor) -> Tensor:
    """Compute each pixel's effect on the unit that its image is for: the absolute gradient.

    Args:
        units: ``K`` units.
        images: ``(K, C, H, W)`` in [0, 1], one for each unit, such as its preferred image.

    Returns:
        ``(K, H, W)``, as :func:`effective_receptive_field`; all 0 for a unit that its image does
        not activate.

    Raises:
        ValueError: If there is another number of images.
    """
    if len(images) != len(units.kernels):
        raise ValueError(
            f"needs an image for each of {len(units.kernels)} units; got {len(images)}"
        )
    with undisturbed(units.network):
        pixels = images.detach().clone().requires_grad_()
        # No image affects another's response.
        (gradient,) = torch.autograd.grad(units(pixels).diagonal().sum(), pixels)
    return gradient.abs().sum(1).float().cpu()


def field_sigma(fields: Tensor) -> Tensor:
    """Compute the width of fields: the standard deviation of their mass along each axis.

    For a Gaussian field it is the Gaussian's sigma; ``n`` uniform 3x3 convolutions on each other
    have ``sqrt(2n / 3)``.

    Args:
        fields: ``(..., H, W)``, non-negative.

    Returns:
        ``(..., 2)`` in pixels, down and across; NaN for fields that are 0 everywhere.
    """
    sigmas = []
    for profile in _profiles(fields):
        positions = torch.arange(profile.shape[-1], dtype=profile.dtype, device=profile.device)
        mean = (profile * positions).sum(-1, keepdim=True)
        sigmas.append((profile * (positions - mean).square()).sum(-1).sqrt())
    return torch.stack(sigmas, dim=-1).to(fields)


def field_width(fields: Tensor, mass: float = 0.95) -> Tensor:
    """Compute the width of the middle part of fields that holds most of their mass along each axis.

    As much is left out at one end as at the other; a pixel's mass is spread evenly over the
    pixel. In a Gaussian field 95 % of the mass is within 3.92 sigma.

    Args:
        fields: ``(..., H, W)``, non-negative.
        mass: Fraction of the mass, in (0, 1).

    Returns:
        ``(..., 2)`` in pixels, down and across; NaN for fields that are 0 everywhere.

    Raises:
        ValueError: If ``mass`` is out of its range.
    """
    if not 0 < mass < 1:
        raise ValueError(f"mass must be between 0 and 1, such as 0.95; got {mass}")
    widths = []
    for profile in _profiles(fields):
        first, last = (_quantile(profile, part) for part in ((1 - mass) / 2, (1 + mass) / 2))
        widths.append(last - first)
    return torch.stack(widths, dim=-1).to(fields)


def _profiles(fields: Tensor) -> tuple[Tensor, Tensor]:
    """The fields' mass down and across, ``(..., H)`` and ``(..., W)``, that sums to 1; or NaN."""
    fields = fields.cpu().double()
    mass = fields / fields.sum((-2, -1), keepdim=True)
    return mass.sum(-1), mass.sum(-2)


def _quantile(profile: Tensor, part: float) -> Tensor:
    """Return the pixels from a profile's edge before which ``part`` of its mass lies."""
    before = profile.cumsum(-1)
    index = (before < part).sum(-1, keepdim=True).clamp(max=profile.shape[-1] - 1)
    inside = profile.gather(-1, index)
    return (index + 1 - (before.gather(-1, index) - part) / inside).squeeze(-1)
