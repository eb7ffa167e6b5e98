"""The ascent itself, as functions over tensors: used by the LightningModules and by monitors.

An image goes through random views, the input's normalization and the network, which stops at the
layer; the number that is climbed comes back, and the penalties are taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointError

from neurovis.inputs import InputSpec, network_inputs
from neurovis.layer_table import kernel_axes
from neurovis.maximization.objectives import (
    Target,
    joint_values,
    member_values,
    wanted_members,
)
from neurovis.maximization.regularizers import lp_contrast, total_variation
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.views import look
from neurovis.maximization.waking import WakingRectifiers
from neurovis.readouts import Readout
from neurovis.recording import Recorder

#: Far below any gradient: at Adam's default of 1e-8 the images of layers with faint gradients
#: (1e-9 per spatial frequency is common) would hardly move.
_ADAM_EPS = 1e-15


def image_optimizer(parameters: Iterable[Tensor], lr: float) -> torch.optim.Adam:
    """Adam over the parameters of images."""
    return torch.optim.Adam(parameters, lr=lr, eps=_ADAM_EPS)


class LayerResponse:
    """From images in [0, 1] to the activation of one layer, kernels second.

    Args:
        network: Frozen and in eval mode.
        layer: Dotted name of a layer whose output has kernels.
        spec: How images become the network's input.
        kernel_axis: The dimension of the layer's output that counts its kernels, where it is
            known; finding it may take a traced forward.

    Raises:
        ValueError: If there is no such layer, or nothing tells which dimension counts its kernels.
    """

    def __init__(
        self, network: nn.Module, layer: str, spec: InputSpec, kernel_axis: int | None = None
    ) -> None:
        self.network = network
        self.layer = layer
        self.spec = spec
        self._recorder = Recorder(network, layer)
        if kernel_axis is None:
            kernel_axis = kernel_axes(network, [layer], spec.example())[layer]
        self.kernel_axis = kernel_axis

    def to(self, device: torch.device) -> None:
        """Move the network to a device."""
        self.network.to(device)

    def inputs(self, images: Tensor) -> Tensor:
        """Images in [0, 1] in the network's space, type and device."""
        return network_inputs(self.network, self.spec, images)

    def __call__(self, images: Tensor) -> Tensor:
        """Activation ``(B, K, ...)`` of images ``(B, C, H, W)`` in [0, 1]."""
        activation = self._recorder.record(self.inputs(images))[self.layer]
        if activation.ndim < 2:
            raise ValueError(
                f'layer "{self.layer}" has no kernels: its output has shape '
                f"{tuple(activation.shape)} for a batch of {len(images)}"
            )
        return activation.movedim(self.kernel_axis, 1)


def count_kernels(response: LayerResponse) -> int:
    """Number of kernels of the layer, from a trial on two noise images.

    Raises:
        ValueError: If the network cannot take the images, or the layer's response to them is not
            finite, or does not depend on what it is shown.
    """
    noise = noise_images(response.spec, count=2)
    with torch.no_grad():
        activation = try_response(response, noise)
    if not activation.isfinite().all():
        raise ValueError(f'layer "{response.layer}" gives NaN or infinite values for noise images')
    if torch.equal(activation[0], activation[1]) and not _can_be_woken(response, noise):
        raise ValueError(
            f'layer "{response.layer}" gives the same response to different images: '
            "there is nothing to maximize"
        )
    return activation.shape[1]


def try_response(response: LayerResponse, images: Tensor) -> Tensor:
    """The activation ``(B, K, ...)`` of some images, the first that the network is shown.

    Raises:
        ValueError: If the network cannot take them.
    """
    spec = response.spec
    try:
        return response(images)
    except TypeError as error:
        raise ValueError(
            f"{type(response.network).__name__} cannot be called with images alone: "
            f"{str(error).splitlines()[0]}; wrap it in a module that can"
        ) from error
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, IndexError) as error:
        parts = ", ".join(f"{m.name} {m.channels}" for m in spec.modalities)
        raise ValueError(
            f"{type(response.network).__name__} cannot take images of shape {spec.shape} "
            f"({parts}): {str(error).splitlines()[0]}; give the input_spec it was made for"
        ) from error


def noise_images(spec: InputSpec, count: int) -> Tensor:
    """The same white noise each time, ``(count, C, H, W)`` in [0, 1], to try a network with."""
    return torch.rand(count, *spec.shape, generator=torch.Generator().manual_seed(0))


def _can_be_woken(response: LayerResponse, images: Tensor) -> bool:
    """Whether a layer that is silent as a whole has a gradient behind its rectifier."""
    images = images.requires_grad_(True)
    with torch.enable_grad(), WakingRectifiers():
        activation = response(images)
        if not activation.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(activation.sum(), images)
    return bool(gradient.any())


