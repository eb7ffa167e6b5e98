"""A network as something to show images to that were made for another one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from neurovis.calling import network_inputs, one_input
from neurovis.class_names import class_names
from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import owns_kernels, usable_layers
from neurovis.layer_reader import LayerReader
from neurovis.layers import class_name, unwrap
from neurovis.outputs import find_output, tensor_at
from neurovis.pictures import stretched
from neurovis.readouts import spatial_mean
from neurovis.recording import undisturbed


class ShownNetwork:
    """A network that is shown images of another input, in its own size and normalization.

    Args:
        network: It is left exactly as it was found.
        spec: What it is shown.
        images_spec: What images come as; they have the modalities of ``spec``, perhaps others too.
        batch_size: Images at a time.

    Raises:
        ValueError: If images do not have the modalities that the network is shown.
    """

    def __init__(
        self, network: nn.Module, spec: InputSpec, images_spec: InputSpec, batch_size: int
    ) -> None:
        check_modalities(network, spec, images_spec)
        self._network, self._spec = one_input(network, spec), spec
        self._images_spec, self._batch_size = images_spec, batch_size

    @property
    def class_count(self) -> int:
        """Number of classes that the network scores; 0 if it is no classifier."""
        return self._output[1]

    @property
    def class_names(self) -> list[str]:
        """Names of these classes; empty if they are not known."""
        return class_names(self._network, None, self.class_count)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Class scores ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1], on the CPU."""
        path, _ = self._output
        with undisturbed(self._network):
            parts = [
                tensor_at(self._network(inputs), path).cpu() for inputs in self._inputs(images)
            ]
        scores = torch.cat(parts).double()
        return spatial_mean(scores)

    def reader(self, layer: str | None = None) -> LayerReader:
        """Return a reader of a layer, or of all layers with kernels that can be read."""
        example = self._spec.example()
        if layer is not None:
            return LayerReader(self._network, layer, example)
        kinds = dict.fromkeys(type(part) for part in self._network.modules() if owns_kernels(part))
        return LayerReader(self._network, usable_layers(self._network, kinds, example))

    @torch.no_grad()
    def means(self, reader: LayerReader, images: Tensor) -> dict[str, Tensor]:
        """Mean activations ``(N, K)`` of the kernels of layers, on the CPU.

        Args:
            reader: See :meth:`reader`.
            images: ``(N, C, H, W)`` in [0, 1].
        """
        with undisturbed(self._network):
            parts = [
                reader(inputs, lambda *read: spatial_mean(read[2].float()))
                for inputs in self._inputs(images)
            ]
        # Not every device has double precision.
        return {name: torch.cat([part[name].cpu() for part in parts]).double() for name in parts[0]}

    def has_weights_of(self, network: nn.Module) -> bool:
        """True if all weights are those of a network."""
        own, others = (list(unwrap(one).parameters()) for one in (self._network, network))
        return len(own) == len(others) > 0 and all(
            one.shape == other.shape and torch.equal(one.cpu(), other.cpu())
            for one, other in zip(own, others, strict=True)
        )

    @cached_property
    def _output(self) -> tuple[str, int]:
        """Path of the class scores, and their number."""
        (example,) = self._inputs(torch.full((1, *self._images_spec.shape), 0.5))
        with undisturbed(self._network):
            try:
                path, scores = find_output(self._network, example)
            except ValueError:
                return "", 0
        return path, scores.shape[1] if scores.ndim > 1 else 0

    def _inputs(self, images: Tensor) -> Iterator[Tensor]:
        for batch in images.split(self._batch_size):
            shown = shown_as(batch, self._images_spec, self._spec)
            yield network_inputs(self._network, self._spec, shown)


def check_modalities(network: nn.Module, spec: InputSpec, images_spec: InputSpec) -> None:
    """Refuse a network that is shown modalities that images do not have.

    Raises:
        ValueError: If there is one; the message lists what it is shown and what they have.
    """
    names, known = ([one.name for one in part.modalities] for part in (spec, images_spec))
    if not set(names) <= set(known):
        raise ValueError(
            f"{class_name(network)} is shown {', '.join(names)}, and the images have "
            f"{', '.join(known)}; give another network, or say what it is shown"
        )


def shown_as(images: Tensor, images_spec: InputSpec, spec: InputSpec) -> Tensor:
    """Return images as another network is shown them: its modalities, in its size, in [0, 1].

    Args:
        images: ``(B, C, H, W)`` in [0, 1].
        images_spec: What images come as.
        spec: What the network is shown; see :func:`check_modalities`.
    """
    named = images_spec.split(images)
    shown = torch.cat([named[one.name] for one in spec.modalities], 1)
    if shown.shape[2:] == spec.size:
        return shown
    return torch.stack([stretched(image, spec) for image in shown])
