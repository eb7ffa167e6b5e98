"""Ascents that are continued a few steps at a time, on a network that changes in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from neurovis.kernels import KernelSelection, select_kernels
from neurovis.maximization.ascent import default_views
from neurovis.maximization.checks import check_pictures, has_gradient
from neurovis.maximization.gain_noise import chosen_gain_noise
from neurovis.maximization.jobs import Job
from neurovis.maximization.layer_ascent import ImageState, LayerAscent
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.objectives import Objective, Target, member_values
from neurovis.maximization.optimized_region import OptimizedRegion
from neurovis.maximization.preferred_image import stayed_silent
from neurovis.maximization.prepared_layer import PreparedLayer
from neurovis.maximization.settings import AscentSettings

#: Number of kernels that images are made for where none are asked for.
FIRST_KERNELS = 8


@dataclass(frozen=True)
class AscentState:
    """State of ascents between two times that they are continued.

    It is on the CPU and does not refer to the network, so that it can be pickled, and takes no
    memory from the device that is used for training.

    Attributes:
        steps: Number of ascent steps made so far.
        images: The images that are under way.
    """

    steps: int = 0
    images: Mapping[Job, ImageState] = field(default_factory=dict)


@dataclass(frozen=True)
class AscentSnapshot:
    """Images and activations that some ascents have reached, on the CPU.

    Attributes:
        images: ``(N, C, H, W)`` in [0, 1].
        activations: ``(N,)`` each kernel's readout of its image, without random views.
        noise_activations: ``(N,)`` the same of its noise image, on the network as it is now.
        restarted: ``(N,)`` whether the ascent ran into NaN or infinity: what is shown is its start.
    """

    images: Tensor
    activations: Tensor
    noise_activations: Tensor
    restarted: Tensor

    @property
    def valid(self) -> Tensor:
        """``(N,)`` whether the numbers are finite, and say something of an ascent."""
        finite = self.activations.isfinite() & self.noise_activations.isfinite()
        return finite & ~self.restarted

    @property
    def dead(self) -> Tensor:
        """``(N,)`` whether a kernel stayed silent: zero, or unmoved from what noise gave it."""
        return stayed_silent(self.activations, self.noise_activations) & self.valid


def continue_ascents(
    state: AscentState,
    kernels: Sequence[int],
    response: LayerResponse,
    settings: AscentSettings,
    device: torch.device,
) -> tuple[AscentState, AscentSnapshot]:
    """Make ``settings.most_steps`` more steps; kernels that are not under way start.

    On a network that stays as it is, ``n`` times as many steps make the images of one ascent of
    their number, whatever ``settings.batch_size`` is; None is 8. An image whose
    parameters come out as NaN or infinite starts again. All steps are made, whole images are
    optimized, and the network runs as it is: ``patience``, ``crop``, ``precision`` and ``leak``
    have no effect.

    Args:
        state: The state that was returned the last time; at first ``AscentState()``.
        kernels: 0-based.
        response: Response of the layer, in the network as it is now.
        settings: How the ascent is done; ``steps`` are those of each time.
        device: Device of the network.

    Returns:
        The state to continue from, of these kernels, and what the ascents have reached.
    """
    region = OptimizedRegion(response.spec, settings)
    transforms = default_views(settings, response)
    objective = settings.resolved_objective.prepared(response)
    gain_noise = chosen_gain_noise(response, settings, device)
    layer = PreparedLayer(response, response, objective, region, transforms, gain_noise=gain_noise)
    jobs = [
        Job(kernel, response.layer, Target((kernel,)), f"kernel {kernel}") for kernel in kernels
    ]
    images: dict[Job, ImageState] = {}
    parts: list[tuple[Tensor, ...]] = []
    for first in range(0, len(jobs), settings.images_at_once):
        part = jobs[first : first + settings.images_at_once]
        ascent = LayerAscent(layer, part, len(part), settings, device, state.images)
        for _ in range(settings.most_steps):
            losses = ascent.compute_step().losses
            (gradients,) = torch.autograd.grad(losses.sum(), ascent.images.values)
            ascent.update(gradients)
        restarted = torch.tensor(ascent.restart_broken())
        images |= ascent.state()
        candidates = ascent.candidates(range(len(part)))
        own = [job.target.kernels[0] for job in part]
        reached = image_readouts(candidates, own * 3, response, objective, len(candidates))
        best = ascent.better(candidates, reached)
        parts.append((candidates[best].cpu(), reached[best], reached.chunk(3)[2], restarted))
    snapshot = AscentSnapshot(*map(torch.cat, zip(*parts, strict=True)))
    return AscentState(state.steps + settings.most_steps, images), snapshot


@torch.no_grad()
def image_readouts(
    images: Tensor,
    kernels: Sequence[int],
    response: LayerResponse,
    objective: Objective,
    batch_size: int,
) -> Tensor:
    """Return each kernel's readout of its own image, ``(B,)`` on the CPU; it need not be finite.

    Args:
        images: ``(B, C, H, W)`` in [0, 1], shown as they are.
        kernels: One for each image, 0-based.
        response: Response of the layer.
        objective: What is read from it, prepared for the layer.
        batch_size: How many the network is shown at once; it sets memory, not results.
    """
    targets = [Target((kernel,)) for kernel in kernels]
    values: list[Tensor] = []
    for first in range(0, len(images), batch_size):
        part = slice(first, first + batch_size)
        values += member_values(response(images[part]), targets[part], objective)
    return torch.cat(values).cpu()


def usable_kernels(
    response: LayerResponse, selection: KernelSelection | None, settings: AscentSettings
) -> list[int]:
    """Return the kernels that a selection names, if their responses to images can be maximized.

    The values do not matter: a layer may be silent, constant or infinite at one time, and not so
    after some more training.

    Args:
        response: Response of the layer, in the network as it is now.
        selection: See :func:`~neurovis.kernels.select_kernels`; None for the first eight.
        settings: How the ascent is to be done.

    Raises:
        ValueError: If the network cannot take the images, a kernel is out of range, the readout
            returns another shape, no gradient comes back to the images, the image to start from is
            not of the spec's shape, or several variants of an image are asked for.
    """
    images = noise_images(response.spec, count=2).requires_grad_(True)
    activation = response.checked(images)
    objective = settings.resolved_objective.prepared(response)
    count = objective(activation.float()).shape[1]
    if selection is None:
        selection = range(min(FIRST_KERNELS, count))
    kernels = select_kernels(selection, count, response.layer)
    values, _ = member_values(activation, [Target(tuple(kernels))] * 2, objective)
    if not has_gradient(values, images):
        raise ValueError(
            f'no gradient comes from layer "{response.layer}" to the images: something on the way '
            "(torch.no_grad, .detach(), an objective that is none of torch's) cuts it off"
        )
    if settings.variants != 1:
        raise ValueError(
            f"variants={settings.variants}: several images of one kernel are made by "
            "ActivationMaximization, not during a training"
        )
    check_pictures(settings, response.spec)
    return kernels
