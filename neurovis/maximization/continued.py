"""An ascent that is continued a few steps at a time, on a network that changes in between.

The state that is kept from one time to the next is on the CPU and does not refer to the network, so
that it can be pickled, and takes no memory from the device that is used for training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.maximization.ascent import Views, ascent_losses, default_views
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.objectives import (
    Objective,
    Target,
    TargetBatch,
    as_objective,
    member_values,
)
from neurovis.maximization.optimizer import Moments, adam_step
from neurovis.maximization.parametrizations import ImageParameters
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.transforms import draw_transforms

#: Number of kernels that images are made for where none are asked for.
FIRST_KERNELS = 8


@dataclass(frozen=True)
class AscentSnapshot:
    """ImageParameters and activations that some ascents have reached, on the CPU.

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
        silent = (self.activations == 0) | (self.activations == self.noise_activations)
        return silent & self.valid


class ContinuedAscent:
    """Ascents on some kernels' preferred images that continue from where they were left.

    On a network that stays as it is, ``n`` times ``settings.steps`` steps make the images of one
    ascent of as many steps, whatever ``settings.batch_size`` is; None is 8. All steps are made,
    whole images are optimized, and the network runs as it is: ``patience``, ``crop``, ``precision``
    and ``leak`` are not looked at.

    Args:
        kernels: 0-based.
        spec: Modalities and size of the images.
        settings: How the ascent is done; ``steps`` are those of each time.

    Attributes:
        steps: Number of ascent steps made so far.

    Raises:
        ValueError: If the image to start from is not of the spec's shape, or several variants of
            an image are asked for.
    """

    def __init__(self, kernels: Sequence[int], spec: InputSpec, settings: AscentSettings) -> None:
        if settings.variants != 1:
            raise ValueError(
                f"variants={settings.variants}: several images of one kernel are made by "
                "ActivationMaximization, not during a training"
            )
        self.kernels = list(kernels)
        self.spec = spec
        self.settings = settings
        self.steps = 0
        self._constraints = settings.constraints.prepared(spec)
        self._values = self._start(range(len(kernels)))
        self._moments = Moments.none(self._values)
        noise = self._parametrized(len(kernels))
        self._fill_with_noise(noise, self.kernels)
        with torch.no_grad():
            self._noise = self._constraints(noise(), spec)

    def of(self, kernels: Sequence[int]) -> ContinuedAscent:
        """Return the ascents of these kernels: those under way are continued, the others start.

        Args:
            kernels: 0-based.
        """
        other = ContinuedAscent(kernels, self.spec, self.settings)
        other.steps = self.steps
        known = [slot for slot, kernel in enumerate(other.kernels) if kernel in self.kernels]
        own = [self.kernels.index(other.kernels[slot]) for slot in known]
        other._values[known] = self._values[own]
        other._moments.put(known, self._moments.of(own))
        return other

    def climb(self, response: LayerResponse, device: torch.device) -> AscentSnapshot:
        """Make ``settings.steps`` more steps.

        An image whose parameters come out as NaN or infinite starts again. If an exception ends
        the ascent, everything stays where it was.

        Args:
            response: Response of the layer, in the network as it is now.
            device: Where it is.
        """
        objective = self.settings.resolved_objective.prepared(response)
        transforms = default_views(self.settings, response)
        steps = self.steps + self.settings.steps
        keys = [(kernel, 0) for kernel in self.kernels]
        drawn = draw_transforms(transforms, self.spec.size, self.settings.seed, keys, steps)
        values, moments = self._values.clone(), self._moments.of(range(len(self.kernels)))
        parts = []
        size = self.settings.images_at_once
        for first in range(0, len(self.kernels), size):
            slots = list(range(len(self.kernels)))[first : first + size]
            own = [
                Views(transforms, [values[step, slots] for values in drawn])
                for step in range(self.steps, steps)
            ]
            parts.append(
                self._climb_batch(slots, own, response, objective, device, values, moments)
            )
        self._values, self._moments, self.steps = values, moments, steps
        return AscentSnapshot(
            images=torch.cat([part.images for part in parts]),
            activations=torch.cat([part.activations for part in parts]),
            noise_activations=torch.cat([part.noise_activations for part in parts]),
            restarted=torch.cat([part.restarted for part in parts]),
        )

    def _climb_batch(
        self,
        slots: list[int],
        views: list[Views],
        response: LayerResponse,
        objective: Objective,
        device: torch.device,
        values: Tensor,
        moments: Moments,
    ) -> AscentSnapshot:
        """Update the values and moments of some images, and return the images they have reached."""
        targets = [Target((self.kernels[slot],)) for slot in slots]
        images = self._parametrized(len(slots)).to(device)
        with torch.no_grad():
            images.values.copy_(values[slots])
        own = moments.of(slots).to(device)
        self._ascend(images, own, views, response, TargetBatch(targets, device), objective)
        restarted = ~(images.values.detach().flatten(1).isfinite().all(1) & own.finite).cpu()
        again = restarted.nonzero().flatten().tolist()
        if again:
            own.forget(again)
            with torch.no_grad():
                images.values[again] = self._start([slots[row] for row in again]).to(device)
        with torch.no_grad():
            averaged, last = (
                self._constraints(images.of(of_values), self.spec)
                for of_values in (own.averaged(images.values), images.values)
            )
        every = torch.cat([averaged, last, self._noise[slots].to(last)])
        of_averaged, of_last, of_noise = read_out(every, response, targets * 3, objective).chunk(3)
        # Early in an ascent averages lag behind.
        is_last = of_last > of_averaged
        shown = torch.where(is_last.to(last.device)[:, None, None, None], last, averaged)
        reached = torch.where(is_last, of_last, of_averaged)
        values[slots] = images.values.detach().cpu()
        moments.put(slots, own.to(torch.device("cpu")))
        return AscentSnapshot(shown.cpu(), reached, of_noise, restarted)

    def _ascend(
        self,
        images: ImageParameters,
        moments: Moments,
        views: Sequence[Views],
        response: LayerResponse,
        targets: TargetBatch,
        objective: Objective,
    ) -> None:
        """Make steps from where Adam was left, changing the images' parameters in place.

        Args:
            images: On the network's device.
            moments: What Adam remembers of them.
            views: How they are shown at each step.
            response: Response of the layer.
            targets: One for each image.
            objective: What is read from the layer.
        """
        for shown in views:
            climb = ascent_losses(
                self._constraints(images(), self.spec),
                shown,
                response,
                targets,
                objective,
                self.settings,
            )
            (gradients,) = torch.autograd.grad(climb.losses.sum(), images.values)
            lr = self.settings.learning_rate
            adam_step(images.values, gradients, moments, lr)

    def _parametrized(self, count: int) -> ImageParameters:
        return self.settings.image_parameters.images(count, self.spec)

    def _start(self, slots: Sequence[int]) -> Tensor:
        """Parameters ``(len(slots), ...)`` at the start of an ascent."""
        init = self.settings.init
        images = self._parametrized(len(slots))
        if isinstance(init, Tensor):
            images.start_from_image(init)
        elif init == "noise":
            self._fill_with_noise(images, [self.kernels[slot] for slot in slots])
        else:
            images.start_from_gray()
        return images.values.detach()

    def _fill_with_noise(self, images: ImageParameters, kernels: Sequence[int]) -> None:
        images.start_from_noise(
            [image_generator(self.settings.seed, kernel, Stream.START) for kernel in kernels]
        )


