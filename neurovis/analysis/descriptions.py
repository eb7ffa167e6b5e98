"""Descriptions of images by the features of a network, whose cosines tell how alike images are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis.analysis.shown_network import check_modalities, shown_as
from neurovis.calling import network_inputs, one_input
from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import kernel_layouts, owns_kernels
from neurovis.layer_reader import LayerReader
from neurovis.layers import first_names, resolve_layer
from neurovis.maximization import MaximizationResults
from neurovis.receptive_fields import Field, receptive_fields
from neurovis.recording import check_reached, undisturbed

#: Name of the space of images themselves, where no layer is below.
_PIXELS = "pixels"


def images_by_kernel(
    references: MaximizationResults | Mapping[int, Tensor],
) -> dict[int, Tensor]:
    """Return the images ``(R, C, H, W)`` that drive each kernel most.

    Raises:
        ValueError: If there are none.
    """
    if isinstance(references, Mapping):
        found = dict(references)
    else:
        found = {}
        for item in references.items:
            if item.sign < 0:  # It tells which pictures do not drive the kernel.
                continue
            (kernel,) = item.kernels
            images = item.image[None]
            found[kernel] = torch.cat([found[kernel], images]) if kernel in found else images
    if not found:
        raise ValueError("there must be images of at least one kernel; got none")
    return found


class Described(NamedTuple):
    """Kernels' numbers ``(B, K)`` and descriptions ``(B, D)`` of images, on the CPU."""

    numbers: Tensor
    descriptions: Tensor


class DescriptionReader:
    """Reads kernels' numbers, and descriptions of images, of which cosines are taken.

    Args:
        network: Has the kernels.
        layer: Their layer.
        spec: What the network is shown.
        judge: Describes images; may be the network itself, whose forward then serves both.
        judge_spec: What it is shown.
        space: Its layer; by default the judge's last convolution, or the last layer with kernels
            before ``layer`` if the judge is the network itself: pixels if that is the first.

    Attributes:
        space: Where images are described: the name of a layer, or ``"pixels"``.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        spec: InputSpec,
        judge: nn.Module,
        judge_spec: InputSpec,
        space: str | None,
    ) -> None:
        self._layer = layer
        check_modalities(judge, judge_spec, spec)
        is_itself = judge is network
        self._network, self._judge = one_input(network, spec), one_input(judge, judge_spec)
        self._spec, self._judge_spec = spec, judge_spec
        example = judge_spec.example()
        fields = receptive_fields(self._judge, example)
        if space is None:
            before = layers_before(self._judge, fields, layer if is_itself else None)
            with_maps = [name for name in before if len(fields[name].output_shape or ()) > 2]
            space = with_maps[-1] if with_maps else None
        self.space = space or _PIXELS
        described = [space] if space else []
        self._of_network: LayerReader | None = None
        if is_itself and judge_spec == spec:
            described = list(dict.fromkeys([layer, *described]))
        else:
            self._of_network = LayerReader(self._network, layer, spec.example())
        self._of_judge = (
            LayerReader(self._judge, kernel_layouts(self._judge, described, example, fields))
            if described
            else None
        )

    def __call__(self, images: Tensor) -> Described:
        """Read images ``(B, C, H, W)`` in [0, 1]."""
        shown = shown_as(images, self._spec, self._judge_spec)
        of_judge = {}
        if self._of_judge is not None:
            of_judge = moments_of(self._judge, self._judge_spec, self._of_judge, shown)
        of_network = of_judge
        if self._of_network is not None:
            of_network = moments_of(self._network, self._spec, self._of_network, images)
        described = (
            functional.adaptive_avg_pool2d(shown, 8).cpu()
            if self.space == _PIXELS
            else of_judge[self.space]
        )
        return Described(of_network[self._layer][:, 0], described.flatten(1))


def directions(descriptions: Tensor, reference: Tensor) -> Tensor:
    """Return descriptions as directions, whose products are cosines.

    Args:
        descriptions: ``(N, D)``.
        reference: ``(M, D)`` of many images: each number is counted from their mean, in units of
            their standard deviation.

    Returns:
        ``(N, D)`` of length 1.
    """
    # Of length 1 first: contrast, which is not what an image shows, scales all channels.
    descriptions, reference = (
        functional.normalize(one, dim=1) for one in (descriptions, reference)
    )
    center, spread = reference.mean(0), reference.std(0).clamp(min=1e-6)
    return functional.normalize((descriptions - center) / spread, dim=1)


@torch.no_grad()
def moments_of(
    network: nn.Module, spec: InputSpec, reader: LayerReader, images: Tensor, number: int = 2
) -> dict[str, Tensor]:
    """Return mean and standard deviation ``(B, 2, K)`` of layers' maps, on the CPU.

    Args:
        network: A function of one tensor; it is left exactly as it was found.
        spec: What it is shown.
        reader: Reads its layers.
        images: ``(B, C, H, W)`` in [0, 1].
        number: 1 for the mean alone, ``(B, 1, K)``.
    """
    inputs = network_inputs(network, spec, images)
    with undisturbed(network):
        read = reader(inputs, lambda _, __, maps: _moments(maps, number))
    return {name: moments.float().cpu() for name, moments in read.items()}


def _moments(activation: Tensor, number: int) -> Tensor:
    """Mean and standard deviation ``(B, 2, K)`` over the positions of ``(B, K, *positions)``."""
    flat = activation.flatten(2) if activation.ndim > 2 else activation[..., None]
    mean = flat.mean(2)
    return torch.stack([mean] if number == 1 else [mean, flat.std(2, correction=0)], 1)


def layers_before(
    network: nn.Module, fields: Mapping[str, Field], layer: str | None = None
) -> list[str]:
    """Return the layers with kernels that a forward calls once, in its order.

    Args:
        network: The network.
        fields: Its :func:`~neurovis.receptive_fields.receptive_fields`.
        layer: Only those before this layer.

    Raises:
        ValueError: If there is no such layer, or a forward does not reach it.
    """
    modules = first_names(network)
    names = [name for name in fields if name in modules]
    if layer is not None:
        module = resolve_layer(network, layer)
        places = [place for place, name in enumerate(names) if modules[name] is module]
        check_reached(network, {layer: len(places)})
        names = names[: places[0]]
    return [name for name in names if owns_kernels(modules[name]) and fields[name].calls == 1]