def ascent_losses(
    images: Tensor,
    views: Tensor | None,
    response: LayerResponse,
    targets: Sequence[Target],
    settings: AscentSettings,
) -> tuple[Tensor, Tensor]:
    """What a step descends, and what it climbs, for each image.

    Where kernels of a target are silent, the loss has the gradient that wakes them as well (and
    its value then means nothing).

    Args:
        images: ``(B, C, H, W)`` in [0, 1], with gradients.
        views: Affine maps ``(B, 2, 3)`` of :func:`~neurovis.maximization.views.draw_views`, or
            None to show the images as they are.
        response: The layer's response.
        targets: One for each image.
        settings: The readout and the weights of the penalties.

    Returns:
        Losses ``(B,)``, to be summed since the images are independent, and the joint readouts
        ``(B,)`` on these views, detached.
    """
    activation = response(images if views is None else look(images, views))
    members = member_values(activation, targets, settings.readout)
    climbed = joint_values(members, targets)
    losses = -climbed
    # Only a rectifier leaves exact zeros.
    silent = [
        (values.detach() == 0)
        & values.new_tensor(wanted_members(len(values), target.weights), dtype=torch.bool)
        for values, target in zip(members, targets, strict=True)
    ]
    asleep = torch.stack([kernels.any() for kernels in silent])
    if asleep.any():
        waking = waking_gradients(images, views, response, targets, settings.readout, silent)
        losses = losses - (images * waking).flatten(1).sum(1)
    if settings.tv:
        losses = losses + settings.tv * total_variation(images)
    if settings.lp:
        losses = losses + settings.lp * lp_contrast(images, settings.lp_order)
    return losses, climbed.detach()


def waking_gradients(
    images: Tensor,
    views: Tensor | None,
    response: LayerResponse,
    targets: Sequence[Target],
    readout: Readout,
    silent: Sequence[Tensor],
) -> Tensor:
    """The direction for each image that wakes the silent kernels of its target.

    A pass of its own over the images concerned, so that all others, and whatever the network does
    in its backward pass, stay as they are.

    Args:
        images: ``(B, C, H, W)`` in [0, 1].
        views: As in :func:`ascent_losses`.
        response: The layer's response.
        targets: One for each image.
        readout: From activations to ``(B, K)``.
        silent: ``(M,)`` for each image: which of its target's kernels are to be woken.

    Returns:
        ``(B, C, H, W)``, zero for images whose kernels all respond.

    Raises:
        ValueError: If the network uses gradient checkpointing before the layer.
    """
    rows = [row for row, kernels in enumerate(silent) if kernels.any()]
    asleep = images.detach()[rows].requires_grad_(True)
    with torch.enable_grad(), WakingRectifiers():
        activation = response(asleep if views is None else look(asleep, views[rows]))
    members = member_values(activation, [targets[row] for row in rows], readout)
    total = torch.stack(
        [values[silent[row]].mean() for row, values in zip(rows, members, strict=True)]
    ).sum()
    directions = torch.zeros_like(images)
    try:
        (directions[rows],) = torch.autograd.grad(total, asleep)
    except CheckpointError as error:
        # What is computed again in the backward pass meets the plain rectifiers.
        raise ValueError(
            f'kernels of layer "{response.layer}" are silent, and cannot be woken through gradient '
            "checkpointing; switch it off in the network"
        ) from error
    return directions


@dataclass
class Evidence:
    """What an image does to its kernels, on the unmodified network and without random views.

    Attributes:
        activations: ``(M,)`` readout of each of the target's kernels.
        target_map: ``(H', W')`` weight of each position in the readout, its peak at 1.
        resulting_map: ``(H', W')`` response of the target's kernels (joined by their weights).
    """

    activations: Tensor
    target_map: Tensor
    resulting_map: Tensor


def gather_evidence(
    images: Tensor, response: LayerResponse, targets: Sequence[Target], readout: Readout
) -> list[Evidence]:
    """Evidence for each image ``(B, C, H, W)`` in [0, 1], on the CPU in float32.

    Raises:
        ValueError: If a response is not finite.
    """
    with torch.enable_grad():
        activation = response(images.detach()).detach().float().requires_grad_(True)
        members = member_values(activation, targets, readout)
        climbed = joint_values(members, targets)
        (sensitivity,) = torch.autograd.grad(climbed.sum(), activation)
    if not climbed.isfinite().all():
        raise ValueError(f'layer "{response.layer}" gives NaN or infinite values for its images')
    evidence = []
    for index, target in enumerate(targets):
        weight = sensitivity[index, list(target.kernels)].sum(0)
        maps = activation[index].detach()
        result = torch.stack([maps[kernel] for kernel in target.kernels], dim=-1)
        evidence.append(
            Evidence(
                activations=members[index].detach().cpu(),
                target_map=_as_map(weight / weight.abs().max().clamp(min=1e-12)),
                resulting_map=_as_map(_joined_map(result, target)),
            )
        )
    return evidence


def _joined_map(maps: Tensor, target: Target) -> Tensor:
    """Mean of the members' maps ``(..., M)`` over the last dimension, weighted as the target is."""
    if target.weights is None:
        return maps.mean(-1)
    weights = maps.new_tensor(target.weights)
    return (maps * weights).sum(-1) / weights.abs().sum()


def _as_map(values: Tensor) -> Tensor:
    """Any arrangement of positions as a picture ``(H', W')`` on the CPU."""
    values = values.detach().cpu()
    return values if values.ndim == 2 else values.reshape(1, -1)
