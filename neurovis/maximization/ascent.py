"""The ascent itself, as functions over tensors: used by the LightningModules and by monitors.

An image goes through random views, the input's normalization and the network, which stops at the
layer. The objective is read from the layer's activation, and the penalties are subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from neurovis.arithmetic import exact_float32
from neurovis.first_forward import checked_forward
from neurovis.maximization.gain_noise import GainNoise
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.objectives import (
    Objective,
    Target,
    TargetBatch,
    diversity_penalty,
)
from neurovis.maximization.regularizers import variation_across
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.silent_units import WakingRectifiers
from neurovis.maximization.transforms import Transform, apply_transforms, draw_transforms
from neurovis.readouts import as_maps
from neurovis.transfer import sent


def default_views(settings: AscentSettings, response: LayerResponse) -> list[Transform]:
    """Return the transforms of whole images, with a border where network and objective allow it."""
    spec = response.spec
    views = settings.views(spec, border=settings.resolved_objective.fits_any_size)
    size = spec.size
    for transform in views:
        size = transform.output_size(size)
    if size == spec.size:
        return views
    try:
        with torch.no_grad():
            larger = response(noise_images(spec.resized(size), count=1))
    except Exception:  # What a network raises that is made for one size may be anything.
        return settings.views(spec)
    return views if larger.isfinite().all() else settings.views(spec)


@torch.no_grad()
def try_views(response: LayerResponse, settings: AscentSettings) -> None:
    """Show the network noise images under custom transforms.

    Raises:
        ValueError: If one fails, or the network cannot take the images that they return.
    """
    size = response.spec.size
    transforms = settings.views(response.spec)
    drawn = draw_transforms(transforms, size, settings.seed, [(0, 0), (1, 0)], steps=1)
    images = noise_images(response.spec, count=2)
    shown = apply_transforms(images, transforms, [own[0] for own in drawn])
    if shown.shape == images.shape:
        return
    shape = tuple(shown.shape[1:])
    remedy = f"the transforms make {shape} of images {response.spec.shape}: give others"
    with checked_forward(response.network, response.spec.resized((shape[1], shape[2])), remedy):
        response(shown)


@dataclass(frozen=True)
class Views:
    """Transforms that images are shown under at one step, with what was drawn for them.

    Attributes:
        transforms: In this order.
        drawn: For each of them ``(B, P)``, what was drawn for each image.
        gains: Random gains of the network that they are shown to, with ``(B,)``, those that were
            drawn for each image; None for none.
    """

    transforms: Sequence[Transform]
    drawn: Sequence[Tensor]
    gains: tuple[GainNoise, Tensor] | None = None

    def of(self, images: Tensor, rows: Sequence[int] | None = None) -> Tensor:
        """Views of the images ``(B, C, H, W)``, or of those that ``images`` has of the batch.

        Args:
            images: In [0, 1].
            rows: Their places in the batch; None for all rows.
        """
        drawn = self.drawn if rows is None else [values[list(rows)] for values in self.drawn]
        return apply_transforms(images, self.transforms, list(drawn))

    def activation(
        self, response: LayerResponse, images: Tensor, rows: Sequence[int] | None = None
    ) -> Tensor:
        """The layer's activation ``(B, K, ...)`` of the views; arguments as in :meth:`of`."""
        if self.gains is None:
            return response(self.of(images, rows))
        noise, places = self.gains
        with noise.applied(places if rows is None else places[list(rows)]):
            return response(self.of(images, rows))


class AscentStep(NamedTuple):
    """A step of some images, ``(B,)`` each.

    Attributes:
        losses: To be summed, since targets are independent; with gradients, on the device.
        objective_values: The joint readouts on the step's views, on the CPU as all that follows.
        gains: What is left of these after the penalties.
        asleep: Whether a rectifier silences what is to be maximized.
        unsure: Whether an image may not keep to its constraints, so that the step is to be redone.
    """

    losses: Tensor
    objective_values: Tensor
    gains: Tensor
    asleep: Tensor
    unsure: Tensor


def _as_they_are(images: Tensor) -> Tensor:
    return images


