"""A layer's response to images, and checks that it can be maximized."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from neurovis.first_forward import checked_forward, reason
from neurovis.inputs import InputSpec, network_inputs
from neurovis.layer_reader import LayerReader
from neurovis.maximization.objectives import Objective
from neurovis.maximization.waking import WakingRectifiers


class LayerResponse:
    """From images in [0, 1] to the activation of one layer, kernels second.

    Args:
        network: Frozen and in eval mode.
        layer: Dotted name of a layer whose output has kernels.
        spec: How images become the network's input.
        kernel_axis: The dimension of the layer's output that counts its kernels, where it is
            known; finding it may take a traced forward.
        dtype: What the network computes in, under autocast; None for what it is made of.

    Raises:
        ValueError: If there is no such layer, or nothing tells which dimension counts its kernels.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        spec: InputSpec,
        kernel_axis: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.network = network
        self.layer = layer
        self.spec = spec
        self.dtype = dtype
        layers = layer if kernel_axis is None else {layer: kernel_axis}
        self._reader = LayerReader(network, layers, spec.example())

    @property
    def kernel_axis(self) -> int:
        """The dimension of the layer's output that counts its kernels."""
        return self._reader.kernel_axes[self.layer]

    def to(self, device: torch.device) -> None:
        """Move the network to a device."""
        self.network.to(device)

    def inputs(self, images: Tensor) -> Tensor:
        """Images in [0, 1] in the network's space, type and device."""
        return network_inputs(self.network, self.spec, images)

    def __call__(self, images: Tensor) -> Tensor:
        """Activation ``(B, K, ...)`` of images ``(B, C, H, W)`` in [0, 1]."""
        inputs = self.inputs(images)
        with self._autocast(inputs):
            return self._reader(inputs)[self.layer]

    def _autocast(self, inputs: Tensor) -> AbstractContextManager[object]:
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(inputs.device.type, dtype=self.dtype)


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
        activation = try_response(response, noise.clone().requires_grad_(True).clone())
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


def try_response(response: LayerResponse, images: Tensor) -> Tensor:
    """The activation ``(B, K, ...)`` of some images, the first that the network is shown.

    Raises:
        ValueError: If the network cannot take them.
    """
    try:
        with checked_forward(
            response.network, response.spec, "give the input_spec it was made for"
        ):
            return response(images)
    except TypeError as error:
        raise ValueError(
            f"{type(response.network).__name__} cannot be called with images alone: "
            f"{reason(error)}; wrap it in a module that can"
        ) from error


def noise_images(spec: InputSpec, count: int) -> Tensor:
    """The same white noise each time, ``(count, C, H, W)`` in [0, 1], to try a network with."""
    return torch.rand(count, *spec.shape, generator=torch.Generator().manual_seed(0))


def _can_be_woken(response: LayerResponse, images: Tensor) -> bool:
    """Return True if a layer that is silent as a whole has a gradient behind its rectifier."""
    images = images.requires_grad_(True)
    with torch.enable_grad(), WakingRectifiers():
        activation = response(images)
        if not activation.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(activation.sum(), images)
    return bool(gradient.any())
