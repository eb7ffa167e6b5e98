"""Checks of network, pictures, custom functions and Trainer, before any image is made."""

from __future__ import annotations

from collections.abc import Iterable

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.objectives import Objective
from neurovis.maximization.parametrizations import ImageParameters
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.silent_units import WakingRectifiers
from neurovis.maximization.strategy import STRATEGY_NAME, IndependentDDPStrategy
from neurovis.maximization.user_functions import call_user_function, function_name


def check_arguments(
    model: object, layers: object, input_spec: InputSpec, settings: AscentSettings
) -> None:
    """Check what can be known without running the network.

    Raises:
        TypeError: If the model, a layer's name or the input is of another type.
        ValueError: If a picture does not fit the input, or a penalty fails.
        FileNotFoundError: If there is no such picture.
    """
    # Types and collections of layers are looked into where they are selected.
    layer = "" if isinstance(layers, (type, Iterable)) else layers
    for argument, value, expected in (
        ("model", model, nn.Module),
        ("layer", layer, str),
        ("input_spec", input_spec, InputSpec),
    ):
        if not isinstance(value, expected):
            raise TypeError(
                f"{argument} must be of type {expected.__name__}; got {type(value).__name__}"
            )
    check_pictures(settings, input_spec)
    _try_penalties(settings, input_spec)


def check_pictures(settings: AscentSettings, input_spec: InputSpec) -> None:
    """Look at the pictures that an ascent starts from or keeps, before anything is made.

    Raises:
        ArgumentError: If the image to start from does not have the input's shape.
        ValueError: If a kept picture does not, or a modality is not the input's.
        FileNotFoundError: If there is no such file.
    """
    settings.constraints.prepared(input_spec)
    init = settings.init
    if isinstance(init, Tensor) and tuple(init.shape) != input_spec.shape:
        raise ArgumentError(
            f"the init image must have the input's shape {input_spec.shape}; got "
            f"{tuple(init.shape)}"
        )


def check_trainer(trainer: pl.Trainer, images: ImageParameters) -> None:
    """Raise ValueError for options under which images would mix, or steps not be ascent steps."""
    if trainer.world_size > 1 and not isinstance(trainer.strategy, IndependentDDPStrategy):
        raise ValueError(
            f"{type(trainer.strategy).__name__} would average the images of "
            f'{trainer.world_size} devices; use Trainer(strategy="{STRATEGY_NAME}")'
        )
    for callback in trainer.checkpoint_callbacks if trainer.world_size > 1 else ():
        if getattr(callback, "_every_n_train_steps", 0) or getattr(
            callback, "_train_time_interval", None
        ):
            raise ValueError(
                f"{type(callback).__name__} would let devices wait for each other, which make "
                "different numbers of steps; leave it out: finished images are kept as files, and "
                "a resumed run makes the others"
            )
    if trainer.accumulate_grad_batches != 1:
        raise ValueError("one step is one ascent step: leave accumulate_grad_batches at 1")
    least = {"min_steps": trainer.min_steps or 0, "min_epochs": (trainer.min_epochs or 1) - 1}
    for name in (name for name, more in least.items() if more > 0):
        raise ValueError(
            f"{name} would keep the Trainer running when all images are finished; leave it out"
        )
    if trainer.gradient_clip_val:
        raise ValueError(
            "gradient_clip_val would make an image depend on those that share its batch; "
            "leave it out"
        )
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        raise ValueError(
            f'precision="{trainer.precision}" scales gradients, and would skip a step of all '
            'images of a batch where one overflows; use precision="32-true" or "bf16-mixed"'
        )
    if images.values.dtype != torch.float32:
        raise ValueError(
            f"images are optimized in float32, not {images.values.dtype}; use "
            'precision="32-true" or "bf16-mixed"'
        )


def is_trial(trainer: pl.Trainer) -> bool:
    """Return True if the Trainer only tries the code (``fast_dev_run``) and is to write nothing."""
    return bool(getattr(trainer, "fast_dev_run", False))


def try_layer(response: LayerResponse, objective: Objective) -> int:
    """Count the kernels, or whatever else the objective reads, in a trial on two noise images.

    Raises:
        ValueError: If the network cannot take the images, the layer's response to them is not
            finite, has no gradient or does not depend on what it is shown, or the objective does
            not fit it.
    """
    noise = noise_images(response.spec, count=2)
    with torch.enable_grad():
        images = noise.clone().requires_grad_(True)
        # No leaf, as in an ascent: networks may work in place.
        activation = response.checked(images.clone())
        is_cut_off = not has_gradient(activation, images)
    if objective.reads_center:
        response.check_center(activation)
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
            "(torch.no_grad, .detach(), rounding, quantization) cuts it off"
        )
    return _try_objective(response, objective, activation.float())


def has_gradient(values: Tensor, images: Tensor) -> bool:
    """Return True if a gradient comes from values to the images that they were computed from.

    Operations without a derivative, as of quantized layers, seem to have one until it is computed.
    """
    if not values.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(values.sum(), images, allow_unused=True)
    return gradient is not None


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
def _try_penalties(settings: AscentSettings, spec: InputSpec) -> None:
    """Try penalties on two images, before hours go into an ascent.

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