@torch.no_grad()
def read_out(
    images: Tensor, response: LayerResponse, targets: Sequence[Target], objective: Objective
) -> Tensor:
    """The readouts ``(B,)`` of the targets' kernels, on the CPU; they need not be finite.

    Args:
        images: ``(B, C, H, W)`` in [0, 1], shown as they are.
        response: Response of the layer.
        targets: One for each image, of one kernel.
        objective: What is read from the layer.
    """
    return torch.cat(member_values(response(images), targets, objective)).cpu()


def usable_kernels(
    response: LayerResponse,
    selection: KernelSelection | None,
    objective: Objective | Callable[[Tensor], Tensor],
) -> list[int]:
    """Return the kernels that a selection names, if their responses to images can be maximized.

    The values do not matter: a layer may be silent, constant or infinite at one time, and not so
    after some more training.

    Args:
        response: Response of the layer, in the network as it is now.
        selection: See :func:`~neurovis.kernels.select_kernels`; None for the first eight.
        objective: What is to be read from the layer.

    Raises:
        ValueError: If the network cannot take the images, a kernel is out of range, the readout
            returns another shape, or no gradient comes back to the images.
    """
    images = noise_images(response.spec, count=2).requires_grad_(True)
    activation = response.checked(images)
    objective = as_objective(objective).prepared(response)
    count = objective(activation.float()).shape[1]
    if selection is None:
        selection = range(min(FIRST_KERNELS, count))
    kernels = select_kernels(selection, count, response.layer)
    values, _ = member_values(activation, [Target(tuple(kernels))] * 2, objective)
    if not values.requires_grad:
        raise ValueError(
            f'no gradient comes from layer "{response.layer}" to the images: something on the way '
            "(torch.no_grad, .detach(), an objective that is none of torch's) cuts it off"
        )
    return kernels
