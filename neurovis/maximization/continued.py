"""An ascent that is continued a few steps at a time, on a network that changes in between.

What is remembered from one time to the next lives on the CPU and does not refer to the network, so
that it can be pickled, and takes nothing from the device on which somebody trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.maximization.ascent import (
    LayerResponse,
    ascent_losses,
    image_optimizer,
    noise_images,
    try_response,
)
from neurovis.maximization.objectives import Target, member_values
from neurovis.maximization.parametrization import PARAMETRIZATIONS, Images
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.views import draw_views
from neurovis.readouts import Readout

#: How many kernels there are images of where none are asked for.
FIRST_KERNELS = 8

#: What Adam remembers of one image, by name; nothing before its first step.
_Moments = dict[str, Tensor]


@dataclass(frozen=True)
class Climbed:
    """What some ascents have come to, on the CPU.

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
    """The preferred images of some kernels, climbing on from wherever they were left.

    On a network that stays as it is, ``n`` times ``settings.steps`` steps make the images of one
    ascent of as many steps, whatever ``settings.batch_size`` is.

    Args:
        kernels: 0-based.
        spec: Modalities and size of the images.
        settings: How the ascent is done; ``steps`` are those of each time.

    Attributes:
        steps: How many ascent steps were made so far.

    Raises:
        ValueError: If the image to start from is not of the spec's shape.
    """

    def __init__(self, kernels: Sequence[int], spec: InputSpec, settings: AscentSettings) -> None:
        self.kernels = list(kernels)
        self.spec = spec
        self.settings = settings
        self.steps = 0
        self._values = self._start(range(len(kernels)))
        self._moments: list[_Moments] = [{} for _ in kernels]
        noise = self._parametrized(len(kernels))
        self._fill_with_noise(noise, self.kernels)
        with torch.no_grad():
            self._noise: Tensor = noise()

    def of(self, kernels: Sequence[int]) -> ContinuedAscent:
        """The ascents of these kernels: those that are under way go on, the others start.

        Args:
            kernels: 0-based.
        """
        other = ContinuedAscent(kernels, self.spec, self.settings)
        other.steps = self.steps
        for slot, kernel in enumerate(other.kernels):
            if kernel in self.kernels:
                own = self.kernels.index(kernel)
                other._values[slot] = self._values[own]
                other._moments[slot] = self._moments[own]
        return other

    def climb(self, response: LayerResponse, device: torch.device) -> Climbed:
        """Make ``settings.steps`` more steps.

        An image whose parameters come out as NaN or infinite starts again. If an exception ends
        the ascent, everything stays where it was.

        Args:
            response: Of the network as it is now.
            device: Where it is.
        """
        parts = []
        views = self._next_views()
        batch_size = self.settings.batch_size
        for first in range(0, len(self.kernels), batch_size):
            slots = list(range(len(self.kernels)))[first : first + batch_size]
            own_views = None if views is None else views[:, slots].to(device)
            parts.append(self._climb_batch(slots, own_views, response, device))
        self._values = torch.cat([values for values, _, _ in parts])
        self._moments = [own for _, moments, _ in parts for own in moments]
        self.steps += self.settings.steps
        climbed = [part for _, _, part in parts]
        return Climbed(
            images=torch.cat([part.images for part in climbed]),
            activations=torch.cat([part.activations for part in climbed]),
            noise_activations=torch.cat([part.noise_activations for part in climbed]),
            restarted=torch.cat([part.restarted for part in climbed]),
        )

    def _climb_batch(
        self,
        slots: list[int],
        views: Tensor | None,
        response: LayerResponse,
        device: torch.device,
    ) -> tuple[Tensor, list[_Moments], Climbed]:
        """The new parameters and moments of some of the images, and what they have come to."""
        targets = [Target((self.kernels[slot],)) for slot in slots]
        images = self._parametrized(len(slots)).to(device)
        with torch.no_grad():
            images.values.copy_(self._values[slots])
        moments = [self._moments[slot] for slot in slots]
        moments = ascend(images, moments, views, response, targets, self.settings)
        restarted = ~_finite(images.values.detach(), moments)
        for row in restarted.nonzero().flatten().tolist():
            moments[row] = {}
            with torch.no_grad():
                images.values[row : row + 1] = self._start([slots[row]]).to(device)
        with torch.no_grad():
            shown = images()
        both = torch.cat([shown, self._noise[slots].to(shown)])
        reached, of_noise = read_out(both, response, targets * 2, self.settings.readout).chunk(2)
        climbed = Climbed(shown.cpu(), reached, of_noise, restarted)
        return images.values.detach().cpu(), moments, climbed

    def _next_views(self) -> Tensor | None:
        """The maps ``(steps, N, 2, 3)`` of the next steps, a continuation of those before."""
        views = self.settings.views(self.spec)
        if views.is_still:
            return None
        steps = self.steps + self.settings.steps
        drawn = draw_views(self.spec.size, views, self.settings.seed, self.kernels, steps)
        return drawn[self.steps :]

    def _parametrized(self, count: int) -> Images:
        return PARAMETRIZATIONS[self.settings.parametrization](count, self.spec)

    def _start(self, slots: Sequence[int]) -> Tensor:
        """Parameters ``(len(slots), ...)`` at the start of an ascent."""
        init = self.settings.init
        images = self._parametrized(len(slots))
        if isinstance(init, Tensor):
            images.start_from_image(init)
        elif init == "noise":
            self._fill_with_noise(images, [self.kernels[slot] for slot in slots])
        return images.values.detach()

    def _fill_with_noise(self, images: Images, kernels: Sequence[int]) -> None:
        images.start_from_noise(
            [image_generator(self.settings.seed, kernel, Stream.START) for kernel in kernels]
        )


