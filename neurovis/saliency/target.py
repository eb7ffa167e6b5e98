"""Target of an explanation: one number for each image, read from a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from neurovis.class_names import class_names, has_class_names
from neurovis.kernel_layouts import kernel_layouts
from neurovis.layer_reader import LayerReader
from neurovis.layers import ArgumentError, unwrap
from neurovis.outputs import OUTPUT, NamedOutput, find_output, names_scores
from neurovis.readouts import READOUTS
from neurovis.receptive_fields import Layout
from neurovis.recording import undisturbed
from neurovis.saliency.settings import ReadoutOption

#: Function of a layer's activation ``(B, K, ...)`` that gives one number for each image, ``(B,)``.
#: The number may depend on that image's activation only, since some methods change the batch.
CallableTarget = Callable[[Tensor], Tensor]
#: A kernel's number, the kernel with the largest readout of each image, or a function.
KernelChoice = int | Literal["strongest"] | CallableTarget

#: For each image the kernel with the largest readout.
STRONGEST: Literal["strongest"] = "strongest"


@dataclass(frozen=True)
class LayerTarget:
    """A layer or an output of the network, and the layout of its activation.

    Finding these may take two forwards. Whoever explains one layer many times finds it once and
    passes this in place of the layer's name; it holds nothing of the network.

    Args:
        name: Dotted name; None for an output.
        layout: Where it keeps kernels and positions.
        output: Path of the output, as :func:`~neurovis.outputs.find_output` gives it.
        label: By default the layer's name, or ``"output"``; ``"output.logits"`` for an output that
            was named.
        kernel_word: What a kernel is called: ``"kernel"``, ``"class"``, or nothing where there is
            one number.
        class_names: Names of all kernels, where they are classes.
    """

    name: str | None
    layout: Layout = field(default_factory=lambda: Layout(1))
    output: str = OUTPUT
    label: str = ""
    kernel_word: str = "kernel"
    class_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name or OUTPUT)

    @classmethod
    def find(
        cls,
        model: nn.Module,
        layer: str | None,
        images: Tensor,
        output: str | int | None = None,
        function: CallableTarget | None = None,
    ) -> LayerTarget:
        """Find a layer's kernel dimension, or the output that is meant and its kernel dimension.

        Args:
            model: The network; it is left exactly as it was found.
            layer: Dotted name; None for an output.
            images: ``(B, C, H, W)`` in the network's space.
            output: Path of the output, such as ``"logits"`` or ``1``; None for the class scores.
            function: What reads the number to explain from the activation. It takes the only
                output of a network whatever it is.

        Raises:
            ArgumentError: If both a layer and an output are given, or there is no such output.
            ValueError: If there is no such layer, or nothing tells which output has class scores,
                or which dimension counts kernels.
        """
        if layer is not None and output is not None:
            raise ArgumentError(f'layer and output exclude each other; got "{layer}", "{output}"')
        if layer is not None:
            layout = kernel_layouts(model, [layer], images[:1])[layer]
            return cls(layer, layout)._with_class_names(model, images)
        network = unwrap(model)
        output = None if output is None else str(output)
        with undisturbed(network):
            path, tensor = find_output(
                network, images[:2].clone(), output, of_any_kind=function is not None
            )
        are_scores = output is None or names_scores(path)
        layout, word = Layout(1), "class" if are_scores else "kernel"
        if tensor.ndim > 2:
            try:
                layout = kernel_layouts(NamedOutput(network, path), [OUTPUT], images[:1])[OUTPUT]
            except ValueError as error:
                # Maps of class scores have classes second, as torch's losses want them.
                if not are_scores:
                    raise ValueError(
                        f'nothing tells which dimension of output "{path}" {tuple(tensor.shape)} '
                        "counts kernels; name the layer that returns it, and say its layout with "
                        "set_layout or --layouts"
                    ) from error
        elif tensor.ndim < 2 or tensor.shape[1] == 1:
            word = ""
        target = cls(None, layout, path, output_label(output), word)
        return target._with_class_names(model, images) if are_scores else target

    def _with_class_names(self, model: nn.Module, images: Tensor) -> LayerTarget:
        """The same target with the names of its kernels, where they are classes."""
        if not has_class_names(model):
            return self
        with undisturbed(unwrap(model)), torch.no_grad():
            count = TargetValue(model, self).activation(images[:1]).shape[1]
        return replace(self, class_names=class_names(model, self.name, count))

    @property
    def without_gradient(self) -> str:
        """Message for a value without a gradient to the images."""
        return (
            f'the value of layer "{self.label}" has no gradient to the images: on the way '
            'something is detached, rounded or an integer; method "occlusion" needs none'
        )


def output_label(output: str | int | None) -> str:
    """Return the label of an output, which stands in place of a layer's name."""
    return OUTPUT if output in (None, OUTPUT) else f"{OUTPUT}.{output}"


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
        self.model = model
        self.target = target
        # The layer's name within the network that is run.
        self._name = OUTPUT if target.name is None else target.name
        network = NamedOutput(model, target.output) if target.name is None else model
        self._readout: ReadoutOption = "mean" if readout is None else readout
        self._function = function
        self._reader = LayerReader(network, {self._name: target.layout})

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
        return self._reader(images.clone())[self._name]

    def readings(self, activation: Tensor) -> Tensor:
        """The number of each kernel.

        Args:
            activation: ``(B, K, ...)`` of the target's layer.

        Returns:
            ``(B, K)``.

        Raises:
            ArgumentError: If the readout is a unit or a box that the layer's maps do not have.
        """
        if self._readout == "center":
            self._reader.check_places(self.target.label, activation.shape)
        if isinstance(self._readout, str):
            return READOUTS[self._readout](activation)
        top, left, *ends = self._readout
        bottom, right = ends or (top + 1, left + 1)
        if activation.ndim != 4:
            raise ArgumentError(
                f"readout {self._readout} asks for {'a box' if ends else 'a unit'} of a map; layer "
                f'"{self.target.label}" has activations of shape {tuple(activation.shape)}, '
                "not (B, K, H, W)"
            )
        height, width = activation.shape[2:]
        if bottom > height or right > width:
            raise ArgumentError(
                f"readout {self._readout} lies outside the {height} x {width} map of layer "
                f'"{self.target.label}": rows are 0 to {height - 1}, columns 0 to {width - 1}'
            )
        return activation[:, :, top:bottom, left:right].mean((2, 3))

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
