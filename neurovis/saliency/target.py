"""Target of an explanation: one number for each image, read from a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from neurovis.kernel_layouts import kernel_layouts
from neurovis.layer_reader import LayerReader
from neurovis.layers import ArgumentError, unwrap
from neurovis.readouts import READOUTS
from neurovis.receptive_fields import Layout
from neurovis.recording import Recorder
from neurovis.saliency.settings import ReadoutOption

#: Function of a layer's activation ``(B, K, ...)`` that gives one number for each image, ``(B,)``.
#: The number may depend on that image's activation only, since some methods change the batch.
CallableTarget = Callable[[Tensor], Tensor]
#: A kernel's number, the kernel with the largest readout of each image, or a function.
KernelChoice = int | Literal["strongest"] | CallableTarget

#: For each image the kernel with the largest readout.
STRONGEST: Literal["strongest"] = "strongest"

#: Name of the network's output in place of a layer's name.
OUTPUT = "output"


@dataclass(frozen=True)
class LayerTarget:
    """A layer and the layout of its activation.

    Finding the layout may take a traced forward. Whoever explains one layer many times finds
    it once and passes this in place of the layer's name; it holds nothing of the network.

    Args:
        name: Dotted name; None for the network's output.
        layout: Where it keeps kernels and positions.
    """

    name: str | None
    layout: Layout = field(default_factory=lambda: Layout(1))

    @classmethod
    def find(cls, model: nn.Module, layer: str | None, images: Tensor) -> LayerTarget:
        """Find a layer's kernel dimension; the output of a network has its kernels second.

        Args:
            model: The network; it is left exactly as it was found.
            layer: Dotted name; None for the output.
            images: ``(B, C, H, W)`` in the network's space.

        Raises:
            ValueError: If there is no such layer, or nothing tells which dimension it is.
        """
        if layer is None:
            return cls(None)
        return cls(layer, kernel_layouts(model, [layer], images[:1])[layer])

    @property
    def label(self) -> str:
        """The layer's name, or ``"output"``."""
        return OUTPUT if self.name is None else self.name

    @property
    def without_gradient(self) -> str:
        """Message for a value without a gradient to the images."""
        return (
            f'the value of layer "{self.label}" has no gradient to the images: on the way '
            'something is detached, rounded or an integer; method "occlusion" needs none'
        )


def kernel_word(layer: str) -> str:
    """Return ``"class"`` for the label of the output, ``"kernel"`` for any other layer's."""
    return "class" if layer == OUTPUT else "kernel"


class _WholeNetwork(nn.Module):
    """Gives a network's own output a layer's name, so that it is recorded as any layer's is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.output = network

    def forward(self, images: Tensor) -> object:
        """Return the network's output."""
        return self.output(images)


class TargetValue:
    """The number that is explained, as a function of images: ``value(images, kernels)``.

    Args:
        model: The network, inside :func:`~neurovis.recording.undisturbed`.
        target: The layer.
        readout: What of a kernel's map is read; None for its mean.
        function: Reads the number from the activation instead.
    """

    def __init__(
        self,
        model: nn.Module,
        target: LayerTarget,
        readout: ReadoutOption | None = None,
        function: CallableTarget | None = None,
    ) -> None:
        model = unwrap(model)
        is_output = target.name is None
        self.model = model
        self.target = target
        self._network = _WholeNetwork(model) if is_output else model
        self._prefix = f"{OUTPUT}." if is_output else ""
        self._readout: ReadoutOption = "mean" if readout is None else readout
        self._function = function
        self.reader = LayerReader(self._network, {target.label: target.layout})

    def __call__(self, images: Tensor, kernels: Tensor | None = None) -> Tensor:
        """The number of each image.

        Args:
            images: ``(B, C, H, W)``.
            kernels: ``(B,)``, one an image; None for a function of the activation.

        Returns:
            ``(B,)``.

        Raises:
            ValueError: If a gradient to the images is wanted, and there is none.
        """
        values = self.of_activation(self.activation(images), kernels)
        if images.requires_grad and torch.is_grad_enabled() and not values.requires_grad:
            raise ValueError(self.target.without_gradient)
        return values

    def activation(self, images: Tensor) -> Tensor:
        """The layer's activation, ``(B, K, ...)``: kernels are second."""
        # A copy, since a network may begin by working in place.
        return self.reader(images.clone())[self.target.label]

    def activation_with(self, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
        """The activations of another layer and of the target, from one forward.

        Args:
            layer: Dotted name of the other, within the network that was given.
            images: ``(B, C, H, W)`` in the network's space.

        Returns:
            The other layer's as they are, and the target's ``(B, K, ...)``.
        """
        name = self._prefix + layer
        recorded = Recorder(self._network, [name, self.target.label]).record(images.clone())
        output = recorded[self.target.label]
        return recorded[name], self.reader.kernels_second(self.target.label, output, len(images))

    def readings(self, activation: Tensor) -> Tensor:
        """The number of each kernel.

        Args:
            activation: ``(B, K, ...)`` of the target's layer.

        Returns:
            ``(B, K)``.

        Raises:
            ArgumentError: If the readout is a unit that the layer's maps do not have.
        """
        if isinstance(self._readout, str):
            return READOUTS[self._readout](activation)
        row, column = self._readout
        if activation.ndim != 4:
            raise ArgumentError(
                f'readout {self._readout} asks for a unit of a map; layer "{self.target.label}" '
                f"has activations of shape {tuple(activation.shape)}, not (B, K, H, W)"
            )
        height, width = activation.shape[2:]
        if row >= height or column >= width:
            raise ArgumentError(
                f"readout {self._readout} lies outside the {height} x {width} map of layer "
                f'"{self.target.label}": rows are 0 to {height - 1}, columns 0 to {width - 1}'
            )
        return activation[:, :, row, column]

    def of_activation(self, activation: Tensor, kernels: Tensor | None) -> Tensor:
        """The number of each image.

        Args:
            activation: ``(B, K, ...)`` of the target's layer.
            kernels: ``(B,)``, one for each image; None where the target is a function.

        Returns:
            ``(B,)``.

        Raises:
            ValueError: If the function gives something else, or kernels are missing.
        """
        if self._function is not None:
            values = self._function(activation)
            if not isinstance(values, Tensor) or values.shape != activation.shape[:1]:
                came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise ValueError(
                    "a kernel function gives one number for each image, a tensor of shape "
                    f"({len(activation)},) here; got {came}"
                )
            return values
        if kernels is None:
            raise ValueError("kernels are needed where the target is not a function")
        return self.readings(activation).gather(1, kernels[:, None])[:, 0]
