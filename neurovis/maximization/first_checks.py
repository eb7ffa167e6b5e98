"""Check a layer, an objective and custom functions on two images, before a long ascent."""

from __future__ import annotations

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.objectives import Objective
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.transforms import apply_transforms, draw_transforms
from neurovis.maximization.user_functions import call_user_function, function_name
from neurovis.maximization.waking import WakingRectifiers


def try_layer(response: LayerResponse, objective: Objective) -> int:
    """Count the kernels, or whatever else the objective reads, in a trial on two noise images.

    Raises:
        ValueError: If the network cannot take the images, the layer's response to them is not
            finite, has no gradient or does not depend on what it is shown, or the objective does
            not fit it.
    """
    noise = noise_images(response.spec, count=2)
    with torch.enable_grad():
        # No leaf, as in an ascent: networks may work in place.
        activation = response.checked(noise.clone().requires_grad_(True).clone())
    is_cut_off = not activation.requires_grad
    activation = activation.detach()
    if not activation.isfinite().all():
        raise ValueError(f'layer "{response.layer}" gives NaN or infinite values for noise images')
    if torch.equal(activation[0], activation[1]) and not _can_be_woken(response, noise):
        raise ValueError(
            f'layer "{response.layer}" gives the same response to different images: '
            "there is nothing to maximize"
        )
    if is_cut_off:
        raise ValueError(
            f'no gradient comes from layer "{response.layer}" to the images: something on the way '
            "(torch.no_grad, .detach(), rounding) cuts it off"
        )
    return _try_objective(response, objective, activation.float())


def _try_objective(response: LayerResponse, objective: Objective, activation: Tensor) -> int:
    """Count the numbers that the objective reads from an activation."""
    with torch.enable_grad():
        values = objective(activation.requires_grad_(True))
    if not values.requires_grad:
        raise ValueError(
            f"no gradient comes from the objective {objective} to the activation of layer "
            f'"{response.layer}": something in it (torch.no_grad, .detach(), rounding, NumPy) cuts '
            "it off"
        )
    if not values.isfinite().any():
        raise ValueError(
            f"the objective {objective} gives NaN or infinite values for noise images, where layer "
            f'"{response.layer}" gives finite ones'
        )
    return values.shape[1]


def _can_be_woken(response: LayerResponse, images: Tensor) -> bool:
    """Return True if a layer that is silent as a whole has a gradient behind its rectifier."""
    images = images.requires_grad_(True)
    with torch.enable_grad(), WakingRectifiers():
        activation = response(images)
        if not activation.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(activation.sum(), images)
    return bool(gradient.any())


@torch.no_grad()
def try_functions(settings: AscentSettings, spec: InputSpec) -> None:
    """Try transforms and penalties on two images, before hours go into an ascent.

    Raises:
        ValueError: If one fails, or gives something of another shape than it must.
    """
    images = torch.full((2, *spec.shape), 0.5)
    for penalty in settings.regularizers:
        values = call_user_function(penalty, "penalty", images)
        if not isinstance(values, Tensor) or values.shape != (2,):
            came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(
                f"the penalty {function_name(penalty)} must give one number for each image, (2,) "
                f"for {tuple(images.shape)}; it gave {came}"
            )
    if settings.transforms is not None:
        transforms = settings.views(spec.size)
        drawn = draw_transforms(transforms, spec.size, settings.seed, [(0, 0), (1, 0)], steps=1)
        apply_transforms(images, transforms, [own[0] for own in drawn])
