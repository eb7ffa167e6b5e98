"""A network as something to show images to that may have been made for another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis.calling import network_inputs, one_input
from neurovis.class_names import class_names
from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import kernel_layouts, layout_of, owns_kernels
from neurovis.layer_reader import LayerReader
from neurovis.layers import class_name, first_names, resolve_layer, unwrap
from neurovis.outputs import find_output, tensor_at
from neurovis.pictures import stretched
from neurovis.readouts import spatial_mean
from neurovis.receptive_fields import Field, receptive_fields
from neurovis.recording import check_reached, undisturbed

#: Name of the images themselves, in place of a layer's.
PIXELS = "pixels"


class ShownNetwork:
    """A network that is shown images of another input, in its own size and normalization.

    Args:
        network: It is left exactly as it was found.
        spec: What it is shown.
        images_spec: What images come as; they have the modalities of ``spec``, perhaps others too.
        batch_size: Images at a time.

    Attributes:
        network: The network as a function of one tensor.
        images_spec: What images come as.
        key: The same for the same network, shown the same.

    Raises:
        ValueError: If images do not have the modalities that the network is shown.
    """

    def __init__(
        self, network: nn.Module, spec: InputSpec, images_spec: InputSpec, batch_size: int = 32
    ) -> None:
        _check_modalities(network, spec, images_spec)
        self.network, self._spec = one_input(network, spec), spec
        self.key = unwrap(network), spec
        self.images_spec, self._batch_size = images_spec, batch_size
        self._fields: Mapping[str, Field] | None = None
        self._readers: dict[tuple[str, ...], LayerReader] = {}

    @property
    def class_count(self) -> int:
        """Number of classes that the network scores; 0 if it is no classifier."""
        return self._output[1]

    @property
    def class_names(self) -> list[str]:
        """Names of these classes; empty if they are not known."""
        return class_names(self.network, None, self.class_count)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Class scores ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1], on the CPU."""
        path, _ = self._output
        with undisturbed(self.network):
            parts = [
                tensor_at(self.network(self._inputs(shown)), path).cpu()
                for shown in self._shown(images)
            ]
        scores = torch.cat(parts).double()
        return spatial_mean(scores)

    def layers(self, before: str | None = None, *, with_maps: bool = False) -> list[str]:
        """Return the layers with kernels that a forward calls once, in its order.

        Args:
            before: Only those before this layer.
            with_maps: Only those with more than one position.

        Raises:
            ValueError: If there is no such layer, or a forward does not reach it.
        """
        if self._fields is None:
            self._fields = receptive_fields(self.network, self._spec.example())
        fields, modules = self._fields, first_names(self.network)
        names = [name for name in fields if name in modules]
        if before is not None:
            module = resolve_layer(self.network, before)
            places = [place for place, name in enumerate(names) if modules[name] is module]
            check_reached(self.network, {before: len(places)})
            names = names[: places[0]]
        return [
            name
            for name in names
            if owns_kernels(modules[name])
            and fields[name].calls == 1
            and layout_of(modules[name], fields[name]) is not None
            and (not with_maps or len(fields[name].output_shape or ()) > 2)
        ]

    @torch.no_grad()
    def moments(self, asked: Mapping[str, int], images: Tensor) -> dict[str, Tensor]:
        """Return means and standard deviations of the maps of layers, on the CPU.

        Args:
            asked: By the names of layers, 2 for both, or 1 for means alone. :data:`PIXELS` stands
                for the images themselves.
            images: ``(N, C, H, W)`` in [0, 1].

        Returns:
            ``(N, asked, K)`` by name; of pixels ``(N, 1, C * 64)``, on a grid of 8 x 8.

        Raises:
            ValueError: If a layer cannot be read; see :class:`~neurovis.layer_reader.LayerReader`.
        """
        layers = tuple(name for name in asked if name != PIXELS)
        parts = []
        with undisturbed(self.network):
            for shown in self._shown(images):
                part = {}
                if layers:
                    part = self.reader(*layers)(
                        self._inputs(shown), lambda name, _, maps: _moments(maps, asked[name])
                    )
                if PIXELS in asked:
                    part[PIXELS] = functional.adaptive_avg_pool2d(shown, 8).flatten(1)[:, None]
                parts.append({name: one.cpu() for name, one in part.items()})
        return {name: torch.cat([part[name] for part in parts]) for name in asked}

    def means(self, layer: str, images: Tensor) -> Tensor:
        """Mean activations ``(N, K)`` of a layer's kernels by ``(N, C, H, W)`` in [0, 1]."""
        return self.moments({layer: 1}, images)[layer][:, 0]

    def has_weights_of(self, network: nn.Module) -> bool:
        """True if all weights are those of a network."""
        own, others = (list(unwrap(one).parameters()) for one in (self.network, network))
        return len(own) == len(others) > 0 and all(
            one.shape == other.shape and torch.equal(one.cpu(), other.cpu())
            for one, other in zip(own, others, strict=True)
        )

    def reader(self, *layers: str) -> LayerReader:
        """Return a reader of some layers.

        Raises:
            ValueError: If there is no such layer, or nothing tells where its kernels are.
        """
        if layers not in self._readers:
            example = self._spec.example()
            layouts = kernel_layouts(self.network, layers, example, self._fields)
            self._readers[layers] = LayerReader(self.network, layouts)
        return self._readers[layers]

    @cached_property
    def _output(self) -> tuple[str, int]:
        """Path of the class scores, and their number."""
        (example,) = self._shown(torch.full((1, *self.images_spec.shape), 0.5))
        with undisturbed(self.network):
            try:
                path, scores = find_output(self.network, self._inputs(example))
            except ValueError:
                return "", 0
        return path, scores.shape[1] if scores.ndim > 1 else 0

    def _shown(self, images: Tensor) -> Iterator[Tensor]:
        """Images as the network is shown them, its modalities in its size, some at a time."""
        for batch in images.split(self._batch_size):
            named = self.images_spec.split(batch)
            shown = torch.cat([named[one.name] for one in self._spec.modalities], 1)
            if shown.shape[2:] != self._spec.size:
                shown = torch.stack([stretched(image, self._spec) for image in shown])
            yield shown

    def _inputs(self, shown: Tensor) -> Tensor:
        return network_inputs(self.network, self._spec, shown)


def _check_modalities(network: nn.Module, spec: InputSpec, images_spec: InputSpec) -> None:
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


def _moments(maps: Tensor, number: int) -> Tensor:
    """Mean, or mean and standard deviation, over the positions of maps ``(B, K, *positions)``."""
    flat = maps.float().flatten(2) if maps.ndim > 2 else maps.float()[..., None]
    mean = flat.mean(2)
    return torch.stack([mean] if number == 1 else [mean, flat.std(2, correction=0)], 1)