def ascent_losses(
    images: Tensor,
    views: Views,
    response: LayerResponse,
    targets: TargetBatch,
    objective: Objective,
    settings: AscentSettings,
    whole: Callable[[Tensor], Tensor] = _as_they_are,
    may_wake: Tensor | None = None,
    sure: Sequence[Tensor] = (),
) -> AscentStep:
    """Compute the loss that a step minimizes and the readout that it maximizes, for each image.

    Where kernels of a target are silent, the loss has the gradient that wakes them as well (and
    its value then means nothing).

    Args:
        images: ``(B, C, H, W)`` in [0, 1], with gradients; variants of a target are neighbors.
        views: How they are shown.
        response: The layer's response.
        targets: One for each image.
        objective: What is read from the layer.
        settings: The penalties, and how many variants there are.
        whole: From what is optimized to the images that penalties are of.
        may_wake: ``(B,)`` bool on the CPU, which images' kernels are to be woken if they are
            silent; None for all.
        sure: ``(B,)`` bool each, which images are known to keep to a constraint.

    """
    activation = views.activation(response, images)
    members = targets.members(objective(activation.float()))
    objective_values = targets.joint(members)
    gains = objective_values
    if settings.diversity and settings.variants > 1:
        likeness = diversity_penalty(activation.float(), settings.variants)
        share = settings.diversity / settings.variants
        gains = gains - share * likeness.repeat_interleave(settings.variants)
    for penalty in settings.penalties:
        gains = gains - penalty(whole(images))
    losses = -gains
    if settings.relative_smoothness:
        # In relation to what is reached now, so that it weighs the same in every layer.
        costs = settings.relative_smoothness * variation_across(whole(images))
        losses = losses + gains.detach().abs() * costs
    # All that the host has to know of a step, in one transfer: the only one that it waits for.
    columns = [objective_values, gains, *(one.to(members.dtype) for one in sure)]
    numbers = torch.cat([*(one[:, None] for one in columns), members], dim=1).detach().cpu()
    objective_values, gains, *_ = numbers.unbind(1)
    is_unsure = ~numbers[:, 2 : len(columns)].all(1)
    members = numbers[:, len(columns) :]
    if not objective.silent_at_zero:
        return AscentStep(losses, objective_values, gains, torch.zeros_like(is_unsure), is_unsure)
    # Only a rectifier leaves exact zeros.
    silent = targets.silent(members)
    if may_wake is not None:
        silent = silent & may_wake[:, None]
    if silent.any():
        waking = waking_gradients(images, views, response, targets, objective, silent)
        losses = losses - (images * waking).flatten(1).sum(1)
    return AscentStep(losses, objective_values, gains, targets.asleep(members), is_unsure)


def waking_gradients(
    images: Tensor,
    views: Views,
    response: LayerResponse,
    targets: TargetBatch,
    objective: Objective,
    silent: Tensor,
) -> Tensor:
    """The direction for each image that wakes the silent kernels of its target.

    This is a separate pass over the images concerned, so that all others, and everything that the
    network does in its backward pass, stay as they are.

    Args:
        images: ``(B, C, H, W)`` in [0, 1].
        views: As in :func:`ascent_losses`.
        response: The layer's response.
        targets: One for each image.
        objective: What is read from the layer.
        silent: ``(B, M)`` on the CPU, which of a target's kernels are to be woken.

    Returns:
        ``(B, C, H, W)``, zero for images whose kernels all respond.
    """
    rows: list[int] = silent.any(1).nonzero().flatten().tolist()
    places = sent(torch.tensor(rows), images.device)
    asleep = images.detach()[places].requires_grad_(True)
    with torch.enable_grad(), WakingRectifiers():
        activation = views.activation(response, asleep, rows)
    own = targets.of(rows)
    own_silent = sent(silent[rows], images.device)
    total = own.waking(own.members(objective(activation.float())), own_silent).sum()
    directions = torch.zeros_like(images)
    (directions[places],) = torch.autograd.grad(total, asleep)
    return directions


@dataclass
class AscentEvidence:
    """Responses of an image's kernels, on the unmodified network and without random views.

    Attributes:
        objective_value: Their joint number.
        activations: ``(M,)`` readout of each of the target's kernels.
        target_map: ``(H', W')`` weight of each position in the readout, its peak at 1.
        resulting_map: ``(H', W')`` response of the target's kernels, joined as their readouts are.
    """

    objective_value: float
    activations: Tensor
    target_map: Tensor
    resulting_map: Tensor


@exact_float32()
def gather_evidence(
    images: Tensor, response: LayerResponse, targets: Sequence[Target], objective: Objective
) -> list[AscentEvidence]:
    """Evidence for each image ``(B, C, H, W)`` in [0, 1], on the CPU in float32.

    Raises:
        ValueError: If a response is not finite.
    """
    with torch.enable_grad():
        activation = response(images.detach()).detach().float().requires_grad_(True)
        batch = TargetBatch(targets, activation.device)
        members = batch.members(objective(activation))
        objective_values = batch.joint(members)
        (sensitivity,) = torch.autograd.grad(objective_values.sum(), activation)
    if not objective_values.isfinite().all():
        raise ValueError(_not_finite(images, activation, response, objective))
    maps, values = objective.maps(activation.detach()), objective_values.tolist()
    evidence = []
    for index, target in enumerate(targets):
        # Absolute values, since suppressed kernels would cancel others.
        weight = sensitivity[index].abs().sum(0)
        evidence.append(
            AscentEvidence(
                objective_value=values[index],
                activations=members[index, : len(target.kernels)].detach().cpu(),
                target_map=_as_map(weight / weight.abs().max().clamp(min=1e-12)),
                resulting_map=_as_map(target.join_maps(maps[index, list(target.kernels)])),
            )
        )
    return evidence


def _not_finite(
    images: Tensor, activation: Tensor, response: LayerResponse, objective: Objective
) -> str:
    """Return a message that names the source of non-finite values: layer, objective or ascent."""
    if not images.isfinite().all():
        return (
            f'the ascent of layer "{response.layer}" came to NaN or infinite values: the objective '
            f"{objective}, a penalty or a transform has no finite gradient, or lr is too large"
        )
    if activation.isfinite().all():
        return (
            f"the objective {objective} gives NaN or infinite values for its images, where layer "
            f'"{response.layer}" gives finite ones'
        )
    return f'layer "{response.layer}" gives NaN or infinite values for its images'


def _as_map(values: Tensor) -> Tensor:
    """Any arrangement of positions as a picture ``(H', W')`` on the CPU."""
    values = values.detach().cpu()
    return as_maps("", values[None, None])[0, 0] if values.ndim <= 3 else values.reshape(1, -1)
