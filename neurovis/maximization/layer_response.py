"""Response of a layer to images: activations with their kernels second."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurovis.calling import network_inputs, one_input
from neurovis.first_forward import checked_forward, reason
from neurovis.inputs import InputSpec
from neurovis.layer_reader import LayerReader
from neurovis.layers import class_name
from neurovis.receptive_fields import Layout


class LayerResponse:
    """From images in [0, 1] to the activation of one layer, kernels second.

    Args:
        network: Frozen and in eval mode.
        layer: Dotted name of a layer whose output has kernels.
        spec: How images become the network's input.
        layout: Where the layer's output keeps its kernels and positions, if it is known; finding
            it may take a traced forward.

    Raises:
        ValueError: If there is no such layer, or nothing tells which dimension counts its kernels.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        spec: InputSpec,
        layout: Layout | None = None,
    ) -> None:
        self.network = network = one_input(network, spec)
        self.layer = layer
        self.spec = spec
        self._reader = (
            LayerReader(network, layer, spec.example())
            if layout is None
            else LayerReader(network, {layer: layout})
        )

    @property
    def layout(self) -> Layout:
        """Order of images, kernels and positions in the layer's output."""
        return self._reader.layouts[self.layer]

    def check_center(self, activation: Tensor) -> None:
        """Refuse an activation of which nothing tells which unit is in the center."""
        self._reader.check_places(self.layer, activation.shape)

    def to(self, device: torch.device) -> None:
        """Move the network to a device."""
        self.network.to(device)

    def inputs(self, images: Tensor) -> Tensor:
        """Images in [0, 1] in the network's space, type and device."""
        return network_inputs(self.network, self.spec, images)

    def __call__(self, images: Tensor) -> Tensor:
        """Activation ``(B, K, ...)`` of images ``(B, C, H, W)`` in [0, 1]."""
        return self._reader(self.inputs(images))[self.layer]

    def checked(self, images: Tensor) -> Tensor:
        """The activation ``(B, K, ...)`` of some images, the first that the network is shown.

        Raises:
            ValueError: If the network cannot take them.
        """
        try:
            remedy = "give the input_spec it was made for"
            with checked_forward(self.network, self.spec, remedy):
                return self(images)
        except TypeError as error:
            raise ValueError(
                f"{class_name(self.network)} cannot be called with images alone: {reason(error)}; "
                "say how it takes them by passed_as of its InputSpec, or wrap it in a module"
            ) from error


def noise_images(spec: InputSpec, count: int) -> Tensor:
    """The same white noise each time, ``(count, C, H, W)`` in [0, 1], to try a network with."""
    return torch.rand(count, *spec.shape, generator=torch.Generator().manual_seed(0))