def ascend(
    images: Images,
    moments: Sequence[_Moments],
    views: Tensor | None,
    response: LayerResponse,
    targets: Sequence[Target],
    settings: AscentSettings,
) -> list[_Moments]:
    """Take steps up from where Adam was left, changing the images' parameters.

    Args:
        images: On the network's device.
        moments: What Adam remembers of each image; they are left as they are.
        views: Maps ``(steps, N, 2, 3)``, or None to show the images as they are.
        response: Of the network.
        targets: One for each image.
        settings: Steps, learning rate, readout and penalties.

    Returns:
        What Adam then remembers of each image, on the CPU.
    """
    # One parameter for each image, since some may have made fewer steps than others.
    parameters = list(images.values.detach())
    optimizer = image_optimizer(parameters, settings.lr)
    known = {
        row: {name: value.clone() for name, value in own.items()}
        for row, own in enumerate(moments)
        if own
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": known})
    for step in range(settings.steps):
        losses, _ = ascent_losses(
            images(), None if views is None else views[step], response, targets, settings
        )
        (gradients,) = torch.autograd.grad(losses.sum(), images.values)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
    state = optimizer.state_dict()["state"]
    return [
        {name: value.cpu() for name, value in state[row].items()} for row in range(len(parameters))
    ]


@torch.no_grad()
def read_out(
    images: Tensor, response: LayerResponse, targets: Sequence[Target], readout: Readout
) -> Tensor:
    """The readouts ``(B,)`` of the targets' kernels, on the CPU; they need not be finite.

    Args:
        images: ``(B, C, H, W)`` in [0, 1], shown as they are.
        response: Of the network.
        targets: One for each image, of one kernel.
        readout: From activations to ``(B, K)``.
    """
    return torch.cat(member_values(response(images), targets, readout)).cpu()


def usable_kernels(
    response: LayerResponse, selection: KernelSelection | None, readout: Readout
) -> list[int]:
    """The kernels that a selection names, if their responses to images can be climbed.

    The values do not matter: a layer may be silent, constant or infinite at one time, and not so
    after some more training.

    Args:
        response: Of the network as it is now.
        selection: See :func:`~neurovis.kernels.select_kernels`; None for the first eight.
        readout: From activations to ``(B, K)``.

    Raises:
        ValueError: If the network cannot take the images, a kernel is out of range, the readout
            returns another shape, or no gradient comes back to the images.
    """
    images = noise_images(response.spec, count=2).requires_grad_(True)
    activation = try_response(response, images)
    count = activation.shape[1]
    if selection is None:
        selection = range(min(FIRST_KERNELS, count))
    kernels = select_kernels(selection, count, response.layer)
    values, _ = member_values(activation, [Target(tuple(kernels))] * 2, readout)
    if not values.requires_grad:
        raise ValueError(
            f'no gradient comes from layer "{response.layer}" to the images: something on the way '
            "(torch.no_grad, .detach(), an objective that is none of torch's) cuts it off"
        )
    return kernels


def _finite(values: Tensor, moments: Sequence[_Moments]) -> Tensor:
    """Which images ``(N,)`` have finite parameters and finite moments, on the CPU."""
    return values.flatten(1).isfinite().all(1).cpu() & torch.tensor(
        [all(bool(moment.isfinite().all()) for moment in own.values()) for own in moments]
    )
